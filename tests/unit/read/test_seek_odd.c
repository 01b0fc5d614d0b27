/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_seek_odd.c - a reader goes to a place that cannot be read, that is not there any more, or that only
 * control.meta names
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "format/format.h"
#include "format/record.h"
#include "os/fault.h"
#include "queue_support.h"
#include "write/writer.h"

#define AT(record) (64 + (uint64_t)((record) % 31) * 128)
#define NAME(id) "00000000" #id ".q"

static void expect_seq(cq_reader *reader, uint64_t seq)
{
	struct cq_record record;

	assert_int_equal(cq_reader_next(reader, &record), 1);
	assert_int_equal(record.seq, seq);
}

static void expect(cq_reader *reader, int result)
{
	struct cq_record record;

	assert_int_equal(cq_reader_next(reader, &record), result);
}

/* Segments 0 and 1 with 31 records each, 2 with eight; reader "log" has committed `count` of them. */
static void make(struct qs *q, unsigned count)
{
	cq_reader *reader;

	qs_open(q);
	qs_append(q->writer, 0, 70);
	qs_close(q);
	assert_int_equal(cq_reader_open(q->dir, "log", CQ_START_OLDEST, 0, &reader), 0);
	for (unsigned i = 0; i < count; i++)
		expect_seq(reader, i);
	assert_int_equal(cq_reader_commit(reader), 0);
	cq_reader_close(reader);
}

static cq_reader *resume(struct qs *q)
{
	cq_reader *reader = NULL;

	assert_int_equal(cq_reader_open(q->dir, "log", CQ_START_RESUME, 0, &reader), 0);
	return reader;
}

/* The segment of its position has lost its header: the open succeeds, reading reports it, and the reader
 * can skip it. */
static void resumed_in_a_damaged_segment(void **state)
{
	struct qs *q = *state;
	cq_reader *reader;

	make(q, 35);
	support_poke(q->dir, NAME(1), 0, "X", 1);
	reader = resume(q);
	expect(reader, -EBADMSG);
	assert_int_equal(cq_reader_skip_segment(reader), 1);
	expect_seq(reader, 62);
	cq_reader_close(reader);
}

/* The same of the oldest one, for a reader that begins there. */
static void beginning_in_a_damaged_segment(void **state)
{
	struct qs *q = *state;
	cq_reader *reader;

	make(q, 0);
	support_poke(q->dir, NAME(0), 0, "X", 1);
	assert_int_equal(cq_reader_open(q->dir, NULL, CQ_START_OLDEST, 0, &reader), 0);
	expect(reader, -EBADMSG);
	assert_int_equal(cq_reader_skip_segment(reader), 1);
	expect_seq(reader, 31);
	assert_int_equal(cq_reader_seek_oldest(reader), 0);
	expect(reader, -EBADMSG);
	cq_reader_close(reader);
}

/* A segment between others has a header of zeros (after a power cut, say): a seek cannot look into it, and
 * is an error.  It does not go to the beginning. */
static void over_a_segment_without_a_header(void **state)
{
	struct qs *q = *state;
	cq_reader *reader;
	uint64_t skip;

	make(q, 0);
	assert_int_equal(cq_reader_open(q->dir, NULL, CQ_START_LATEST, 0, &reader), 0);
	assert_int_equal(cq_reader_seek_seq(reader, 65), 0);
	expect_seq(reader, 65);
	qs_zero(q->dir, NAME(1), 0, 64);
	assert_int_equal(cq_reader_seek_seq(reader, 40), -EBADMSG);
	expect_seq(reader, 66);
	assert_int_equal(cq_reader_seek_time(reader, 1), -EBADMSG);
	expect_seq(reader, 67);
	assert_int_equal(cq_reader_seek_stream(reader, 400, &skip), -EBADMSG);
	expect_seq(reader, 68);
	assert_int_equal(cq_reader_seek_end(reader), 0);
	expect(reader, 0);
	cq_reader_close(reader);
}

