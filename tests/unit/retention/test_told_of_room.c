/* SPDX-License-Identifier: Apache-2.0 */
/* test_told_of_room.c - config.space: when a refused append is told that there is room */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "cap_support.h"
#include "files/dir.h"
#include "os/clock.h"
#include "os/fault.h"
#include "write/writer.h"

static void told_after_trim_and_remove(void **state)
{
	struct qs *q = *state;

	cap_limit(q, 3 * QS_SIZE);
	qs_open(q);
	cap_fill(q, true, 3);
	assert_int_equal(cq_writer_trim(q->writer, PER_SEGMENT - 1, 9), 0);
	assert_int_equal(cap_times_told(), 0);
	assert_int_equal(cq_writer_trim(q->writer, PER_SEGMENT, 9), 1);
	assert_int_equal(cap_times_told(), 1);
	assert_int_equal(cq_writer_room(q->writer, 1), 0);
	assert_int_equal(cap_fill(q, false, 3), PER_SEGMENT);
	assert_int_equal(cq_writer_remove(q->writer, 2), -EBUSY);
	assert_int_equal(cap_times_told(), 1);
	assert_int_equal(cq_writer_remove(q->writer, 1), 0);
	assert_int_equal(cap_times_told(), 2);
	assert_int_equal(cap_fill(q, true, 3), PER_SEGMENT);
	assert_int_equal(cap_files(q), 3);
	qs_close(q);
	qs_expect(q->dir, 2 * PER_SEGMENT, 3 * PER_SEGMENT);
}

static void told_after_retention(void **state)
{
	struct qs *q = *state;

	cap_limit(q, 4 * QS_SIZE);
	q->config.retain_segments = 2;
	qs_open(q);
	cap_fill(q, true, 4);
	assert_int_equal(cap_times_told(), 0);
	qs_flush(q->writer);
	assert_true(cap_times_told() > 0);
	assert_int_equal(cap_files(q), 2);
	assert_int_equal(cap_fill(q, true, 4), 2 * PER_SEGMENT);
}

/* The writer is not told of the deletion; it checks a few times a second while it is at the limit. */
static void told_after_an_external_deletion(void **state)
{
	struct qs *q = *state;

	cap_limit(q, 4 * QS_SIZE);
	qs_open(q);
	cap_fill(q, true, 4);
	for (uint32_t id = 0; id < 3; id++) {
		const uint64_t start = cq_monotonic_ns();
		char name[CQ_NAME_MAX];

		cq_segment_name(name, id == 0 ? 1 : id == 1 ? 0 : 2); /* also one in the middle */
		assert_int_equal(unlinkat(q->dirfd, name, 0), 0);
		while (cap_times_told() <= (int)id) {
			int wait;

			assert_true(cq_monotonic_ns() - start < PATIENCE_S * 1000000000U);
			assert_int_equal(cap_append_one(q), -EDQUOT);
			wait = cq_writer_flush_step(q->writer);
			assert_true(wait <= 100 || cap_times_told() > (int)id);
			usleep(1000);
		}
		assert_int_equal(cap_fill(q, true, 4), PER_SEGMENT);
		assert_int_equal(cap_files(q), 4);
	}
	assert_int_equal(qs_stats(q->writer).oldest, 3);
	assert_int_equal(qs_stats(q->writer).retired, 0);
}

/* A caller that asks for room, and does not append, is told, too. */
static void asking_is_enough(void **state)
{
	struct qs *q = *state;

	cap_limit(q, 2 * QS_SIZE);
	qs_open(q);
	qs_append(q->writer, 0, 2 * PER_SEGMENT);
	qs_prepare(q->writer);
	while (cq_sealed_finalize_one(q->writer) || cq_writer_flush_step(q->writer) <= 100)
		usleep(1000);
	assert_int_equal(cq_writer_room(q->writer, 1), -EDQUOT);
	assert_true(cq_writer_flush_step(q->writer) <= 100);
	assert_int_equal(unlinkat(q->dirfd, "000000000.q", 0), 0);
	while (cap_times_told() == 0) {
		(void)cq_writer_flush_step(q->writer);
		usleep(1000);
	}
	assert_int_equal(cq_writer_room(q->writer, 1), 0);
	assert_int_equal(qs_stats(q->writer).full, 0);
	qs_prepare(q->writer);
	assert_int_equal(cq_writer_room(q->writer, 1), 0); /* prepared: still room */
}

/* ---- with threads ---- */

/* All that is sealed is synced and finalized: the flusher wakes up only for room. */
static void await_rest(struct qs *q)
{
	char name[32];

	snprintf(name, sizeof name, "%09u.idx", (unsigned)qs_stats(q->writer).segment - 1);
	while (qs_stats(q->writer).unsynced > 0 || !support_exists(q->dir, name))
		usleep(1000);
}

static int by_length(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* A writer waits for a reader; the reader's commit lets it go on within some tens of milliseconds, while the
 * flusher of a queue below its limit looks once a second.  The median counts: a machine is busy at times. */
static void commit_frees_a_blocked_writer(void **state)
{
	uint64_t start, spans[9], next = 0;
	const unsigned rounds = sizeof spans / sizeof spans[0];
	struct qs *q = *state;
	struct cq_record record;
	cq_reader *reader;

	cap_limit(q, 3 * QS_SIZE);
	q->config.retain_segments = 1;
	q->config.prealloc_wait_ms = 1000;
	assert_int_equal(cq_writer_open(q->dir, &q->config, &q->writer), 0);
	assert_int_equal(cq_reader_open(q->dir, "r", CQ_START_OLDEST, 0, &reader), 0);
	assert_int_equal(cq_reader_commit(reader), 0);
	for (unsigned i = 0; i < rounds; i++) {
		cap_fill(q, false, 3);
		await_rest(q);
		while (cq_reader_next(reader, &record) == 1)
			assert_int_equal(record.seq, next++);
		start = cq_monotonic_ns();
		assert_int_equal(cq_reader_commit(reader), 0);
		while (cap_append_one(q) == -EDQUOT)
			cap_await_told();
		spans[i] = cq_monotonic_ns() - start;
	}
	qsort(spans, rounds, sizeof spans[0], by_length);
	assert_true(spans[rounds / 2] < 500000000U);
	cq_reader_close(reader);
	qs_close(q);
	qs_format_check(q->dir, "--closed");
}

#ifdef CQ_FAULTS
/* The disk has room for one more segment, which a roll makes: so a retry of others is worth it. */
static void told_after_a_roll(void **state)
{
	struct qs *q = *state;

	cap_limit(q, 0);
	qs_open(q);
	qs_append(q->writer, 0, 2 * PER_SEGMENT);
	cq_fault_set("allocate", ENOSPC, 0, -1);
	assert_int_equal(cap_append_one(q), -ENOSPC);
	qs_prepare(q->writer);
	qs_flush(q->writer);
	assert_int_equal(cap_times_told(), 0);
	cq_fault_set("allocate", ENOSPC, 1, -1);
	assert_int_equal(cap_append_one(q), 0);
	qs_prepare(q->writer);
	qs_flush(q->writer);
	assert_int_equal(cap_times_told(), 1);
}
#endif

static const struct CMUnitTest tests[] = {
	QS_TEST(told_after_trim_and_remove),
	QS_TEST(told_after_retention),
	QS_TEST(told_after_an_external_deletion),
	QS_TEST(asking_is_enough),
	QS_TEST(commit_frees_a_blocked_writer),
#ifdef CQ_FAULTS
	QS_TEST(told_after_a_roll),
#endif
};

QS_MAIN(tests)
