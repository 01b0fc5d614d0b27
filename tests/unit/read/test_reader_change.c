/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_reader_change.c - a reader while segments are deleted or cannot be read, and with each of its
 * calls failing: no record comes twice, and none is skipped without a report
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
#include <sys/stat.h>
#include <unistd.h>

#include "chronq.h"
#include "format/format.h"
#include "format/record.h"
#include "os/fault.h"
#include "places.h"
#include "stream_support.h"
#include "support.h"

#define RECORD(i) (64 + 1088ULL * (i))
#define RECORDS (SEGMENTS * 3)
#define NONE RECORDS

static struct mixture all = { .kinds = { OURS, OURS, OURS, OURS, OURS, OURS, OURS, OURS } };

static cq_reader *open_reader(struct stream_fixture *f, const char *name, enum cq_start start)
{
	cq_reader *reader;

	assert_int_equal(cq_reader_open(f->dir, name, start, 0, &reader), 0);
	return reader;
}

/* The next record is number `number` of those that places_make() made. */
static void expect_record(cq_reader *reader, unsigned number)
{
	struct cq_record record;

	assert_int_equal(cq_reader_next(reader, &record), 1);
	assert_int_equal(record.segment, number / 3);
	assert_int_equal(record.length, EACH);
	assert_true(stream_right(record.payload, EACH, (uint64_t)number * EACH));
}

static void expect_next(cq_reader *reader, int result)
{
	struct cq_record record;

	assert_int_equal(cq_reader_next(reader, &record), result);
}

static void zero_header(struct stream_fixture *f, const char *name)
{
	static const uint8_t zero[sizeof(struct cq_segment_header)];

	support_poke(f->dir, name, 0, zero, sizeof zero);
}

static void cut(struct stream_fixture *f, const char *name, int size)
{
	char path[PATH_SIZE];

	support_path(path, f->dir, name);
	assert_int_equal(size < 0 ? unlink(path) : truncate(path, size), 0);
}

static struct cq_reader_stats stats_of(cq_reader *reader)
{
	struct cq_reader_stats stats = CQ_SIZED(stats);

	cq_reader_stats(reader, &stats);
	return stats;
}

/* ---- segments that cannot be read ---- */

/* A skip leads over all segments without a readable header, and counts them. */
static void skips_to_the_next_readable(void **state)
{
	static const uint32_t magic = 7;
	struct stream_fixture *f = *state;
	cq_reader *reader;

	places_make(f);
	reader = open_reader(f, NULL, CQ_START_OLDEST);
	expect_record(reader, 0);
	zero_header(f, "000000001.q");
	cut(f, "000000002.q", 100);
	support_poke(f->dir, "000000003.q", 0, &magic, sizeof magic);
	cut(f, "000000004.q", -1);
	assert_int_equal(cq_reader_skip_segment(reader), 1);
	expect_record(reader, 15);
	assert_int_equal(stats_of(reader).gap_segments, 4);
	assert_int_equal(stats_of(reader).gap_records, 14);
	/* nothing is behind the last one, and its writer has not left it */
	for (unsigned i = 16; i < RECORDS; i++)
		expect_record(reader, i);
	assert_int_equal(cq_reader_skip_segment(reader), 0);
	cq_reader_close(reader);
}

/* A segment has lost its header in a power cut: the reader waits at it while the writer may be there; it
 * is an error once the writer is further on. */
static void segment_without_a_header(void **state)
{
	struct mixture two = { .kinds = { OURS, OURS, UNUSED, MISSING, MISSING, MISSING, MISSING,
		                          MISSING } };
	struct stream_fixture *f = *state;
	cq_reader *reader;

	places_make(f);
	places_put(f, &two);
	zero_header(f, "000000002.q");
	reader = open_reader(f, NULL, CQ_START_OLDEST);
	for (unsigned i = 0; i < 6; i++)
		expect_record(reader, i);
	expect_next(reader, 0);
	support_set_current(f->dir, 2);
	expect_next(reader, 0);
	support_set_current(f->dir, 3);
	expect_next(reader, -EBADMSG);
	cq_reader_close(reader);
	/* the end is where the records end, also for a reader that begins there */
	reader = open_reader(f, NULL, CQ_START_LATEST);
	expect_next(reader, -EBADMSG);
	cq_reader_close(reader);
	/* and without a segment before it */
	cut(f, "000000000.q", -1);
	cut(f, "000000001.q", -1);
	support_set_current(f->dir, 2);
	reader = open_reader(f, NULL, CQ_START_LATEST);
	expect_next(reader, 0);
	two.kinds[0] = two.kinds[1] = MISSING;
	two.kinds[2] = OURS;
	places_put(f, &two);
	for (unsigned i = 6; i < 9; i++)
		expect_record(reader, i);
	expect_next(reader, 0);
	cq_reader_close(reader);
}

