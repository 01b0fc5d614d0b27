/* SPDX-License-Identifier: Apache-2.0 */
/* test_flush.c - syncs: when requests get their replies, the watermark, a flush that fails */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include "os/fault.h"
#include "queue_support.h"
#include "write/writer.h"

#define AT(record) (64 + (uint64_t)((record) % 31) * 128)

/* The watermark is where the last good flush left it: never ahead, and not behind once a sync has returned. */
static void watermark(void **state)
{
	struct qs *q = *state;

	qs_open(q);
	qs_expect_watermark(q, 0, 64, 0); /* a new queue: nothing can be missing */
	qs_append(q->writer, 0, 5);
	qs_expect_watermark(q, 0, 64, 0);
	assert_int_equal(cq_writer_sync(q->writer), 0);
	qs_expect_watermark(q, 0, AT(5), 5);
	assert_int_equal(qs_stats(q->writer).durable_seq, 5);
	qs_append(q->writer, 5, 40);
	qs_expect_watermark(q, 0, AT(5), 5);
	assert_int_equal(qs_stats(q->writer).durable_seq, 5);
	assert_int_equal(cq_flush_sealed(q->writer) < 0, 0);
	assert_true(qs_stats(q->writer).durable_seq <= 31); /* not the current segment */
	assert_int_equal(cq_writer_sync(q->writer), 0);
	qs_expect_watermark(q, 1, AT(45), 45);
	qs_append(q->writer, 45, 1);
	assert_int_equal(cq_writer_sync(q->writer), 0);
	qs_expect_watermark(q, 1, AT(46), 46);
}

static void nothing_new_needs_no_flush(void **state)
{
	struct qs *q = *state;

	qs_open(q);
	assert_int_equal(cq_writer_sync(q->writer), 0); /* covers what was there at open */
	assert_int_equal(qs_stats(q->writer).syncs, 1);
	qs_append(q->writer, 0, 1);
	assert_int_equal(cq_writer_sync(q->writer), 0);
	assert_int_equal(cq_writer_sync(q->writer), 0);
	assert_int_equal(qs_stats(q->writer).syncs, 2);
	assert_int_equal(qs_stats(q->writer).sync_requests, 3);
}

/* Each flush is in every bucket whose bound it kept. */
static void time_of_flushes(void **state)
{
	struct qs *q = *state;
	struct cq_stats s = CQ_SIZED(s);

	qs_open(q);
	s = qs_stats(q->writer);
	assert_int_equal(s.sync_within[CQ_SYNC_BUCKETS - 1], 0);
	for (unsigned i = 0; i < 20; i++) {
		qs_append(q->writer, i, 1);
		assert_int_equal(cq_writer_sync(q->writer), 0);
	}
	s = qs_stats(q->writer);
	assert_int_equal(s.syncs, 20);
	for (int i = 0; i < CQ_SYNC_BUCKETS; i++) {
		assert_true(s.sync_within[i] <= s.syncs);
		assert_true(i == 0 || s.sync_within[i] >= s.sync_within[i - 1]);
		assert_int_equal(s.sync_within[i] == s.syncs,
		                 s.sync_ns_max <= CQ_SYNC_BUCKET_NS(i));
	}
}

static void close_flushes(void **state)
{
	struct cq_watermark_slot mark;
	struct qs *q = *state;

	qs_write(q, 0, 40);
	mark = qs_watermark(q->dirfd);
	assert_int_equal(mark.segment, 1);
	assert_int_equal(mark.offset, AT(40));
	assert_int_equal(mark.seq, 40);
}

/* ---- replies ---- */

#define THREADS 8
#define EACH 40

struct syncer {
	cq_writer *writer;
	int result;
};

static void *append_and_sync(void *arg)
{
	struct syncer *s = arg;
	struct cq_stats stats = CQ_SIZED(stats);
	struct cq_appended appended;

	for (int i = 0; i < EACH && s->result == 0; i++) {
		s->result = cq_writer_append(s->writer, 1, "x", 1, &appended);
		if (s->result == 0)
			s->result = cq_writer_sync(s->writer);
		cq_writer_stats(s->writer, &stats);
		if (s->result == 0 && stats.durable_seq <= appended.seq)
			s->result = -ERANGE;
	}
	return NULL;
}

