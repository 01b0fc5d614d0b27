/* SPDX-License-Identifier: Apache-2.0 */
/* test_reader.c - cq_reader: next, end of segment, damage, gaps, named readers */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "chronq.h"
#include "format/format.h"
#include "read/reader.h"
#include "read_support.h"

static void expect_text(cq_reader *reader, const char *text, size_t length)
{
	struct cq_record record;

	assert_int_equal(cq_reader_next(reader, &record), 1);
	assert_int_equal(record.length, length);
	assert_memory_equal(record.payload, text, length);
}

static void expect_records(cq_reader *reader, unsigned first, unsigned count)
{
	char text[32];

	for (unsigned i = first; i < first + count; i++)
		expect_text(reader, text, (size_t)snprintf(text, sizeof text, "record %u", i));
}

static void expect_nothing(cq_reader *reader)
{
	struct cq_record record;

	assert_int_equal(cq_reader_next(reader, &record), 0);
}

static void expect_error(cq_reader *reader, int error)
{
	struct cq_record record;

	assert_int_equal(cq_reader_next(reader, &record), -error);
}

/* ---- queues of chronicle-rs ---- */

static void check_golden(const char *queue, const char *lines)
{
	char dir[PATH_SIZE], path[PATH_SIZE];
	char *text, *line, *end;
	cq_reader *reader;
	size_t size;

	support_golden(dir, queue);
	support_golden(path, lines);
	text = support_slurp(path, &size);
	assert_int_equal(cq_reader_open(dir, NULL, CQ_START_OLDEST, CQ_READER_PASSIVE, &reader), 0);
	for (line = text; line < text + size; line = end + 1) {
		end = memchr(line, '\n', (size_t)(text + size - line));
		expect_text(reader, line, (size_t)(end - line));
	}
	expect_nothing(reader);
	expect_nothing(reader);
	cq_reader_close(reader);
	free(text);
}

static void golden_queues_line_by_line(void **state)
{
	(void)state;
	check_golden("v1-small", "small.txt");
	check_golden("v2-small", "small.txt");
	check_golden("v2-reopened", "small.txt");
	check_golden("v2-reader", "small.txt");
	check_golden("v2-mixed", "mixed.txt");
	check_golden("v2-killed", "v2-killed.txt");
}

static void golden_reader_resumes(void **state)
{
	struct read_fixture *f = *state;
	char golden[PATH_SIZE];

	support_golden(golden, "v2-reader");
	support_copy(golden, f->dir);
	read_open(f, "alpha", CQ_START_RESUME);
	expect_nothing(f->reader);
	read_open(f, "alpha", CQ_START_OLDEST);
	expect_text(f->reader, "line 1", 6);
	read_open(f, NULL, CQ_START_LATEST);
	expect_nothing(f->reader);
}

static void passive_reader_changes_nothing(void **state)
{
	struct read_fixture *f = *state;
	char golden[PATH_SIZE];
	char before[512], after[512];
	struct stat old, now;

	support_golden(golden, "v2-small");
	support_copy(golden, f->dir);
	support_peek(f->dir, "control.meta", 0, before, sizeof before);
	assert_int_equal(stat(f->dir, &old), 0);
	assert_int_equal(
		cq_reader_open(f->dir, NULL, CQ_START_LATEST, CQ_READER_PASSIVE, &f->reader), 0);
	assert_int_equal(cq_reader_wait(f->reader, 5), 0);
	support_peek(f->dir, "control.meta", 0, after, sizeof after);
	assert_memory_equal(before, after, sizeof before);
	assert_int_equal(stat(f->dir, &now), 0);
	assert_memory_equal(&old.st_mtim, &now.st_mtim, sizeof now.st_mtim);
	assert_int_equal(cq_reader_commit(f->reader), -EINVAL);
}

/* ---- end of a segment ---- */

