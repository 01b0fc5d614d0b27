/* SPDX-License-Identifier: Apache-2.0 */
/* test_sealed.c - sealed segments: when they are synced and finalized, also those of an earlier process */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "files/dir.h"
#include "os/fault.h"
#include "queue_support.h"
#include "write/writer.h"

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

/* A roll that waits for a segment holds the writer lock, again and again where rolls follow each other closely.
 * Meanwhile the flusher's thread finishes what is sealed. */
static void sealed_segments_during_a_roll(void **state)
{
	struct qs *q = *state;
	cq_writer *w;

	assert_int_equal(cq_writer_open(q->dir, &q->config, &q->writer), 0);
	w = q->writer;
	qs_append(w, 0, 70);
	cq_mutex_lock(&w->lock);
	while (!support_exists(q->dir, "000000001.idx"))
		usleep(1000);
	cq_mutex_unlock(&w->lock);
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
#define AT(record) (64 + (uint64_t)((record) % 31) * 128)

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
	qs_expect_watermark(q, 2, AT(70), 70);
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
	qs_expect_watermark(q, 0, 64, 0);
	assert_int_equal(cq_writer_close(q->writer), -EIO);
	q->writer = NULL;
}

#endif

static const struct CMUnitTest tests[] = {
	QS_TEST(sealed_segments_are_finished),
	QS_TEST(sealed_segments_without_a_request),
	QS_TEST(sealed_segments_during_a_roll),
	QS_TEST(deleted_segments_need_no_sync),
#ifdef CQ_FAULTS
	QS_TEST(first_flush_covers_an_earlier_process),
	QS_TEST(sync_of_an_earlier_process_fails),
	QS_TEST(earlier_segments_deleted),
	QS_TEST(first_of_several_fails),
#endif
};

QS_MAIN(tests)
