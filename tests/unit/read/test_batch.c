/* SPDX-License-Identifier: Apache-2.0 */
/* test_batch.c - cq_reader_next_batch(): many records at once, whose payloads stay valid together */
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

#include "queue_support.h"
#include "write/writer.h"

#define MOST 40U

static cq_reader *open_reader(const char *dir)
{
	cq_reader *reader;

	assert_int_equal(cq_reader_open(dir, NULL, CQ_START_OLDEST, 0, &reader), 0);
	return reader;
}

static void same(const struct cq_record *a, const struct cq_record *b)
{
	assert_int_equal(a->seq, b->seq);
	assert_int_equal(a->time_ns, b->time_ns);
	assert_int_equal(a->type, b->type);
	assert_int_equal(a->have_stream, b->have_stream);
	assert_int_equal(a->stream_offset, b->stream_offset);
	assert_int_equal(a->epoch, b->epoch);
	assert_int_equal(a->segment, b->segment);
	assert_int_equal(a->offset, b->offset);
	assert_int_equal(a->length, b->length);
	assert_memory_equal(a->payload, b->payload, a->length);
}

/* Batches give what single calls give, and each batch is of one segment.  Returns how many batches. */
static unsigned compare(const char *dir, size_t most, size_t max_bytes)
{
	struct cq_reader_stats stats = CQ_SIZED(stats), single_stats = CQ_SIZED(single_stats);
	cq_reader *reader = open_reader(dir), *single = open_reader(dir);
	struct cq_record records[MOST], one;
	unsigned batches = 0;
	ssize_t n;

	while ((n = cq_reader_next_batch(reader, records, most, max_bytes)) > 0) {
		size_t bytes = 0;

		assert_in_range(n, 1, most);
		for (ssize_t i = 0; i < n; i++) {
			assert_int_equal(cq_reader_next(single, &one), 1);
			same(&records[i], &one);
			assert_int_equal(records[i].segment, records[0].segment);
			bytes += records[i].length;
		}
		assert_true(n == 1 || max_bytes == 0 || bytes <= max_bytes);
		batches++;
	}
	assert_int_equal(n, 0);
	assert_int_equal(cq_reader_next(single, &one), 0);
	assert_int_equal(cq_reader_stats(reader, &stats), 0);
	assert_int_equal(cq_reader_stats(single, &single_stats), 0);
	assert_memory_equal(&stats, &single_stats, sizeof stats);
	cq_reader_close(single);
	cq_reader_close(reader);
	return batches;
}

static void equal_to_single_ones(void **state)
{
	static const char *const golden[] = { "v1-small",    "v2-small", "v2-killed",
		                              "v2-reopened", "v2-mixed", "v2-reader" };
	struct qs *q = *state;
	char dir[PATH_SIZE];

	qs_write(q, 0, 100); /* 31 to a segment, of 8 or 9 bytes */
	assert_int_equal(compare(q->dir, 1, 0), 100);
	assert_int_equal(compare(q->dir, MOST, 0), 4);
	assert_int_equal(compare(q->dir, 31, 0), 4);
	assert_int_equal(compare(q->dir, 30, 0), 7);
	assert_int_equal(compare(q->dir, MOST, 1), 100);
	assert_int_equal(compare(q->dir, MOST, 18),
	                 52); /* 10, then two at a time up to a segment's end */
	assert_int_equal(compare(q->dir, MOST, 10000), 4);
	for (size_t i = 0; i < sizeof golden / sizeof *golden; i++) {
		support_golden(dir, golden[i]);
		assert_true(compare(dir, MOST, 0) > 1);
		assert_true(compare(dir, 7, 50) > 5);
	}
}

/* Behind what is there nothing comes, until it is there. */
static void live(void **state)
{
	struct cq_record records[MOST];
	struct qs *q = *state;
	cq_reader *reader;

	qs_open(q);
	reader = open_reader(q->dir);
	assert_int_equal(cq_reader_next_batch(reader, records, MOST, 0), 0);
	qs_append(q->writer, 0, 3);
	assert_int_equal(cq_reader_next_batch(reader, records, MOST, 0), 3);
	assert_int_equal(cq_reader_next_batch(reader, records, MOST, 0), 0);
	qs_append(q->writer, 3, 40);
	assert_int_equal(cq_reader_next_batch(reader, records, MOST, 0), 28);
	assert_int_equal(cq_reader_wait(reader, 0), 1);
	assert_int_equal(cq_reader_next_batch(reader, records, 5, 0), 5);
	assert_int_equal(cq_reader_next(reader, records), 1);
	assert_int_equal(records[0].seq, 36);
	assert_int_equal(cq_reader_next_batch(reader, records, MOST, 0), 6);
	assert_int_equal(cq_reader_next_batch(reader, records, 0, 0), -EINVAL);
	assert_int_equal(cq_reader_next_batch(reader, records, SIZE_MAX, 0), -EINVAL);
	cq_reader_close(reader);
}