/* The header behind a gap tells how many records are missing; if it has lost our fields, the first record
 * does; if that is chronicle-rs's, nothing does. */
static void records_missing_in_a_gap(void **state)
{
	static const uint8_t none[48];
	static const enum kind kinds[] = { OURS, OURS, THEIRS, UNUSED };
	static const unsigned missing[] = { 3, 3, 0, 3 };
	struct stream_fixture *f = *state;
	cq_reader *reader;

	places_make(f);
	for (size_t i = 0; i < 4; i++) {
		struct mixture m = { .kinds = { OURS, OURS, MISSING, kinds[i], MISSING, MISSING,
			                        MISSING, MISSING } };

		places_put(f, &m);
		if (i == 1)
			support_poke(f->dir, "000000003.q", offsetof(struct cq_segment_header, ext),
			             none, sizeof none);
		reader = open_reader(f, NULL, CQ_START_OLDEST);
		for (unsigned n = 0; n < 6; n++)
			expect_record(reader, n);
		expect_next(reader, -ENODATA);
		if (kinds[i] == UNUSED) {
			/* it gets its first record after the gap was reported: the gap is not reported again */
			expect_next(reader, 0);
			assert_int_equal(stats_of(reader).gap_records, 0);
			m.kinds[3] = OURS;
			places_put(f, &m);
		}
		for (unsigned n = 9; n < 12; n++)
			expect_record(reader, n);
		expect_next(reader, 0);
		assert_int_equal(stats_of(reader).gaps, 1);
		assert_int_equal(stats_of(reader).gap_segments, 1);
		assert_int_equal(stats_of(reader).gap_records, missing[i]);
		cq_reader_close(reader);
	}
}

/* ---- where a named reader continues ---- */

static cq_reader *resume_in_cut_segment(struct stream_fixture *f)
{
	cq_reader *reader;

	places_put(f, &all);
	reader = open_reader(f, "name", CQ_START_OLDEST);
	for (unsigned i = 0; i < 5; i++)
		expect_record(reader, i);
	assert_int_equal(cq_reader_commit(reader), 0);
	cq_reader_close(reader);
	cut(f, "000000001.q", 100);
	return open_reader(f, "name", CQ_START_RESUME);
}

/* Its segment cannot be read when it is opened. */
static void resumes_when_it_can(void **state)
{
	struct mixture older = { .kinds = { OURS, MISSING, MISSING, MISSING, MISSING, MISSING,
		                            MISSING, MISSING } };
	struct stream_fixture *f = *state;
	cq_reader *reader;

	places_make(f);
	/* then it can be: no record comes twice */
	reader = resume_in_cut_segment(f);
	expect_next(reader, -EIO);
	places_put(f, &all);
	expect_record(reader, 5);
	cq_reader_close(reader);
	/* it is deleted: a gap */
	reader = resume_in_cut_segment(f);
	cut(f, "000000001.q", -1);
	expect_next(reader, -ENODATA);
	expect_record(reader, 6);
	cq_reader_close(reader);
	/* it loses its header: damage */
	reader = resume_in_cut_segment(f);
	places_put(f, &all);
	zero_header(f, "000000001.q");
	expect_next(reader, -EBADMSG);
	cq_reader_close(reader);
	/* no segment is left, then an older one comes */
	reader = resume_in_cut_segment(f);
	for (uint32_t id = 0; id < SEGMENTS; id++)
		older.kinds[id] = MISSING;
	places_put(f, &older);
	expect_next(reader, 0);
	older.kinds[0] = OURS;
	places_put(f, &older);
	cut(f, "000000000.q", 100);
	expect_next(reader, -EIO);
	places_put(f, &older);
	expect_next(reader, -ENODATA);
	expect_record(reader, 0);
	cq_reader_close(reader);
}

