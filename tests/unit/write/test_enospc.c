/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_enospc.c - a full disk: the errors of appends, and that they succeed again once there is room
 *
 * The disk is a tmpfs of 2 MiB in this process's own mount namespace, so that no other process sees it and
 * it ends with this one. Where that is not permitted there are no tests.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <time.h>
#include <unistd.h>

#include "os/clock.h"
#include "queue_support.h"
#include "write/writer.h"

#define DISK "size=2m"
#define SEGMENT (256U << 10)
#define PAYLOAD 8000U /* 32 records to a segment */
#define PER_SEGMENT 32U
#define PATIENCE_S 120

static sem_t told;

static void tell(void *arg)
{
	sem_post(arg);
}

/* The copies of chronfs mounts in our new namespace: they would keep those daemons alive (scripts/mounts.sh). */
static void drop_copied_mounts(void)
{
	FILE *mounts = setmntent("/proc/self/mounts", "re");
	struct mntent *entry;

	while (mounts != NULL && (entry = getmntent(mounts)) != NULL) {
		if (strcmp(entry->mnt_type, "fuse.chronfs") == 0)
			(void)umount2(entry->mnt_dir, MNT_DETACH | UMOUNT_NOFOLLOW);
	}
	if (mounts != NULL)
		endmntent(mounts);
}

/* This process's mounts become its own: 0, or the errno. */
static int separate(void)
{
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return errno;
	drop_copied_mounts();
	return 0;
}

static int setup(void **state)
{
	struct qs *q;

	assert_int_equal(qs_setup(state), 0);
	q = *state;
	assert_int_equal(mount("none", q->base, "tmpfs", 0, DISK), 0);
	support_path(q->dir, q->base, "q");
	assert_int_equal(sem_init(&told, 0, 0), 0);
	q->config.segment_size = SEGMENT;
	q->config.prealloc_wait_ms = 1000;
	q->config.space = tell;
	q->config.space_arg = &told;
	return 0;
}

static int teardown(void **state)
{
	struct qs *q = *state;

	(void)cq_writer_close(q->writer);
	q->writer = NULL;
	assert_int_equal(umount2(q->base, MNT_DETACH), 0);
	sem_destroy(&told);
	return qs_teardown(state);
}

/* Another program's file, which takes the rest of the disk. */
static void fill_disk(struct qs *q)
{
	static const char bytes[4096];
	char path[PATH_SIZE];
	int fd;

	support_path(path, q->base, "filler");
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	while (write(fd, bytes, sizeof bytes) == (ssize_t)sizeof bytes)
		;
	assert_int_equal(errno, ENOSPC);
	close(fd);
}

static void free_disk(struct qs *q)
{
	char path[PATH_SIZE];

	support_path(path, q->base, "filler");
	assert_int_equal(unlink(path), 0);
}

/* Every byte of a record says its number. */
static int append_numbered(cq_writer *w, uint64_t number)
{
	uint64_t payload[PAYLOAD / 8];

	for (size_t i = 0; i < PAYLOAD / 8; i++)
		payload[i] = number;
	return cq_writer_append(w, CQ_TYPE_DEFAULT, payload, sizeof payload, NULL);
}

static uint64_t fill_queue(cq_writer *w, uint64_t number)
{
	int r;

	while ((r = append_numbered(w, number)) == 0)
		number++;
	assert_int_equal(r, -ENOSPC);
	return number;
}

static void expect_numbered(cq_reader *reader, uint64_t from, uint64_t to)
{
	struct cq_record record;
	uint64_t word;

	for (uint64_t number = from; number < to; number++) {
		assert_int_equal(cq_reader_next(reader, &record), 1);
		assert_int_equal(record.seq, number);
		assert_int_equal(record.length, PAYLOAD);
		for (size_t i = 0; i < PAYLOAD; i += 8) {
			memcpy(&word, (const char *)record.payload + i, 8);
			assert_int_equal(word, number);
		}
	}
	assert_int_equal(cq_reader_next(reader, &record), 0);
}

static void await_told(void)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += PATIENCE_S;
	assert_int_equal(sem_timedwait(&told, &until), 0);
}

/* ENOSPC, at once and each time; nothing is lost, and the reader reads on. Once there is room, the writer
 * calls config.space, and appends succeed. */
