/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_behind.c - which records are found behind the end of a queue, and which of them are the rest of a run
 * that a writer was killed in (check/behind.c); the numbers that follow a segment (check/number.c)
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "check/internal.h"
#include "format/put.h"
#include "queue_support.h"

#define SIZE 4096U
#define LENGTH 50U
#define SPAN 128U /* of a record with such a payload */

/* ---- what is found ---- */

struct place {
	uint64_t offset, seq, time;
	uint32_t epoch;
	uint64_t stream;
};

static void put(uint8_t *bytes, struct place at)
{
	uint8_t payload[LENGTH];

	memset(payload, (int)at.seq, sizeof payload);
	cq_put_record(bytes + at.offset, CQ_RECORD_VERSION, at.seq, at.time, CQ_TYPE_DEFAULT,
	              at.stream, at.epoch, payload, LENGTH);
	cq_commit_store(bytes + at.offset, LENGTH + 1);
}

/* Behind a record at 64, with number 10, time 5, epoch 1, and its payload at 100. */
static void second_record(void **state)
{
	static const struct {
		const char *name;
		struct place at;
		uint64_t records;
		bool one_run;
	} cases[] = {
		{ "the next one", { 192, 11, 5, 1, 150 }, 2, true },
		{ "another time", { 192, 11, 6, 1, 150 }, 2, false },
		{ "a number too high", { 192, 12, 5, 1, 150 }, 2, false },
		{ "another epoch", { 192, 11, 5, 2, 150 }, 2, false },
		{ "another stream offset", { 192, 11, 5, 1, 151 }, 2, false },
		{ "an empty record is missing", { 256, 12, 5, 1, 150 }, 2, false },
		{ "a missing record without room", { 256, 12, 5, 1, 151 }, 1, true },
		{ "missing records without room", { 256, 13, 5, 1, 150 }, 1, true },
		{ "a stream offset before the first", { 256, 12, 5, 1, 149 }, 1, true },
		{ "a gap without a missing record", { 256, 11, 5, 1, 150 }, 1, true },
		{ "a number too low", { 192, 10, 5, 1, 150 }, 1, true },
		{ "an epoch too low", { 192, 11, 5, 0, 150 }, 1, true },
	};
	struct qs *q = *state;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct cq_behind_from from = { .offset = 64 };
		struct cq_behind behind = { .records = 0 };
		uint8_t bytes[SIZE] = { 0 };
		uint64_t first;
		int fd;

		print_message("# %s\n", cases[i].name);
		put(bytes, (struct place){ 64, 10, 5, 1, 100 });
		put(bytes, cases[i].at);
		qs_write_file(q->base, "segment", bytes, sizeof bytes);
		fd = openat(q->dirfd, "../segment", O_RDONLY | O_CLOEXEC);
		assert_true(fd >= 0);
		assert_int_equal(cq_behind_count(fd, SIZE, &from, NULL, &behind, &first), 0);
		close(fd);
		assert_int_equal(first, 64);
		assert_int_equal(behind.records, cases[i].records);
		assert_int_equal(behind.first_seq, 10);
		assert_int_equal(behind.one_run, cases[i].one_run);
	}
}

/* ---- the rest of a run ---- */

/* What is found begins with number 11, epoch 1, time 5, and its payload at 150. */
struct unfinished {
	const char *name;
	struct place end; /* where the records end: a record without its commit word */
	uint64_t found;   /* so many records, the first at this offset */
	uint64_t found_at;
	bool two_runs, committed, of_the_other, damaged;
};

static bool is_unfinished(const struct unfinished *u)
{
	const struct cq_behind behind = {
		.records = u->found,
		.first = { .header = { .seq = 11, .time_ns = 5, .epoch = 1, .stream_offset = 150 },
		           .offset = u->found_at },
		.one_run = !u->two_runs,
	};
	union {
		struct cq_record_header header;
		uint8_t bytes[sizeof(struct cq_record_header)];
	} end = { .bytes = { 0 } };

	cq_put_header(end.bytes, (uint32_t)(150 - u->end.stream) + 1, CQ_RECORD_VERSION, u->end.seq,
	              u->end.time, CQ_TYPE_DEFAULT, 0, u->end.stream, u->end.epoch);
	end.header.commit = u->committed;
	end.header.ext = !u->of_the_other;
	end.header.payload_crc ^= u->damaged;
	return cq_behind_is_unfinished(&behind, &end.header, u->end.offset, SIZE);
}

