/* SPDX-License-Identifier: Apache-2.0 */
/* test_seek.c - seek by sequence number, time and stream offset; ends; wrong and missing indexes */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "chronq.h"
#include "format/format.h"
#include "format/record.h"
#include "read_support.h"

static void copy_golden(struct read_fixture *f, const char *name)
{
	char golden[PATH_SIZE];

	support_golden(golden, name);
	support_copy(golden, f->dir);
	read_open(f, NULL, CQ_START_OLDEST);
}

static void remove_file(struct read_fixture *f, const char *name)
{
	char path[PATH_SIZE];

	support_path(path, f->dir, name);
	assert_int_equal(unlink(path), 0);
}

static void remove_indexes(struct read_fixture *f)
{
	DIR *dir = opendir(f->dir);
	struct dirent *entry;

	while ((entry = readdir(dir)))
		if (strstr(entry->d_name, ".idx"))
			remove_file(f, entry->d_name);
	closedir(dir);
}

static void expect_seq(struct read_fixture *f, uint64_t target, uint64_t seq)
{
	struct cq_record record;

	assert_int_equal(cq_reader_seek_seq(f->reader, target), 0);
	assert_int_equal(cq_reader_next(f->reader, &record), 1);
	assert_int_equal(record.seq, seq);
}

static void expect_end(struct read_fixture *f)
{
	struct cq_record record;

	assert_int_equal(cq_reader_next(f->reader, &record), 0);
}

static void expect_line(struct read_fixture *f, const char *line)
{
	struct cq_record record;

	assert_int_equal(cq_reader_next(f->reader, &record), 1);
	assert_int_equal(record.length, strlen(line));
	assert_memory_equal(record.payload, line, record.length);
}

static void to_each_seq(void **state)
{
	struct read_fixture *f = *state;

	support_append(f->dir, 0, 200);
	read_open(f, NULL, CQ_START_OLDEST);
	for (int round = 0; round < 2; round++) {
		for (uint64_t seq = 0; seq < 200; seq++)
			expect_seq(f, seq, seq);
		assert_int_equal(cq_reader_seek_seq(f->reader, 200), 0);
		expect_end(f);
		assert_int_equal(cq_reader_seek_seq(f->reader, UINT64_MAX), 0);
		expect_end(f);
		remove_indexes(f);
	}
	support_append(f->dir, 200, 1);
	expect_line(f, "record 200");
}

/* Segments that are missing at the beginning and in the middle: the next record there is. */
static void to_missing_seq(void **state)
{
	struct read_fixture *f = *state;

	support_append(f->dir, 0, 6 * SUPPORT_PER_SEGMENT);
	remove_file(f, "000000000.q");
	remove_file(f, "000000003.q");
	read_open(f, NULL, CQ_START_OLDEST);
	expect_seq(f, 0, SUPPORT_PER_SEGMENT);
	expect_seq(f, 3 * SUPPORT_PER_SEGMENT - 1, 3 * SUPPORT_PER_SEGMENT - 1);
	for (unsigned i = 0; i < SUPPORT_PER_SEGMENT; i++)
		expect_seq(f, 3 * SUPPORT_PER_SEGMENT + i, 4 * SUPPORT_PER_SEGMENT);
}

/* chronicle-rs began again at 0: 0 to 24, then 0 to 14, which begins inside a segment. */
static void last_run_wins(void **state)
{
	struct read_fixture *f = *state;
	char line[32];

	copy_golden(f, "v2-reopened");
	for (int round = 0; round < 2; round++) {
		for (unsigned seq = 0; seq < 25; seq++) {
			assert_int_equal(cq_reader_seek_seq(f->reader, seq), 0);
			snprintf(line, sizeof line, "line %u", seq < 15 ? 26 + seq : 1 + seq);
			expect_line(f, line);
		}
		assert_int_equal(cq_reader_seek_seq(f->reader, 25), 0);
		expect_end(f);
		remove_indexes(f);
	}
}

static void golden_by_seq(void **state)
{
	struct read_fixture *f = *state;
	char line[32];

	copy_golden(f, "v2-killed");
	for (int round = 0; round < 2; round++) {
		for (unsigned seq = 0; seq < 19929; seq += round ? 6007 : 331) {
			assert_int_equal(cq_reader_seek_seq(f->reader, seq), 0);
			snprintf(line, sizeof line, "record %u", seq + 1);
			expect_line(f, line);
		}
		remove_indexes(f);
	}
}