static void grows_under_the_reader(void **state)
{
	struct read_fixture *f = *state;
	struct cq_record record;

	read_open(f, NULL, CQ_START_OLDEST);
	expect_nothing(f->reader);
	support_append(f->dir, 0, 40);
	expect_records(f->reader, 0, 40);
	expect_nothing(f->reader);
	support_append(f->dir, 40, 1);
	assert_int_equal(cq_reader_wait(f->reader, 0), 1);
	assert_int_equal(cq_reader_next(f->reader, &record), 1);
	assert_int_equal(record.seq, 40);
	assert_true(record.have_stream);
	assert_int_equal(record.stream_offset, 10 * 8 + 30 * 9);
	assert_int_equal(record.segment, 1);
	assert_int_equal(record.type, CQ_TYPE_DEFAULT);
}

/* Segment 0 as it was before its last record and its seal, though segment 1 is in use already. */
#define LAST_RECORD (64 + 128 * (SUPPORT_PER_SEGMENT - 1))

static void unfinish(struct read_fixture *f, struct support_unfinished *u)
{
	support_append(f->dir, 0, SUPPORT_PER_SEGMENT + 2);
	support_unfinish(f->dir, LAST_RECORD, 128, u);
}

/*
 * The writer commits its last record and seals between the reader's look at the commit word and its
 * look at SEALED: cq_reader_next() has seen zero, and calls cq_reader_follow().  Once with the
 * writer's summary, and once without: chronicle-rs writes none.
 */
static void looks_again_after_sealed(void **state)
{
	struct read_fixture *f = *state;
	struct support_unfinished u;

	for (int summary = 0; summary < 2; summary++) {
		unfinish(f, &u);
		read_open(f, NULL, CQ_START_OLDEST);
		expect_records(f->reader, 0, SUPPORT_PER_SEGMENT - 1);
		expect_nothing(f->reader);
		support_poke(f->dir, "000000000.q", LAST_RECORD, u.last, 128);
		support_poke(f->dir, "000000000.q", 0, u.header, summary ? 64 : 16);
		support_set_current(f->dir, 1);
		assert_int_equal(cq_reader_follow(f->reader), 1);
		expect_records(f->reader, SUPPORT_PER_SEGMENT - 1, 3);
		expect_nothing(f->reader);
		support_remove(f->dir);
		assert_int_equal(mkdir(f->dir, 0750), 0);
	}
}

/* The successor exists, and even holds records: that alone does not end a segment. */
static void stays_in_unsealed_segment(void **state)
{
	struct read_fixture *f = *state;
	struct cq_reader_stats stats = CQ_SIZED(stats);
	struct support_unfinished u;

	unfinish(f, &u);
	read_open(f, NULL, CQ_START_OLDEST);
	expect_records(f->reader, 0, SUPPORT_PER_SEGMENT - 1);
	expect_nothing(f->reader);
	assert_int_equal(cq_reader_wait(f->reader, 1), 0);
	assert_int_equal(cq_reader_skip_segment(f->reader), 0);
	/* now control.meta says that the writer is further on: the lost record is a gap */
	support_set_current(f->dir, 1);
	assert_int_equal(cq_reader_wait(f->reader, -1), 1);
	expect_error(f->reader, ENODATA);
	cq_reader_stats(f->reader, &stats);
	assert_int_equal(stats.gaps, 1);
	assert_int_equal(stats.gap_segments, 0);
	assert_int_equal(stats.gap_records, 1);
	expect_records(f->reader, SUPPORT_PER_SEGMENT, 2);
	expect_nothing(f->reader);
}

/* A wrong control.meta does not lead the reader away from where the writer is. */
static void wrong_control_leads_nowhere(void **state)
{
	struct read_fixture *f = *state;

	support_append(f->dir, 0, 10);
	assert_true(support_exists(f->dir, "000000001.q"));
	read_open(f, NULL, CQ_START_OLDEST);
	support_set_current(f->dir, 5);
	expect_records(f->reader, 0, 10);
	expect_nothing(f->reader);
	support_set_current(f->dir, 0);
	support_append(f->dir, 10, 5);
	expect_records(f->reader, 10, 5);
}

/* ---- damage ---- */

static void flip(struct read_fixture *f, const char *name, uint64_t offset)
{
	uint8_t byte;

	support_peek(f->dir, name, offset, &byte, 1);
	byte ^= 0x10;
	support_poke(f->dir, name, offset, &byte, 1);
}