static void run_syncers(struct syncer syncers[THREADS], cq_writer *writer)
{
	pthread_t threads[THREADS];

	for (int i = 0; i < THREADS; i++) {
		syncers[i] = (struct syncer){ .writer = writer };
		assert_int_equal(pthread_create(&threads[i], NULL, append_and_sync, &syncers[i]),
		                 0);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
}

static void group_commit(void **state)
{
	struct syncer syncers[THREADS];
	struct qs *q = *state;
	struct cq_stats s = CQ_SIZED(s);

	assert_int_equal(cq_writer_open(q->dir, &q->config, &q->writer), 0);
	run_syncers(syncers, q->writer);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(syncers[i].result, 0);
	s = qs_stats(q->writer);
	assert_int_equal(s.next_seq, THREADS * EACH);
	assert_int_equal(s.durable_seq, THREADS * EACH);
	assert_int_equal(s.sync_requests, THREADS * EACH);
	/* how many share a flush depends on the disk; the next test shows that they do */
	assert_true(s.syncs <= s.sync_requests);
}

struct request {
	struct cq_sync_request request;
	int answers, result, place;
};
static int place;

static void answered(struct cq_sync_request *request, int result)
{
	struct request *r = (struct request *)request;

	r->answers++;
	r->result = result;
	r->place = place++;
}

static void async_requests_once_and_in_order(void **state)
{
	struct request requests[7] = { 0 };
	struct qs *q = *state;

	place = 0;
	qs_open(q);
	for (unsigned i = 0; i < 5; i++) {
		requests[i].request.done = answered;
		qs_append(q->writer, i, 1);
		cq_writer_sync_async(q->writer, &requests[i].request);
	}
	for (int i = 0; i < 5; i++)
		assert_int_equal(requests[i].answers, 0);
	qs_flush(q->writer);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(requests[i].answers, 1);
		assert_int_equal(requests[i].result, 0);
		assert_int_equal(requests[i].place, i);
	}
	assert_int_equal(qs_stats(q->writer).syncs, 1); /* one flush for all of them */
	assert_int_equal(qs_stats(q->writer).sync_requests, 5);
	assert_int_equal(qs_stats(q->writer).durable_seq, 5);
	qs_append(q->writer, 5, 1);
	for (int i = 5; i < 7; i++) {
		requests[i].request.done = answered;
		cq_writer_sync_async(q->writer, &requests[i].request);
	}
	qs_close(q); /* replies to the remaining requests */
	for (int i = 0; i < 7; i++)
		assert_int_equal(requests[i].answers, 1);
	assert_int_equal(requests[6].place, 6);
}

static void always(void **state)
{
	const struct cq_message two[] = { { "record 1", 8, 1 }, { "record 2", 8, 1 } };
	struct qs *q = *state;

	q->config.sync = CQ_SYNC_ALWAYS;
	qs_open(q);
	qs_append(q->writer, 0, 1);
	assert_int_equal(qs_stats(q->writer).durable_seq, 1);
	qs_expect_watermark(q, 0, AT(1), 1);
	assert_int_equal(cq_writer_append_batch(q->writer, two, 2, NULL), 2);
	assert_int_equal(qs_stats(q->writer).durable_seq, 3);
	assert_int_equal(qs_stats(q->writer).syncs, 2);
}

static void interval(void **state)
{
	struct qs *q = *state;
	uint64_t syncs;
	int wait;

	q->config.sync = CQ_SYNC_INTERVAL;
	q->config.sync_interval_ms = 1;
	qs_open(q);
	qs_append(q->writer, 0, 5);
	while (qs_stats(q->writer).durable_seq < 5) {
		wait = cq_writer_flush_step(q->writer);
		assert_true(wait <= 1); /* it wants to come back after the interval */
	}
	syncs = qs_stats(q->writer).syncs;
	for (int i = 0; i < 5; i++) {
		usleep(2000);
		(void)cq_writer_flush_step(q->writer);
	}
	assert_int_equal(qs_stats(q->writer).syncs, syncs); /* nothing new, nothing done */
	qs_append(q->writer, 5, 1);
	while (qs_stats(q->writer).durable_seq < 6)
		(void)cq_writer_flush_step(q->writer);
}

/* ---- flushes that fail ---- */

#ifdef CQ_FAULTS
/* The error of a flush that cannot begin goes to its requests alone. No data is lost, so the writer
 * continues, and the next flush covers everything, sealed segments too. */
static void flush_that_cannot_begin(void **state)
{
	struct cq_watermark_slot mark;
	struct qs *q = *state;

	qs_killed_writer(q, 0, 70);
	qs_mark(q->dir, 0, 64, 0);
	qs_open(q);
	qs_append(q->writer, 70, 60); /* seals 2 and 3 */
	assert_int_equal(unlinkat(q->dirfd, "000000000.q", 0), 0);
	cq_fault_set("list", EMFILE, 0, 1);
	assert_int_equal(cq_writer_sync(q->writer), -EMFILE);
	cq_fault_set("open", EMFILE, 0, 1);
	assert_int_equal(cq_writer_sync(q->writer), -EMFILE);
	cq_fault_set(NULL, 0, 0, 0);
	mark = qs_watermark(q->dirfd);
	assert_int_equal(mark.seq, 0);
	assert_int_equal(qs_stats(q->writer).error, 0);
	assert_int_equal(qs_stats(q->writer).unsynced, 2);
	qs_append(q->writer, 130, 1);
	assert_int_equal(cq_writer_sync(q->writer), 0);
	assert_int_equal(qs_stats(q->writer).unsynced, 0);
	assert_int_equal(qs_stats(q->writer).durable_seq, 131);
	qs_close(q);
}

