/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_repair.c - what a repair leaves, as readers, streams and the next writer meet it
 *
 * What it says and does, file by file, is in repair.sh.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "files/dir.h"
#include "meta/reader_file.h"
#include "meta/watermark.h"
#include "queue_support.h"
#include "repair_support.h"
#include "write/writer.h"

#define NAME(id) "00000000" #id ".q"
#define TEXT 10U /* bytes of "record 123": of the records that these tests look at */

/* Records 100 to 285, six full segments, and five more; segments 2 and 3 are gone. */
static void make_gap(struct qs *q)
{
	struct reported reported;
	struct cq_repair_result result = CQ_SIZED(result);

	qs_open(q);
	qs_append(q->writer, 100, 6 * 31 + 5);
	qs_flush(q->writer);
	qs_close(q);
	assert_int_equal(unlinkat(q->dirfd, NAME(2), 0), 0);
	assert_int_equal(unlinkat(q->dirfd, NAME(3), 0), 0);
	result = rs_repair(q, false, &reported);
	assert_true(result.refused);
	assert_false(result.done);
	assert_false(support_exists(q->dir, NAME(2)));
	result = rs_repair(q, true, &reported);
	assert_true(result.done);
	assert_int_equal(result.steps, 2);
	assert_int_equal(result.losses, 1);
	assert_int_equal(reported.count, 3);
	assert_string_equal(reported.files[0], NAME(2));
	assert_int_equal(reported.steps[0].action, CQ_REPAIR_STAND_IN);
	assert_int_equal(reported.steps[2].action, CQ_REPAIR_LOSS);
	assert_int_equal(reported.steps[2].first_seq, 62);
	assert_int_equal(reported.steps[2].last_seq, 123);
	assert_int_equal(reported.steps[2].bytes, 62 * TEXT);
	rs_is_sound(q);
}

static void place_reader(struct qs *q, const char *name, uint64_t segment, uint64_t offset)
{
	struct cq_reader_file cursor = { .segment = segment, .offset = offset };
	int fd;

	assert_int_equal(cq_reader_file_open(q->dirfd, name, true, &fd), 0);
	assert_int_equal(cq_reader_file_write(fd, &cursor), 0);
	close(fd);
}

/* ---- how they are met ---- */

static void reader_is_told_of_the_gap(void **state)
{
	struct qs *q = *state;
	struct cq_reader_stats stats = CQ_SIZED(stats);
	struct cq_record record;
	cq_reader *reader;

	make_gap(q);
	assert_int_equal(cq_reader_open(q->dir, NULL, CQ_START_OLDEST, 0, &reader), 0);
	for (unsigned i = 0; i < 62; i++)
		assert_int_equal(cq_reader_next(reader, &record), 1);
	assert_int_equal(record.seq, 61);
	assert_int_equal(cq_reader_next(reader, &record), -ENODATA);
	for (unsigned i = 124; i < 6 * 31 + 5; i++) {
		assert_int_equal(cq_reader_next(reader, &record), 1);
		assert_int_equal(record.seq, i);
	}
	assert_int_equal(cq_reader_next(reader, &record), 0);
	cq_reader_stats(reader, &stats);
	assert_int_equal(stats.gaps, 1);
	assert_int_equal(stats.gap_records, 62);
	/* seeks lead over it */
	for (uint64_t seq = 60; seq < 126; seq++) {
		assert_int_equal(cq_reader_seek_seq(reader, seq), 0);
		assert_int_equal(cq_reader_next(reader, &record), 1);
		assert_int_equal(record.seq, seq < 62 || seq > 124 ? seq : 124);
	}
	cq_reader_close(reader);
}

