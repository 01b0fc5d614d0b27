/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_hostile_data.c - false contents with right checksums
 *
 * Lengths, offsets and numbers in files are claims.  A program that trusted one would read or write outside
 * of a mapping, overflow, or give a sequence number twice.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "format/record.h"
#include "queue_support.h"
#include "write/writer.h"

#define COUNT(list) (sizeof(list) / sizeof(list)[0])
#define AT(record) (64 + (uint64_t)(record)*128)

/* ---- records ---- */

/* Changes the record header at `offset`, and corrects its checksum. */
static void forge(struct qs *q, const char *name, uint64_t offset,
                  void (*change)(struct cq_record_header *h, uint64_t value), uint64_t value)
{
	struct cq_record_header h;

	support_peek(q->dir, name, offset, &h, sizeof h);
	change(&h, value);
	h.header_crc = 0;
	if (h.ext == 1)
		h.header_crc = qs_crc32(&h, sizeof h);
	support_poke(q->dir, name, offset, &h, sizeof h);
}

static void set_commit(struct cq_record_header *h, uint64_t value)
{
	h->commit = (uint32_t)value;
}

static void set_seq(struct cq_record_header *h, uint64_t value)
{
	h->seq = value;
}

static void set_stream(struct cq_record_header *h, uint64_t value)
{
	h->stream_offset = value;
}

static void set_foreign_seq(struct cq_record_header *h, uint64_t value)
{
	memset(&h->ext, 0, sizeof *h - offsetof(struct cq_record_header, ext));
	h->seq = value;
}

static void set_pad(struct cq_record_header *h, uint64_t value)
{
	h->type = CQ_TYPE_PAD;
	h->commit = (uint32_t)value;
}

/* Record 10 is false: a reader and the stream give ten records, then EIO; verification finds damage. */
static void ten_records(struct qs *q)
{
	struct cq_verify_result result = CQ_SIZED(result);
	struct cq_record record;
	char bytes[4096];
	cq_reader *reader;
	cq_stream *stream;
	cq_queue *queue;

	assert_int_equal(cq_reader_open(q->dir, NULL, CQ_START_OLDEST, 0, &reader), 0);
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(cq_reader_next(reader, &record), 1);
	assert_int_equal(cq_reader_next(reader, &record), -EIO);
	assert_int_equal(cq_reader_next(reader, &record), -EIO);
	(void)cq_reader_seek_seq(reader, 15);
	(void)cq_reader_seek_time(reader, UINT64_MAX);
	(void)cq_reader_seek_stream(reader, UINT64_MAX, &(uint64_t){ 0 });
	cq_reader_close(reader);
	assert_int_equal(cq_queue_open(q->dir, &queue), 0);
	assert_int_equal(cq_stream_open(queue, &stream), 0);
	assert_true(cq_stream_pread(stream, bytes, sizeof bytes, 0) <= 80);
	assert_true(cq_stream_pread(stream, bytes, sizeof bytes, UINT64_MAX - 1) <= 0);
	cq_stream_close(stream);
	cq_queue_close(queue);
	assert_int_equal(cq_verify(q->dir, NULL, NULL, &result), 0);
	assert_true(result.damage > 0);
}

static void lengths_are_checked(void **state)
{
	static const uint64_t commits[] = { UINT32_MAX,       UINT32_MAX - 63,
		                            UINT32_MAX - 127, 0x80000000,
		                            QS_SIZE,          QS_SIZE - AT(10) - 62,
		                            QS_SIZE - 1024,   CQ_RECORD_VERSION + QS_SIZE * 16 };
	struct qs *q = *state;

	for (size_t i = 0; i < 2 * COUNT(commits); i++) {
		qs_killed_writer(q, 0, 20);
		forge(q, "000000000.q", AT(10), i % 2 ? set_pad : set_commit, commits[i / 2]);
		qs_other_boot(q->dir);
		ten_records(q);
		qs_open(q);
		assert_int_equal(qs_stats(q->writer).next_seq, 10);
		qs_append(q->writer, 10, 60);
		qs_close(q);
		qs_expect(q->dir, 0, 70);
		assert_true(support_exists(q->dir, "000000000.q.broken"));
		qs_anew(q);
	}
}

