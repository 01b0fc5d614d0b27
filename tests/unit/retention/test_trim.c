/* SPDX-License-Identifier: Apache-2.0 */
/* test_trim.c - deleting segments on request: which may be deleted */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "queue_support.h"
#include "write/writer.h"

#define PER_SEGMENT ((unsigned)SUPPORT_PER_SEGMENT)
#define SEGMENTS 7U

/* ---- by sequence number ---- */

static void at_the_borders(void **state)
{
	struct qs *q = *state;

	qs_open_synced(q, SEGMENTS);
	assert_int_equal(cq_writer_trim(q->writer, 0, 100), 0);
	assert_int_equal(cq_writer_trim(q->writer, PER_SEGMENT - 1, 100), 0);
	qs_expect_oldest(q, 0, SEGMENTS);
	assert_int_equal(cq_writer_trim(q->writer, PER_SEGMENT, 100), 1);
	qs_expect_oldest(q, 1, SEGMENTS);
	assert_int_equal(cq_writer_trim(q->writer, 2 * PER_SEGMENT - 1, 100), 0);
	assert_int_equal(cq_writer_trim(q->writer, 2 * PER_SEGMENT + 1, 100), 1);
	qs_expect_oldest(q, 2, SEGMENTS);
	assert_int_equal(cq_writer_trim(q->writer, UINT64_MAX, 0), 0);
	assert_int_equal(cq_writer_trim(q->writer, UINT64_MAX, 3), 3); /* most */
	qs_expect_oldest(q, 5, SEGMENTS);
	assert_int_equal(cq_writer_trim(q->writer, UINT64_MAX, UINT_MAX), 1);
	assert_int_equal(cq_writer_trim(q->writer, UINT64_MAX, 1), 0); /* never the current one */
	qs_expect_oldest(q, 6, SEGMENTS);
	assert_int_equal(qs_stats(q->writer).retired, 6);
	assert_int_equal(qs_count_names(q->dir, ".idx"), 0);
	qs_append(q->writer, SEGMENTS * PER_SEGMENT, 1); /* the current one is another now */
	assert_int_equal(cq_writer_trim(q->writer, UINT64_MAX, 1), 1);
	qs_close(q);
	qs_expect(q->dir, SEGMENTS * PER_SEGMENT, 1);
	qs_format_check(q->dir, "--closed");
}

/* Numbers that do not simply count up, in segments that do not say what they hold. */
static void foreign_segments(void **state)
{
	static const char *const queues[] = { "v1-small", "v2-small", "v2-reopened", "v2-mixed",
		                              "v2-killed" };
	struct qs *q = *state;

	q->config.segment_size = 0;
	for (size_t i = 0; i < sizeof queues / sizeof queues[0]; i++) {
		struct qs_record *records;
		char golden[PATH_SIZE];
		uint64_t highest = 0;
		uint32_t segment;
		size_t count;

		print_message("# %s\n", queues[i]);
		support_golden(golden, queues[i]);
		qs_anew(q);
		support_copy(golden, q->dir);
		qs_open(q);
		for (unsigned n = 0; n < 3; n++) {
			qs_append(q->writer, n, 1);
			assert_int_equal(cq_writer_roll(q->writer), 0);
		}
		count = qs_records(q->dir, &records);
		segment = records[0].segment;
		for (size_t n = 0; n < count; n++) {
			if (records[n].segment != segment) {
				assert_int_equal(cq_writer_trim(q->writer, highest, 1), 0);
				assert_int_equal(cq_writer_trim(q->writer, highest + 1, 1), 1);
				highest = 0;
				segment = records[n].segment;
				assert_int_equal(qs_stats(q->writer).oldest, segment);
			}
			if (records[n].seq > highest)
				highest = records[n].seq;
		}
		free(records);
		qs_close(q);
		qs_format_check(q->dir, "--closed");
	}
}

/* A damaged segment does not say what it holds; its successor does. */
static void damaged_segment(void **state)
{
	const uint32_t rubbish = 0xDEADBEEF;
	struct qs *q = *state;

	qs_open_synced(q, SEGMENTS);
	support_poke(q->dir, "000000000.q", 0, &rubbish, sizeof rubbish);
	assert_int_equal(cq_writer_trim(q->writer, PER_SEGMENT - 1, 1), 0);
	assert_int_equal(cq_writer_trim(q->writer, PER_SEGMENT, 1), 1);
	support_poke(q->dir, "000000001.q", 20, &rubbish, sizeof rubbish); /* the summary's CRC */
	support_poke(q->dir, "000000001.q", 64 + 10 * 128 + 8, &rubbish, sizeof rubbish);
	assert_int_equal(cq_writer_trim(q->writer, 2 * PER_SEGMENT - 1, 1), 0);
	assert_int_equal(cq_writer_trim(q->writer, 2 * PER_SEGMENT, 1), 1);
	support_poke(q->dir, "000000002.q", 0, &rubbish, sizeof rubbish);
	support_poke(q->dir, "000000003.q", 0, &rubbish,
	             sizeof rubbish); /* nor does the successor */
	assert_int_equal(cq_writer_trim(q->writer, UINT64_MAX, 1), -EBADMSG);
	qs_expect_oldest(q, 2, SEGMENTS);
	assert_int_equal(cq_writer_remove(q->writer, 2), 0); /* which needs no numbers */
	assert_int_equal(cq_writer_remove(q->writer, 3), 0);
	qs_expect_oldest(q, 4, SEGMENTS);
}

/* ---- readers that need them ---- */