static void damaged_record_stops_the_reader(void **state)
{
	/* payload; seq; stream offset; commit word out of bounds */
	static const uint64_t places[] = { 64, 8, 40, 3 };
	struct read_fixture *f = *state;
	struct cq_reader_stats stats = CQ_SIZED(stats);

	support_append(f->dir, 0, 2 * SUPPORT_PER_SEGMENT + 1);
	for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
		const uint64_t at = 64 + 128 * 5 + places[i];

		flip(f, "000000000.q", at);
		read_open(f, NULL, CQ_START_OLDEST);
		expect_records(f->reader, 0, 5);
		expect_error(f->reader, EIO);
		assert_int_equal(cq_reader_wait(f->reader, -1), 1);
		expect_error(f->reader, EIO);
		assert_int_equal(cq_reader_skip_segment(f->reader), 1);
		expect_records(f->reader, SUPPORT_PER_SEGMENT, SUPPORT_PER_SEGMENT + 1);
		cq_reader_stats(f->reader, &stats);
		assert_int_equal(stats.gap_records, SUPPORT_PER_SEGMENT - 5);
		assert_int_equal(stats.gap_segments, 0);
		flip(f, "000000000.q", at);
	}
}

/* Nothing has to be wrong with a segment. */
static void whole_segments_are_passed(void **state)
{
	struct read_fixture *f = *state;
	struct cq_reader_stats stats = CQ_SIZED(stats);

	support_append(f->dir, 0, 3 * SUPPORT_PER_SEGMENT + 1);
	read_open(f, NULL, CQ_START_OLDEST);
	for (uint32_t id = 1; id <= 3; id++) {
		assert_int_equal(cq_reader_skip_segment(f->reader), 1);
		cq_reader_stats(f->reader, &stats);
		assert_int_equal(stats.segment, id);
		assert_int_equal(stats.offset, 64);
		if (id == 2)
			expect_records(f->reader, 2 * SUPPORT_PER_SEGMENT, 5);
	}
	assert_int_equal(cq_reader_skip_segment(f->reader), 0);
	expect_records(f->reader, 3 * SUPPORT_PER_SEGMENT, 1);
	cq_reader_stats(f->reader, &stats);
	assert_int_equal(stats.gaps, 0);
	assert_int_equal(stats.gap_segments, 0);
}

/* Where the payload alone is damaged, and the segment is sealed, only that record is lost. */
static void damaged_payload_is_passed(void **state)
{
	struct read_fixture *f = *state;
	struct cq_reader_stats stats = CQ_SIZED(stats);
	struct cq_record record;

	read_open(f, NULL, CQ_START_OLDEST);
	assert_int_equal(cq_reader_skip_record(f->reader, NULL), 0); /* there is no segment */
	cq_reader_close(f->reader);
	f->reader = NULL;
	support_append(f->dir, 0, 2 * SUPPORT_PER_SEGMENT + 9);
	/* in the middle of a segment, at its end, at the beginning of the next one; in the last segment */
	flip(f, "000000000.q", 64 + 128 * 5 + 64);
	flip(f, "000000000.q", 64 + 128 * 30 + 64);
	flip(f, "000000001.q", 64 + 64);
	flip(f, "000000002.q", 64 + 128 * 3 + 64);
	/* a header */
	flip(f, "000000001.q", 64 + 128 * 7 + 8);
	read_open(f, NULL, CQ_START_OLDEST);
	assert_int_equal(cq_reader_skip_record(f->reader, NULL), 0); /* nothing is wrong there */
	expect_records(f->reader, 0, 2);
	assert_int_equal(cq_reader_skip_record(f->reader, NULL), 0); /* nor there */
	expect_records(f->reader, 2, 3);
	expect_error(f->reader, EIO);
	assert_int_equal(cq_reader_skip_record(f->reader, &record), 1);
	assert_int_equal(record.seq, 5);
	assert_int_equal(record.offset, 64 + 128 * 5);
	assert_null(record.payload);
	expect_records(f->reader, 6, 24);
	expect_error(f->reader, EIO);
	assert_int_equal(cq_reader_skip_record(f->reader, NULL), 1);
	expect_error(f->reader, EIO);
	assert_int_equal(cq_reader_skip_record(f->reader, NULL), 1);
	expect_records(f->reader, SUPPORT_PER_SEGMENT + 1, 6);
	expect_error(f->reader, EIO);
	assert_int_equal(cq_reader_skip_record(f->reader, NULL), 0);
	expect_error(f->reader, EIO);
	assert_int_equal(cq_reader_skip_segment(f->reader), 1);
	expect_records(f->reader, 2 * SUPPORT_PER_SEGMENT, 3);
	expect_error(f->reader, EIO);
	assert_int_equal(cq_reader_skip_record(f->reader, NULL), 0);
	assert_int_equal(cq_reader_skip_segment(f->reader), 0);
	cq_reader_stats(f->reader, &stats);
	assert_int_equal(stats.gap_records, SUPPORT_PER_SEGMENT - 7);
	assert_int_equal(stats.gaps, 0);
}