static void full_and_again_room(void **state)
{
	struct qs *q = *state;
	cq_reader *reader;
	uint64_t start, n;

	assert_int_equal(cq_writer_open(q->dir, &q->config, &q->writer), 0);
	assert_int_equal(cq_reader_open(q->dir, NULL, CQ_START_OLDEST, 0, &reader), 0);
	for (n = 0; n < 2 * PER_SEGMENT; n++)
		assert_int_equal(append_numbered(q->writer, n), 0);
	fill_disk(q);
	n = fill_queue(q->writer, n);
	assert_true(n <= 7 * PER_SEGMENT);
	start = cq_monotonic_ns();
	for (unsigned i = 0; i < 150; i++)
		assert_int_equal(append_numbered(q->writer, n), -ENOSPC);
	/* 150 times prealloc_wait_ms would be 150 s */
	assert_true(cq_monotonic_ns() - start < 75000000000U);
	assert_int_equal(cq_writer_roll(q->writer), -ENOSPC);
	assert_int_equal(cq_writer_room(q->writer, PAYLOAD),
	                 0); /* that counts refusals by max_bytes only */
	assert_int_equal(qs_count_names(q->dir, ".new.tmp"), 0);
	expect_numbered(reader, 0, n);
	while (sem_trywait(&told) == 0)
		;
	free_disk(q);
	await_told();
	for (unsigned i = 0; i < PER_SEGMENT; i++, n++)
		assert_int_equal(append_numbered(q->writer, n), 0);
	cq_reader_close(reader);
	qs_close(q);
	assert_int_equal(cq_reader_open(q->dir, NULL, CQ_START_OLDEST, 0, &reader), 0);
	expect_numbered(reader, 0, n);
	cq_reader_close(reader);
	qs_format_check(q->dir, "--closed");
}

/* The next append finds the room by itself, before the background threads notice it. */
static void room_is_found_at_once(void **state)
{
	struct qs *q = *state;
	uint64_t n = 0;

	assert_int_equal(cq_writer_open(q->dir, &q->config, &q->writer), 0);
	for (unsigned i = 0; i < 2; i++) {
		fill_disk(q);
		n = fill_queue(q->writer, n);
		free_disk(q);
		assert_int_equal(append_numbered(q->writer, n++), 0);
	}
}

/* A deleted segment gives its room back at once, even before it has been synced. */
static void trims_make_room(void **state)
{
	struct qs *q = *state;
	uint64_t n;

	assert_int_equal(cq_writer_open(q->dir, &q->config, &q->writer), 0);
	n = fill_queue(q->writer, 0);
	for (unsigned i = 0; i < 10; i++) {
		assert_int_equal(cq_writer_trim(q->writer, UINT64_MAX, 1), 1);
		while (append_numbered(q->writer, n) == -ENOSPC)
			await_told();
		n = fill_queue(q->writer, n + 1);
	}
	assert_true(n >= 10 * PER_SEGMENT);
}

/* A record that fits into the current segment has its room already, even on a full disk. */
static void current_segment_has_its_room(void **state)
{
	struct qs *q = *state;
	cq_reader *reader;
	uint64_t n;

	qs_open(q);
	fill_disk(q);
	for (n = 0; n < 2 * PER_SEGMENT; n++) /* and so does the spare */
		assert_int_equal(append_numbered(q->writer, n), 0);
	assert_int_equal(append_numbered(q->writer, n), -ENOSPC);
	assert_int_equal(cq_writer_append(q->writer, 1, "small", 5, NULL), 0);
	assert_int_equal(cq_writer_sync(q->writer), 0);
	qs_close(q); /* also without room for an index or any other file */
	assert_int_equal(cq_reader_open(q->dir, NULL, CQ_START_OLDEST, CQ_READER_PASSIVE, &reader),
	                 0);
	for (uint64_t i = 0; i < n; i++) {
		struct cq_record record;

		assert_int_equal(cq_reader_next(reader, &record), 1);
		assert_int_equal(record.seq, i);
	}
	cq_reader_close(reader);
	qs_open(q); /* a full disk is no reason not to open */
	assert_int_equal(qs_stats(q->writer).next_seq, n + 1);
	assert_int_equal(append_numbered(q->writer, n), -ENOSPC);
}

static void no_room_for_the_first(void **state)
{
	struct qs *q = *state;

	fill_disk(q);
	assert_int_equal(qs_try_open(q), -ENOSPC);
	free_disk(q);
	qs_open(q);
	assert_int_equal(append_numbered(q->writer, 0), 0);
}

/* A waiting append is told when retention has made room. */
static void retention_makes_room(void **state)
{
	struct qs *q = *state;
	cq_reader *reader;
	uint64_t n = 0;

	q->config.retain_segments = 3;
	assert_int_equal(cq_writer_open(q->dir, &q->config, &q->writer), 0);
	while (n < 40 * PER_SEGMENT) {
		int r = append_numbered(q->writer, n);

		if (r == -ENOSPC)
			await_told();
		else
			assert_int_equal(r, 0);
		n += r == 0;
	}
	while (qs_stats(q->writer).retired < 37)
		usleep(1000);
	qs_close(q);
	assert_int_equal(cq_reader_open(q->dir, NULL, CQ_START_OLDEST, 0, &reader), 0);
	expect_numbered(reader, 37 * PER_SEGMENT, n);
	cq_reader_close(reader);
	qs_format_check(q->dir, "--closed");
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

static const struct CMUnitTest tests[] = {
	TEST(full_and_again_room),          TEST(room_is_found_at_once), TEST(trims_make_room),
	TEST(current_segment_has_its_room), TEST(no_room_for_the_first), TEST(retention_makes_room),
};

int main(int argc, char **argv)
{
	const int error = separate();

	if (error != 0) {
		printf("1..0 # SKIP no mounts of our own: %s\n", strerrordesc_np(error));
		return 0;
	}
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
