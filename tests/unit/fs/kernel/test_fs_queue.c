/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_fs_queue.c - the mount's queue without a kernel: messages when it does not open, a close with
 * files open, the state of strange queues
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "append/wait_for_room.h"
#include "fs_support.h"
#include "kernel/dispatch.h"
#include "status/stats.h"
#include "support.h"

/* ---- a queue that does not open ---- */

/* The exit code and message for each error of the library. */
static void why_it_does_not_open(void **state)
{
	static const struct {
		int error, code;
		const char *text;
	} cases[] = {
		{ EBUSY, CHRONFS_EXIT_LOCKED, "in use" },
		{ EBADMSG, CHRONFS_EXIT_CORRUPT, "damaged" },
		{ EPROTONOSUPPORT, CHRONFS_EXIT_VERSION, "newer than this program" },
		{ EINVAL, CHRONFS_EXIT_OPTIONS, "cannot have these options" },
		{ ENOTEMPTY, CHRONFS_EXIT_SETUP, "no queue" },
		{ EOPNOTSUPP, CHRONFS_EXIT_SETUP, "fallocate" },
		{ EROFS, CHRONFS_EXIT_SETUP, "-o ro" },
		{ EACCES, CHRONFS_EXIT_SETUP, "no permission to write" },
		{ EPERM, CHRONFS_EXIT_SETUP, "must not be written to" },
		{ ELOOP, CHRONFS_EXIT_SETUP, "a file of the queue is a symbolic link" },
		{ EEXIST, CHRONFS_EXIT_SETUP, "too much is set aside" },
		{ ENOSPC, CHRONFS_EXIT_SETUP, "no room" },
		{ EDQUOT, CHRONFS_EXIT_SETUP, "no room" },
		{ EFBIG, CHRONFS_EXIT_SETUP, "no segment may be so large (ulimit -f" },
		{ EAGAIN, CHRONFS_EXIT_SETUP, "no thread can be started (ulimit -u)" },
		{ EMFILE, CHRONFS_EXIT_SETUP, "Too many open files (ulimit -n)" },
		{ EOVERFLOW, CHRONFS_EXIT_SETUP, "used up" },
		{ EIO, CHRONFS_EXIT_SETUP, "Input/output error" },
	};

	(void)state;
	fs_end();
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		made_up.open_error = cases[i].error;
		said[0] = '\0';
		assert_int_equal(fs_mount(fs_queue, false), cases[i].code);
		if (!strstr(said, cases[i].text))
			fail_msg("error %d: said \"%s\"", cases[i].error, said);
	}
	made_up.open_error = EACCES;
	assert_int_equal(fs_mount(fs_queue, true), CHRONFS_EXIT_SETUP);
	assert_string_equal(said, "no permission to read there");
}

/* Another process closes the queue for as long as we wait; a signal ends the wait. */
static void who_closes_it_makes_no_progress(void **state)
{
	struct cq_holder holder = CQ_SIZED(holder);
	char text[128];
	sigset_t term;
	int taken;

	(void)state;
	fs_end();
	holder.locked = holder.alive = holder.closing = true;
	holder.pid = getpid();
	made_up.holder = &holder;
	assert_int_equal(fs_mount(fs_queue, false), CHRONFS_EXIT_LOCKED);
	(void)snprintf(text, sizeof text,
	               "in use by process %d (test_fs_queue), which is closing it and makes no "
	               "progress",
	               (int)getpid());
	assert_string_equal(said, text);

	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	assert_int_equal(pthread_sigmask(SIG_BLOCK, &term, NULL), 0);
	assert_int_equal(raise(SIGTERM), 0);
	assert_int_equal(fs_mount(fs_queue, false), CHRONFS_EXIT_STOPPED);
	assert_string_equal(said, "stopped by a signal; nothing was changed");
	assert_int_equal(sigwait(&term, &taken), 0);
	assert_int_equal(pthread_sigmask(SIG_UNBLOCK, &term, NULL), 0);
	made_up.holder = NULL;
	assert_int_equal(fs_mount(fs_queue, false), CHRONFS_EXIT_OK);
}