/* An index that is not of this segment's records, or of a segment whose seal a power cut took: each seek by number
 * finds the right record. */
static void by_a_wrong_index(void **state)
{
	static const uint64_t offsets[] = { 12, 40, 48, 80, 88, 96 };
	struct cq_record_header record;
	struct qs *q = *state;
	cq_reader *reader;

	make(q, 0);
	assert_true(support_exists(q->dir, "000000000.idx"));
	assert_int_equal(cq_reader_open(q->dir, NULL, CQ_START_LATEST, 0, &reader), 0);
	for (size_t i = 0; i < sizeof offsets / sizeof offsets[0]; i++) {
		const uint32_t word = qs_peek32(q->dir, "000000000.idx", offsets[i]);
		const uint32_t wrong[] = { word + 1, word - 1, word + 64, word };

		for (size_t k = 0; k < 4; k++) {
			support_poke(q->dir, "000000000.idx", offsets[i], &wrong[k], 4);
			for (uint64_t seq = 0; seq < 70; seq += 5) {
				assert_int_equal(cq_reader_seek_seq(reader, seq), 0);
				expect_seq(reader, seq);
			}
		}
	}
	/* the record that it names is none any more */
	support_peek(q->dir, NAME(0), AT(0), &record, sizeof record);
	record.type = CQ_TYPE_PAD;
	record.header_crc = cq_record_header_crc(&record, record.commit);
	support_poke(q->dir, NAME(0), AT(0), &record, sizeof record);
	assert_int_equal(cq_reader_seek_seq(reader, 5), 0);
	expect_seq(reader, 5);
	qs_unseal(q->dir, 0);
	for (uint64_t seq = 1; seq < 70; seq += 5) {
		assert_int_equal(cq_reader_seek_seq(reader, seq), 0);
		expect_seq(reader, seq);
	}
	cq_reader_close(reader);
}

/* The last segment is sealed, and has no summary to say where its records end. */
static void to_an_end_that_nothing_tells(void **state)
{
	struct cq_reader_stats stats = CQ_SIZED(stats);
	struct qs *q = *state;
	cq_reader *reader;

	make(q, 0);
	assert_int_equal(unlinkat(q->dirfd, NAME(1), 0), 0);
	assert_int_equal(unlinkat(q->dirfd, NAME(2), 0), 0);
	qs_zero(q->dir, NAME(0), 16, 64);
	assert_int_equal(cq_reader_open(q->dir, NULL, CQ_START_OLDEST, 0, &reader), 0);
	assert_int_equal(cq_reader_seek_end(reader), 0);
	assert_int_equal(cq_reader_stats(reader, &stats), 0);
	assert_int_equal(stats.segment, 0);
	assert_int_equal(stats.offset, 64 + 31 * 128);
	expect(reader, 0);
	cq_reader_close(reader);
}

/* A reader has nothing to skip where a record is sound, or where it has an error to tell first. */
static void skipped_alone(void **state)
{
	struct cq_record_header record;
	struct qs *q = *state;
	cq_reader *reader;

	make(q, 0);
	reader = resume(q);
	assert_int_equal(cq_reader_skip_record(reader, NULL), 0);
	/* padding in the middle: no record to skip, and one is missing then */
	assert_int_equal(cq_reader_seek_seq(reader, 4), 0);
	expect_seq(reader, 4);
	support_peek(q->dir, NAME(0), AT(5), &record, sizeof record);
	record.type = CQ_TYPE_PAD;
	record.header_crc = cq_record_header_crc(&record, record.commit);
	support_poke(q->dir, NAME(0), AT(5), &record, sizeof record);
	assert_int_equal(cq_reader_skip_record(reader, NULL), 0);
	expect(reader, -EIO);
	assert_int_equal(cq_reader_seek_seq(reader, 6), 0);
	for (unsigned i = 6; i < 31; i++)
		expect_seq(reader, i);
	support_poke(q->dir, NAME(1), 0, "X", 1);
	assert_int_equal(cq_reader_wait(reader, 0), 1);
	assert_int_equal(cq_reader_skip_record(reader, NULL), 0);
	expect(reader, -EBADMSG);
	cq_reader_close(reader);
}

