/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_begin.c - a new queue that begins at a given number and stream offset
 *
 * To everybody it is a queue whose records before that were deleted by retention.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "format/format.h"
#include "os/fault.h"
#include "queue_support.h"
#include "write/writer.h"

#define SEQ 1000U
#define STREAM 5000U
#define RECORDS 100U /* of 10 bytes, in four segments */
#define LENGTH 10U

static void open_begun(struct qs *q)
{
	q->config.begin_seq = SEQ;
	q->config.begin_stream = STREAM;
	qs_open(q);
	q->config.begin_seq = q->config.begin_stream = 0;
}

static void append(struct qs *q, unsigned first, unsigned count)
{
	char text[LENGTH + 1];

	for (unsigned i = first; i < first + count; i++) {
		snprintf(text, sizeof text, "%010u", i);
		assert_int_equal(cq_writer_append(q->writer, 1, text, LENGTH, NULL), 0);
	}
}

static void no_finding(void *arg, const struct cq_finding *finding)
{
	(void)arg;
	fail_msg("%s", finding->text);
}

/* Records SEQ to SEQ + count - 1, of this many bytes of the stream, and nothing else; in every way of reading. */
static void expect(struct qs *q, unsigned count)
{
	struct cq_verify_result result = CQ_SIZED(result);
	struct cq_reader_stats stats = CQ_SIZED(stats);
	struct cq_queue_info info = CQ_SIZED(info);
	char text[LENGTH + 1], want[LENGTH + 1];
	uint64_t begin, end, skip = 0;
	struct cq_record record;
	cq_stream *stream;
	cq_reader *reader;
	cq_queue *queue;

	assert_int_equal(cq_verify(q->dir, no_finding, NULL, &result), 0);
	assert_int_equal(result.records, count);
	assert_int_equal(cq_reader_open(q->dir, NULL, CQ_START_OLDEST, 0, &reader), 0);
	for (unsigned i = 0; i < count; i++) {
		assert_int_equal(cq_reader_next(reader, &record), 1);
		assert_int_equal(record.seq, SEQ + i);
		assert_int_equal(record.stream_offset, STREAM + i * LENGTH);
	}
	assert_int_equal(cq_reader_next(reader, &record), 0);
	assert_int_equal(cq_reader_stats(reader, &stats), 0);
	assert_int_equal(stats.gaps, 0);
	if (count > 0) {
		assert_int_equal(cq_reader_seek_seq(reader, 3), 0);
		assert_int_equal(cq_reader_next(reader, &record), 1);
		assert_int_equal(record.seq, SEQ);
		assert_int_equal(cq_reader_seek_seq(reader, SEQ + count - 1), 0);
		assert_int_equal(cq_reader_next(reader, &record), 1);
		assert_int_equal(record.seq, SEQ + count - 1);
		assert_int_equal(cq_reader_seek_stream(reader, STREAM - 1, &skip), -ENODATA);
		assert_int_equal(cq_reader_next(reader, &record), 1);
		assert_int_equal(record.seq, SEQ);
		assert_int_equal(cq_reader_seek_stream(reader, STREAM + LENGTH + 3, &skip), 0);
		assert_int_equal(skip, 3);
		assert_int_equal(cq_reader_next(reader, &record), 1);
		assert_int_equal(record.seq, SEQ + 1);
	}
	cq_reader_close(reader);

	assert_int_equal(cq_queue_open(q->dir, &queue), 0);
	assert_int_equal(cq_queue_info(queue, &info), 0);
	assert_int_equal(info.oldest, 1);
	assert_int_equal(cq_stream_open(queue, &stream), 0);
	assert_int_equal(cq_stream_extent(stream, &begin, &end), 0);
	assert_int_equal(begin, STREAM);
	assert_int_equal(end, STREAM + count * LENGTH);
	assert_int_equal(cq_stream_pread(stream, text, LENGTH, STREAM - 1), -ENODATA);
	for (unsigned i = 0; i < count; i++) {
		snprintf(want, sizeof want, "%010u", i);
		assert_int_equal(cq_stream_pread(stream, text, LENGTH, STREAM + i * LENGTH),
		                 LENGTH);
		assert_memory_equal(text, want, LENGTH);
	}
	cq_stream_close(stream);
	cq_queue_close(queue);
}

