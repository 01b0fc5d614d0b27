/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_retention_cost.c - how often retention opens readers' files, and that no remembered position
 * lets a segment go
 *
 * openat() is ours: it counts the files of readers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "files/dir.h"
#include "meta/reader_file.h"
#include "queue_support.h"
#include "write/writer.h"

#define READERS 500U
#define STEPS 100U

static unsigned opened; /* files of readers */

int __real_openat64(int dirfd, const char *name, int flags, ...);
int __wrap_openat64(int dirfd, const char *name, int flags, ...);

int __wrap_openat64(int dirfd, const char *name, int flags, ...)
{
	mode_t mode = 0;
	va_list args;

	if (flags & O_CREAT) {
		va_start(args, flags);
		mode = va_arg(args, mode_t);
		va_end(args);
	}
	opened += strncmp(name, "reader-", 7) == 0;
	return __real_openat64(dirfd, name, flags, mode);
}

/* Commits this position, as another process would. */
static void place(struct qs *q, unsigned reader, uint64_t segment)
{
	struct cq_reader_file cursor = { 0 };
	char name[32];
	int fd;

	snprintf(name, sizeof name, "reader-%u", reader);
	assert_int_equal(cq_reader_file_open(q->dirfd, name, true, &fd), 0);
	(void)cq_reader_file_read(fd, &cursor);
	cursor.segment = segment;
	cursor.offset = 64;
	assert_int_equal(cq_reader_file_write(fd, &cursor), 0);
	close(fd);
}

/* Segments 0 to 6, and readers in the last one. */
static void make(struct qs *q, unsigned readers)
{
	qs_open(q);
	for (unsigned i = 0; i < 7; i++) {
		qs_append(q->writer, i * SUPPORT_PER_SEGMENT, SUPPORT_PER_SEGMENT);
		qs_prepare(q->writer);
	}
	for (unsigned i = 0; i < readers; i++)
		place(q, i, 6);
	qs_flush(q->writer);
}

static uint32_t oldest(struct qs *q)
{
	uint32_t id;

	assert_int_equal(cq_dir_next(q->dirfd, 0, &id), 0);
	return id;
}

static unsigned opened_in_steps(struct qs *q)
{
	opened = 0;
	for (unsigned i = 0; i < STEPS; i++) {
		assert_int_equal(cq_writer_sync(q->writer), 0);
		qs_flush(q->writer);
	}
	return opened;
}

/* Many readers: the look is put off a little. */
static void retire_to(struct qs *q, uint32_t id)
{
	while (oldest(q) < id)
		cq_writer_flush_step(q->writer);
	cq_writer_flush_step(q->writer);
	assert_int_equal(oldest(q), id);
}

static void no_reader_is_asked_while_nothing_is_to_go(void **state)
{
	struct qs *q = *state;

	q->config.retain_segments = 50;
	q->config.retain_bytes = 50 * QS_SIZE;
	q->config.retain_age_ms = 3600 * 1000;
	q->config.reader_max_lag_bytes = 50 * QS_SIZE;
	make(q, READERS);
	assert_int_equal(opened_in_steps(q), 0);
	assert_int_equal(oldest(q), 0);
}

/* When a reader was alive last is known of all of them, by a look each second at most. */
static void signs_of_life_are_looked_for_now_and_then(void **state)
{
	struct qs *q = *state;

	q->config.retain_segments = 50;
	q->config.reader_ttl_ms = 3600 * 1000;
	make(q, READERS);
	opened = 0;
	for (uint64_t looks = 1; looks <= 2; looks++) {
		uint64_t last = q->writer->retention.readers.read_ms;

		while (q->writer->retention.readers.read_ms == last)
			cq_writer_flush_step(q->writer);
		assert_int_equal(opened, looks * READERS);
		assert_true(looks == 1 || q->writer->retention.readers.read_ms - last >= 1000);
	}
}

static void one_reader_is_asked_while_it_is_in_the_way(void **state)
{
	struct qs *q = *state;

	q->config.retain_segments = 1;
	make(q, 0);
	assert_int_equal(oldest(q), 6);
	qs_close(q);
	qs_anew(q);
	q->config.retain_segments = 50;
	make(q, READERS);
	place(q, 7, 2);
	q->writer->config.retain_segments = 1;
	retire_to(q, 2);
	assert_in_range(opened_in_steps(q), 1, 3 * STEPS);
	assert_int_equal(oldest(q), 2);
	/* it moves, and another one is in the way */
	place(q, 400, 4);
	place(q, 7, 5);
	retire_to(q, 4);
	assert_in_range(opened_in_steps(q), 1, 3 * STEPS);
	place(q, 400, 6);
	retire_to(q, 5);
	place(q, 7, 6);
	retire_to(q, 6);
}

/* Those that are not in the way have been seen ahead; then they go back, or come. */
static void what_is_remembered_lets_nothing_go(void **state)
{
	struct qs *q = *state;

	q->config.retain_segments = 50;
	make(q, 3);
	place(q, 0, 1);
	q->writer->config.retain_segments = 1;
	retire_to(q, 1);
	place(q, 1, 2); /* it has gone back */
	place(q, 9, 3); /* it is new */
	place(q, 0, 6);
	retire_to(q, 2);
	place(q, 1, 6);
	retire_to(q, 3);
	assert_int_equal(unlinkat(q->dirfd, "readers/reader-9.meta", 0), 0);
	retire_to(q, 6);
}

/* All of them stand in the same segment, and leave it one after the other. */
static void each_is_asked_once_when_it_has_moved(void **state)
{
	struct qs *q = *state;
	unsigned i;

	q->config.retain_segments = 50;
	make(q, 0);
	for (i = 0; i < 60; i++)
		place(q, i, 2);
	q->writer->config.retain_segments = 1;
	retire_to(q, 2);
	opened = 0;
	for (i = 0; i < 60; i++) {
		assert_int_equal(oldest(q), 2);
		place(q, i, 6);
		cq_writer_flush_step(q->writer);
	}
	retire_to(q, 6);
	/* here: by place(), when it has moved, as the next in the way; and in the looks before a deletion,
	 * which need not be one for each reader */
	assert_in_range(opened, 60, 10 * 60);
}

static const struct CMUnitTest tests[] = {
	QS_TEST(no_reader_is_asked_while_nothing_is_to_go),
	QS_TEST(signs_of_life_are_looked_for_now_and_then),
	QS_TEST(one_reader_is_asked_while_it_is_in_the_way),
	QS_TEST(what_is_remembered_lets_nothing_go),
	QS_TEST(each_is_asked_once_when_it_has_moved),
};

QS_MAIN(tests)
