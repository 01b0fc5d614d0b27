/* SPDX-License-Identifier: Apache-2.0 */
/* test_queue.c - cq_queue and cq_segment: opening, geometry, holder, reading segments by pread */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "catalog/queue.h"
#include "chronq.h"
#include "format/format.h"
#include "format/record.h"
#include "support.h"

struct fixture {
	char dir[PATH_SIZE];
	cq_queue *queue;
	cq_segment *segment;
};

static int setup(void **state)
{
	return support_setup(state, sizeof(struct fixture));
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	cq_segment_close(f->segment);
	cq_queue_close(f->queue);
	support_remove(f->dir);
	free(f);
	return 0;
}

static void make_file(const char *dir, const char *name, off_t size)
{
	char path[PATH_SIZE];
	int fd;

	support_path(path, dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, size), 0);
	close(fd);
}

static void cut(const char *dir, const char *name, off_t size)
{
	char path[PATH_SIZE];

	support_path(path, dir, name);
	assert_int_equal(truncate(path, size), 0);
}

static void delete (const char *dir, const char *name)
{
	char path[PATH_SIZE];

	support_path(path, dir, name);
	assert_int_equal(unlink(path), 0);
}

static struct cq_queue_info info_of(struct fixture *f)
{
	struct cq_queue_info info = CQ_SIZED(info);

	cq_queue_close(f->queue);
	f->queue = NULL;
	assert_int_equal(cq_queue_open(f->dir, &f->queue), 0);
	assert_int_equal(cq_queue_info(f->queue, &info), 0);
	return info;
}

/* Opens the queue and this segment of it, whatever was open before. */
static int open_segment(struct fixture *f, uint32_t id)
{
	cq_segment_close(f->segment);
	f->segment = NULL;
	info_of(f);
	return cq_segment_open(f->queue, id, &f->segment);
}

static void kinds_of_directories(void **state)
{
	struct fixture *f = *state;
	cq_queue *queue = (cq_queue *)state;
	struct cq_queue_info info = CQ_SIZED(info);
	char path[PATH_SIZE];

	support_path(path, f->dir, "none");
	assert_int_equal(cq_queue_open(path, &queue), -ENOENT);
	info = info_of(f);
	assert_int_equal(info.segments, 0);
	assert_int_equal(info.segment_size, 0);
	assert_false(info.have_control);
	assert_int_equal(cq_queue_position(f->queue, &info), -ENOENT);

	make_file(f->dir, "letter", 3);
	assert_int_equal(cq_queue_open(f->dir, &queue), -ENOTEMPTY);
	support_path(path, f->dir, "letter");
	assert_int_equal(cq_queue_open(path, &queue), -ENOTDIR);
	assert_ptr_equal(queue, state); /* set on success only */
}

static void geometry_without_control(void **state)
{
	struct fixture *f = *state;
	struct cq_queue_info info = CQ_SIZED(info), position = CQ_SIZED(position);
	uint64_t wrong = 8192;
	char golden[PATH_SIZE];

	support_golden(golden, "v2-small");
	support_copy(golden, f->dir);
	info = info_of(f);
	assert_true(info.have_control);
	assert_int_equal(info.segment_size, 4096);
	assert_int_equal(info.segments, 3);
	assert_int_equal(info.oldest, 0);
	assert_int_equal(info.newest, 2);
	assert_int_equal(info.current, 1);
	assert_int_equal(info.offset, 1216);
	assert_int_equal(info.epoch, 1);
	assert_int_equal(cq_queue_position(f->queue, &position), 0);
	assert_true(position.have_control);
	assert_int_equal(position.current, 1);
	assert_int_equal(position.offset, 1216);
	assert_int_equal(position.epoch, 1);

	/* no segment has the size that control.meta says: the segments are right */
	support_poke(f->dir, CQ_CONTROL_NAME, offsetof(struct cq_control_page, segment_size),
	             &wrong, sizeof wrong);
	assert_int_equal(info_of(f).segment_size, 4096);

	support_poke(f->dir, CQ_CONTROL_NAME, 0, "\0\0\0\0", 4);
	info = info_of(f);
	assert_false(info.have_control);
	assert_int_equal(info.segment_size, 4096);
	assert_int_equal(open_segment(f, 1), 0);

	cut(f->dir, CQ_CONTROL_NAME, 100);
	assert_int_equal(info_of(f).segment_size, 4096);
	delete (f->dir, CQ_CONTROL_NAME);
	assert_int_equal(info_of(f).segment_size, 4096);

	/* the newest is no segment: the one before it counts */
	support_poke(f->dir, "000000002.q", 0, "x", 1);
	assert_int_equal(info_of(f).segment_size, 4096);
}

