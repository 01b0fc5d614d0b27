/* SPDX-License-Identifier: Apache-2.0 */
/* test_trim_beside.c - trims beside readers, flushes, kills, retention and other trims */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "os/fault.h"
#include "queue_support.h"
#include "write/writer.h"

#define PER_SEGMENT ((unsigned)SUPPORT_PER_SEGMENT)
#define SEGMENTS 7U

static void reader_meets_one_gap(void **state)
{
	struct qs *q = *state;
	struct cq_reader_stats stats = CQ_SIZED(stats);
	struct cq_record record;
	cq_reader *reader;

	qs_open_synced(q, SEGMENTS);
	assert_int_equal(cq_reader_open(q->dir, NULL, CQ_START_OLDEST, 0, &reader), 0);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(cq_reader_next(reader, &record), 1);
	assert_int_equal(cq_writer_trim(q->writer, 3 * PER_SEGMENT, 100), 3);
	for (uint64_t seq = 5; seq < PER_SEGMENT; seq++) { /* its own segment, to the end */
		assert_int_equal(cq_reader_next(reader, &record), 1);
		assert_int_equal(record.seq, seq);
	}
	assert_int_equal(cq_reader_next(reader, &record), -ENODATA);
	for (uint64_t seq = 3 * PER_SEGMENT; seq < SEGMENTS * PER_SEGMENT; seq++) {
		assert_int_equal(cq_reader_next(reader, &record), 1);
		assert_int_equal(record.seq, seq);
	}
	assert_int_equal(cq_reader_next(reader, &record), 0);
	cq_reader_stats(reader, &stats);
	assert_int_equal(stats.gaps, 1);
	assert_int_equal(stats.gap_segments, 2);
	assert_int_equal(stats.gap_records, 2 * PER_SEGMENT);
	cq_reader_close(reader);
}

static void positions_stay(void **state)
{
	struct qs *q = *state;
	struct cq_record before, record;
	cq_reader *reader;
	uint64_t end, skip;

	qs_open_synced(q, SEGMENTS);
	end = qs_stats(q->writer).stream_end;
	assert_int_equal(cq_reader_open(q->dir, NULL, CQ_START_OLDEST, 0, &reader), 0);
	assert_int_equal(cq_reader_seek_seq(reader, 4 * PER_SEGMENT), 0);
	assert_int_equal(cq_reader_next(reader, &before), 1);
	assert_int_equal(cq_writer_trim(q->writer, 4 * PER_SEGMENT, 100), 4);
	assert_int_equal(qs_stats(q->writer).stream_end, end);
	assert_int_equal(cq_reader_seek_stream(reader, 0, &skip), -ENODATA);
	assert_int_equal(cq_reader_next(reader, &record), 1);
	assert_int_equal(record.seq, 4 * PER_SEGMENT);
	assert_int_equal(record.stream_offset, before.stream_offset);
	assert_int_equal(cq_reader_seek_stream(reader, before.stream_offset + 3, &skip), 0);
	assert_int_equal(skip, 3);
	assert_int_equal(cq_reader_next(reader, &record), 1);
	assert_int_equal(record.seq, 4 * PER_SEGMENT);
	qs_close(q);
	qs_open(q); /* also for the next writer */
	assert_int_equal(qs_stats(q->writer).stream_end, end);
	assert_int_equal(qs_stats(q->writer).oldest, 4);
	qs_append(q->writer, SEGMENTS * PER_SEGMENT, 1);
	assert_int_equal(cq_reader_seek_stream(reader, end, &skip), 0);
	assert_int_equal(cq_reader_next(reader, &record), 1);
	assert_int_equal(record.seq, SEGMENTS * PER_SEGMENT);
	cq_reader_close(reader);
}

static void unsynced_ones(void **state)
{
	struct qs *q = *state;

	qs_open_full(q, SEGMENTS);
	assert_int_equal(qs_stats(q->writer).unsynced, 6);
	assert_int_equal(cq_writer_trim(q->writer, 4 * PER_SEGMENT, 100), 4);
	qs_flush(q->writer); /* closes the deleted ones at once: open, they would keep their room */
	assert_true(atomic_load(&q->writer->flush.open_count) <= 2);
	assert_int_equal(cq_writer_sync(q->writer), 0);
	qs_flush(q->writer);
	assert_int_equal(qs_stats(q->writer).unsynced, 0);
	assert_int_equal(qs_stats(q->writer).durable_seq, SEGMENTS * PER_SEGMENT);
	assert_int_equal(qs_count_names(q->dir, ".idx"), 2); /* none of the deleted ones */
	qs_expect_oldest(q, 4, SEGMENTS);
	qs_append(q->writer, SEGMENTS * PER_SEGMENT, PER_SEGMENT);
	assert_int_equal(cq_writer_trim(q->writer, UINT64_MAX, 100), 3); /* all, unsynced */
	qs_close(q);
	qs_expect(q->dir, SEGMENTS * PER_SEGMENT, PER_SEGMENT);
	qs_format_check(q->dir, "--closed");
}

static void trim_and_die(struct qs *q)
{
	qs_open_full(q, SEGMENTS);
	CHILD(cq_writer_trim(q->writer, 4 * PER_SEGMENT, 100) == 4);
	kill(getpid(), SIGKILL);
}