/* Every byte of the stream, whoever wrote the queue, against the stream as it was read. */
static void check_stream(struct read_fixture *f, uint64_t step)
{
	struct cq_record record;
	uint64_t size = 0, skip = 0;
	char *stream = NULL;

	read_open(f, NULL, CQ_START_OLDEST);
	while (cq_reader_next(f->reader, &record) == 1) {
		stream = realloc(stream, size + record.length + 1);
		memcpy(stream + size, record.payload, record.length);
		size += record.length;
	}
	for (uint64_t at = 0; at < size; at += step) {
		assert_int_equal(cq_reader_seek_stream(f->reader, at, &skip), 0);
		assert_int_equal(cq_reader_next(f->reader, &record), 1);
		assert_true(skip < record.length);
		assert_true(at >= skip && record.length <= size - (at - skip));
		assert_memory_equal(record.payload, stream + (at - skip), record.length);
		if (record.have_stream)
			assert_int_equal(record.stream_offset, at - skip);
	}
	for (uint64_t past = 0; past < 3; past++) {
		assert_int_equal(cq_reader_seek_stream(f->reader, size + past, &skip), 0);
		assert_int_equal(skip, 0);
		expect_end(f);
	}
	free(stream);
}

/* A wrong index is found out, and the segment is walked instead. */
static void wrong_index_leads_nowhere(void **state)
{
	struct read_fixture *f = *state;
	const uint64_t wrong_offset = 64 + 128 * 9, in_payload = 64 + 64, wrong_seq = 3, low = 5;

	support_append(f->dir, 0, 3 * SUPPORT_PER_SEGMENT);
	read_open(f, NULL, CQ_START_OLDEST);
	support_poke(f->dir, "000000001.idx", 80 + 16, &wrong_offset, 8);
	for (uint64_t seq = 0; seq < 3 * SUPPORT_PER_SEGMENT; seq++)
		expect_seq(f, seq, seq);
	support_poke(f->dir, "000000001.idx", 80 + 16, &in_payload, 8);
	check_stream(f, 1);
	support_poke(f->dir, "000000001.idx", 80, &wrong_seq, 8);
	support_poke(f->dir, "000000001.idx", 40, &wrong_seq, 8);
	support_poke(f->dir, "000000001.idx", 48, &low, 8);
	for (uint64_t seq = 0; seq < 3 * SUPPORT_PER_SEGMENT; seq++)
		expect_seq(f, seq, seq);
	/* a highest number that hides half of the segment */
	support_poke(f->dir, "000000000.idx", 48, &low, 8);
	for (uint64_t seq = 0; seq < 3 * SUPPORT_PER_SEGMENT; seq++)
		expect_seq(f, seq, seq);
}

/* Any word of an index has any value: each record is still found. */
static void each_word_of_an_index(void **state)
{
	const uint32_t first = SUPPORT_PER_SEGMENT, length = 80 + 24;
	struct read_fixture *f = *state;
	struct cq_record record;
	uint64_t time_ns;

	support_append(f->dir, 0, 3 * SUPPORT_PER_SEGMENT);
	read_open(f, NULL, CQ_START_OLDEST);
	assert_int_equal(cq_reader_seek_seq(f->reader, first + 9), 0);
	assert_int_equal(cq_reader_next(f->reader, &record), 1);
	time_ns = record.time_ns;
	for (uint64_t at = 0; at < length; at += 4) {
		uint32_t right, wrong[5] = { 0, 1, UINT32_MAX };

		support_peek(f->dir, "000000001.idx", at, &right, sizeof right);
		wrong[3] = right + 1;
		wrong[4] = right - 1;
		for (int i = 0; i < 5; i++) {
			support_poke(f->dir, "000000001.idx", at, &wrong[i], sizeof right);
			expect_seq(f, first, first);
			expect_seq(f, first + 9, first + 9);
			expect_seq(f, 2 * first - 1, 2 * first - 1);
			expect_seq(f, 2 * first, 2 * first);
			assert_int_equal(cq_reader_seek_time(f->reader, time_ns), 0);
			assert_int_equal(cq_reader_next(f->reader, &record), 1);
			assert_int_equal(record.seq, first + 9);
		}
		support_poke(f->dir, "000000001.idx", at, &right, sizeof right);
	}
}