/* Committed positions of chronicle-rs may be any: the reader continues at the record there or before. */
static void resumes_from_any_position(void **state)
{
	static const struct {
		enum kind kind; /* of segment 1, where they are */
		uint64_t offset;
		unsigned next;
	} positions[] = {
		{ OURS, 0, 3 },           { OURS, 64, 3 },
		{ OURS, RECORD(1), 4 },   { OURS, RECORD(1) + 64, 4 },
		{ OURS, RECORD(3), 6 },   { OURS, 8192, 6 },
		{ THEIRS, RECORD(2), 5 }, { THEIRS, RECORD(2) - 64, 4 },
		{ THEIRS, RECORD(3), 6 }, { THEIRS, 4096, 6 },
	};
	struct stream_fixture *f = *state;
	char readers[PATH_SIZE], path[PATH_SIZE];
	cq_reader *reader;

	places_make(f);
	support_path(readers, f->dir, CQ_READERS_DIR);
	assert_int_equal(mkdir(readers, 0750), 0);
	support_path(path, readers, "name" CQ_READER_SUFFIX);
	for (size_t i = 0; i < sizeof positions / sizeof positions[0]; i++) {
		const uint64_t position[2] = { 1, positions[i].offset };
		struct mixture m = all;
		FILE *file = fopen(path, "w");

		assert_non_null(file);
		assert_int_equal(fwrite(position, sizeof position, 1, file), 1);
		assert_int_equal(fclose(file), 0);
		m.kinds[1] = positions[i].kind;
		places_put(f, &m);
		reader = open_reader(f, "name", CQ_START_RESUME);
		expect_record(reader, positions[i].next);
		cq_reader_close(reader);
	}
	/* in a segment that has lost its header: nothing is skipped without a report */
	zero_header(f, "000000001.q");
	reader = open_reader(f, "name", CQ_START_RESUME);
	expect_next(reader, -EBADMSG);
	cq_reader_close(reader);
}

/* ---- seeks ---- */

/* The end of a sealed segment is where its records end, whatever its summary says. */
static void ends_where_records_end(void **state)
{
	static const uint64_t lies[] = { 0, 8192, RECORD(3) + 8, RECORD(3) };
	static const uint32_t commit = 5000;
	struct stream_fixture *f = *state;
	struct cq_segment_header h;
	cq_reader *reader;

	places_make(f);
	for (size_t i = 0; i < 4; i++) {
		support_peek(f->dir, "000000007.q", 0, &h, sizeof h);
		h.flags = CQ_SEALED;
		h.used = lies[i];
		h.records = h.payload_bytes = 0;
		h.ext_crc = cq_segment_ext_crc(&h);
		support_poke(f->dir, "000000007.q", 0, &h, sizeof h);
		reader = open_reader(f, NULL, CQ_START_LATEST);
		assert_int_equal(stats_of(reader).offset, RECORD(3));
		cq_reader_close(reader);
	}
	/* if damage is on the way, that is an error, and the reader does not move */
	reader = open_reader(f, NULL, CQ_START_OLDEST);
	expect_record(reader, 0);
	h.flags = 0;
	support_poke(f->dir, "000000007.q", 0, &h, sizeof h);
	support_poke(f->dir, "000000007.q", RECORD(1), &commit, sizeof commit);
	assert_int_equal(cq_reader_seek_end(reader), -EIO);
	expect_record(reader, 1);
	/* the same in a seek by time */
	support_poke(f->dir, "000000004.q", RECORD(0), &commit, sizeof commit);
	assert_int_equal(cq_reader_seek_time(reader, UINT64_MAX), -EIO);
	expect_record(reader, 2);
	cq_reader_close(reader);
}

#ifdef CQ_FAULTS

/* ---- each call fails ---- */

struct op {
	int (*go)(cq_reader *reader);
	unsigned first; /* the next record then; NONE: there is none */
};

static int stay(cq_reader *reader)
{
	(void)reader;
	return 0;
}

static int to_seq(cq_reader *reader)
{
	return cq_reader_seek_seq(reader, 10);
}

static int to_byte(cq_reader *reader)
{
	uint64_t skip = 0;
	int r = cq_reader_seek_stream(reader, 10 * EACH + 5, &skip);

	if (r == 0)
		assert_true(skip == 5 || skip == 0);
	return r;
}

static int to_time(cq_reader *reader)
{
	return cq_reader_seek_time(reader, 1);
}

static const struct op ops[] = {
	{ stay, 0 },
	{ to_seq, 10 },
	{ to_byte, 10 },
	{ to_time, 0 },
	{ cq_reader_seek_oldest, 0 },
	{ cq_reader_seek_end, NONE },
};

struct failure {
	const char *call;
	int error;
	bool gone; /* a segment was deleted at that moment */
};

/* Goes there and reads to the end while the nth call fails; a failed step is repeated.  Returns whether
 * that many calls were made. */