/* A record of chronicle-rs has no checksum of its header.  Its payload may fail because the length is wrong, which
 * then leads past sound records: to one of them, or to a place that looks like the end. */
static void damaged_length_is_not_followed(void **state)
{
	static const uint32_t wrong[] = { 7 ^ 2048, 4032 - 64 - 64 + 1 };
	struct read_fixture *f = *state;
	struct cq_record record;
	char golden[PATH_SIZE];

	support_golden(golden, "v2-small");
	support_copy(golden, f->dir);
	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		support_poke(f->dir, "000000000.q", 64, &wrong[i], sizeof wrong[i]);
		read_open(f, NULL, CQ_START_OLDEST);
		expect_error(f->reader, EIO);
		assert_int_equal(cq_reader_skip_record(f->reader, &record), 0);
		expect_error(f->reader, EIO);
		assert_int_equal(cq_reader_skip_segment(f->reader), 1);
		assert_int_equal(cq_reader_next(f->reader, &record), 1);
		assert_int_equal(record.segment, 1);
		assert_int_equal(record.offset, 64);
	}
}

/* The first record behind missing ones is damaged: how many are missing is known all the same. */
static void damaged_payload_behind_a_gap(void **state)
{
	struct read_fixture *f = *state;
	struct cq_reader_stats stats = CQ_SIZED(stats);
	char path[PATH_SIZE];

	support_append(f->dir, 0, 3 * SUPPORT_PER_SEGMENT + 1);
	flip(f, "000000002.q", 64 + 64);
	read_open(f, NULL, CQ_START_OLDEST);
	expect_records(f->reader, 0, SUPPORT_PER_SEGMENT);
	support_path(path, f->dir, "000000001.q");
	assert_int_equal(unlink(path), 0);
	expect_error(f->reader, ENODATA);
	expect_error(f->reader, EIO);
	assert_int_equal(cq_reader_skip_record(f->reader, NULL), 1);
	expect_records(f->reader, 2 * SUPPORT_PER_SEGMENT + 1, SUPPORT_PER_SEGMENT);
	cq_reader_stats(f->reader, &stats);
	assert_int_equal(stats.gap_records, SUPPORT_PER_SEGMENT);
	assert_int_equal(stats.gaps, 1);
}