/* An index without an entry, and the index of a segment whose first record is wiped out: records that can
 * be found are found, and damage that hides others is an error. */
static void indexes_of_nothing(void **state)
{
	static const uint64_t none;
	struct read_fixture *f = *state;
	char path[PATH_SIZE];
	uint64_t skip;

	support_append(f->dir, 0, 3 * SUPPORT_PER_SEGMENT);
	read_open(f, NULL, CQ_START_OLDEST);
	support_path(path, f->dir, "000000001.idx");
	support_poke(f->dir, "000000001.idx", 72, &none, 8);
	assert_int_equal(truncate(path, 80), 0);
	for (uint64_t seq = 0; seq < 3 * SUPPORT_PER_SEGMENT; seq++)
		expect_seq(f, seq, seq);
	check_stream(f, 1);
	support_poke(f->dir, "000000000.q", 64, &none, 4); /* the commit word */
	assert_int_equal(cq_reader_seek_seq(f->reader, 5), -EIO);
	assert_int_equal(cq_reader_seek_time(f->reader, 5), -EIO);
	assert_int_equal(cq_reader_seek_stream(f->reader, 25, &skip), -ENODATA);
	for (uint64_t seq = SUPPORT_PER_SEGMENT; seq < 3 * SUPPORT_PER_SEGMENT; seq++)
		expect_seq(f, seq, seq);
}

/* The first numbers of segments are not in order, with right checksums: each record is found. */
static void first_numbers_that_lie(void **state)
{
	static const struct {
		const char *name;
		uint64_t seq;
	} lies[] = { { "000000000.q", 1000 }, { "000000001.q", 2000 }, { "000000002.q", 0 } };
	struct read_fixture *f = *state;
	struct cq_segment_header h, wrong;

	support_append(f->dir, 0, 4 * SUPPORT_PER_SEGMENT);
	read_open(f, NULL, CQ_START_OLDEST);
	for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
		support_peek(f->dir, lies[i].name, 0, &h, sizeof h);
		wrong = h;
		wrong.first_seq = lies[i].seq;
		wrong.ext_crc = cq_segment_ext_crc(&wrong);
		support_poke(f->dir, lies[i].name, 0, &wrong, sizeof wrong);
		for (uint64_t seq = 0; seq < 4 * SUPPORT_PER_SEGMENT; seq += 7)
			expect_seq(f, seq, seq);
		support_poke(f->dir, lies[i].name, 0, &h, sizeof h);
	}
}

#define BIG (1ULL << 20)
#define BIG_COUNT 40000U

/* Indexes with several entries: empty records, 16383 to a segment. */
static void within_large_segments(void **state)
{
	struct read_fixture *f = *state;
	struct cq_config config;
	struct cq_record record;
	cq_writer *writer;

	cq_config_init(&config);
	config.segment_size = BIG;
	assert_int_equal(cq_writer_open(f->dir, &config, &writer), 0);
	for (unsigned i = 0; i < BIG_COUNT; i++)
		assert_int_equal(cq_writer_append(writer, 1, "x", i % 1000 == 0, NULL), 0);
	assert_int_equal(cq_writer_close(writer), 0);
	read_open(f, NULL, CQ_START_OLDEST);
	for (uint64_t seq = 0; seq < BIG_COUNT; seq += 997) {
		uint64_t time, skip = 9;

		expect_seq(f, seq, seq);
		assert_int_equal(cq_reader_seek_seq(f->reader, seq), 0);
		assert_int_equal(cq_reader_next(f->reader, &record), 1);
		time = record.time_ns;
		assert_int_equal(cq_reader_seek_time(f->reader, time), 0);
		assert_int_equal(cq_reader_next(f->reader, &record), 1);
		assert_int_equal(record.time_ns, time);
		assert_true(record.seq <= seq);
		assert_int_equal(cq_reader_seek_stream(f->reader, seq / 1000, &skip), 0);
		assert_int_equal(skip, 0);
		assert_int_equal(cq_reader_next(f->reader, &record), 1);
		assert_int_equal(record.seq, seq / 1000 * 1000);
		assert_int_equal(record.length, 1);
	}
}

