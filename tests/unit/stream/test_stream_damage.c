/* SPDX-License-Identifier: Apache-2.0 */
/* test_stream_damage.c - the stream of queues with missing segments, missing bytes and damage */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "chronq.h"
#include "files/dir.h"
#include "format/format.h"
#include "format/record.h"
#include "os/clock.h"
#include "stream/stream.h"
#include "stream_support.h"
#include "support.h"

static void remove_segment(struct stream_fixture *f, uint32_t id)
{
	char name[CQ_NAME_MAX], path[PATH_SIZE];

	cq_segment_name(name, id);
	support_path(path, f->dir, name);
	assert_int_equal(unlink(path), 0);
}

/* ---- missing segments ---- */

#define EACH 1000U /* bytes of a record; three to a segment */
#define PER 3000U

static void make(struct stream_fixture *f, unsigned segments)
{
	cq_writer *writer;
	uint64_t end = 0;

	stream_writer(f->dir, 4096, &writer);
	for (unsigned i = 0; i < segments * 3; i++)
		stream_append(writer, &end, EACH);
	assert_int_equal(cq_writer_close(writer), 0);
}

static void expect_data_hole(cq_stream *stream, uint64_t from, uint64_t data, uint64_t hole)
{
	uint64_t at;

	assert_int_equal(cq_stream_next_data(stream, from, &at), 0);
	assert_int_equal(at, data);
	assert_int_equal(cq_stream_next_hole(stream, data, &at), 0);
	assert_int_equal(at, hole);
}

static void missing_segments(void **state)
{
	struct stream_fixture *f = *state;
	uint8_t bytes[2 * PER];

	make(f, 10);
	for (int open = 0; open < 2; open++) {
		/* first with everything known, then with nothing known */
		if (open == 0) {
			stream_reopen(f);
			stream_expect(f->view.stream, NULL, 0, 10 * PER, PER);
			cq_mapping_cache_drop_below(&f->view.stream->cache, UINT32_MAX);
			remove_segment(f, 4);
			remove_segment(f, 6);
		} else {
			stream_reopen(f);
		}
		stream_expect_error(f->view.stream, 4 * PER, 5 * PER, ENODATA);
		stream_expect_error(f->view.stream, 6 * PER, 7 * PER, ENODATA);
		stream_expect(f->view.stream, NULL, 0, 4 * PER, PER);
		stream_expect(f->view.stream, NULL, 5 * PER, 6 * PER, PER);
		stream_expect(f->view.stream, NULL, 7 * PER, 10 * PER, PER);
		stream_expect_extent(f->view.stream, 0, 10 * PER);
		/* short before the hole */
		assert_int_equal(cq_stream_pread(f->view.stream, bytes, sizeof bytes, 3 * PER + 1),
		                 PER - 1);
		assert_true(stream_right(bytes, PER - 1, 3 * PER + 1));
		expect_data_hole(f->view.stream, 0, 0, 4 * PER);
		expect_data_hole(f->view.stream, 3 * PER + 1, 3 * PER + 1, 4 * PER);
		expect_data_hole(f->view.stream, 4 * PER, 5 * PER, 6 * PER);
		expect_data_hole(f->view.stream, 4 * PER + 7, 5 * PER, 6 * PER);
		expect_data_hole(f->view.stream, 6 * PER, 7 * PER, 10 * PER);
		expect_data_hole(f->view.stream, 10 * PER, 10 * PER, 10 * PER);
	}
}

/* A position means the same byte before and after a trim, in an open stream and in a new one. */
static void trimmed_segments(void **state)
{
	struct stream_fixture *f = *state;
	struct cq_span span;
	uint8_t byte;

	make(f, 10);
	stream_reopen(f);
	stream_expect_extent(f->view.stream, 0, 10 * PER);
	assert_int_equal(cq_stream_pread(f->view.stream, &byte, 1, 1), 1);
	for (uint32_t i = 0; i < 3; i++)
		remove_segment(f, i);
	/* also before anybody has looked at the directory again, with the segment still mapped */
	assert_int_equal(cq_stream_pread(f->view.stream, &byte, 1, 2), -ENODATA);
	for (int open = 0; open < 2; open++) {
		stream_expect_extent(f->view.stream, 3 * PER, 10 * PER);
		stream_expect_error(f->view.stream, 0, 3 * PER, ENODATA);
		stream_expect(f->view.stream, NULL, 3 * PER, 10 * PER, PER);
		expect_data_hole(f->view.stream, 0, 3 * PER, 10 * PER);
		assert_int_equal(cq_stream_segment(f->view.stream, 2, &span), -ENOENT);
		assert_int_equal(cq_stream_segment_pread(f->view.stream, 2, &byte, 1, 0), -ENOENT);
		assert_int_equal(cq_stream_segment(f->view.stream, 3, &span), 0);
		assert_int_equal(span.begin, 3 * PER);
		stream_reopen(f);
	}
}