/* Numbers are missing before a segment, which only its records say; the first of them is damaged. */
static void damaged_payload_before_a_jump(void **state)
{
	struct cq_reader_stats stats = CQ_SIZED(stats);
	struct cq_config config = CQ_SIZED(config);
	static const uint8_t payload[500];
	char other[PATH_SIZE], path[PATH_SIZE];
	struct read_fixture *f = *state;
	struct cq_record record;
	cq_writer *writer;
	char *segment;
	size_t size;

	support_append(f->dir, 0, 2 * SUPPORT_PER_SEGMENT + 1);
	flip(f, "000000001.q", 64 + 64);
	support_temp_dir(other);
	cq_config_init(&config);
	config.segment_size = 4096;
	assert_int_equal(cq_writer_open(other, &config, &writer), 0);
	for (int i = 0; i < 8; i++)
		assert_int_equal(cq_writer_append(writer, 1, payload, sizeof payload, NULL), 0);
	assert_int_equal(cq_writer_close(writer), 0);
	support_path(path, other, "000000000.q");
	segment = support_slurp(path, &size);
	support_poke(f->dir, "000000000.q", 0, segment, size);
	free(segment);
	support_remove(other);
	read_open(f, NULL, CQ_START_OLDEST);
	for (unsigned i = 0; i < 7; i++)
		assert_int_equal(cq_reader_next(f->reader, &record), 1);
	expect_error(f->reader, EIO);
	assert_int_equal(cq_reader_skip_record(f->reader, &record), 1);
	assert_int_equal(record.seq, SUPPORT_PER_SEGMENT);
	expect_error(f->reader, ENODATA);
	expect_records(f->reader, SUPPORT_PER_SEGMENT + 1, SUPPORT_PER_SEGMENT);
	cq_reader_stats(f->reader, &stats);
	assert_int_equal(stats.gap_records, SUPPORT_PER_SEGMENT - 7);
}

/* A record that is all zeros looks like the end of its segment; the seal's summary says otherwise. */
static void wiped_record_is_no_end(void **state)
{
	static const uint8_t zero[128];
	struct read_fixture *f = *state;

	support_append(f->dir, 0, SUPPORT_PER_SEGMENT + 1);
	support_poke(f->dir, "000000000.q", 64 + 128 * 7, zero, sizeof zero);
	read_open(f, NULL, CQ_START_OLDEST);
	expect_records(f->reader, 0, 7);
	expect_error(f->reader, EIO);
	expect_error(f->reader, EIO);
	assert_int_equal(cq_reader_skip_segment(f->reader), 1);
	expect_records(f->reader, SUPPORT_PER_SEGMENT, 1);
}

/* One of our records in the place of another: sound, but out of order. */
static void misplaced_record_is_damage(void **state)
{
	struct read_fixture *f = *state;
	uint8_t bytes[128];

	support_append(f->dir, 0, 10);
	support_peek(f->dir, "000000000.q", 64 + 128 * 2, bytes, sizeof bytes);
	support_poke(f->dir, "000000000.q", 64 + 128 * 5, bytes, sizeof bytes);
	read_open(f, NULL, CQ_START_OLDEST);
	expect_records(f->reader, 0, 5);
	expect_error(f->reader, EIO);
}

static void file_cut_short_is_an_error(void **state)
{
	struct read_fixture *f = *state;
	char path[PATH_SIZE];

	support_append(f->dir, 0, SUPPORT_PER_SEGMENT + 1);
	read_open(f, NULL, CQ_START_OLDEST);
	expect_records(f->reader, 0, 3);
	support_path(path, f->dir, "000000000.q");
	assert_int_equal(truncate(path, 0), 0);
	expect_error(f->reader, EIO);
	expect_error(f->reader, EIO);
	/* a file that is short when the reader opens it */
	read_open(f, NULL, CQ_START_OLDEST);
	expect_error(f->reader, EBADMSG);
	assert_int_equal(truncate(path, 2048), 0);
	read_open(f, NULL, CQ_START_OLDEST);
	expect_error(f->reader, EIO);
	assert_int_equal(cq_reader_skip_segment(f->reader), 1);
	expect_records(f->reader, SUPPORT_PER_SEGMENT, 1);
}

static void foreign_successor(void **state)
{
	struct read_fixture *f = *state;
	const uint32_t magic = 1;

	support_append(f->dir, 0, 3 * SUPPORT_PER_SEGMENT);
	support_poke(f->dir, "000000001.q", 0, &magic, sizeof magic);
	read_open(f, NULL, CQ_START_OLDEST);
	expect_records(f->reader, 0, SUPPORT_PER_SEGMENT);
	expect_error(f->reader, EBADMSG);
	expect_error(f->reader, EBADMSG);
	assert_int_equal(cq_reader_skip_segment(f->reader), 1);
	expect_records(f->reader, 2 * SUPPORT_PER_SEGMENT, SUPPORT_PER_SEGMENT);
}

/* ---- gaps ---- */