static void to_each_time(void **state)
{
	struct read_fixture *f = *state;
	struct cq_record record;
	uint64_t times[200], last = 0;

	support_append(f->dir, 0, 200);
	read_open(f, NULL, CQ_START_OLDEST);
	for (unsigned i = 0; i < 200; i++) {
		assert_int_equal(cq_reader_next(f->reader, &record), 1);
		times[i] = record.time_ns;
	}
	for (unsigned i = 0; i < 200; i++) {
		assert_int_equal(cq_reader_seek_time(f->reader, times[i]), 0);
		assert_int_equal(cq_reader_next(f->reader, &record), 1);
		assert_int_equal(record.time_ns, times[i]);
		assert_true(record.seq == 0 || times[record.seq - 1] < times[i]);
		assert_int_equal(cq_reader_seek_time(f->reader, last + 1), 0);
		assert_int_equal(cq_reader_next(f->reader, &record), 1);
		assert_int_equal(record.time_ns, times[i] > last ? times[i] : record.time_ns);
		last = times[i];
	}
	assert_int_equal(cq_reader_seek_time(f->reader, 0), 0);
	expect_line(f, "record 0");
	assert_int_equal(cq_reader_seek_time(f->reader, last + 1), 0);
	expect_end(f);
}

static void to_each_byte(void **state)
{
	struct read_fixture *f = *state;

	support_append(f->dir, 0, 200);
	check_stream(f, 1);
	remove_indexes(f);
	check_stream(f, 1);
}

static void golden_by_byte(void **state)
{
	struct read_fixture *f = *state;

	copy_golden(f, "v2-mixed");
	check_stream(f, 101);
	remove_indexes(f);
	check_stream(f, 1009);
}

/* chronicle-rs's records first, then ours, in one queue. */
static void continued_by_byte(void **state)
{
	struct read_fixture *f = *state;

	copy_golden(f, "v2-small");
	support_append(f->dir, 40, 60);
	check_stream(f, 1);
}

static void trimmed_bytes(void **state)
{
	struct read_fixture *f = *state;
	struct cq_record record;
	uint64_t skip = 77, base;

	support_append(f->dir, 0, 4 * SUPPORT_PER_SEGMENT);
	remove_file(f, "000000000.q");
	remove_file(f, "000000002.q");
	read_open(f, NULL, CQ_START_OLDEST);
	assert_int_equal(cq_reader_next(f->reader, &record), 1);
	base = record.stream_offset;
	assert_int_equal(cq_reader_seek_stream(f->reader, base - 1, &skip), -ENODATA);
	assert_int_equal(skip, 77);
	expect_line(f, "record 31");
	assert_int_equal(cq_reader_seek_stream(f->reader, base, &skip), 0);
	assert_int_equal(skip, 0);
	expect_line(f, "record 31");
	/* a byte of the missing segment: the reader is behind it */
	assert_int_equal(
		cq_reader_seek_stream(f->reader, base + 9 * SUPPORT_PER_SEGMENT + 5, &skip),
		-ENODATA);
	expect_line(f, "record 93");
}

/* Only the segments before it tell where a segment of chronicle-rs begins, until they are deleted. */
static void bytes_keep_their_places(void **state)
{
	struct read_fixture *f = *state;
	char golden[PATH_SIZE], later[PATH_SIZE], from[PATH_SIZE], to[PATH_SIZE], name[32];
	uint64_t size = 0, skip;
	struct cq_record record;

	support_golden(golden, "v2-killed");
	support_copy(golden, f->dir);
	support_temp_dir(later);
	for (unsigned id = 20; id < 40; id++) {
		snprintf(name, sizeof name, "%09u.q", id);
		support_path(from, f->dir, name);
		support_path(to, later, name);
		assert_int_equal(rename(from, to), 0);
	}
	read_open(f, NULL, CQ_START_OLDEST);
	while (cq_reader_next(f->reader, &record) == 1)
		size += record.length;
	assert_int_equal(cq_reader_seek_stream(f->reader, size - 1, &skip), 0);
	/* now there are twenty others; of the first ones the last still exists */
	for (unsigned id = 0; id < 40; id++) {
		snprintf(name, sizeof name, "%09u.q", id);
		support_path(from, later, name);
		support_path(to, f->dir, name);
		if (id < 19)
			assert_int_equal(unlink(to), 0);
		else if (id > 19)
			assert_int_equal(rename(from, to), 0);
	}
	assert_int_equal(cq_reader_seek_stream(f->reader, size + 3, &skip), 0);
	remove_file(f, "000000019.q");
	assert_int_equal(cq_reader_seek_stream(f->reader, size + 3, &skip), 0);
	assert_int_equal(skip, 3);
	assert_int_equal(cq_reader_next(f->reader, &record), 1);
	assert_int_equal(record.segment, 20);
	assert_int_equal(cq_reader_seek_stream(f->reader, size - 1, &skip), -ENODATA);
	support_remove(later);
}