/* No header tells the place of chronicle-rs's segments: a place that was found stays. */
static void trimmed_foreign_segments(void **state)
{
	struct stream_fixture *f = *state;
	char path[PATH_SIZE];
	struct cq_span span;
	uint8_t *reference;
	size_t size;

	support_golden(path, "v2-killed");
	support_copy(path, f->dir);
	reference = stream_reference(f->dir, &size);
	stream_reopen(f);
	stream_expect_extent(f->view.stream, 0, size);
	for (uint32_t id = 0; id < 30; id += 9) {
		assert_int_equal(cq_stream_segment(f->view.stream, id + 9, &span), 0);
		for (uint32_t gone = id; gone < id + 9; gone++)
			remove_segment(f, gone);
		stream_expect_extent(f->view.stream, span.begin, size);
		stream_expect(f->view.stream, reference + span.begin, span.begin, size, 5000);
		stream_expect_error(f->view.stream, span.begin - 20, span.begin, ENODATA);
	}
	free(reference);
}

/* Our segments behind chronicle-rs's: ours tell where those ended, whichever are deleted. */
static void trimmed_foreign_segments_before_ours(void **state)
{
	struct stream_fixture *f = *state;
	char path[PATH_SIZE];
	cq_writer *writer;
	uint8_t *reference;
	uint64_t end, begin = 0;
	size_t size;

	support_golden(path, "v2-mixed");
	support_copy(path, f->dir);
	reference = stream_reference(f->dir, &size);
	free(reference);
	end = size;
	stream_writer(f->dir, 0, &writer);
	stream_append_many(writer, &end, 300, 1000, &f->sequence);
	assert_int_equal(cq_writer_close(writer), 0);
	reference = stream_reference(f->dir, &size);
	assert_int_equal(size, end);
	for (uint32_t id = 0; id < 6; id++) {
		struct cq_span span;

		stream_reopen(f);
		assert_int_equal(cq_stream_segment(f->view.stream, id, &span), 0);
		assert_int_equal(span.begin, begin);
		stream_expect_extent(f->view.stream, begin, end);
		stream_expect(f->view.stream, reference + begin, begin, end, 20000);
		begin += span.bytes;
		remove_segment(f, id);
	}
	free(reference);
}

/* A stream has counted bytes that were deleted before our writer came, and keeps its positions, though
 * the writer counts from what it found. */
static void counted_before_the_writer_came(void **state)
{
	struct stream_fixture *f = *state;
	char path[PATH_SIZE];
	struct cq_span span;
	cq_writer *writer;
	uint8_t *reference;
	uint64_t end = 0;
	size_t size;

	support_golden(path, "v2-killed");
	support_copy(path, f->dir);
	reference = stream_reference(f->dir, &size);
	free(reference);
	stream_reopen(f);
	stream_expect_extent(f->view.stream, 0, size);
	assert_int_equal(cq_stream_segment(f->view.stream, 10, &span), 0);
	for (uint32_t id = 0; id < 10; id++)
		remove_segment(f, id);
	stream_writer(f->dir, 0, &writer);
	stream_append_many(writer, &end, 300, 2000, &f->sequence);
	assert_int_equal(cq_writer_close(writer), 0);
	reference = stream_reference(f->dir, &size);
	stream_expect_extent(f->view.stream, span.begin, span.begin + size);
	stream_expect(f->view.stream, reference, span.begin, span.begin + size, 30000);
	free(reference);
}