static void short_newest_does_not_mislead(void **state)
{
	struct fixture *f = *state;
	char golden[PATH_SIZE];

	support_golden(golden, "v2-small");
	support_copy(golden, f->dir);
	cut(f->dir, "000000002.q", 2048);
	assert_int_equal(info_of(f).segment_size, 4096);
	assert_int_equal(open_segment(f, 1), 0);
	assert_int_equal(open_segment(f, 2), -EBADMSG);
}

static void odd_sequence_lock(void **state)
{
	struct fixture *f = *state;
	uint32_t odd = 7;
	char golden[PATH_SIZE];

	support_golden(golden, "v2-small");
	support_copy(golden, f->dir);
	support_poke(f->dir, CQ_CONTROL_NAME, offsetof(struct cq_control_page, segment_gen), &odd,
	             sizeof odd);
	assert_false(info_of(f).have_control);
	assert_int_equal(info_of(f).segment_size, 4096);
}

static void lists_by_name(void **state)
{
	struct fixture *f = *state;
	uint32_t *ids;
	size_t count;

	make_file(f->dir, "000000010.q", 4096);
	make_file(f->dir, "000000009.q", 4096);
	make_file(f->dir, "000000011.q.tmp", 4096);
	make_file(f->dir, "00000001.q", 4096);
	make_file(f->dir, "0000000012.q", 4096);
	make_file(f->dir, "000000013.q.broken", 4096);
	info_of(f);
	assert_int_equal(cq_queue_list(f->queue, &ids, &count), 0);
	assert_int_equal(count, 2);
	assert_int_equal(ids[0], 9);
	assert_int_equal(ids[1], 10);
	free(ids);
}

static void tells_a_version_of_the_future(void **state)
{
	struct fixture *f = *state;
	char golden[PATH_SIZE];

	info_of(f);
	assert_int_equal(cq_queue_check_version(f->queue), 0); /* no segment at all */
	support_golden(golden, "v2-small");
	support_copy(golden, f->dir);
	assert_int_equal(cq_queue_check_version(f->queue), 0);
	support_poke(f->dir, "000000002.q", offsetof(struct cq_segment_header, version), "\3", 1);
	assert_int_equal(cq_queue_check_version(f->queue), -EPROTONOSUPPORT);
	support_poke(f->dir, "000000002.q", 0, "x", 1); /* no segment of a format that we know */
	assert_int_equal(cq_queue_check_version(f->queue), 0);
	cut(f->dir, "000000002.q", 3);
	assert_int_equal(cq_queue_check_version(f->queue), 0);
}

static void refuses_what_is_no_segment(void **state)
{
	struct fixture *f = *state;
	char path[PATH_SIZE], golden[PATH_SIZE];

	support_golden(golden, "v2-small");
	support_copy(golden, f->dir);
	assert_int_equal(open_segment(f, 3), -ENOENT);
	assert_int_equal(open_segment(f, UINT32_MAX), -ENOENT);

	support_path(path, f->dir, "000000003.q");
	assert_int_equal(symlink("000000000.q", path), 0);
	assert_int_equal(open_segment(f, 3), -EBADMSG);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0750), 0);
	assert_int_equal(open_segment(f, 3), -EBADMSG);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(mkfifo(path, 0640), 0);
	assert_int_equal(open_segment(f, 3), -EBADMSG);
	assert_int_equal(unlink(path), 0);

	make_file(f->dir, "000000003.q", 4096); /* no header */
	assert_int_equal(open_segment(f, 3), -EBADMSG);
	support_poke(f->dir, "000000002.q", offsetof(struct cq_segment_header, id), "\7", 1);
	assert_int_equal(open_segment(f, 2), -EBADMSG);
	cut(f->dir, "000000001.q", 4032);
	assert_int_equal(open_segment(f, 1), -EBADMSG);
	cut(f->dir, "000000001.q", 8192);
	assert_int_equal(open_segment(f, 1), -EBADMSG);
	assert_int_equal(open_segment(f, 0), 0);
}