static void ends(void **state)
{
	struct read_fixture *f = *state;
	uint64_t skip;

	/* an empty queue */
	read_open(f, NULL, CQ_START_OLDEST);
	assert_int_equal(cq_reader_seek_end(f->reader), 0);
	assert_int_equal(cq_reader_seek_oldest(f->reader), 0);
	assert_int_equal(cq_reader_seek_seq(f->reader, 5), 0);
	assert_int_equal(cq_reader_seek_time(f->reader, 5), 0);
	assert_int_equal(cq_reader_seek_stream(f->reader, 5, &skip), 0);
	expect_end(f);
	support_append(f->dir, 0, 10);
	expect_line(f, "record 0");
	assert_int_equal(cq_reader_seek_end(f->reader), 0);
	expect_end(f);
	/* in the segment that is being written, not in the spare behind it */
	assert_true(support_exists(f->dir, "000000001.q"));
	support_append(f->dir, 10, 1);
	expect_line(f, "record 10");
	/* exactly one full segment: the next record goes to the one after it */
	support_append(f->dir, 11, SUPPORT_PER_SEGMENT - 11);
	assert_int_equal(cq_reader_seek_end(f->reader), 0);
	expect_end(f);
	support_append(f->dir, SUPPORT_PER_SEGMENT, 2);
	expect_line(f, "record 31");
	assert_int_equal(cq_reader_seek_oldest(f->reader), 0);
	expect_line(f, "record 0");
	assert_int_equal(cq_reader_seek_end(f->reader), 0);
	expect_end(f);
}

/* A place that damage hides is an error, and the reader does not move. */
static void damage_on_the_way(void **state)
{
	struct read_fixture *f = *state;
	const uint32_t commit = 0x7fffffff;

	support_append(f->dir, 0, 2 * SUPPORT_PER_SEGMENT);
	read_open(f, NULL, CQ_START_OLDEST);
	expect_line(f, "record 0");
	support_poke(f->dir, "000000000.q", 64 + 128 * 5, &commit, sizeof commit);
	assert_int_equal(cq_reader_seek_seq(f->reader, 9), -EIO);
	expect_line(f, "record 1");
	expect_seq(f, 3, 3);
	expect_seq(f, 40, 40);
}

/* If no header tells a number, the seek looks into all segments, the last one first: one that cannot be
 * read may hold the number. */
static void damage_where_nothing_tells(void **state)
{
	struct read_fixture *f = *state;
	struct cq_record record;

	copy_golden(f, "v2-killed");
	expect_seq(f, 5, 5);
	support_poke(f->dir, "000000010.q", 0, "X", 1);
	assert_int_equal(cq_reader_seek_seq(f->reader, 5), -EBADMSG);
	assert_int_equal(cq_reader_next(f->reader, &record), 1);
	assert_int_equal(record.seq, 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		READ_TEST(to_each_seq),
		READ_TEST(to_missing_seq),
		READ_TEST(last_run_wins),
		READ_TEST(golden_by_seq),
		READ_TEST(wrong_index_leads_nowhere),
		READ_TEST(each_word_of_an_index),
		READ_TEST(indexes_of_nothing),
		READ_TEST(first_numbers_that_lie),
		READ_TEST(within_large_segments),
		READ_TEST(to_each_time),
		READ_TEST(to_each_byte),
		READ_TEST(golden_by_byte),
		READ_TEST(continued_by_byte),
		READ_TEST(trimmed_bytes),
		READ_TEST(bytes_keep_their_places),
		READ_TEST(ends),
		READ_TEST(damage_on_the_way),
		READ_TEST(damage_where_nothing_tells),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