/* A name is deleted within the resolution of the directory's time. */
static void directory_time_stands_still(void **state)
{
	struct timespec now[2];
	struct stream_fixture *f = *state;
	uint64_t start;
	struct stat st;

	make(f, 4);
	stream_reopen(f);
	do { /* a second later no other change could have the same time */
		start = cq_realtime_ns();
		assert_int_equal(utimensat(AT_FDCWD, f->dir, NULL, 0), 0);
		stream_expect_extent(f->view.stream, 0, 4 * PER);
	} while (cq_realtime_ns() - start > 900000000U);
	assert_int_equal(stat(f->dir, &st), 0);
	remove_segment(f, 0);
	now[0] = now[1] = st.st_mtim;
	assert_int_equal(utimensat(AT_FDCWD, f->dir, now, 0), 0);
	stream_expect_extent(f->view.stream, PER, 4 * PER);
}

/* ---- damage ---- */

#define RECORD(i) (64 + 1088ULL * (i)) /* offset of a record of EACH bytes in its segment */

/* A damaged payload hides only its own bytes. */
static void damaged_payload(void **state)
{
	struct stream_fixture *f = *state;
	uint8_t bytes[PER], bad;

	make(f, 5);
	support_peek(f->dir, "000000002.q", RECORD(1) + 64 + 999, &bad, 1);
	bad ^= 1;
	support_poke(f->dir, "000000002.q", RECORD(1) + 64 + 999, &bad, 1);
	for (int known = 0; known < 2; known++) {
		stream_reopen(f);
		if (known)
			assert_int_equal(cq_stream_pread(f->view.stream, bytes, PER, 2 * PER),
			                 EACH);
		stream_expect_error(f->view.stream, 2 * PER + EACH, 2 * PER + 2 * EACH, EIO);
		stream_expect(f->view.stream, NULL, 0, 2 * PER + EACH, PER);
		stream_expect(f->view.stream, NULL, 2 * PER + 2 * EACH, 5 * PER, PER);
		assert_int_equal(cq_stream_pread(f->view.stream, bytes, PER, PER + 10), PER);
		assert_int_equal(cq_stream_pread(f->view.stream, bytes, PER, 2 * PER), EACH);
		assert_int_equal(cq_stream_segment_pread(f->view.stream, 2, bytes, PER, EACH + 1),
		                 -EIO);
		stream_expect_extent(f->view.stream, 0, 5 * PER);
		expect_data_hole(f->view.stream, 2 * PER + EACH, 2 * PER + EACH, 5 * PER);
	}
}

#define SIZES 401U /* a record of each length below that */

/* The same in a long read over small records, whichever of them it is, and whichever of its bytes. */
static void damaged_among_small_ones(void **state)
{
	struct stream_fixture *f = *state;
	static uint8_t bytes[SIZES * SIZES / 2];
	uint64_t end = 0, offset = 64, begin = 0;
	cq_writer *writer;

	stream_writer(f->dir, 128U << 10, &writer);
	for (unsigned i = 0; i < SIZES; i++)
		stream_append(writer, &end, i);
	assert_int_equal(cq_writer_close(writer), 0);
	for (unsigned i = 0; i < SIZES; i++) {
		const uint64_t at = offset + 64 + (i % 3 == 0 ? 0 : i % 3 == 1 ? i / 2 : i - 1);
		uint8_t byte, bad;

		if (i > 0) {
			support_peek(f->dir, "000000000.q", at, &byte, 1);
			bad = byte ^ 0x20;
			support_poke(f->dir, "000000000.q", at, &bad, 1);
			stream_reopen(f);
			assert_int_equal(cq_stream_pread(f->view.stream, bytes, sizeof bytes, 0),
			                 begin > 0 ? (ssize_t)begin : -EIO);
			assert_true(stream_right(bytes, begin, 0));
			assert_int_equal(
				cq_stream_pread(f->view.stream, bytes, sizeof bytes, begin + i - 1),
				-EIO);
			assert_int_equal(
				cq_stream_pread(f->view.stream, bytes, sizeof bytes, begin + i),
				i + 1 < SIZES ? (ssize_t)(end - begin - i) : 0);
			support_poke(f->dir, "000000000.q", at, &byte, 1);
		}
		begin += i;
		offset += cq_record_span(i);
	}
	stream_reopen(f);
	stream_expect(f->view.stream, NULL, 0, end, sizeof bytes);
}