/* Recovery rejects a payload with a wrong checksum: the last one, and one before others. */
static void recovery_checks_payloads(void **state)
{
	struct qs *q = *state;

	for (unsigned bad = 5; bad < 20; bad += 14) {
		qs_killed_writer(q, 0, 20);
		support_poke(q->dir, "000000000.q", AT(bad) + 64, "R", 1);
		qs_other_boot(q->dir);
		qs_open(q);
		assert_int_equal(qs_stats(q->writer).next_seq, bad);
		qs_append(q->writer, bad, 60);
		qs_close(q);
		qs_expect(q->dir, 0, bad + 60);
		qs_anew(q);
	}
}

static void numbers_beyond_the_ceiling(void **state)
{
	static const uint64_t values[] = { UINT64_MAX, UINT64_MAX - 1, 1ULL << 63,
		                           CQ_COUNT_MAX + 1 };
	struct qs *q = *state;

	for (size_t i = 0; i < 2 * COUNT(values); i++) {
		qs_killed_writer(q, 0, 20);
		forge(q, "000000000.q", AT(10), i % 2 ? set_seq : set_stream, values[i / 2]);
		qs_other_boot(q->dir);
		ten_records(q);
		qs_write(q, 10, 60);
		qs_expect(q->dir, 0, 70);
		qs_anew(q);
	}
	/* chronicle-rs may give any number, but no next one can follow these */
	for (size_t i = 0; i < COUNT(values); i++) {
		struct cq_record record = { 0 };
		cq_reader *reader;

		qs_killed_writer(q, 0, 20);
		forge(q, "000000000.q", AT(19), set_foreign_seq, values[i]);
		qs_open(q);
		assert_int_equal(qs_stats(q->writer).next_seq, 19);
		qs_append(q->writer, 19, 60);
		qs_close(q);
		assert_int_equal(cq_reader_open(q->dir, NULL, CQ_START_OLDEST, 0, &reader), 0);
		for (unsigned n = 0; n < 80; n++)
			assert_int_equal(cq_reader_next(reader, &record), 1);
		assert_int_equal(record.seq, 78);
		assert_int_equal(cq_reader_next(reader, &record), 0);
		cq_reader_close(reader);
		qs_anew(q);
	}
}

/* ---- headers ---- */

static void poke_header(struct qs *q, const char *name, size_t at, uint64_t value)
{
	struct cq_segment_header h;

	support_peek(q->dir, name, 0, &h, sizeof h);
	memcpy((char *)&h + at, &value, sizeof value);
	h.ext_crc = qs_crc32(&h.stream_base, sizeof h - 24);
	support_poke(q->dir, name, 0, &h, sizeof h);
}

