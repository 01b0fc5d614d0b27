/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_landmarks.c - seeks by number in the segment that is being written, from where the reader is or has been
 *
 * They find what a new reader finds, which begins at the first record.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "format/record.h"
#include "queue_support.h"
#include "read/reader.h"
#include "write/writer.h"

#define SIZE (64U << 20)
#define COUNT 300000U /* more than 64 landmarks of 4096 records */
#define BATCH 256U

static void fill(struct qs *q, unsigned count)
{
	struct cq_message messages[BATCH];

	for (unsigned i = 0; i < BATCH; i++)
		messages[i] = (struct cq_message){ "payload", i % 8, CQ_TYPE_DEFAULT };
	for (unsigned n; count > 0; count -= n) {
		n = count < BATCH ? count : BATCH;
		assert_int_equal(cq_writer_append_batch(q->writer, messages, n, NULL), n);
	}
}

static void read_all(cq_reader *reader)
{
	struct cq_record records[BATCH];
	ssize_t n;

	while ((n = cq_reader_next_batch(reader, records, BATCH, 0)) > 0)
		;
	assert_int_equal(n, 0);
}

/* Both are at the same place now. */
static void same_place(cq_reader *a, cq_reader *b)
{
	struct cq_record x, y;
	const int r = cq_reader_next(a, &x);

	assert_int_equal(cq_reader_next(b, &y), r);
	if (r == 0)
		return;
	assert_int_equal(x.seq, y.seq);
	assert_int_equal(x.segment, y.segment);
	assert_int_equal(x.offset, y.offset);
}

static void compare(struct qs *q, cq_reader *reader, uint64_t seq)
{
	cq_reader *fresh;

	assert_int_equal(cq_reader_open(q->dir, NULL, CQ_START_OLDEST, 0, &fresh), 0);
	assert_int_equal(cq_reader_seek_seq(reader, seq), 0);
	assert_int_equal(cq_reader_seek_seq(fresh, seq), 0);
	same_place(reader, fresh);
	cq_reader_close(fresh);
}

static void live_segment(void **state)
{
	struct qs *q = *state;
	cq_reader *reader;
	unsigned random = 1;

	q->config.segment_size = SIZE;
	qs_open(q);
	fill(q, COUNT);
	assert_int_equal(qs_stats(q->writer).segment, 0);
	assert_int_equal(cq_reader_open(q->dir, NULL, CQ_START_OLDEST, 0, &reader), 0);
	/* from its own place */
	assert_int_equal(cq_reader_seek_seq(reader, 1000), 0);
	assert_int_equal(cq_landmarks_before(reader, &reader->mapped, 999), 0);
	assert_int_equal(cq_landmarks_before(reader, &reader->mapped, 1000), reader->offset);
	assert_int_equal(cq_landmarks_before(reader, &reader->mapped, COUNT), reader->offset);
	compare(q, reader, 999);
	compare(q, reader, 5000);
	/* from where it has been: not further away than the stride, and never at the first record only */
	read_all(reader);
	assert_in_range(reader->landmarks.count, CQ_LANDMARKS / 2, CQ_LANDMARKS);
	for (unsigned i = 0; i < 40; i++) {
		struct cq_record_header h;
		uint64_t seq, place;

		random = random * 1103515245 + 12345;
		seq = random % COUNT;
		read_all(reader);
		place = cq_landmarks_before(reader, &reader->mapped, seq);
		assert_true(seq < 3 * 4096 || place > 64);
		if (place > 0) {
			assert_int_equal(cq_mapped_header(&reader->mapped, place, &h), 1);
			assert_in_range(h.seq, seq < 4 * 4096 ? 0 : seq - 4 * 4096, seq);
		}
		compare(q, reader, seq);
	}
	compare(q, reader, COUNT - 1);
	compare(q, reader, COUNT);
	compare(q, reader, UINT64_MAX);
	/* it follows a roll: the next segment has places of its own */
	assert_int_equal(cq_writer_roll(q->writer), 0);
	fill(q, 10000);
	read_all(reader);
	assert_int_equal(reader->landmarks.segment, 1);
	compare(q, reader, COUNT + 5000);
	compare(q, reader, COUNT + 9999);
	compare(q, reader, 70000);
	cq_reader_close(reader);
}

/* Nothing is believed that is not there any more. */
static void wrong_places(void **state)
{
	struct qs *q = *state;
	struct cq_record_header h;
	uint64_t last;
	cq_reader *reader;

	q->config.segment_size = SIZE;
	qs_open(q);
	fill(q, 20000);
	assert_int_equal(cq_reader_open(q->dir, NULL, CQ_START_OLDEST, 0, &reader), 0);
	read_all(reader);
	assert_int_equal(reader->landmarks.count, 5);
	reader->landmarks.at[4].offset += 64; /* another record, or none */
	reader->landmarks.at[3].offset = 0;
	reader->landmarks.at[2].offset = SIZE;
	reader->landmarks.at[1].seq++;
	compare(q, reader, 19000);
	assert_int_equal(cq_reader_seek_seq(reader, 0), 0);
	assert_int_equal(cq_landmarks_before(reader, &reader->mapped, 19000), 64);
	/* a record that has become padding leads nowhere */
	read_all(reader);
	last = reader->landmarks.at[reader->landmarks.count - 1].offset;
	support_peek(q->dir, "000000000.q", last, &h, sizeof h);
	h.type = CQ_TYPE_PAD;
	h.header_crc = cq_record_header_crc(&h, h.commit);
	support_poke(q->dir, "000000000.q", last, &h, sizeof h);
	compare(q, reader, 19000);
	cq_reader_close(reader);
}

/* A queue of chronicle-rs in which numbers begin again, that we have continued: every number, from everywhere. */
static void numbers_that_repeat(void **state)
{
	static const char *const golden[] = { "v2-small", "v2-reopened" };
	struct qs *q = *state;
	char from[PATH_SIZE];
	cq_reader *reader;

	q->config.segment_size = 0;
	for (size_t i = 0; i < sizeof golden / sizeof *golden; i++) {
		qs_anew(q);
		support_golden(from, golden[i]);
		support_copy(from, q->dir);
		qs_open(q);
		qs_append(q->writer, 0, 20);
		assert_int_equal(cq_reader_open(q->dir, NULL, CQ_START_OLDEST, 0, &reader), 0);
		for (uint64_t at = 0; at < 70; at += 3) {
			for (uint64_t seq = 0; seq < 70; seq += 2) {
				assert_int_equal(cq_reader_seek_seq(reader, at), 0);
				compare(q, reader, seq);
			}
			read_all(reader);
		}
		cq_reader_close(reader);
		qs_close(q);
	}
}

static const struct CMUnitTest tests[] = {
	QS_TEST(live_segment),
	QS_TEST(wrong_places),
	QS_TEST(numbers_that_repeat),
};

QS_MAIN(tests)