static void records(void **state)
{
	struct qs *q = *state;

	open_begun(q);
	assert_int_equal(qs_stats(q->writer).next_seq, SEQ);
	assert_int_equal(qs_stats(q->writer).stream_end, STREAM);
	assert_int_equal(qs_stats(q->writer).oldest, 1);
	append(q, 0, RECORDS / 2);
	expect(q, RECORDS / 2);
	qs_close(q);
	qs_format_check(q->dir, "--closed");
	qs_open(q);
	assert_int_equal(qs_stats(q->writer).next_seq, SEQ + RECORDS / 2);
	append(q, RECORDS / 2, RECORDS / 2);
	qs_close(q);
	expect(q, RECORDS);
	qs_format_check(q->dir, "--closed");
}

/* Before its first record, and without the small files, it begins there all the same. */
static void empty(void **state)
{
	static const char *const files[] = { "durable.meta", "control.meta", "index.meta" };
	struct qs *q = *state;

	open_begun(q);
	expect(q, 0);
	qs_close(q);
	qs_format_check(q->dir, "--closed");
	expect(q, 0);
	for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
		assert_int_equal(unlinkat(q->dirfd, files[i], 0), 0);
		qs_open(q);
		assert_int_equal(qs_stats(q->writer).next_seq, SEQ);
		assert_int_equal(qs_stats(q->writer).stream_end, STREAM);
		qs_close(q);
	}
	qs_open(q);
	append(q, 0, RECORDS);
	qs_close(q);
	expect(q, RECORDS);
}

/* The records are lost, and somebody accepts that: the numbers go on behind the lost ones. */
static void lost(void **state)
{
	struct qs *q = *state;

	open_begun(q);
	append(q, 0, 5);
	qs_close(q);
	support_poke(q->dir, "000000001.q", 0, "    ", 4);
	assert_int_equal(qs_try_open(q), -EBADMSG);
	q->config.accept_loss = true;
	qs_open(q);
	assert_int_equal(qs_stats(q->writer).next_seq, SEQ + 5);
	qs_close(q);
}

static void refuse(struct qs *q, uint64_t seq, uint64_t stream, int error)
{
	struct qs_snapshot before, after;

	qs_snapshot(q->dir, &before);
	q->config.begin_seq = seq;
	q->config.begin_stream = stream;
	assert_int_equal(qs_try_open(q), error);
	q->config.begin_seq = q->config.begin_stream = 0;
	qs_snapshot(q->dir, &after);
	assert_int_equal(before.length, after.length);
	assert_memory_equal(before.bytes, after.bytes, before.length);
	free(before.bytes);
	free(after.bytes);
}

/* Only a new queue begins there; and only at what the format can hold. */
static void refused(void **state)
{
	struct qs *q = *state;

	refuse(q, 0, 1, -EINVAL);
	refuse(q, 1ULL << 62, 0, -EINVAL);
	refuse(q, 1, (1ULL << 62) + 1, -EINVAL);
	open_begun(q);
	qs_close(q);
	refuse(q, SEQ, STREAM, -EEXIST); /* not even where it did begin */
	assert_true(qs_logged(q, "error the queue is there already"));
	qs_open(q);
	append(q, 0, 1);
	qs_close(q);
	refuse(q, SEQ, STREAM, -EEXIST);
	/* all segments are gone, and the watermark says that there were some */
	assert_int_equal(unlinkat(q->dirfd, "000000001.q", 0), 0);
	assert_int_equal(unlinkat(q->dirfd, "000000002.q", 0), 0);
	refuse(q, SEQ, STREAM, -EEXIST);
	qs_anew(q);
	q->config.begin_seq = (1ULL << 62) - 1;
	q->config.begin_stream = 1ULL << 62;
	qs_open(q);
	assert_int_equal(cq_writer_append(q->writer, 1, "x", 1, NULL), -EOVERFLOW);
	assert_int_equal(cq_writer_append(q->writer, 1, NULL, 0, NULL), 0);
	assert_int_equal(cq_writer_append(q->writer, 1, NULL, 0, NULL), -EOVERFLOW);
}