/* Another process holds the lock: the message is one line, whatever the lock file says. */
static void who_has_it_is_named_as_well_as_can_be(void **state)
{
	char own[64], name[64], path[PATH_SIZE];
	const struct {
		const char *text;
		const char *said;
	} cases[] = {
		{ "", "in use by another process; -o ro reads it" },
		{ "nonsense", "in use by another process; -o ro reads it" },
		{ "999999999 5\n", "in use by process 999999999 (name unknown); -o ro reads it" },
		{ own, name },
	};
	FILE *lock;

	(void)state;
	fs_end();
	(void)snprintf(own, sizeof own, "%d 5\n", (int)getpid());
	(void)snprintf(name, sizeof name, "in use by process %d (test_fs_queue); -o ro reads it",
	               (int)getpid());
	support_path(path, fs_queue, "writer.lock");
	lock = fopen(path, "w");
	assert_non_null(lock);
	assert_int_equal(flock(fileno(lock), LOCK_EX | LOCK_NB), 0);
	made_up.no_wait = true;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		assert_int_equal(ftruncate(fileno(lock), 0), 0);
		rewind(lock);
		(void)fputs(cases[i].text, lock);
		assert_int_equal(fflush(lock), 0);
		assert_int_equal(fs_mount(fs_queue, false), CHRONFS_EXIT_LOCKED);
		assert_string_equal(said, cases[i].said);
	}
	(void)fclose(lock);
	assert_int_equal(fs_mount(fs_queue, false), CHRONFS_EXIT_OK);
}

/* If we cannot look at the lock, the open of the writer finds out. */
static void a_lock_that_is_something_else(void **state)
{
	char path[PATH_SIZE];

	(void)state;
	fs_end();
	support_path(path, fs_queue, "writer.lock");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("/dev/null", path), 0);
	assert_int_equal(fs_mount(fs_queue, false), CHRONFS_EXIT_SETUP);
	assert_non_null(strstr(said, "symbolic link"));
}

/* No memory, no descriptors: whatever is missing, the mount ends, and the next one works. */
static void each_call_of_opening(void **state)
{
	static const bool read_only[] = { false, true };
	int failing, code;

	(void)state;
	fs_end();
	for (int i = 0; i < 2; i++) {
		for (failing = 1;; failing++) {
			fs_calls_begin(failing);
			code = fs_mount(fs_queue, read_only[i]);
			fs_calls_end();
			assert_true(code == CHRONFS_EXIT_OK || code == CHRONFS_EXIT_SETUP);
			if (code == CHRONFS_EXIT_OK) {
				assert_true(fs.queue_fd >= 0);
				fs_end();
			}
			if (calls.error == 0)
				break;
		}
		assert_int_equal(code, CHRONFS_EXIT_OK);
		assert_in_range(failing, 3, 200);
	}
}

/* ---- closing ---- */

/* A forced unmount ends with open files: they are closed, and an open line becomes a record. */
static void closed_with_files_open(void **state)
{
	static const char *const names[] = { "append",
		                             "append.lines",
		                             "segments/000000000.q",
		                             "payload/000000002",
		                             "records/000000002",
		                             "stream",
		                             "stats.json" };
	struct fuse_file_info fi;
	cq_reader *reader;
	struct cq_record record;
	int records = 0;

	(void)state;
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		const uint64_t node = fs_node(names[i]);

		fi = fs_open(node, O_RDWR * (i < 2));
		if (i == 1) {
			chronfs_ops.write(fs_request(0, 0), node, "open", 4, 0, &fi);
			fs_expect(0, 0);
		}
	}
	fs_end();
	assert_true(fs_nothing_is_open());
	assert_int_equal(fs.user_limits.open_segments.used + fs.stream_inodes.cached, 0);
	assert_int_equal(cq_reader_open(fs_queue, NULL, CQ_START_OLDEST, 0, &reader), 0);
	while (cq_reader_next(reader, &record) == 1) {
		records++;
		if (records > 3 * FS_SEGMENTS) {
			assert_int_equal(record.length, 4);
			assert_memory_equal(record.payload, "open", 4);
		}
	}
	assert_int_equal(records, 3 * FS_SEGMENTS + 1);
	cq_reader_close(reader);
}

/* A line that waits for room when its file is closed is lost if the writer can append nothing any more;
 * that is logged and counted. */
static void an_orphan_that_can_never_be_appended(void **state)
{
	const uint64_t node = fs_node("append.lines");
	struct fuse_file_info fi = fs_open(node, O_WRONLY);

	(void)state;
	chronfs_ops.write(fs_request(0, 0), node, "piece", 5, 0, &fi);
	fs_expect(0, 0);
	made_up.append_error = EDQUOT;
	fs_release(node, &fi);
	assert_int_equal(fs.counters.partials_lost, 0);
	assert_true(chronfs_room_wait_step(&fs) >= 0);
	made_up.append_error = ENOSPC;
	assert_true(chronfs_room_wait_step(&fs) >= 0);
	made_up.append_error = EOVERFLOW;
	assert_int_equal(chronfs_room_wait_step(&fs), -1);
	assert_int_equal(fs.counters.partials_lost, 1);
	assert_non_null(strstr(said, "5 bytes that were written without a newline are lost"));
	made_up.append_error = 0;
}

/* ---- the state ---- */

static uint64_t boot_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static int made_readers(cq_reader_visit_fn visit, void *arg)
{
	struct cq_reader_position ahead = { .name = "ahead",
		                            .heartbeat_ns = boot_ns() + 3600000000000 };
	struct cq_reader_position silent = { .name = "silent", .lag_bytes = 1 };

	visit(arg, &ahead);
	visit(arg, &silent);
	return 0;
}

