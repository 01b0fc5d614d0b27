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

#include "catalog/locate.h"
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
	cq_control_close(&reader->control); /* it does not see the writer's */
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
	cq_control_close(&reader->control); /* it does not see the writer's */
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
		cq_control_close(&reader->control); /* it does not see the writer's */
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

/* ---- the writer's, in control.meta ---- */

/* How many records before `seq` a seek of a new reader begins; the landmark is a record with a number up to seq. */
static uint64_t begins_before(cq_reader *fresh, uint64_t seq)
{
	const uint64_t offset = cq_locate_landmark(&fresh->control, &fresh->mapped, seq);
	struct cq_record_header h;

	if (offset == 0)
		return seq;
	assert_int_equal(cq_mapped_header(&fresh->mapped, offset, &h), 1);
	assert_true(h.seq <= seq);
	return seq - h.seq;
}

/* A new reader of this queue, and one that does not see the landmarks. */
static void open_two(struct qs *q, cq_reader **ret_with, cq_reader **ret_without)
{
	assert_int_equal(cq_reader_open(q->dir, NULL, CQ_START_OLDEST, 0, ret_with), 0);
	assert_int_equal(cq_reader_open(q->dir, NULL, CQ_START_OLDEST, 0, ret_without), 0);
	cq_control_close(&(*ret_without)->control);
}

static void same_seeks(struct qs *q, unsigned count)
{
	cq_reader *with, *without;
	unsigned random = 5;

	for (unsigned i = 0; i < 40; i++) {
		const uint64_t seq = i < 20 ? count - i : (uint64_t)rand_r(&random) % (count + 10);

		open_two(q, &with, &without);
		assert_int_equal(cq_reader_seek_seq(with, seq), 0);
		assert_int_equal(cq_reader_seek_seq(without, seq), 0);
		same_place(with, without);
		cq_reader_close(with);
		cq_reader_close(without);
	}
}

static void told_by_the_writer(void **state)
{
	struct cq_queue_info info = CQ_SIZED(info);
	struct qs *q = *state;
	struct cq_record record;
	cq_reader *fresh;
	cq_queue *queue;

	q->config.segment_size = SIZE;
	qs_open(q);
	fill(q, COUNT);
	assert_int_equal(cq_reader_open(q->dir, NULL, CQ_START_OLDEST, 0, &fresh), 0);
	for (uint64_t behind = 1; behind < COUNT; behind += behind / 8 + 1)
		assert_true(begins_before(fresh, COUNT - behind) <= 4 * behind + 8192);
	cq_reader_close(fresh);
	same_seeks(q, COUNT);
	for (unsigned i = 0; i < 2; i++) { /* the writer appends them, or finds them */
		assert_int_equal(cq_queue_open(q->dir, &queue), 0);
		assert_int_equal(cq_queue_info(queue, &info), 0);
		cq_queue_close(queue);
		assert_int_equal(info.next_seq, COUNT);
		assert_int_equal(info.stream_end, qs_stats(q->writer).stream_end);
		assert_int_equal(cq_reader_open(q->dir, NULL, CQ_START_LATEST, 0, &fresh), 0);
		assert_true(begins_before(fresh, COUNT) <= 4096);
		assert_int_equal(cq_reader_next(fresh, &record), 0);
		assert_int_equal(fresh->offset, qs_stats(q->writer).offset);
		cq_reader_close(fresh);
		if (i == 0) {
			qs_close(q);
			qs_open(q);
		}
	}
	assert_int_equal(cq_reader_open(q->dir, NULL, CQ_START_LATEST, 0, &fresh), 0);
	assert_int_equal(cq_writer_roll(q->writer), 0);
	assert_int_equal(cq_locate_landmark(&fresh->control, &fresh->mapped, UINT64_MAX), 0);
	fill(q, 10000);
	assert_int_equal(cq_locate_landmark(&fresh->control, &fresh->mapped, UINT64_MAX), 0);
	cq_reader_close(fresh);
	same_seeks(q, COUNT + 10000);
}

