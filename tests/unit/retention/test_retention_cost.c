/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_retention_cost.c - with many readers, retention reads few of their files; and what it remembers of
 * a reader lets no segment go
 *
 * openat() is replaced: the test counts how often readers' files are opened.
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
#include "os/clock.h"
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

static void place(struct qs *q, unsigned reader, uint64_t segment)
{
	char name[32];

	snprintf(name, sizeof name, "reader-%u", reader);
	qs_place_reader(q, name, segment);
}

/* Segments 0 to 6, and readers in the last one. */
static void make(struct qs *q, unsigned readers)
{
	qs_open_full(q, 7);
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

static void retire_to(struct qs *q, uint32_t id)
{
	while (oldest(q) < id)
		cq_writer_flush_step(q->writer);
	cq_writer_flush_step(q->writer);
	assert_int_equal(oldest(q), id);
}

static void readers_cost_nothing_while_nothing_is_to_go(void **state)
{
	struct qs *q = *state;

	q->config.retain_segments = 50;
	q->config.retain_bytes = 50 * QS_SIZE;
	q->config.retain_age_ms = 3600 * 1000;
	q->config.reader_max_lag_bytes = 50 * QS_SIZE;
	make(q, READERS);
	assert_true(opened_in_steps(q) < STEPS);
	assert_int_equal(oldest(q), 0);
}

/* A reader's sign of life is looked for once a second at most. */
static void signs_of_life_are_looked_for_now_and_then(void **state)
{
	struct qs *q = *state;
	uint64_t first;

	q->config.retain_segments = 50;
	q->config.reader_ttl_ms = 3600 * 1000;
	make(q, READERS);
	opened = 0;
	do {
		first = cq_monotonic_ns();
		cq_writer_flush_step(q->writer);
	} while (opened == 0);
	while (opened <= READERS)
		cq_writer_flush_step(q->writer);
	assert_true(cq_monotonic_ns() - first > 500000000U);
	assert_true(opened <= 2 * READERS);
}

static void other_readers_cost_nothing_while_one_is_in_the_way(void **state)
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
	assert_true(opened_in_steps(q) <= 3 * STEPS);
	assert_int_equal(oldest(q), 2);
	/* it moves; then another one is in the way */
	place(q, 400, 4);
	place(q, 7, 5);
	retire_to(q, 4);
	assert_true(opened_in_steps(q) <= 3 * STEPS);
	place(q, 400, 6);
	retire_to(q, 5);
	place(q, 7, 6);
	retire_to(q, 6);
}

/* Readers that were far ahead when their files were read go back, and new readers come. */
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

/* All readers are in the same segment, and leave it one after the other: their files are read a few times
 * each, not once for each reader that leaves. */
static void readers_that_leave_one_by_one(void **state)
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
	assert_true(opened <= 10 * 60);
}

/* While segments are deleted all the time, each reader's file is read once in 200 us for each reader at most. */
static void many_readers_are_read_with_pauses(void **state)
{
	const uint64_t pause_ns = READERS * 200000U;
	struct qs *q = *state;
	uint64_t start, elapsed;

	q->config.retain_segments = 50;
	make(q, READERS);
	q->writer->config.retain_segments = 1;
	q->writer->config.reader_max_lag_bytes = QS_SIZE; /* none keeps a segment */
	opened = 0;
	start = cq_monotonic_ns();
	for (unsigned i = 7; cq_monotonic_ns() - start < 5 * pause_ns; i++) {
		qs_append(q->writer, i * SUPPORT_PER_SEGMENT, SUPPORT_PER_SEGMENT);
		qs_prepare(q->writer);
		cq_writer_flush_step(q->writer);
	}
	elapsed = cq_monotonic_ns() - start;
	assert_true(opened <= READERS * (elapsed / pause_ns + 2));
	assert_true(oldest(q) > 0);
}

static const struct CMUnitTest tests[] = {
	QS_TEST(readers_cost_nothing_while_nothing_is_to_go),
	QS_TEST(signs_of_life_are_looked_for_now_and_then),
	QS_TEST(other_readers_cost_nothing_while_one_is_in_the_way),
	QS_TEST(what_is_remembered_lets_nothing_go),
	QS_TEST(readers_that_leave_one_by_one),
	QS_TEST(many_readers_are_read_with_pauses),
};

QS_MAIN(tests)