static int no_readers(cq_reader_visit_fn visit, void *arg)
{
	(void)visit;
	(void)arg;
	return -ENOENT;
}

static int readers_unknown(cq_reader_visit_fn visit, void *arg)
{
	(void)visit;
	(void)arg;
	return -EACCES;
}

/* A heartbeat in the future, after the clock was set back, counts as now, not as hundreds of years ago. */
static void readers_and_clocks(void **state)
{
	static struct chronfs_stats stats;

	(void)state;
	made_up.readers = made_readers;
	chronfs_stats_take(&fs, &stats);
	assert_int_equal(stats.readers, 2);
	assert_string_equal(stats.reader[0].position.name, "silent");
	assert_int_equal(stats.reader[0].heartbeat_age_ns, 0);
	assert_int_equal(stats.reader[1].heartbeat_age_ns, 1);
	made_up.readers = no_readers;
	chronfs_stats_take(&fs, &stats);
	assert_int_equal(stats.readers, 0);
	assert_true(stats.sources & CHRONFS_FROM_READERS);
	made_up.readers = readers_unknown;
	chronfs_stats_take(&fs, &stats);
	assert_false(stats.sources & CHRONFS_FROM_READERS);
}

/* Each counter is shown under its own name, in JSON and in metrics. */
static void counters_are_copied(void **state)
{
	static const struct {
		const char *group, *key;
		uint64_t value;
	} wanted[] = {
		{ "errors", "too_long", 1 }, { "errors", "full", 2 },
		{ "errors", "no_space", 3 }, { "errors", "interrupted", 4 },
		{ "errors", "failed", 5 },   { "waiting", "waited", 6 },
		{ "lines", "partials", 7 },  { "lines", "partials_lost", 8 },
		{ "errors", "read", 9 },
	};
	struct chronfs_field fields[CHRONFS_FIELDS_MAX];
	static struct chronfs_stats stats;
	size_t count;

	(void)state;
	fs.counters = (struct chronfs_counters){
		.too_long = 1,
		.full = 2,
		.no_space = 3,
		.interrupted = 4,
		.failed = 5,
		.waited = 6,
		.partials = 7,
		.partials_lost = 8,
		.read_errors = 9,
	};
	assert_int_equal(sizeof wanted / sizeof wanted[0], sizeof fs.counters / sizeof(uint64_t));
	chronfs_stats_take(&fs, &stats);
	count = chronfs_fields(&stats, fields);
	for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
		size_t at = 0;

		while (at < count &&
		       (!fields[at].group || strcmp(fields[at].group, wanted[i].group) != 0 ||
		        strcmp(fields[at].key, wanted[i].key) != 0))
			at++;
		assert_in_range(at, 0, count - 1);
		assert_int_equal(fields[at].number, wanted[i].value);
		assert_true(fields[at].shown && fields[at].counter && fields[at].metric);
	}
	fs.counters = (struct chronfs_counters){ 0 };
}

/* stats.json and metrics are UTF-8, even if the path of the queue is not. */
static void a_path_that_is_no_text(void **state)
{
	static struct chronfs_stats stats;
	char odd[] = "/tmp/queue \xff\xc3";

	(void)state;
	fs.options.queue = odd;
	chronfs_stats_take(&fs, &stats);
	assert_string_equal(stats.queue, "/tmp/queue ?"
	                                 "?");
	fs.options.queue = fs_queue;
}

/* The directories of a queue of one segment without a writer have a time, too. */
static void a_queue_of_one_segment(void **state)
{
	char path[PATH_SIZE];

	(void)state;
	fs_end();
	for (int id = 1; id < FS_SEGMENTS + 2; id++) {
		char name[32];

		(void)snprintf(name, sizeof name, "%09d.q", id);
		support_path(path, fs_queue, name);
		(void)unlink(path);
	}
	assert_int_equal(fs_mount(fs_queue, true), CHRONFS_EXIT_OK);
	chronfs_ops.getattr(fs_request(0, 0), fs_node("segments"), NULL);
	fs_expect(0, 0);
	assert_true(requests[0].attr.st_mtim.tv_sec > 0);
}

/* ---- segments of all ages ---- */

static void seek(int error, off_t wanted, uint64_t node, struct fuse_file_info *fi, off_t offset,
                 int whence)
{
	chronfs_ops.lseek(fs_request(0, 0), node, offset, whence, fi);
	fs_expect(0, error);
	if (error == 0)
		assert_int_equal(requests[0].offset, wanted);
}