#ifdef CQ_FAULTS
/* The segment cannot be mapped just now; the reader is at its beginning or in its middle: no record comes
 * twice, and none is skipped. */
static void resumed_where_it_cannot_be_read(void **state)
{
	static const unsigned counts[] = { 0, 31, 35, 70 };
	struct qs *q = *state;
	cq_reader *reader;

	for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
		bool given = true;

		qs_anew(q);
		make(q, counts[i]);
		for (int skip = 0; given; skip++) {
			struct cq_record record;
			int r;

			cq_fault_forget();
			cq_fault_set("map", EIO, skip, 1);
			reader = resume(q);
			r = cq_reader_next(reader, &record);
			cq_fault_set(NULL, 0, 0, 0);
			given = cq_fault_given() > 0;
			assert_true(r >= 0 || given);
			if (r > 0)
				assert_int_equal(record.seq, counts[i]);
			for (unsigned seq = counts[i] + (r > 0); seq < 70; seq++)
				expect_seq(reader, seq);
			expect(reader, 0);
			cq_reader_close(reader);
		}
	}
}
#endif

/* All that was ever written has been trimmed: a seek to a byte of it says so, and the reader is where the
 * next record comes. */
static void byte_of_a_trimmed_queue(void **state)
{
	struct qs *q = *state;
	cq_reader *reader;
	uint64_t skip = 77;

	qs_open(q);
	qs_append(q->writer, 0, 40);
	assert_int_equal(cq_writer_roll(q->writer), 0);
	assert_int_equal(cq_writer_trim(q->writer, UINT64_MAX, 10), 2);
	assert_int_equal(cq_reader_open(q->dir, NULL, CQ_START_OLDEST, 0, &reader), 0);
	assert_int_equal(cq_reader_seek_stream(reader, 5, &skip), -ENODATA);
	assert_int_equal(skip, 77);
	expect(reader, 0);
	qs_append(q->writer, 40, 1);
	expect_seq(reader, 40);
	cq_reader_close(reader);
}

/* control.meta says that the writer is further on, but there is no segment: the reader stays where it is
 * until there is one. */
static void control_alone_is_not_followed(void **state)
{
	static const uint32_t far = 7;
	struct qs *q = *state;
	cq_reader *reader;

	qs_killed_writer(q, 0, 5);
	support_poke(q->dir, "control.meta", offsetof(struct cq_control_page, current_segment),
	             &far, sizeof far);
	assert_int_equal(unlinkat(q->dirfd, NAME(1), 0), 0);
	assert_int_equal(cq_reader_open(q->dir, NULL, CQ_START_OLDEST, 0, &reader), 0);
	for (unsigned i = 0; i < 5; i++)
		expect_seq(reader, i);
	expect(reader, 0);
	qs_write_file(q->dir, NAME(1), "rubbish", 7);
	expect(reader, 0);
	assert_int_equal(unlinkat(q->dirfd, NAME(1), 0), 0);
	qs_open(q);
	qs_append(q->writer, 5, 40);
	for (unsigned i = 5; i < 45; i++)
		expect_seq(reader, i);
	expect(reader, 0);
	cq_reader_close(reader);
}

static const struct CMUnitTest tests[] = {
	QS_TEST(resumed_in_a_damaged_segment),
	QS_TEST(beginning_in_a_damaged_segment),
	QS_TEST(over_a_segment_without_a_header),
	QS_TEST(by_a_wrong_index),
	QS_TEST(skipped_alone),
	QS_TEST(to_an_end_that_nothing_tells),
#ifdef CQ_FAULTS
	QS_TEST(resumed_where_it_cannot_be_read),
#endif
	QS_TEST(byte_of_a_trimmed_queue),
	QS_TEST(control_alone_is_not_followed),
};

QS_MAIN(tests)