static void remove_segment(struct read_fixture *f, const char *name)
{
	char path[PATH_SIZE];

	support_path(path, f->dir, name);
	assert_int_equal(unlink(path), 0);
}

static void missing_segment_is_reported_once(void **state)
{
	struct read_fixture *f = *state;
	struct cq_reader_stats stats = CQ_SIZED(stats);

	support_append(f->dir, 0, 5 * SUPPORT_PER_SEGMENT);
	read_open(f, NULL, CQ_START_OLDEST);
	expect_records(f->reader, 0, 10);
	remove_segment(f, "000000000.q"); /* the reader has it mapped, and keeps it */
	remove_segment(f, "000000001.q");
	remove_segment(f, "000000002.q");
	expect_records(f->reader, 10, SUPPORT_PER_SEGMENT - 10);
	assert_int_equal(cq_reader_wait(f->reader, -1), 1);
	expect_error(f->reader, ENODATA);
	cq_reader_stats(f->reader, &stats);
	assert_int_equal(stats.gaps, 1);
	assert_int_equal(stats.gap_segments, 2);
	assert_int_equal(stats.gap_records, 2 * SUPPORT_PER_SEGMENT);
	expect_records(f->reader, 3 * SUPPORT_PER_SEGMENT, 2 * SUPPORT_PER_SEGMENT);
	expect_nothing(f->reader);
	cq_reader_stats(f->reader, &stats);
	assert_int_equal(stats.gaps, 1);
	assert_int_equal(stats.gap_records, 2 * SUPPORT_PER_SEGMENT);
	assert_int_equal(stats.records, 3 * SUPPORT_PER_SEGMENT);
}

/* ---- named readers ---- */

