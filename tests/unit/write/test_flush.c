/* SPDX-License-Identifier: Apache-2.0 */
/* test_flush.c - syncs: when requests get their replies, what a flush covers, the watermark, a flush that
 * fails */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "files/dir.h"
#include "os/fault.h"
#include "queue_support.h"
#include "write/writer.h"

#define AT(record) (64 + (uint64_t)((record) % 31) * 128)

static void expect_mark(struct qs *q, uint64_t segment, uint64_t offset, uint64_t seq)
{
	struct cq_watermark_slot mark;

	mark = qs_watermark(q->dirfd);
	assert_int_equal(mark.segment, segment);
	assert_int_equal(mark.offset, offset);
	assert_int_equal(mark.seq, seq);
	assert_int_equal(mark.epoch, qs_stats(q->writer).epoch);
}

/* The watermark is where the last good flush left it: never ahead, and not behind once a sync has returned. */
static void watermark(void **state)
{
	struct qs *q = *state;

	qs_open(q);
	expect_mark(q, 0, 64, 0); /* a new queue: nothing can be missing */
	qs_append(q->writer, 0, 5);
	expect_mark(q, 0, 64, 0);
	assert_int_equal(cq_writer_sync(q->writer), 0);
	expect_mark(q, 0, AT(5), 5);
	assert_int_equal(qs_stats(q->writer).durable_seq, 5);
	qs_append(q->writer, 5, 40);
	expect_mark(q, 0, AT(5), 5);
	assert_int_equal(qs_stats(q->writer).durable_seq, 5);
	assert_int_equal(cq_flush_sealed(q->writer) < 0, 0);
	assert_true(qs_stats(q->writer).durable_seq <= 31); /* not the current segment */
	assert_int_equal(cq_writer_sync(q->writer), 0);
	expect_mark(q, 1, AT(45), 45);
	qs_append(q->writer, 45, 1);
	assert_int_equal(cq_writer_sync(q->writer), 0);
	expect_mark(q, 1, AT(46), 46);
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
	expect_mark(q, 0, AT(1), 1);
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

/* ---- sealed segments ---- */

static void sealed_segments_are_finished(void **state)
{
	struct qs *q = *state;
	struct qs_record *records;

	qs_open(q);
	qs_append(q->writer, 0, 70);
	assert_false(support_exists(q->dir, "000000000.idx"));
	assert_int_equal(cq_writer_sync(q->writer), 0);
	qs_flush(q->writer);
	assert_true(support_exists(q->dir, "000000000.idx"));
	assert_true(support_exists(q->dir, "000000001.idx"));
	assert_false(support_exists(q->dir, "000000002.idx"));
	assert_int_equal(qs_count_names(q->dir, ".tmp"), 0);
	assert_int_equal(qs_records(q->dir, &records), 70);
	assert_int_equal(qs_mtime_ns(q->dir, "000000000.q"), records[30].time_ns);
	free(records);
}

/* Without a request the flusher's thread syncs them after a while. */
static void sealed_segments_without_a_request(void **state)
{
	struct qs *q = *state;

	assert_int_equal(cq_writer_open(q->dir, &q->config, &q->writer), 0);
	qs_append(q->writer, 0, 40);
	while (qs_stats(q->writer).unsynced > 0 || !support_exists(q->dir, "000000000.idx"))
		usleep(1000);
	assert_true(qs_stats(q->writer).durable_seq >= 31);
	assert_true(qs_stats(q->writer).durable_seq < 40);
}

static void deleted_segments_need_no_sync(void **state)
{
	struct qs *q = *state;

	qs_open(q);
	qs_append(q->writer, 0, 70);
	assert_int_equal(unlinkat(q->dirfd, "000000000.q", 0), 0);
	assert_int_equal(cq_writer_sync(q->writer), 0);
	qs_flush(q->writer);
	assert_false(support_exists(q->dir, "000000000.idx"));
	assert_true(support_exists(q->dir, "000000001.idx"));
	assert_int_equal(qs_stats(q->writer).unsynced, 0);
}

#ifdef CQ_FAULTS
/* Whether a sync makes at least `nth` of these calls: then the last one fails it. */
static bool sync_reaches(struct qs *q, const char *call, int nth)
{
	int r;

	qs_open(q);
	cq_fault_set(call, EIO, nth - 1, 1);
	r = cq_writer_sync(q->writer);
	cq_fault_set(NULL, 0, 0, 0);
	assert_true(r == 0 || r == -EIO);
	(void)cq_writer_close(q->writer);
	q->writer = NULL;
	return r < 0;
}

static void first_flush_covers_an_earlier_process(void **state)
{
	struct qs *q = *state;

	qs_killed_writer(q, 0, 70); /* segments 0 to 2 */
	qs_mark(q->dir, 0, 64, 0);
	assert_true(sync_reaches(q, "sync_data", 3));
	qs_mark(q->dir, 0, 64, 0);
	assert_false(sync_reaches(q, "sync_data", 4));
	qs_mark(q->dir, 1, 64, 31); /* segment 0 is known to be durable */
	assert_true(sync_reaches(q, "sync_data", 2));
	qs_mark(q->dir, 1, 64, 31);
	assert_false(sync_reaches(q, "sync_data", 3));
}

/* A failed sync of an earlier process's segment is as final as of our own; a second sync of it would
 * succeed. */
static void sync_of_an_earlier_process_fails(void **state)
{
	struct cq_watermark_slot mark;
	struct qs *q = *state;

	qs_killed_writer(q, 0, 70);
	qs_mark(q->dir, 0, 64, 0);
	qs_open(q);
	cq_fault_set("sync_data", EIO, 0, 1);
	assert_int_equal(cq_writer_sync(q->writer), -EIO);
	cq_fault_set(NULL, 0, 0, 0);
	assert_int_equal(cq_writer_sync(q->writer), -EIO);
	assert_int_equal(cq_writer_append(q->writer, 1, "x", 1, NULL), -EIO);
	mark = qs_watermark(q->dirfd);
	assert_int_equal(mark.segment, 0);
	assert_int_equal(cq_writer_close(q->writer), -EIO);
	q->writer = NULL;
}

/* Segments of an earlier process that are deleted before the first flush need no sync: all of them, or one
 * that is deleted while it is opened. */
static void earlier_segments_deleted(void **state)
{
	struct qs *q = *state;

	qs_killed_writer(q, 0, 70);
	qs_mark(q->dir, 0, 64, 0);
	qs_open(q);
	assert_int_equal(unlinkat(q->dirfd, "000000000.q", 0), 0);
	assert_int_equal(unlinkat(q->dirfd, "000000001.q", 0), 0);
	assert_int_equal(cq_writer_sync(q->writer), 0);
	expect_mark(q, 2, AT(70), 70);
	qs_close(q);
	qs_anew(q);
	qs_killed_writer(q, 0, 70);
	qs_mark(q->dir, 0, 64, 0);
	qs_open(q);
	cq_fault_set("open", ENOENT, 0, 1);
	assert_int_equal(cq_writer_sync(q->writer), 0);
	cq_fault_set(NULL, 0, 0, 0);
	qs_close(q);
	qs_anew(q);
	qs_killed_writer(q, 0, 70);
	qs_mark(q->dir, 0, 64, 0);
	qs_open(q);
	for (uint32_t id = 0; id < 4; id++) {
		char name[CQ_NAME_MAX];

		cq_segment_name(name, id);
		assert_int_equal(unlinkat(q->dirfd, name, 0), 0);
	}
	/* the current one was among them: its records are gone */
	assert_int_equal(cq_writer_sync(q->writer), -EIO);
}

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

/* After the first sync that fails no other is tried: its result would prove nothing. */
static void first_of_several_fails(void **state)
{
	struct qs *q = *state;
	unsigned syncs = 0, count;
	const char *call;

	qs_open(q);
	assert_int_equal(cq_writer_sync(q->writer), 0);
	qs_append(q->writer, 0, 100); /* seals 0, 1 and 2 */
	cq_fault_forget();
	cq_fault_set("sync_data", EIO, 1, 1);
	assert_int_equal(cq_writer_sync(q->writer), -EIO);
	cq_fault_set(NULL, 0, 0, 0);
	for (size_t i = 0; (call = cq_fault_call(i, &count)) != NULL; i++)
		if (strcmp(call, "sync_data") == 0)
			syncs = count;
	assert_int_equal(syncs, 2);
	expect_mark(q, 0, 64, 0);
	assert_int_equal(cq_writer_close(q->writer), -EIO);
	q->writer = NULL;
}

/* No reply before the names of the segments are durable. */
static void directory_is_synced_before_the_answer(void **state)
{
	struct qs *q = *state;

	qs_open(q);
	qs_append(q->writer, 0, 1);
	cq_fault_set("sync_dir", EIO, 0, 1);
	assert_int_equal(cq_writer_sync(q->writer), -EIO);
	expect_mark(q, 0, 64, 0);
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
	expect_mark(q, 0, AT(5), 5);
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
	expect_mark(q, 0, 64, 0);
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
	QS_TEST(sealed_segments_are_finished),
	QS_TEST(sealed_segments_without_a_request),
	QS_TEST(deleted_segments_need_no_sync),
#ifdef CQ_FAULTS
	QS_TEST(first_flush_covers_an_earlier_process),
	QS_TEST(sync_of_an_earlier_process_fails),
	QS_TEST(earlier_segments_deleted),
	QS_TEST(flush_that_cannot_begin),
	QS_TEST(first_of_several_fails),
	QS_TEST(directory_is_synced_before_the_answer),
	QS_TEST(failed_flush_is_final),
	QS_TEST(every_waiter_learns_of_a_failed_flush),
	QS_TEST(mark_that_cannot_be_stored),
#endif
};

QS_MAIN(tests)