/* A damaged header hides the rest of its segment, too. */
static void damaged_header(void **state)
{
	const uint64_t wrong = 77;
	struct stream_fixture *f = *state;

	make(f, 5);
	support_poke(f->dir, "000000002.q", RECORD(1) + 8, &wrong, sizeof wrong);
	stream_reopen(f);
	stream_expect_extent(f->view.stream, 0, 5 * PER);
	stream_expect(f->view.stream, NULL, 0, 2 * PER + EACH, PER);
	stream_expect_error(f->view.stream, 2 * PER + EACH, 3 * PER, EIO);
	stream_expect(f->view.stream, NULL, 3 * PER, 5 * PER, PER);
}

/* If no summary tells how much is hidden, one byte takes its place. */
static void damaged_foreign_header(void **state)
{
	struct stream_fixture *f = *state;
	uint8_t version = 9, *reference;
	char path[PATH_SIZE];
	struct cq_span span;
	uint64_t begin, next;
	size_t size;

	support_golden(path, "v2-mixed");
	support_copy(path, f->dir);
	reference = stream_reference(f->dir, &size);
	stream_reopen(f);
	assert_int_equal(cq_stream_segment(f->view.stream, 1, &span), 0);
	begin = span.begin;
	next = begin + span.bytes;
	stream_close(&f->view);
	/* its first record */
	support_poke(f->dir, "000000001.q", 64 + 4, &version, 1);
	stream_reopen(f);
	assert_int_equal(cq_stream_segment(f->view.stream, 1, &span), -EIO);
	stream_expect_extent(f->view.stream, 0, begin + 1 + size - next);
	stream_expect(f->view.stream, reference, 0, begin, 1000);
	stream_expect_error(f->view.stream, begin, begin + 1, EIO);
	stream_expect(f->view.stream, reference + next, begin + 1, begin + 1 + size - next, 1000);
	expect_data_hole(f->view.stream, begin, begin, begin + 1 + size - next);
	free(reference);
}

static void seal_with(struct stream_fixture *f, const char *name, struct cq_segment_header header)
{
	header.ext_crc = cq_segment_ext_crc(&header);
	support_poke(f->dir, name, 0, &header, sizeof header);
}

/* A wrong summary with a right checksum: the stream gives no byte that is not there. */
static void summary_that_lies(void **state)
{
	static const char *const names[] = { "000000001.q", "000000003.q" }; /* the last one, too */
	struct cq_segment_header header, wrong;
	struct stream_fixture *f = *state;
	uint8_t byte;

	make(f, 4);
	stream_close(&f->view);
	for (uint32_t i = 0; i < 2; i++) {
		const uint64_t begin = i ? 3 * PER : PER;

		support_peek(f->dir, names[i], 0, &header, sizeof header);
		header.flags = CQ_SEALED;
		header.records = 3;
		header.used = RECORD(3);
		header.payload_bytes = PER;
		wrong = header;
		/* then its place follows from the segment before it */
		wrong.stream_base = UINT64_MAX - 5;
		seal_with(f, names[i], wrong);
		stream_reopen(f);
		stream_expect(f->view.stream, NULL, 0, 4 * PER, 2000);
		wrong = header;
		wrong.used = wrong.payload_bytes = i ? UINT64_MAX - 63 : 1ULL << 40;
		seal_with(f, names[i], wrong);
		stream_reopen(f);
		assert_int_equal(cq_stream_pread(f->view.stream, &byte, 1, begin + PER - 1), 1);
		assert_int_equal(byte, stream_byte(begin + PER - 1));
		stream_expect(f->view.stream, NULL, 0, 4 * PER, 2000);
		wrong = header;
		wrong.used = 4096;
		wrong.payload_bytes = PER + 100;
		seal_with(f, names[i], wrong);
		stream_reopen(f);
		assert_int_equal(cq_stream_pread(f->view.stream, &byte, 1, begin + PER - 1), 1);
		if (i == 1)
			stream_expect_error(f->view.stream, begin + PER, begin + PER + 100, EIO);
		seal_with(f, names[i], header);
	}
}