static void named_reader_resumes_after_kill(void **state)
{
	struct read_fixture *f = *state;
	int status;
	pid_t child;

	support_append(f->dir, 0, 100);
	child = support_fork();
	if (child == 0) {
		struct cq_record record;
		cq_reader *reader;

		if (cq_reader_open(f->dir, "worker", CQ_START_RESUME_OR_OLDEST, 0, &reader) != 0)
			_exit(1);
		for (int i = 0; i < 75; i++) {
			if (cq_reader_next(reader, &record) != 1)
				_exit(2);
			if (i == 61 && cq_reader_commit(reader) != 0)
				_exit(3);
		}
		raise(SIGKILL);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	read_open(f, "worker", CQ_START_RESUME);
	expect_records(f->reader, 62, 38);
	assert_int_equal(cq_reader_commit(f->reader), 0);
	read_open(f, "worker", CQ_START_RESUME_OR_OLDEST);
	expect_nothing(f->reader);
	support_append(f->dir, 100, 1);
	expect_records(f->reader, 100, 1);
}

static void resume_without_position(void **state)
{
	struct read_fixture *f = *state;

	support_append(f->dir, 0, 5);
	assert_int_equal(cq_reader_open(f->dir, "x", CQ_START_RESUME, 0, &f->reader), -ENOENT);
	assert_false(support_exists(f->dir, "readers"));
	read_open(f, "x", CQ_START_RESUME_OR_OLDEST);
	assert_true(support_exists(f->dir, "readers/x.meta"));
	expect_records(f->reader, 0, 5);
	assert_int_equal(cq_reader_commit(f->reader), 0);
	support_poke(f->dir, "readers/x.meta", 4, "rubbish", 7);
	support_poke(f->dir, "readers/x.meta", 44, "rubbish", 7);
	read_open(f, "x", CQ_START_RESUME_OR_OLDEST);
	expect_records(f->reader, 0, 5);
}

static void committed_segment_is_gone(void **state)
{
	struct read_fixture *f = *state;
	struct cq_reader_stats stats = CQ_SIZED(stats);

	support_append(f->dir, 0, 5 * SUPPORT_PER_SEGMENT);
	read_open(f, "late", CQ_START_OLDEST);
	expect_records(f->reader, 0, 40);
	assert_int_equal(cq_reader_commit(f->reader), 0);
	remove_segment(f, "000000000.q");
	remove_segment(f, "000000001.q");
	remove_segment(f, "000000002.q");
	read_open(f, "late", CQ_START_RESUME);
	expect_error(f->reader, ENODATA);
	cq_reader_stats(f->reader, &stats);
	assert_int_equal(stats.gaps, 1);
	assert_int_equal(stats.gap_segments, 2);
	expect_records(f->reader, 3 * SUPPORT_PER_SEGMENT, 2 * SUPPORT_PER_SEGMENT);
}

/* The committed position is behind what a power cut left: the reader goes on where the records end. */
static void committed_position_behind_the_tail(void **state)
{
	static const uint8_t zero[128 * 10];
	struct read_fixture *f = *state;

	support_append(f->dir, 0, 20);
	read_open(f, "early", CQ_START_OLDEST);
	expect_records(f->reader, 0, 20);
	assert_int_equal(cq_reader_commit(f->reader), 0);
	support_poke(f->dir, "000000000.q", 64 + 128 * 10, zero, sizeof zero);
	read_open(f, "early", CQ_START_RESUME);
	expect_nothing(f->reader);
	cq_reader_close(f->reader);
	f->reader = NULL;
	assert_int_equal(cq_reader_open(f->dir, "early", CQ_START_RESUME, 0, &f->reader), 0);
	assert_int_equal(f->reader->offset, 64 + 128 * 10);
}

static void refuses_what_it_cannot_do(void **state)
{
	static const char *const names[] = {
		"",
		".x",
		"../../x",
		"a/b",
		"a b",
		"x\n",
		"12345678901234567890123456789012345678901234567890123456789012345"
	};
	struct read_fixture *f = *state;
	cq_reader *reader;

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		assert_int_equal(cq_reader_open(f->dir, names[i], CQ_START_OLDEST, 0, &reader),
		                 -EINVAL);
	assert_int_equal(cq_reader_open(f->dir, NULL, (enum cq_start)9, 0, &reader), -EINVAL);
	assert_int_equal(cq_reader_open(f->dir, NULL, CQ_START_OLDEST, 8, &reader), -EINVAL);
	assert_int_equal(cq_reader_open(f->dir, "x", CQ_START_OLDEST, CQ_READER_PASSIVE, &reader),
	                 -EINVAL);
	assert_int_equal(cq_reader_open("/nonexistent", NULL, CQ_START_OLDEST, 0, &reader),
	                 -ENOENT);
}

static void foreign_directory(void **state)
{
	struct read_fixture *f = *state;
	char path[PATH_SIZE];
	cq_reader *reader;

	support_path(path, f->dir, "notes.txt");
	assert_int_equal(close(creat(path, 0600)), 0);
	assert_int_equal(cq_reader_open(f->dir, NULL, CQ_START_OLDEST, 0, &reader), -ENOTEMPTY);
	assert_int_equal(cq_reader_open(path, NULL, CQ_START_OLDEST, 0, &reader), -ENOTDIR);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(golden_queues_line_by_line),
		READ_TEST(golden_reader_resumes),
		READ_TEST(passive_reader_changes_nothing),
		READ_TEST(grows_under_the_reader),
		READ_TEST(looks_again_after_sealed),
		READ_TEST(stays_in_unsealed_segment),
		READ_TEST(wrong_control_leads_nowhere),
		READ_TEST(damaged_record_stops_the_reader),
		READ_TEST(whole_segments_are_passed),
		READ_TEST(damaged_payload_is_passed),
		READ_TEST(damaged_length_is_not_followed),
		READ_TEST(damaged_payload_behind_a_gap),
		READ_TEST(damaged_payload_before_a_jump),
		READ_TEST(wiped_record_is_no_end),
		READ_TEST(misplaced_record_is_damage),
		READ_TEST(file_cut_short_is_an_error),
		READ_TEST(foreign_successor),
		READ_TEST(missing_segment_is_reported_once),
		READ_TEST(named_reader_resumes_after_kill),
		READ_TEST(resume_without_position),
		READ_TEST(committed_segment_is_gone),
		READ_TEST(committed_position_behind_the_tail),
		READ_TEST(refuses_what_it_cannot_do),
		READ_TEST(foreign_directory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