static void stream_has_a_hole(void **state)
{
	const uint64_t hole = 62 * (uint64_t)TEXT, behind = 124 * (uint64_t)TEXT;
	struct qs *q = *state;
	uint64_t begin, end, at;
	char text[TEXT];
	cq_queue *queue;
	cq_stream *stream;

	make_gap(q);
	assert_int_equal(cq_queue_open(q->dir, &queue), 0);
	assert_int_equal(cq_stream_open(queue, &stream), 0);
	assert_int_equal(cq_stream_extent(stream, &begin, &end), 0);
	assert_int_equal(begin, 0);
	assert_int_equal(end, (6 * 31 + 5) * TEXT);
	assert_int_equal(cq_stream_pread(stream, text, TEXT, hole - TEXT), TEXT);
	assert_memory_equal(text, "record 161", TEXT);
	assert_int_equal(cq_stream_pread(stream, text, TEXT, hole), -ENODATA);
	assert_int_equal(cq_stream_pread(stream, text, TEXT, behind - 1), -ENODATA);
	assert_int_equal(cq_stream_pread(stream, text, TEXT, behind), TEXT);
	assert_memory_equal(text, "record 224", TEXT);
	assert_int_equal(cq_stream_next_data(stream, hole, &at), 0);
	assert_int_equal(at, behind);
	cq_stream_close(stream);
	cq_queue_close(queue);
}

/* A writer continues, deletes placeholders as any segment, and reads them after a loss of the watermark:
 * they are not taken for segments that were cut to nothing, behind which nothing may stay. */
static void writer_goes_on(void **state)
{
	struct qs *q = *state;

	make_gap(q);
	qs_killed_writer(q, 6 * 31 + 105, 1);
	qs_mark(q->dir, 1, 64, 31); /* older than it was */
	qs_open(q);
	assert_int_equal(qs_stats(q->writer).next_seq, 6 * 31 + 6);
	assert_int_equal(qs_count_names(q->dir, ".corrupt"), 0);
	qs_append(q->writer, 6 * 31 + 106, 40);
	qs_flush(q->writer);
	assert_int_equal(cq_writer_trim(q->writer, 124, 10), 4);
	assert_false(support_exists(q->dir, NAME(3)));
	assert_true(support_exists(q->dir, NAME(4)));
	qs_close(q);
	rs_is_sound(q);
}

/* ---- what is a loss ---- */

/* Segments that are gone just before the place that the watermark names: nothing shows that there
 * were any but the watermark. */
static void last_segments_are_gone(void **state)
{
	struct qs *q = *state;
	struct reported reported;

	qs_open(q);
	qs_append(q->writer, 0, 3 * 31);
	qs_flush(q->writer);
	qs_close(q);
	qs_mark(q->dir, 3, 64, 3 * 31);
	assert_int_equal(unlinkat(q->dirfd, NAME(1), 0), 0);
	assert_int_equal(unlinkat(q->dirfd, NAME(2), 0), 0);
	if (support_exists(q->dir, NAME(3)))
		assert_int_equal(unlinkat(q->dirfd, NAME(3), 0), 0);
	assert_int_equal(qs_try_open(q), -EBADMSG);
	assert_true(rs_repair(q, false, &reported).refused);
	assert_true(rs_repair(q, true, &reported).done);
	assert_int_equal(reported.steps[reported.count - 1].action, CQ_REPAIR_LOSS);
	assert_int_equal(reported.steps[reported.count - 1].first_seq, 31);
	assert_int_equal(reported.steps[reported.count - 1].last_seq, 92);
	rs_is_sound(q);
	qs_write(q, 31, 40);
	qs_expect(q->dir, 0, 71);
	rs_is_sound(q);
}

/* An empty segment where a sealed one was. */
static void emptied_segment(void **state)
{
	struct qs *q = *state;
	struct reported reported;

	qs_open(q);
	qs_append(q->writer, 0, 4 * 31);
	qs_flush(q->writer);
	qs_close(q);
	assert_int_equal(unlinkat(q->dirfd, NAME(1), 0), 0);
	qs_make_segment(q->dir, 1, QS_SIZE);
	assert_true(rs_repair(q, false, &reported).refused);
	assert_true(rs_repair(q, true, &reported).done);
	assert_true(support_exists(q->dir, NAME(1) ".corrupt"));
	rs_is_sound(q);
}