static bool read_failing(struct stream_fixture *f, const struct mixture *m, const struct op *op,
                         const struct failure *failure, int nth)
{
	unsigned expected = op->first, lost = 0;
	struct cq_record record;
	cq_reader *reader;
	int r;

	cq_fault_forget();
	cq_fault_set(failure->call, failure->error, nth, 1);
	do
		r = cq_reader_open(f->dir, NULL, CQ_START_OLDEST, CQ_READER_PASSIVE, &reader);
	while (r == -failure->error);
	assert_int_equal(r, 0);
	do
		r = op->go(reader);
	while (r == -failure->error && !failure->gone);
	assert_true(r == 0 || (r == -ENODATA && failure->gone));
	while ((r = cq_reader_next(reader, &record)) != 0) {
		unsigned number;

		if (r < 0) {
			assert_true(r == -ENODATA || (r == -failure->error && !failure->gone));
			continue;
		}
		number = record.segment * 3 + (unsigned)((record.offset - 64) / 1088);
		assert_true(stream_right(record.payload, record.length, (uint64_t)number * EACH));
		while (expected < RECORDS && m->kinds[expected / 3] == MISSING)
			expected++;
		if (op->first == NONE && failure->gone && expected == NONE)
			expected =
				number; /* the last segment was deleted: behind the one before it */
		for (; expected < number; expected++)
			lost += m->kinds[expected / 3] != MISSING;
		assert_int_equal(number, expected);
		expected = number + 1;
	}
	if (expected < RECORDS)
		lost += RECORDS - expected;
	if (!failure->gone)
		assert_int_equal(lost, 0);
	assert_true(lost <= 3);
	cq_fault_set(NULL, 0, 0, 0);
	cq_reader_close(reader);
	return cq_fault_given() > 0;
}

static void sweep(struct stream_fixture *f, const struct failure *failures, size_t count,
                  unsigned least)
{
	struct mixture m = all;
	unsigned runs = 0;

	m.kinds[2] = MISSING;
	m.kinds[6] = MISSING;
	places_make(f);
	for (int oldest = 0; oldest < 2; oldest++) {
		m.kinds[0] = oldest == 0 ? OURS : MISSING;
		places_put(f, &m);
		for (size_t i = 0; i < count; i++)
			for (size_t o = 0; o < sizeof ops / sizeof ops[0]; o++)
				for (int nth = 0; read_failing(f, &m, &ops[o], &failures[i], nth);
				     nth += 1 + nth / 8)
					runs++;
	}
	print_message("# %u runs\n", runs);
	assert_true(runs >= least);
}

static void failing_calls(void **state)
{
	static const struct failure failures[] = {
		{ "open", EMFILE, false }, { "list", ENFILE, false }, { "next_name", EIO, false },
		{ "map", ENOMEM, false },  { "stat", EIO, false },    { "pread", EIO, false },
	};

	sweep(*state, failures, sizeof failures / sizeof failures[0], 200);
}

/* A segment is deleted between the look at its name and the look at its file: only its records are
 * missing. */
static void deleted_at_any_moment(void **state)
{
	static const struct failure failures[] = { { "open", ENOENT, true } };

	sweep(*state, failures, 1, 30);
}

/* Segments that appear and vanish again and again do not make a seek endless. */
static void seeks_give_up(void **state)
{
	struct stream_fixture *f = *state;
	cq_reader *reader;

	places_make(f);
	reader = open_reader(f, NULL, CQ_START_OLDEST);
	expect_record(reader, 0);
	cq_fault_set("open", ENOENT, 0, -1);
	assert_int_equal(cq_reader_seek_end(reader), -ENOENT);
	cq_fault_set(NULL, 0, 0, 0);
	expect_record(reader, 1);
	/* nor is a segment skipped because it cannot be opened just now */
	cq_fault_set("open", EMFILE, 0, 1);
	assert_int_equal(cq_reader_skip_segment(reader), -EMFILE);
	cq_fault_set(NULL, 0, 0, 0);
	assert_int_equal(cq_reader_skip_segment(reader), 1);
	expect_record(reader, 3);
	assert_int_equal(cq_reader_seek_end(reader), 0);
	expect_next(reader, 0);
	cq_reader_close(reader);
}

#endif

static const struct CMUnitTest tests[] = {
	STREAM_TEST(skips_to_the_next_readable),
	STREAM_TEST(segment_without_a_header),
	STREAM_TEST(records_missing_in_a_gap),
	STREAM_TEST(resumes_when_it_can),
	STREAM_TEST(resumes_from_any_position),
	STREAM_TEST(ends_where_records_end),
#ifdef CQ_FAULTS
	STREAM_TEST(failing_calls),
	STREAM_TEST(deleted_at_any_moment),
	STREAM_TEST(seeks_give_up),
#endif
};

SUPPORT_MAIN(tests)