/* One in vain leaves nothing; one that cannot be made, too. */
static void unmade(void **state)
{
	struct qs *q = *state;

	open_begun(q);
	assert_int_equal(cq_writer_discard(q->writer), 0);
	q->writer = NULL;
	assert_int_equal(rmdir(q->dir), 0);
#ifdef CQ_FAULTS
	static const char *const calls[] = { "sync_data", "rename_noreplace", "map" };

	for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
		cq_fault_set(calls[i], EIO, 0, 1);
		q->config.begin_seq = SEQ;
		assert_int_equal(qs_try_open(q), -EIO);
		cq_fault_set(NULL, 0, 0, 0);
		assert_int_equal(access(q->dir, F_OK), -1);
	}
#endif
}

#ifdef CQ_FAULTS
/* ---- killed on the way ---- */

#define PLACES 100U

static char places[PLACES][40];
static unsigned place_count;

static void hear(const char *name)
{
	if (place_count < PLACES)
		snprintf(places[place_count++], sizeof places[0], "%s", name);
}

static const char *kill_at;

static void die_in_open(struct qs *q)
{
	CHILD(setenv("CHRONQ_KILL", kill_at, 1) == 0);
	q->config.begin_seq = SEQ;
	q->config.begin_stream = STREAM;
	(void)qs_try_open(q);
	_exit(0); /* it passes that place once only, or in a thread */
}

/* Killed anywhere, the open leaves no segment, and the next one can begin there; or a segment that does. */
static void killed(void **state)
{
	struct qs *q = *state;
	unsigned without = 0, with = 0;

	cq_point_heard = hear;
	open_begun(q);
	cq_point_heard = NULL;
	qs_close(q);
	assert_in_range(place_count, 10, PLACES - 1);
	for (unsigned i = 0; i < place_count; i++) {
		qs_anew(q);
		kill_at = places[i];
		(void)qs_child(die_in_open, q);
		if (qs_count_names(q->dir, ".q") == 0) {
			open_begun(q);
			without++;
		} else {
			qs_open(q);
			with++;
		}
		assert_int_equal(qs_stats(q->writer).next_seq, SEQ);
		assert_int_equal(qs_stats(q->writer).stream_end, STREAM);
		append(q, 0, 40);
		expect(q, 40);
		qs_close(q);
	}
	assert_true(without > 2 && with > 2);
}
/* A call fails: nothing is left that would keep the next one from beginning there. */
static void calls_fail(void **state)
{
	static const char *const calls[] = { "create_new", "allocate", "map",
		                             "sync_data",  "sync_dir", "rename_noreplace",
		                             "populate" };
	struct qs *q = *state;
	unsigned failed = 0;

	for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
		bool given = true;

		for (int skip = 0; given; skip++) {
			int r;

			qs_anew(q);
			q->config.begin_seq = SEQ;
			q->config.begin_stream = STREAM;
			cq_fault_forget();
			cq_fault_set(calls[i], ENOMEM, skip, 1);
			r = qs_try_open(q);
			cq_fault_set(NULL, 0, 0, 0);
			given = cq_fault_given() > 0;
			assert_true(r == 0 || given);
			if (r < 0 && qs_count_names(q->dir, ".q") > 0) {
				q->config.begin_seq = q->config.begin_stream = 0;
				qs_open(q);
			} else if (r < 0) {
				open_begun(q);
			}
			failed += r < 0;
			q->config.begin_seq = q->config.begin_stream = 0;
			assert_int_equal(qs_stats(q->writer).next_seq, SEQ);
			append(q, 0, 40);
			expect(q, 40);
			qs_close(q);
		}
	}
	assert_true(failed > 5);
}
#endif

static const struct CMUnitTest tests[] = {
	QS_TEST(records), QS_TEST(empty),      QS_TEST(lost), QS_TEST(refused), QS_TEST(unmade),
#ifdef CQ_FAULTS
	QS_TEST(killed),  QS_TEST(calls_fail),
#endif
};

QS_MAIN(tests)