static void info_of_segments(void **state)
{
	struct fixture *f = *state;
	struct cq_segment_info info = CQ_SIZED(info);
	char golden[PATH_SIZE];

	support_append(f->dir, 0, SUPPORT_PER_SEGMENT + 5);
	assert_int_equal(open_segment(f, 0), 0);
	assert_int_equal(cq_segment_info(f->segment, CQ_SEGMENT_HEADER, &info), 0);
	assert_int_equal(info.id, 0);
	assert_int_equal(info.version, 2);
	assert_true(info.sealed);
	assert_true(info.have_summary);
	assert_int_equal(info.first_seq, 0);
	assert_int_equal(info.stream_base, 0);
	assert_int_equal(info.records, SUPPORT_PER_SEGMENT);
	assert_int_equal(info.used, 64 + SUPPORT_PER_SEGMENT * 128);
	assert_int_equal(info.payload_bytes, 10 * 8 + 21 * 9);

	assert_int_equal(open_segment(f, 1), 0);
	assert_int_equal(cq_segment_info(f->segment, CQ_SEGMENT_HEADER, &info), 0);
	assert_false(info.sealed);
	assert_true(info.have_summary);
	assert_int_equal(info.first_seq, SUPPORT_PER_SEGMENT);
	assert_int_equal(info.stream_base, 10 * 8 + 21 * 9);
	assert_int_equal(info.records, 0);
	assert_int_equal(info.used, 0);

	support_poke(f->dir, "000000001.q", offsetof(struct cq_segment_header, first_seq), "x", 1);
	assert_int_equal(cq_segment_info(f->segment, CQ_SEGMENT_HEADER, &info), 0);
	assert_false(info.have_summary);
	support_poke(f->dir, "000000001.q", 0, "x", 1);
	assert_int_equal(cq_segment_info(f->segment, CQ_SEGMENT_HEADER, &info), -EBADMSG);

	support_golden(golden, "v1-small");
	support_remove(f->dir);
	assert_int_equal(mkdir(f->dir, 0700), 0);
	support_copy(golden, f->dir);
	assert_int_equal(open_segment(f, 0), 0);
	assert_int_equal(cq_segment_info(f->segment, CQ_SEGMENT_HEADER, &info), 0);
	assert_int_equal(info.version, 1);
	assert_true(info.sealed);
	assert_false(info.have_summary);
}

/* A summary with impossible numbers is not believed, though its CRC is right. */
static void impossible_summary(void **state)
{
	struct fixture *f = *state;
	struct cq_segment_header header;
	struct cq_segment_info info = CQ_SIZED(info);

	support_append(f->dir, 0, SUPPORT_PER_SEGMENT + 1);
	assert_int_equal(open_segment(f, 0), 0);
	support_peek(f->dir, "000000000.q", 0, &header, sizeof header);
	header.used = 1ULL << 40;
	header.ext_crc = cq_segment_ext_crc(&header);
	support_poke(f->dir, "000000000.q", 0, &header, sizeof header);
	assert_int_equal(cq_segment_info(f->segment, CQ_SEGMENT_HEADER, &info), 0);
	assert_true(info.sealed);
	assert_false(info.have_summary);
	assert_int_equal(info.used, 0);

	header.used = 4032;
	header.records = 63;
	header.payload_bytes = 0;
	header.ext_crc = cq_segment_ext_crc(&header);
	support_poke(f->dir, "000000000.q", 0, &header, sizeof header);
	assert_int_equal(cq_segment_info(f->segment, CQ_SEGMENT_HEADER, &info), 0);
	assert_false(info.have_summary);
}