/* The payloads stay when the segment is deleted, and its successors. */
static void deleted_meanwhile(void **state)
{
	struct cq_record records[MOST];
	struct qs *q = *state;
	cq_reader *reader;
	char text[32];

	qs_open(q);
	qs_append(q->writer, 0, 100);
	reader = open_reader(q->dir);
	assert_int_equal(cq_reader_next_batch(reader, records, MOST, 0), 31);
	assert_int_equal(cq_writer_trim(q->writer, 90, 9), 2);
	for (unsigned i = 0; i < 31; i++) {
		int n = snprintf(text, sizeof text, "record %u", i);

		assert_int_equal(records[i].length, n);
		assert_memory_equal(records[i].payload, text, (size_t)n);
	}
	assert_int_equal(cq_reader_next_batch(reader, records, MOST, 0), -ENODATA);
	assert_int_equal(cq_reader_next_batch(reader, records, MOST, 0), 31);
	assert_int_equal(records[0].seq, 62);
	cq_reader_close(reader);
}

/* What is before a damaged record comes first; then the error, again and again. */
static void damaged(void **state)
{
	struct cq_record records[MOST];
	struct qs *q = *state;
	cq_reader *reader;

	qs_write(q, 0, 40);
	support_poke(q->dir, "000000000.q", 64 + 5 * 128 + 64, "!", 1);
	reader = open_reader(q->dir);
	assert_int_equal(cq_reader_next_batch(reader, records, MOST, 0), 5);
	for (int i = 0; i < 3; i++)
		assert_int_equal(cq_reader_next_batch(reader, records, MOST, 0), -EIO);
	assert_int_equal(cq_reader_next(reader, records), -EIO);
	assert_int_equal(cq_reader_skip_record(reader, NULL), 1);
	assert_int_equal(cq_reader_next_batch(reader, records, MOST, 0), 25);
	assert_int_equal(records[0].seq, 6);
	assert_int_equal(cq_reader_next_batch(reader, records, MOST, 0), 9);
	cq_reader_close(reader);
}

/* Padding between records is not delivered, and ends no batch. */
static void padding_in_between(void **state)
{
	const uint16_t pad = CQ_TYPE_PAD;
	struct cq_record records[MOST];
	struct qs *q = *state;
	char path[PATH_SIZE];
	cq_reader *reader;
	ssize_t n;

	support_golden(path, "v2-small");
	support_copy(path, q->dir);
	reader = open_reader(q->dir);
	n = cq_reader_next_batch(reader, records, 5, 0);
	assert_int_equal(n, 5);
	for (unsigned i = 0; i < 5; i += 2)
		support_poke(q->dir, "000000000.q",
		             records[i].offset + offsetof(struct cq_record_header, type), &pad,
		             sizeof pad);
	cq_reader_close(reader);
	reader = open_reader(q->dir);
	assert_int_equal(cq_reader_next_batch(reader, records, 4, 0), 4);
	assert_int_equal(records[0].seq, 1);
	assert_int_equal(records[1].seq, 3);
	assert_int_equal(records[2].seq, 5);
	assert_int_equal(records[3].seq, 6);
	/* the index names the first one, which is none any more */
	assert_int_equal(cq_reader_seek_seq(reader, 3), 0);
	assert_int_equal(cq_reader_next(reader, records), 1);
	assert_int_equal(records[0].seq, 3);
	cq_reader_close(reader);
	assert_true(compare(q->dir, MOST, 0) > 1);
	assert_true(compare(q->dir, 7, 50) > 5);
}

static const struct CMUnitTest tests[] = {
	QS_TEST(equal_to_single_ones), QS_TEST(live), QS_TEST(deleted_meanwhile), QS_TEST(damaged),
	QS_TEST(padding_in_between),
};

QS_MAIN(tests)