static void impossible_headers(void **state)
{
	static const size_t fields[] = { 24, 32, 40, 48, 56 }; /* stream_base ... payload_bytes */
	static const uint64_t values[] = { UINT64_MAX, 1ULL << 63, CQ_COUNT_MAX + 64, 1ULL << 33 };
	struct qs *q = *state;

	for (size_t i = 0; i < COUNT(fields) * COUNT(values); i++) {
		uint64_t begin, end, skip;
		cq_reader *reader;
		cq_stream *stream;
		cq_queue *queue;
		char byte;

		qs_write(q, 0, 70);
		poke_header(q, "000000001.q", fields[i / COUNT(values)], values[i % COUNT(values)]);
		assert_int_equal(cq_reader_open(q->dir, NULL, CQ_START_OLDEST, 0, &reader), 0);
		(void)cq_reader_seek_seq(reader, 50);
		(void)cq_reader_seek_seq(reader, UINT64_MAX);
		(void)cq_reader_seek_stream(reader, 500, &skip);
		(void)cq_reader_seek_stream(reader, UINT64_MAX, &skip);
		cq_reader_close(reader);
		assert_int_equal(cq_queue_open(q->dir, &queue), 0);
		assert_int_equal(cq_stream_open(queue, &stream), 0);
		if (cq_stream_extent(stream, &begin, &end) == 0) {
			assert_true(begin <= end);
			for (uint64_t at = begin; at < end && at < 2000; at += 10)
				(void)cq_stream_pread(stream, &byte, 1, at);
			(void)cq_stream_next_hole(stream, begin, &skip);
			(void)cq_stream_next_data(stream, end > 0 ? end - 1 : 0, &skip);
		}
		cq_stream_close(stream);
		cq_queue_close(queue);
		assert_int_equal(cq_verify(q->dir, NULL, NULL, NULL), 0);
		qs_open(q); /* recovery does not read it: it is sealed, and below the watermark */
		assert_int_equal(qs_stats(q->writer).next_seq, 70);
		qs_append(q->writer, 70, 40);
		(void)cq_writer_trim(q->writer, 65, 10);
		qs_close(q);
		qs_anew(q);
	}
}

/* The newest record has almost the last number: no number is given twice, and an append fails when none is left. */
static void numbers_used_up(void **state)
{
	struct qs *q = *state;

	qs_killed_writer(q, 0, 1);
	forge(q, "000000000.q", AT(0), set_seq, CQ_COUNT_MAX - 3);
	poke_header(q, "000000000.q", 32, CQ_COUNT_MAX - 3);
	qs_open(q);
	assert_int_equal(qs_stats(q->writer).next_seq, CQ_COUNT_MAX - 2);
	assert_int_equal(cq_writer_append(q->writer, 1, "x", 1, NULL), 0);
	assert_int_equal(cq_writer_append(q->writer, 1, "x", 1, NULL), 0);
	assert_int_equal(cq_writer_append(q->writer, 1, "x", 1, NULL), -EOVERFLOW);
	qs_close(q);
	qs_open(q);
	assert_int_equal(qs_stats(q->writer).next_seq, CQ_COUNT_MAX);
	assert_int_equal(cq_writer_append(q->writer, 1, "x", 1, NULL), -EOVERFLOW);
	qs_close(q);
}

/* ---- the files that point into segments ---- */

/* An epoch that wraps around would make the next recovery take new records for old ones. */
static void epochs_of_control(void **state)
{
	static const uint64_t epochs[] = { UINT32_MAX - 1, UINT32_MAX, UINT64_MAX, 1ULL << 32,
		                           CQ_EPOCH_HINT_MAX };
	struct qs *q = *state;

	for (size_t i = 0; i < COUNT(epochs); i++) {
		qs_killed_writer(q, 0, 5);
		for (unsigned first = 5; first < 30; first += 5) {
			support_poke(q->dir, "control.meta", 16, &epochs[i], sizeof epochs[i]);
			qs_killed_writer(q, first, 5);
		}
		qs_open(q);
		assert_int_equal(qs_stats(q->writer).next_seq, 30);
		qs_close(q);
		qs_expect(q->dir, 0, 30);
		qs_anew(q);
	}
}

/* The highest epoch is in a record. */
static void highest_epoch(void **state)
{
	struct qs *q = *state;
	struct cq_record_header h;

	qs_killed_writer(q, 0, 5);
	support_peek(q->dir, "000000000.q", AT(4), &h, sizeof h);
	h.epoch = UINT32_MAX;
	h.header_crc = 0;
	h.header_crc = qs_crc32(&h, sizeof h);
	support_poke(q->dir, "000000000.q", AT(4), &h, sizeof h);
	qs_killed_writer(q, 5, 5);
	qs_killed_writer(q, 10, 5);
	qs_expect(q->dir, 0, 15);
}