static void content_is_counted(void **state)
{
	struct fixture *f = *state;
	struct cq_segment_info content = CQ_SIZED(content);

	support_append(f->dir, 0, SUPPORT_PER_SEGMENT + 5);
	assert_int_equal(open_segment(f, 1), 0);
	assert_int_equal(cq_segment_info(f->segment, CQ_SEGMENT_RECORDS, &content), 0);
	assert_int_equal(content.records, 5);
	assert_int_equal(content.payload_bytes, 5 * 9);
	assert_int_equal(content.used, 64 + 5 * 128);
	assert_int_equal(content.first_seq, SUPPORT_PER_SEGMENT);
	assert_int_equal(content.last_seq, SUPPORT_PER_SEGMENT + 4);
	assert_true(content.first_time_ns > 0 && content.first_time_ns <= content.last_time_ns);
	assert_false(content.damaged);

	support_poke(f->dir, "000000001.q", 64 + 2 * 128 + 64, "X", 1);
	assert_int_equal(cq_segment_info(f->segment, CQ_SEGMENT_RECORDS, &content), 0);
	assert_true(content.damaged);
	assert_int_equal(content.records, 2);
	assert_int_equal(content.used, 64 + 2 * 128);
}

static void reads_exact_bytes(void **state)
{
	struct fixture *f = *state;
	char bytes[8192], *file, path[PATH_SIZE];
	struct cq_segment_info info = CQ_SIZED(info);
	size_t size;

	support_append(f->dir, 0, 3);
	assert_int_equal(open_segment(f, 0), 0);
	support_path(path, f->dir, "000000000.q");
	file = support_slurp(path, &size);
	assert_int_equal(cq_segment_pread(f->segment, bytes, sizeof bytes, 0), 4096);
	assert_memory_equal(bytes, file, 4096);
	assert_int_equal(cq_segment_pread(f->segment, bytes, 100, 4090), 6);
	assert_memory_equal(bytes, file + 4090, 6);
	assert_int_equal(cq_segment_pread(f->segment, bytes, 100, 4096), 0);
	assert_int_equal(cq_segment_pread(f->segment, bytes, 100, UINT64_MAX), 0);
	free(file);

	/* cut short while it is open: an error, no end of file and no SIGBUS */
	cut(f->dir, "000000000.q", 1000);
	assert_int_equal(cq_segment_pread(f->segment, bytes, 100, 800), 100);
	assert_int_equal(cq_segment_pread(f->segment, bytes, 100, 950), -EIO);
	assert_int_equal(cq_segment_pread(f->segment, bytes, 100, 2000), -EIO);
	assert_int_equal(cq_segment_info(f->segment, CQ_SEGMENT_HEADER, &info), -EIO);
}

static bool live_segment(void *arg, uint32_t id, struct cq_segment_counts *ret_live)
{
	if (id != *(const uint32_t *)arg)
		return false;
	*ret_live = (struct cq_segment_counts){ .records = 1, .last_time_ns = 5000000007 };
	return true;
}

static void live_ends(void *arg, struct cq_queue_bounds *ret_live)
{
	*ret_live = (struct cq_queue_bounds){ .active = *(const uint32_t *)arg };
}

static void times_of_segments(void **state)
{
	struct fixture *f = *state;
	struct cq_segment_info info = CQ_SIZED(info);
	struct cq_segment_attr attr;
	struct stat file;
	uint32_t live = 1;
	char path[PATH_SIZE];
	int dirfd;

	support_append(f->dir, 0, SUPPORT_PER_SEGMENT + 1);
	dirfd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(dirfd >= 0);
	assert_int_equal(
		cq_queue_open_for_writer(dirfd, 4096, live_segment, live_ends, &live, &f->queue),
		0);
	close(dirfd);

	assert_int_equal(cq_segment_open(f->queue, 1, &f->segment), 0);
	assert_int_equal(cq_queue_segment_attr(f->queue, 1, f->segment, &attr), 0);
	assert_int_equal(cq_segment_info(f->segment, CQ_SEGMENT_HEADER, &info), 0);
	assert_int_equal(info.modified_ns, 5000000007);
	assert_int_equal(info.file_bytes, 4096);
	assert_int_equal(attr.stat.st_mtim.tv_sec, 5);
	assert_int_equal(attr.stat.st_mtim.tv_nsec, 7);
	assert_int_equal(attr.stat.st_ctim.tv_sec, 5);
	assert_int_equal(attr.stat.st_size, 4096);
	cq_segment_close(f->segment);

	assert_int_equal(cq_segment_open(f->queue, 0, &f->segment), 0);
	assert_int_equal(cq_queue_segment_attr(f->queue, 0, f->segment, &attr), 0);
	assert_int_equal(cq_segment_info(f->segment, CQ_SEGMENT_HEADER, &info), 0);
	support_path(path, f->dir, "000000000.q");
	assert_int_equal(stat(path, &file), 0);
	assert_int_equal(info.modified_ns, (uint64_t)file.st_mtim.tv_sec * 1000000000U +
	                                           (uint64_t)file.st_mtim.tv_nsec);
	assert_memory_equal(&attr.stat.st_mtim, &file.st_mtim, sizeof attr.stat.st_mtim);
	assert_memory_equal(&attr.stat.st_ctim, &file.st_mtim, sizeof attr.stat.st_ctim);
	assert_int_equal(attr.stat.st_ino, file.st_ino);
	assert_int_equal(attr.stat.st_blocks, file.st_blocks);
	cq_segment_close(f->segment);
	f->segment = NULL;
	cq_queue_free(f->queue);
	f->queue = NULL;
}