/* The watermark is before segments that are gone: nothing is missing. */
static void killed_after_a_trim(void **state)
{
	struct qs *q = *state;

	qs_run_killed(trim_and_die, q);
	qs_open(q);
	assert_int_equal(qs_stats(q->writer).next_seq, SEGMENTS * PER_SEGMENT);
	assert_int_equal(qs_stats(q->writer).oldest, 4);
	qs_close(q);
	qs_expect(q->dir, 4 * PER_SEGMENT, 3 * PER_SEGMENT);
	qs_format_check(q->dir, "--closed");
}

#ifdef CQ_FAULTS
/* An index without its segment is never left, even where the segment cannot be deleted. */
static void index_goes_first(void **state)
{
	struct qs *q = *state;

	qs_open_synced(q, SEGMENTS);
	cq_fault_set("unlink", EIO, 1, -1);
	assert_int_equal(cq_writer_trim(q->writer, UINT64_MAX, 1), -EIO);
	cq_fault_set(NULL, 0, 0, 0);
	assert_true(support_exists(q->dir, "000000000.q"));
	assert_false(support_exists(q->dir, "000000000.idx"));
	assert_int_equal(cq_writer_trim(q->writer, UINT64_MAX, 1), 1);
	qs_expect_oldest(q, 1, SEGMENTS);
}

static void *close_one(void *arg)
{
	CHILD(cq_sealed_finalize_one(arg));
	return NULL;
}

/* A segment is deleted while a thread finalizes it: no index comes after that. */
static void no_index_comes_late_child(struct qs *q)
{
	pthread_t thread;

	qs_open_full(q, SEGMENTS);
	CHILD(cq_writer_sync(q->writer) == 0);
	qs_hold(q, "close.before_index");
	CHILD(pthread_create(&thread, NULL, close_one, q->writer) == 0);
	qs_hold_reached(q);
	CHILD(cq_writer_trim(q->writer, UINT64_MAX, 1) == 1);
	qs_hold_go(q);
	pthread_join(thread, NULL);
	CHILD(!support_exists(q->dir, "000000000.idx"));
	qs_flush(q->writer);
	qs_expect_oldest(q, 1, SEGMENTS);
	qs_close(q);
}

static void no_index_comes_late(void **state)
{
	qs_run(no_index_comes_late_child, *state);
}

static void *sync_one(void *arg)
{
	CHILD(cq_writer_sync(arg) == 0);
	return NULL;
}

/* The segment that was current when a sync began is sealed and trimmed before the sync reaches it: nothing
 * is lost. */
static void current_one_goes_during_a_sync_child(struct qs *q)
{
	pthread_t thread;

	qs_open(q);
	qs_append(q->writer, 0, 1);
	qs_hold(q, "sync.begun");
	CHILD(pthread_create(&thread, NULL, sync_one, q->writer) == 0);
	qs_hold_reached(q);
	qs_append(q->writer, 1, PER_SEGMENT);
	CHILD(cq_writer_trim(q->writer, UINT64_MAX, 1) == 1);
	qs_hold_go(q);
	pthread_join(thread, NULL);
	qs_append(q->writer, 1 + PER_SEGMENT, 1);
	CHILD(cq_writer_sync(q->writer) == 0);
	qs_close(q);
}

static void current_one_goes_during_a_sync(void **state)
{
	qs_run(current_one_goes_during_a_sync_child, *state);
}
#endif

/* ---- several at once ---- */

#define MANY 60U

static void *trim_all(void *arg)
{
	cq_writer *w = arg;
	uintptr_t count = 0;

	while (qs_stats(w).retired < MANY - 1) {
		int r = cq_writer_trim(w, UINT64_MAX, 3);

		if (r < 0)
			return (void *)UINTPTR_MAX;
		count += (uintptr_t)r;
		usleep(500);
	}
	return (void *)count;
}

/* Two threads that trim, retention, and an appender: each segment is deleted once. */
static void trims_and_retention_at_once(void **state)
{
	struct qs *q = *state;
	pthread_t threads[2];
	void *count;
	uint64_t sum = 0;

	q->config.retain_segments = 2;
	assert_int_equal(cq_writer_open(q->dir, &q->config, &q->writer), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, trim_all, q->writer), 0);
	for (unsigned i = 0; i < MANY; i++)
		qs_append(q->writer, i * PER_SEGMENT, PER_SEGMENT);
	for (int i = 0; i < 2; i++) {
		pthread_join(threads[i], &count);
		assert_true((uintptr_t)count < MANY);
		sum += (uintptr_t)count;
	}
	assert_int_equal(qs_stats(q->writer).retired, MANY - 1);
	assert_true(sum < MANY);
	assert_int_equal(qs_stats(q->writer).oldest, MANY - 1);
	qs_close(q);
	assert_int_equal(qs_count_names(q->dir, ".idx"), 0);
	qs_expect(q->dir, (MANY - 1) * PER_SEGMENT, PER_SEGMENT);
	qs_format_check(q->dir, "--closed");
}

static const struct CMUnitTest tests[] = {
	QS_TEST(reader_meets_one_gap),
	QS_TEST(positions_stay),
	QS_TEST(unsynced_ones),
	QS_TEST(killed_after_a_trim),
#ifdef CQ_FAULTS
	QS_TEST(index_goes_first),
	QS_TEST(no_index_comes_late),
	QS_TEST(current_one_goes_during_a_sync),
#endif
	QS_TEST(trims_and_retention_at_once),
};

QS_MAIN(tests)