static void a_reader_keeps_what_it_needs(void **state)
{
	struct qs *q = *state;

	qs_open_synced(q, SEGMENTS);
	qs_place_reader(q, "a", 2);
	qs_place_reader(q, "b", 4);
	assert_int_equal(cq_writer_trim(q->writer, UINT64_MAX, 100), 2);
	qs_expect_oldest(q, 2, SEGMENTS);
	assert_int_equal(cq_writer_trim(q->writer, UINT64_MAX, 100), -EBUSY);
	assert_int_equal(cq_writer_trim(q->writer, 3 * PER_SEGMENT, 100), -EBUSY);
	assert_int_equal(cq_writer_trim(q->writer, 3 * PER_SEGMENT - 1, 100), 0); /* no matter */
	assert_int_equal(cq_writer_remove(q->writer, 2), -EBUSY);
	qs_place_reader(q, "a", 5); /* seen at once */
	assert_int_equal(cq_writer_remove(q->writer, 2), 0);
	assert_int_equal(cq_writer_trim(q->writer, UINT64_MAX, 100), 1);
	qs_expect_oldest(q, 4, SEGMENTS);
	assert_int_equal(unlinkat(q->dirfd, "readers/b.meta", 0), 0);
	assert_int_equal(cq_writer_trim(q->writer, UINT64_MAX, 100), 1);
	qs_expect_oldest(q, 5, SEGMENTS);
}

static void only_live_readers_count(void **state)
{
	struct qs *q = *state;

	q->config.reader_max_lag_bytes = 4 * QS_SIZE;
	q->config.reader_ttl_ms = 20;
	qs_open_synced(q, SEGMENTS);
	qs_place_reader(q, "far", 1);
	assert_int_equal(cq_writer_trim(q->writer, UINT64_MAX, 2), 2); /* five behind */
	qs_place_reader(q, "near", 2);
	assert_int_equal(cq_writer_trim(q->writer, UINT64_MAX, 1), -EBUSY);
	while (cq_writer_trim(q->writer, UINT64_MAX, 1) == -EBUSY)
		usleep(1000);
	qs_expect_oldest(q, 3, SEGMENTS);
}

/* The flusher reads the readers' files even without a retention rule: so it knows which readers are dead. */
static void death_is_noticed_beforehand(void **state)
{
	struct qs *q = *state;

	q->config.reader_ttl_ms = 20;
	qs_open(q);
	qs_place_reader(q, "dead", 0);
	qs_append(q->writer, 0, 2 * PER_SEGMENT);
	qs_flush(q->writer);
	usleep(30000);
	assert_int_equal(cq_writer_trim(q->writer, UINT64_MAX, 1), 1);
}

static void unreadable_readers(void **state)
{
	struct qs *q = *state;

	qs_open_synced(q, SEGMENTS);
	qs_write_file(q->dir, "readers", "not a directory", 15);
	assert_int_equal(cq_writer_trim(q->writer, UINT64_MAX, 1), -ENOTDIR);
	assert_int_equal(cq_writer_remove(q->writer, 0), -ENOTDIR);
	qs_expect_oldest(q, 0, SEGMENTS);
}

static void remove_one(void **state)
{
	struct qs *q = *state;

	qs_open_synced(q, SEGMENTS);
	assert_int_equal(cq_writer_remove(q->writer, 99), -ENOENT);
	assert_int_equal(cq_writer_remove(q->writer, UINT32_MAX), -ENOENT);
	assert_int_equal(cq_writer_remove(q->writer, 1), -EBUSY); /* not the oldest */
	assert_int_equal(cq_writer_remove(q->writer, 6), -EBUSY); /* the current one */
	assert_int_equal(cq_writer_remove(q->writer, 7), -EBUSY); /* a spare */
	qs_expect_oldest(q, 0, SEGMENTS);
	for (uint32_t id = 0; id < 6; id++) {
		assert_int_equal(cq_writer_remove(q->writer, id), 0);
		qs_expect_oldest(q, id + 1, SEGMENTS);
		assert_int_equal(cq_writer_remove(q->writer, id), -ENOENT);
	}
	assert_int_equal(cq_writer_remove(q->writer, 6), -EBUSY); /* oldest and current */
	assert_int_equal(qs_stats(q->writer).retired, 6);
	qs_close(q);
	qs_expect(q->dir, 6 * PER_SEGMENT, PER_SEGMENT);
	qs_format_check(q->dir, "--closed");
}

static void others_delete_too(void **state)
{
	struct qs *q = *state;

	qs_open_synced(q, SEGMENTS);
	assert_int_equal(unlinkat(q->dirfd, "000000000.q", 0), 0);
	assert_int_equal(unlinkat(q->dirfd, "000000000.idx", 0), 0);
	assert_int_equal(unlinkat(q->dirfd, "000000002.q", 0), 0);
	assert_int_equal(unlinkat(q->dirfd, "000000002.idx", 0), 0);
	assert_int_equal(cq_writer_trim(q->writer, 4 * PER_SEGMENT, 100), 2); /* 1 and 3 */
	qs_flush(q->writer);
	while (qs_stats(q->writer).file_bytes != 4 * QS_SIZE) { /* counted again within a second */
		usleep(10000);
		qs_flush(q->writer);
	}
	qs_expect_oldest(q, 4, SEGMENTS);
	assert_int_equal(qs_stats(q->writer).retired, 2);
}

static const struct CMUnitTest tests[] = {
	QS_TEST(at_the_borders),          QS_TEST(foreign_segments),
	QS_TEST(damaged_segment),         QS_TEST(a_reader_keeps_what_it_needs),
	QS_TEST(only_live_readers_count), QS_TEST(death_is_noticed_beforehand),
	QS_TEST(unreadable_readers),      QS_TEST(remove_one),
	QS_TEST(others_delete_too),
};

QS_MAIN(tests)