static pid_t ending;

static void end_it(int number)
{
	(void)number;
	(void)kill(ending, SIGKILL);
}

static void holder(void **state)
{
	const struct sigaction action = { .sa_handler = end_it };
	const struct itimerval soon = { .it_value.tv_usec = 50000 };
	struct fixture *f = *state;
	struct cq_holder now = CQ_SIZED(now), before = CQ_SIZED(before);
	int ready[2], status;
	char byte;
	pid_t pid;

	info_of(f);
	assert_int_equal(cq_queue_holder(f->queue, &now), 0);
	assert_false(now.locked);
	assert_int_equal(now.pid, 0);

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	pid = support_fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		cq_writer *writer;

		if (cq_writer_open(f->dir, NULL, &writer) < 0 || write(ready[1], "", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	assert_int_equal(cq_queue_holder(f->queue, &before), 0);
	assert_int_equal(cq_queue_await_release(f->queue, 0, &now), 0);
	assert_true(now.locked);
	assert_int_equal(cq_queue_await_release(f->queue, 30, &now), 0);
	assert_true(now.locked);
	ending = pid;
	assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
	assert_int_equal(setitimer(ITIMER_REAL, &soon, NULL), 0);
	assert_int_equal(cq_queue_await_release(f->queue, 60000, &now), 0);
	assert_false(now.locked);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	ending = 0;
	assert_true(before.locked);
	assert_true(before.alive);
	assert_int_equal(before.pid, pid);

	assert_int_equal(cq_queue_holder(f->queue, &now), 0);
	assert_false(now.locked);
	assert_false(now.alive);
	assert_int_equal(now.pid, pid);
	assert_int_equal(now.start_time, before.start_time);
}

/* A look at a queue changes none of its files. */
static void looking_changes_nothing(void **state)
{
	struct fixture *f = *state;
	struct timespec before[2];
	struct cq_holder who = CQ_SIZED(who);
	struct stat st;
	char golden[PATH_SIZE];

	support_golden(golden, "v2-small");
	support_copy(golden, f->dir);
	assert_int_equal(stat(f->dir, &st), 0);
	before[0] = st.st_mtim;
	before[1] = st.st_ctim;
	assert_int_equal(open_segment(f, 0), 0);
	assert_int_equal(cq_queue_holder(f->queue, &who), 0);
	assert_int_equal(stat(f->dir, &st), 0);
	assert_memory_equal(&before[0], &st.st_mtim, sizeof before[0]);
	assert_memory_equal(&before[1], &st.st_ctim, sizeof before[1]);
	assert_int_equal(fcntl(cq_segment_fd(f->segment), F_GETFL) & O_ACCMODE, O_RDONLY);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(kinds_of_directories),
		WITH(geometry_without_control),
		WITH(short_newest_does_not_mislead),
		WITH(odd_sequence_lock),
		WITH(lists_by_name),
		WITH(tells_a_version_of_the_future),
		WITH(refuses_what_is_no_segment),
		WITH(info_of_segments),
		WITH(impossible_summary),
		WITH(content_is_counted),
		WITH(reads_exact_bytes),
		WITH(times_of_segments),
		WITH(holder),
		WITH(looking_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