/* A wrong summary with a right index: no read gives a wrong byte. */
static void far_into_a_lying_segment(void **state)
{
	struct stream_fixture *f = *state;
	struct cq_segment_header right, h;
	uint64_t end = 0, begin, last;
	struct cq_span span;
	cq_writer *writer;
	uint8_t bytes[200];

	stream_writer(f->dir, 1U << 20, &writer);
	while (end < 1100000)
		stream_append(writer, &end, 64); /* more than an index entry is for */
	assert_int_equal(cq_writer_close(writer), 0);
	stream_reopen(f);
	assert_int_equal(cq_stream_segment(f->view.stream, 1, &span), 0);
	assert_true(span.sealed);
	begin = span.begin;
	last = span.bytes - sizeof bytes;
	support_peek(f->dir, "000000001.q", 0, &right, sizeof right);
	for (int i = 0; i < 7; i++) {
		h = right;
		if (i == 1)
			h.stream_base += 1000000;
		else if (i == 2)
			h.stream_base = 1;
		else if (i == 3)
			h.payload_bytes = 100;
		else if (i == 4)
			h.payload_bytes = h.used = 5U << 20;
		else if (i == 5)
			h.flags = 0;
		h.ext_crc = cq_segment_ext_crc(&h) + (i == 6);
		support_poke(f->dir, "000000001.q", 0, &h, sizeof h);
		stream_reopen(f);
		assert_int_equal(
			cq_stream_segment_pread(f->view.stream, 1, bytes, sizeof bytes, last),
			sizeof bytes);
		assert_true(stream_right(bytes, sizeof bytes, begin + last));
	}
}

static void file_cut_short(void **state)
{
	struct stream_fixture *f = *state;
	char path[PATH_SIZE];
	uint8_t byte;

	make(f, 5);
	support_path(path, f->dir, "000000002.q");
	for (int open = 0; open < 2; open++) {
		if (open == 0) {
			stream_reopen(f);
			assert_int_equal(cq_stream_pread(f->view.stream, &byte, 1, 2 * PER), 1);
			/* all of it is in the last page, where there is no SIGBUS */
			assert_int_equal(truncate(path, 4095), 0);
		} else {
			assert_int_equal(truncate(path, 100), 0);
			stream_reopen(f);
		}
		stream_expect_error(f->view.stream, 2 * PER, 3 * PER, EIO);
		stream_expect(f->view.stream, NULL, 0, 2 * PER, PER);
		stream_expect(f->view.stream, NULL, 3 * PER, 5 * PER, PER);
		assert_int_equal(cq_stream_segment_pread(f->view.stream, 2, &byte, 1, 0), -EIO);
	}
	/* pages that are mapped, and missing */
	stream_anew(f);
	{
		cq_writer *writer;
		uint64_t end = 0;

		stream_writer(f->dir, 65536, &writer);
		for (unsigned i = 0; i < 120; i++)
			stream_append(writer, &end, EACH);
		assert_int_equal(cq_writer_close(writer), 0);
		stream_reopen(f);
		support_path(path, f->dir, "000000000.q");
		assert_int_equal(cq_stream_pread(f->view.stream, &byte, 1, 0), 1);
		assert_int_equal(truncate(path, 4096), 0);
		assert_int_equal(cq_stream_pread(f->view.stream, &byte, 1, 50000), -EIO);
		assert_int_equal(cq_stream_pread(f->view.stream, &byte, 1, 0), -EIO);
		stream_expect(f->view.stream, NULL, 60 * EACH, end, 3000);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STREAM_TEST(missing_segments),
		STREAM_TEST(trimmed_segments),
		STREAM_TEST(trimmed_foreign_segments),
		STREAM_TEST(trimmed_foreign_segments_before_ours),
		STREAM_TEST(counted_before_the_writer_came),
		STREAM_TEST(directory_time_stands_still),
		STREAM_TEST(damaged_payload),
		STREAM_TEST(damaged_among_small_ones),
		STREAM_TEST(damaged_header),
		STREAM_TEST(damaged_foreign_header),
		STREAM_TEST(summary_that_lies),
		STREAM_TEST(far_into_a_lying_segment),
		STREAM_TEST(file_cut_short),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