/* Whatever is in their place, the seeks find the same. */
static void landmarks_that_are_wrong(void **state)
{
	struct cq_control_page *page;
	struct qs *q = *state;
	cq_reader *reader;
	unsigned random = 3;

	q->config.segment_size = SIZE;
	qs_open(q);
	fill(q, 20000);
	page = q->writer->control.page;
	assert_int_equal(cq_reader_open(q->dir, NULL, CQ_START_OLDEST, 0, &reader), 0);
	/* those of another segment, as chronicle-rs leaves them behind when it rolls */
	assert_true(cq_locate_landmark(&reader->control, &reader->mapped, UINT64_MAX) > 0);
	page->landmarks_of = 7;
	assert_int_equal(cq_locate_landmark(&reader->control, &reader->mapped, UINT64_MAX), 0);
	page->landmarks_of = 1;
	page->segment_gen++;
	assert_int_equal(cq_locate_landmark(&reader->control, &reader->mapped, UINT64_MAX), 0);
	page->segment_gen++;
	for (unsigned i = 0; i < CQ_CONTROL_LANDMARKS; i++) /* the number of another record */
		page->landmarks[i] += page->landmarks[i] > 0;
	assert_int_equal(cq_locate_landmark(&reader->control, &reader->mapped, UINT64_MAX), 0);
	for (unsigned round = 0; round < 5; round++) {
		for (unsigned i = 0; i < CQ_CONTROL_LANDMARKS; i++)
			page->landmarks[i] =
				(uint64_t)rand_r(&random) << 33 | (uint64_t)rand_r(&random);
		page->landmarks[round] = UINT64_MAX - round;
		same_seeks(q, 20000);
	}
	cq_reader_close(reader);
}

/* A power cut keeps control.meta, and takes a page from the segment: until a writer has opened the queue again, the
 * records behind the hole are none.  A reader behind it would not see those that are written in their place. */
static void after_a_power_cut(void **state)
{
	struct cq_queue_info info = CQ_SIZED(info);
	const uint32_t none = 0;
	struct qs *q = *state;
	struct cq_record hole;
	cq_reader *reader;
	cq_queue *queue;
	uint32_t word;
	uint8_t *at;

	q->config.segment_size = SIZE;
	qs_open(q);
	fill(q, 20000);
	assert_int_equal(cq_reader_open(q->dir, NULL, CQ_START_OLDEST, 0, &reader), 0);
	assert_int_equal(cq_reader_seek_seq(reader, 10000), 0);
	assert_int_equal(cq_reader_next(reader, &hole), 1);
	cq_reader_close(reader);
	at = q->writer->current->map.base + hole.offset;
	memcpy(&word, at, sizeof word);
	memcpy(at, &none, sizeof none);
	q->writer->control.page->boot_id[0] ^= 1;

	assert_int_equal(cq_queue_open(q->dir, &queue), 0);
	assert_int_equal(cq_queue_info(queue, &info), 0);
	cq_queue_close(queue);
	assert_int_equal(info.next_seq, 10000);
	assert_int_equal(info.stream_end, hole.stream_offset);
	assert_int_equal(cq_reader_open(q->dir, NULL, CQ_START_LATEST, 0, &reader), 0);
	assert_int_equal(reader->offset, hole.offset);
	assert_int_equal(cq_reader_seek_seq(reader, 15000), 0);
	assert_int_equal(reader->offset, hole.offset);
	cq_reader_close(reader);
	memcpy(at, &word, sizeof word);
}

static const struct CMUnitTest tests[] = {
	QS_TEST(live_segment),
	QS_TEST(wrong_places),
	QS_TEST(numbers_that_repeat),
	QS_TEST(told_by_the_writer),
	QS_TEST(landmarks_that_are_wrong),
	QS_TEST(after_a_power_cut),
};

QS_MAIN(tests)