/* A billion files is no repair. */
static void too_many_are_missing(void **state)
{
	const struct cq_repair_config config = { .size = sizeof config, .accept_loss = true };
	struct cq_repair_result result = CQ_SIZED(result);
	struct qs_snapshot before;
	struct qs *q = *state;

	qs_open(q);
	qs_append(q->writer, 0, 2 * 31);
	qs_flush(q->writer);
	qs_close(q);
	qs_mark(q->dir, CQ_SEGMENT_ID_MAX, 64, 62);
	qs_make_segment(q->dir, CQ_SEGMENT_ID_MAX, QS_SIZE);
	qs_snapshot(q->dir, &before);
	assert_int_equal(cq_repair(q->dir, &config, &result), -EFBIG);
	qs_unchanged(q->dir, &before);
}

/* Readers at places without records. */
static void readers_are_moved(void **state)
{
	struct qs *q = *state;
	struct cq_record record;
	struct reported reported;
	cq_reader *reader;

	qs_open(q);
	qs_append(q->writer, 100, 3 * 31 + 5);
	qs_flush(q->writer);
	qs_close(q);
	place_reader(q, "well", 2, 64 + 7 * 128);
	place_reader(q, "gone", 1, 64 + 7 * 128);
	place_reader(q, "before", 0, 64 + 7 * 128);
	place_reader(q, "border", 1, 64);
	rs_is_sound(q);
	place_reader(q, "behind", 3, 64 + 9 * 128);
	assert_int_equal(rs_repair(q, false, &reported).steps, 1);
	assert_non_null(rs_find(&reported, CQ_REPAIR_REWRITE, "readers/behind.meta"));
	rs_is_sound(q);

	assert_int_equal(unlinkat(q->dirfd, NAME(1), 0), 0);
	assert_int_equal(rs_repair(q, true, &reported).steps, 2);
	assert_non_null(rs_find(&reported, CQ_REPAIR_REWRITE, "readers/gone.meta"));
	rs_is_sound(q);
	assert_int_equal(cq_reader_open(q->dir, "gone", CQ_START_RESUME, 0, &reader), 0);
	assert_int_equal(cq_reader_next(reader, &record), -ENODATA);
	assert_int_equal(cq_reader_next(reader, &record), 1);
	assert_int_equal(record.seq, 2 * 31);
	cq_reader_close(reader);
	assert_int_equal(cq_reader_open(q->dir, "well", CQ_START_RESUME, 0, &reader), 0);
	assert_int_equal(cq_reader_next(reader, &record), 1);
	assert_int_equal(record.seq, 2 * 31 + 7);
	cq_reader_close(reader);
	assert_int_equal(cq_reader_open(q->dir, "before", CQ_START_RESUME, 0, &reader), 0);
	assert_int_equal(cq_reader_next(reader, &record), 1);
	assert_int_equal(record.seq, 7);
	cq_reader_close(reader);
}

static void defaults(void **state)
{
	struct qs *q = *state;
	struct cq_repair_result result = CQ_SIZED(result);

	qs_killed_writer(q, 0, 40);
	assert_int_equal(cq_repair(q->dir, NULL, &result), 0);
	assert_true(result.done);
	rs_is_sound(q);
	assert_int_equal(cq_repair(q->base, NULL, &result), -ENOTEMPTY);
}

static const struct CMUnitTest tests[] = {
	QS_TEST(reader_is_told_of_the_gap),
	QS_TEST(stream_has_a_hole),
	QS_TEST(writer_goes_on),
	QS_TEST(last_segments_are_gone),
	QS_TEST(emptied_segment),
	QS_TEST(too_many_are_missing),
	QS_TEST(readers_are_moved),
	QS_TEST(defaults),
};

QS_MAIN(tests)