static void false_control_files(void **state)
{
	/* segment_size, current_segment, write_offset, heartbeat, waiters */
	static const size_t fields[] = { 24, 132, 256, 264, 388 };
	static const uint64_t values[] = {
		0, 1, 63, UINT32_MAX, UINT64_MAX, 1ULL << 63, 999999999
	};
	struct qs *q = *state;

	for (size_t i = 0; i < COUNT(fields) * COUNT(values); i++) {
		struct cq_queue_info info = CQ_SIZED(info);
		struct cq_record record;
		cq_reader *reader;
		cq_queue *queue;

		qs_killed_writer(q, 0, 70);
		support_poke(q->dir, "control.meta", fields[i / COUNT(values)],
		             &values[i % COUNT(values)], fields[i / COUNT(values)] == 388 ? 4 : 8);
		assert_int_equal(cq_reader_open(q->dir, NULL, CQ_START_OLDEST, 0, &reader), 0);
		for (unsigned n = 0; n < 70; n++)
			assert_int_equal(cq_reader_next(reader, &record), 1);
		assert_int_equal(cq_reader_next(reader, &record), 0);
		cq_reader_close(reader);
		assert_int_equal(cq_queue_open(q->dir, &queue), 0);
		assert_int_equal(cq_queue_info(queue, &info), 0);
		assert_int_equal(info.segment_size, QS_SIZE);
		cq_queue_close(queue);
		qs_write(q, 70, 40);
		qs_expect(q->dir, 0, 110);
		qs_anew(q);
	}
}

/* An impossible watermark is ignored.  A possible one behind the last record means a loss: the open is refused,
 * and changes nothing. */
static void false_watermarks(void **state)
{
	static const uint64_t impossible[][3] = {
		{ 1000000001, 64, 0 },
		{ UINT64_MAX, 64, 0 },
		{ 0, 65, 0 },
		{ 0, UINT64_MAX - 63, 0 },
		{ 0, 64, UINT64_MAX },
		{ 1ULL << 32, 64, 0 },
		{ 0, CQ_FORMAT_SIZE_MAX + 64, 0 },
	};
	static const uint64_t beyond[][3] = { { 1000000000, 64, 5 },
		                              { 999999999, CQ_FORMAT_SIZE_MAX, CQ_COUNT_MAX },
		                              { 40, 64, 0 },
		                              { 0, AT(21), 21 } };
	struct qs *q = *state;

	for (size_t i = 0; i < COUNT(impossible); i++) {
		qs_killed_writer(q, 0, 20);
		qs_mark(q->dir, impossible[i][0], impossible[i][1], impossible[i][2]);
		qs_write(q, 20, 40);
		qs_expect(q->dir, 0, 60);
		qs_anew(q);
	}
	for (size_t i = 0; i < COUNT(beyond); i++) {
		qs_killed_writer(q, 0, 20);
		qs_mark(q->dir, beyond[i][0], beyond[i][1], beyond[i][2]);
		assert_int_equal(qs_try_open(q), -EBADMSG);
		q->config.accept_loss = true;
		qs_open(q);
		q->config.accept_loss = false;
		qs_append(q->writer, 20, 20); /* a reader reaches them */
		qs_close(q);
		qs_write(q, 40, 20);
		qs_expect(q->dir, 0, 60);
		qs_anew(q);
	}
}

static const struct CMUnitTest tests[] = {
	QS_TEST(lengths_are_checked),
	QS_TEST(recovery_checks_payloads),
	QS_TEST(numbers_beyond_the_ceiling),
	QS_TEST(impossible_headers),
	QS_TEST(numbers_used_up),
	QS_TEST(epochs_of_control),
	QS_TEST(highest_epoch),
	QS_TEST(false_control_files),
	QS_TEST(false_watermarks),
};

QS_MAIN(tests)