/* No reply before the names of the segments are durable. */
static void directory_is_synced_before_the_answer(void **state)
{
	struct qs *q = *state;

	qs_open(q);
	qs_append(q->writer, 0, 1);
	cq_fault_set("sync_dir", EIO, 0, 1);
	assert_int_equal(cq_writer_sync(q->writer), -EIO);
	qs_expect_watermark(q, 0, 64, 0);
	assert_int_equal(cq_writer_close(q->writer), -EIO);
	qs_open(q);
	qs_append(q->writer, 1, 1);
	assert_int_equal(cq_writer_sync(q->writer), 0);
	/* no new name since then: the directory need not be synced again */
	cq_fault_set("sync_dir", EIO, 0, 1);
	qs_append(q->writer, 2, 1);
	assert_int_equal(cq_writer_sync(q->writer), 0);
	qs_append(q->writer, 3, 31); /* rolls */
	qs_prepare(q->writer);       /* a new name */
	assert_int_equal(cq_writer_sync(q->writer), -EIO);
	cq_fault_set(NULL, 0, 0, 0);
	assert_int_equal(cq_writer_close(q->writer), -EIO);
	q->writer = NULL;
	qs_expect(q->dir, 0, 34);
}

/* The kernel may have dropped the data: the failure is final for this writer, even if the next sync would
 * succeed. */
static void failed_flush_is_final(void **state)
{
	struct request request = { .request.done = answered };
	struct qs *q = *state;

	qs_open(q);
	qs_append(q->writer, 0, 5);
	assert_int_equal(cq_writer_sync(q->writer), 0);
	qs_append(q->writer, 5, 5);
	cq_writer_sync_async(q->writer, &request.request);
	cq_fault_set("sync_data", EIO, 0, 1);
	assert_int_equal(cq_writer_sync(q->writer), -EIO);
	cq_fault_set(NULL, 0, 0, 0);
	assert_true(qs_logged(q, "error sync failed: Input/output error"));
	assert_int_equal(cq_writer_sync(q->writer), -EIO);
	assert_int_equal(cq_writer_append(q->writer, 1, "x", 1, NULL), -EIO);
	assert_int_equal(cq_writer_roll(q->writer), -EIO);
	qs_flush(q->writer);
	assert_int_equal(request.answers, 1);
	assert_int_equal(request.result, -EIO);
	assert_int_equal(qs_stats(q->writer).error, -EIO);
	assert_int_equal(qs_stats(q->writer).durable_seq, 5);
	qs_expect_watermark(q, 0, AT(5), 5);
	assert_int_equal(cq_writer_close(q->writer), -EIO);
	qs_open(q);
	assert_int_equal(qs_stats(q->writer).next_seq, 10);
	qs_append(q->writer, 10, 1);
	qs_close(q);
	qs_expect(q->dir, 0, 11);
}

static void every_waiter_learns_of_a_failed_flush(void **state)
{
	struct syncer syncers[THREADS];
	struct qs *q = *state;

	assert_int_equal(cq_writer_open(q->dir, &q->config, &q->writer), 0);
	cq_fault_set("sync_data", EIO, 5, 1);
	run_syncers(syncers, q->writer);
	cq_fault_set(NULL, 0, 0, 0);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(syncers[i].result, -EIO);
	assert_int_equal(cq_writer_close(q->writer), -EIO);
	q->writer = NULL;
}

/* A watermark that cannot be stored stays behind, which is allowed: the sync succeeds. */
static void mark_that_cannot_be_stored(void **state)
{
	struct qs *q = *state;

	qs_open(q);
	qs_append(q->writer, 0, 5);
	cq_fault_set("pwrite", ENOSPC, 0, 1);
	assert_int_equal(cq_writer_sync(q->writer), 0);
	cq_fault_set(NULL, 0, 0, 0);
	qs_expect_watermark(q, 0, 64, 0);
	assert_int_equal(qs_stats(q->writer).durable_seq, 5);
}
#endif

static const struct CMUnitTest tests[] = {
	QS_TEST(watermark),
	QS_TEST(nothing_new_needs_no_flush),
	QS_TEST(time_of_flushes),
	QS_TEST(close_flushes),
	QS_TEST(group_commit),
	QS_TEST(async_requests_once_and_in_order),
	QS_TEST(always),
	QS_TEST(interval),
#ifdef CQ_FAULTS
	QS_TEST(flush_that_cannot_begin),
	QS_TEST(directory_is_synced_before_the_answer),
	QS_TEST(failed_flush_is_final),
	QS_TEST(every_waiter_learns_of_a_failed_flush),
	QS_TEST(mark_that_cannot_be_stored),
#endif
};

QS_MAIN(tests)