static void rest_of_a_run(void **state)
{
	static const struct unfinished run = { "a run", { 64, 10, 5, 1, 100 }, 1, 192, 0, 0, 0, 0 };
	static const struct unfinished others[] = {
		{ "nothing is behind it", { 64, 10, 5, 1, 100 }, 0, 192, 0, 0, 0, 0 },
		{ "two runs", { 64, 10, 5, 1, 100 }, 2, 192, true, 0, 0, 0 },
		{ "a commit word", { 64, 10, 5, 1, 100 }, 1, 192, 0, true, 0, 0 },
		{ "of chronicle-rs", { 64, 10, 5, 1, 100 }, 1, 192, 0, 0, true, 0 },
		{ "a wrong checksum", { 64, 10, 5, 1, 100 }, 1, 192, 0, 0, 0, true },
		{ "another number", { 64, 9, 5, 1, 100 }, 1, 192, 0, 0, 0, 0 },
		{ "another epoch", { 64, 10, 5, 2, 100 }, 1, 192, 0, 0, 0, 0 },
		{ "another time", { 64, 10, 4, 1, 100 }, 1, 192, 0, 0, 0, 0 },
		{ "a payload that is longer", { 64, 10, 5, 1, 0 }, 1, 192, 0, 0, 0, 0 },
		{ "a stream offset too high", { 64, 10, 5, 1, 151 }, 1, 192, 0, 0, 0, 0 },
		{ "a gap", { 64, 10, 5, 1, 100 }, 1, 256, 0, 0, 0, 0 },
	};

	(void)state;
	assert_true(is_unfinished(&run));
	for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
		print_message("# %s\n", others[i].name);
		assert_false(is_unfinished(&others[i]));
	}
}

/* ---- numbers ---- */

static void lost_numbers(void **state)
{
	struct cq_recovery v = { .end_seq = 7 };
	uint64_t first, last;

	(void)state;
	cq_behind_lost_numbers(&v, &first, &last);
	assert_int_equal(first, UINT64_MAX);
	assert_int_equal(last, UINT64_MAX);
	v.end_seq_known = true;
	cq_behind_lost_numbers(&v, &first, &last);
	assert_int_equal(first, 7);
	assert_int_equal(last, 7);
	v.behind = (struct cq_behind){ .records = 2, .first_seq = 9, .last_seq = 10 };
	cq_behind_lost_numbers(&v, &first, &last);
	assert_int_equal(first, 7);
	assert_int_equal(last, 10);
}

/* Behind an unsealed segment: its header says what it begins with, its records what it holds, the watermark
 * what was given once. */
static void numbers_behind_an_unsealed_segment(void **state)
{
	struct qs *q = *state;
	uint32_t ids[] = { 0 };
	struct cq_recovery v = {
		.dirfd = q->dirfd, .segment_size = QS_SIZE, .ids = ids, .count = 1
	};
	uint64_t seq, base;

	qs_open(q);
	assert_int_equal(cq_number_at(&v, 1, &seq, &base), 0);
	assert_int_equal(seq, 0);
	assert_int_equal(base, 0);
	v.watermark = (struct cq_watermark_slot){ .segment = 1, .offset = 64, .seq = 500 };
	assert_int_equal(cq_number_at(&v, 2, &seq, &base), 0);
	assert_int_equal(seq, 500);
	assert_int_equal(base, 0);
	v.watermark = (struct cq_watermark_slot){ .segment = 0 };
	qs_append(q->writer, 0, 3); /* "record 0", ... */
	assert_int_equal(cq_number_at(&v, 1, &seq, &base), 0);
	assert_int_equal(seq, 3);
	assert_int_equal(base, 3 * 8);
}

static const struct CMUnitTest tests[] = {
	QS_TEST(second_record),
	QS_TEST(rest_of_a_run),
	QS_TEST(lost_numbers),
	QS_TEST(numbers_behind_an_unsealed_segment),
};

QS_MAIN(tests)