/* The unused end of a sealed segment is a hole; a full segment has none. */
static void holes_of_segments(void **state)
{
	const size_t most = cq_writer_max_payload(fs.writer);
	struct fuse_file_info fi;
	const off_t size = CQ_SEGMENT_SIZE_MIN;
	uint64_t node;
	char *payload = calloc(1, most);

	(void)state;
	assert_non_null(payload);
	for (int i = 0; i < 2; i++)
		assert_int_equal(cq_writer_append(fs.writer, CQ_TYPE_DEFAULT, payload, most, NULL),
		                 0);
	free(payload);

	node = fs_node("segments/000000000.q");
	fi = fs_open(node, O_RDONLY);
	chronfs_ops.lseek(fs_request(0, 0), node, 0, SEEK_HOLE, &fi);
	fs_expect(0, 0);
	assert_in_range(requests[0].offset, 3 * FS_PAYLOAD, size - 1);
	seek(0, requests[0].offset, node, &fi, requests[0].offset, SEEK_HOLE);
	seek(0, size - 1, node, &fi, size - 1, SEEK_HOLE);
	seek(ENXIO, 0, node, &fi, size - 1, SEEK_DATA);
	seek(ENXIO, 0, node, &fi, size, SEEK_HOLE);
	fs_release(node, &fi);

	node = fs_node("segments/000000003.q");
	fi = fs_open(node, O_RDONLY);
	seek(0, size, node, &fi, 0, SEEK_HOLE);
	seek(0, size - 1, node, &fi, size - 1, SEEK_DATA);
	fs_release(node, &fi);
}

/* The headers of chronicle-rs's segments do not say where the unused end begins. */
static void segments_without_a_summary(void **state)
{
	char golden[PATH_SIZE];
	struct fuse_file_info fi;
	struct cq_segment_info info = CQ_SIZED(info);
	cq_segment *segment;
	uint64_t node;
	off_t size;

	(void)state;
	fs_end();
	support_golden(golden, "v2-mixed");
	assert_int_equal(fs_mount(golden, true), CHRONFS_EXIT_OK);
	assert_int_equal(cq_segment_open(fs.queue, 0, &segment), 0);
	assert_int_equal(cq_segment_info(segment, CQ_SEGMENT_HEADER, &info), 0);
	cq_segment_close(segment);
	assert_true(info.sealed && !info.have_summary);
	node = fs_node("segments/000000000.q");
	fi = fs_open(node, O_RDONLY);
	chronfs_ops.getattr(fs_request(0, 0), node, &fi);
	fs_expect(0, 0);
	size = requests[0].attr.st_size;
	seek(0, size, node, &fi, 0, SEEK_HOLE);
	seek(0, size - 1, node, &fi, size - 1, SEEK_DATA);
	fs_release(node, &fi);
}

/* A name whose file does not belong to the queue any more does not exist, also while it is open. */
static void a_segment_that_is_overwritten(void **state)
{
	uint64_t segment, payload, records;
	struct fuse_file_info fi = { .flags = O_RDONLY };

	(void)state;
	segment = fs_node("segments/000000000.q");
	payload = fs_node("payload/000000000");
	records = fs_node("records/000000000");
	support_poke(fs_queue, "000000000.q", 0, "nothing", 7);
	chronfs_ops.lookup(fs_request(0, 0), fs_node("segments"), "000000000.q");
	fs_expect(0, ENOENT);
	chronfs_ops.open(fs_request(0, 0), segment, &fi);
	fs_expect(0, ENOENT);
	chronfs_ops.open(fs_request(0, 0), payload, &fi);
	fs_expect(0, ENOENT);
	chronfs_ops.getattr(fs_request(0, 0), segment, NULL);
	fs_expect(0, ENOENT);
	chronfs_ops.getattr(fs_request(0, 0), payload, NULL);
	fs_expect(0, ENOENT);
	chronfs_ops.open(fs_request(0, 0), records, &fi);
	fs_expect(0, ENOENT);
	chronfs_ops.getattr(fs_request(0, 0), records, NULL);
	fs_expect(0, ENOENT);
	assert_int_equal(fs.user_limits.open_segments.used, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fs_setup, fs_teardown)
#define READ_ONLY_TEST(name) cmocka_unit_test_setup_teardown(name, fs_setup_read_only, fs_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(why_it_does_not_open),
		TEST(who_closes_it_makes_no_progress),
		TEST(who_has_it_is_named_as_well_as_can_be),
		TEST(a_lock_that_is_something_else),
		TEST(each_call_of_opening),
		TEST(closed_with_files_open),
		TEST(an_orphan_that_can_never_be_appended),
		TEST(readers_and_clocks),
		TEST(counters_are_copied),
		TEST(a_path_that_is_no_text),
		TEST(a_queue_of_one_segment),
		TEST(holes_of_segments),
		TEST(segments_without_a_summary),
		READ_ONLY_TEST(a_segment_that_is_overwritten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
