/* SPDX-License-Identifier: Apache-2.0 */
/* test_trim.c - deleting segments on request: which may be deleted, and that nothing else notices */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "files/dir.h"
#include "os/fault.h"
#include "queue_support.h"
#include "write/writer.h"

#define PER_SEGMENT ((unsigned)SUPPORT_PER_SEGMENT)
#define SEGMENTS 7U

/* Segments 0 to 6, the last one current, all synced and indexed; and a spare. */
static void make_synced(struct qs *q)
{
	qs_open_full(q, SEGMENTS);
	assert_int_equal(cq_writer_sync(q->writer), 0);
	qs_flush(q->writer);
	assert_int_equal(qs_count_names(q->dir, ".idx"), SEGMENTS - 1);
}

static void expect_oldest(struct qs *q, uint32_t oldest)
{
	char name[CQ_NAME_MAX];

	for (uint32_t id = 0; id <= SEGMENTS; id++) {
		cq_segment_name(name, id);
		assert_int_equal(support_exists(q->dir, name), id >= oldest);
		cq_index_name(name, id);
		assert_true(!support_exists(q->dir, name) || id >= oldest);
	}
	assert_int_equal(qs_stats(q->writer).oldest, oldest);
	assert_int_equal(qs_stats(q->writer).file_bytes, (SEGMENTS + 1 - oldest) * QS_SIZE);
}

/* ---- by sequence number ---- */

static void at_the_borders(void **state)
{
	struct qs *q = *state;

	make_synced(q);
	assert_int_equal(cq_writer_trim(q->writer, 0, 100), 0);
	assert_int_equal(cq_writer_trim(q->writer, PER_SEGMENT - 1, 100), 0);
	expect_oldest(q, 0);
	assert_int_equal(cq_writer_trim(q->writer, PER_SEGMENT, 100), 1);
	expect_oldest(q, 1);
	assert_int_equal(cq_writer_trim(q->writer, 2 * PER_SEGMENT - 1, 100), 0);
	assert_int_equal(cq_writer_trim(q->writer, 2 * PER_SEGMENT + 1, 100), 1);
	expect_oldest(q, 2);
	assert_int_equal(cq_writer_trim(q->writer, UINT64_MAX, 0), 0);
	assert_int_equal(cq_writer_trim(q->writer, UINT64_MAX, 3), 3); /* most */
	expect_oldest(q, 5);
	assert_int_equal(cq_writer_trim(q->writer, UINT64_MAX, UINT_MAX), 1);
	assert_int_equal(cq_writer_trim(q->writer, UINT64_MAX, 1), 0); /* never the current one */
	expect_oldest(q, 6);
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

	make_synced(q);
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
	expect_oldest(q, 2);
	assert_int_equal(cq_writer_remove(q->writer, 2), 0); /* which needs no numbers */
	assert_int_equal(cq_writer_remove(q->writer, 3), 0);
	expect_oldest(q, 4);
}

/* ---- readers that need them ---- */

static void a_reader_keeps_what_it_needs(void **state)
{
	struct qs *q = *state;

	make_synced(q);
	qs_place_reader(q, "a", 2);
	qs_place_reader(q, "b", 4);
	assert_int_equal(cq_writer_trim(q->writer, UINT64_MAX, 100), 2);
	expect_oldest(q, 2);
	assert_int_equal(cq_writer_trim(q->writer, UINT64_MAX, 100), -EBUSY);
	assert_int_equal(cq_writer_trim(q->writer, 3 * PER_SEGMENT, 100), -EBUSY);
	assert_int_equal(cq_writer_trim(q->writer, 3 * PER_SEGMENT - 1, 100), 0); /* no matter */
	assert_int_equal(cq_writer_remove(q->writer, 2), -EBUSY);
	qs_place_reader(q, "a", 5); /* seen at once */
	assert_int_equal(cq_writer_remove(q->writer, 2), 0);
	assert_int_equal(cq_writer_trim(q->writer, UINT64_MAX, 100), 1);
	expect_oldest(q, 4);
	assert_int_equal(unlinkat(q->dirfd, "readers/b.meta", 0), 0);
	assert_int_equal(cq_writer_trim(q->writer, UINT64_MAX, 100), 1);
	expect_oldest(q, 5);
}

static void only_live_readers_count(void **state)
{
	struct qs *q = *state;

	q->config.reader_max_lag_bytes = 4 * QS_SIZE;
	q->config.reader_ttl_ms = 20;
	make_synced(q);
	qs_place_reader(q, "far", 1);
	assert_int_equal(cq_writer_trim(q->writer, UINT64_MAX, 2), 2); /* five behind */
	qs_place_reader(q, "near", 2);
	assert_int_equal(cq_writer_trim(q->writer, UINT64_MAX, 1), -EBUSY);
	while (cq_writer_trim(q->writer, UINT64_MAX, 1) == -EBUSY)
		usleep(1000);
	expect_oldest(q, 3);
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

	make_synced(q);
	qs_write_file(q->dir, "readers", "not a directory", 15);
	assert_int_equal(cq_writer_trim(q->writer, UINT64_MAX, 1), -ENOTDIR);
	assert_int_equal(cq_writer_remove(q->writer, 0), -ENOTDIR);
	expect_oldest(q, 0);
}

static void remove_one(void **state)
{
	struct qs *q = *state;

	make_synced(q);
	assert_int_equal(cq_writer_remove(q->writer, 99), -ENOENT);
	assert_int_equal(cq_writer_remove(q->writer, UINT32_MAX), -ENOENT);
	assert_int_equal(cq_writer_remove(q->writer, 1), -EBUSY); /* not the oldest */
	assert_int_equal(cq_writer_remove(q->writer, 6), -EBUSY); /* the current one */
	assert_int_equal(cq_writer_remove(q->writer, 7), -EBUSY); /* a spare */
	expect_oldest(q, 0);
	for (uint32_t id = 0; id < 6; id++) {
		assert_int_equal(cq_writer_remove(q->writer, id), 0);
		expect_oldest(q, id + 1);
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

	make_synced(q);
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
	expect_oldest(q, 4);
	assert_int_equal(qs_stats(q->writer).retired, 2);
}

/* ---- readers, and the flush ---- */

static void reader_meets_one_gap(void **state)
{
	struct qs *q = *state;
	struct cq_reader_stats stats = CQ_SIZED(stats);
	struct cq_record record;
	cq_reader *reader;

	make_synced(q);
	assert_int_equal(cq_reader_open(q->dir, NULL, CQ_START_OLDEST, 0, &reader), 0);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(cq_reader_next(reader, &record), 1);
	assert_int_equal(cq_writer_trim(q->writer, 3 * PER_SEGMENT, 100), 3);
	for (uint64_t seq = 5; seq < PER_SEGMENT; seq++) { /* its own segment, to the end */
		assert_int_equal(cq_reader_next(reader, &record), 1);
		assert_int_equal(record.seq, seq);
	}
	assert_int_equal(cq_reader_next(reader, &record), -ENODATA);
	for (uint64_t seq = 3 * PER_SEGMENT; seq < SEGMENTS * PER_SEGMENT; seq++) {
		assert_int_equal(cq_reader_next(reader, &record), 1);
		assert_int_equal(record.seq, seq);
	}
	assert_int_equal(cq_reader_next(reader, &record), 0);
	cq_reader_stats(reader, &stats);
	assert_int_equal(stats.gaps, 1);
	assert_int_equal(stats.gap_segments, 2);
	assert_int_equal(stats.gap_records, 2 * PER_SEGMENT);
	cq_reader_close(reader);
}

static void positions_stay(void **state)
{
	struct qs *q = *state;
	struct cq_record before, record;
	cq_reader *reader;
	uint64_t end, skip;

	make_synced(q);
	end = qs_stats(q->writer).stream_end;
	assert_int_equal(cq_reader_open(q->dir, NULL, CQ_START_OLDEST, 0, &reader), 0);
	assert_int_equal(cq_reader_seek_seq(reader, 4 * PER_SEGMENT), 0);
	assert_int_equal(cq_reader_next(reader, &before), 1);
	assert_int_equal(cq_writer_trim(q->writer, 4 * PER_SEGMENT, 100), 4);
	assert_int_equal(qs_stats(q->writer).stream_end, end);
	assert_int_equal(cq_reader_seek_stream(reader, 0, &skip), -ENODATA);
	assert_int_equal(cq_reader_next(reader, &record), 1);
	assert_int_equal(record.seq, 4 * PER_SEGMENT);
	assert_int_equal(record.stream_offset, before.stream_offset);
	assert_int_equal(cq_reader_seek_stream(reader, before.stream_offset + 3, &skip), 0);
	assert_int_equal(skip, 3);
	assert_int_equal(cq_reader_next(reader, &record), 1);
	assert_int_equal(record.seq, 4 * PER_SEGMENT);
	qs_close(q);
	qs_open(q); /* also for the next writer */
	assert_int_equal(qs_stats(q->writer).stream_end, end);
	assert_int_equal(qs_stats(q->writer).oldest, 4);
	qs_append(q->writer, SEGMENTS * PER_SEGMENT, 1);
	assert_int_equal(cq_reader_seek_stream(reader, end, &skip), 0);
	assert_int_equal(cq_reader_next(reader, &record), 1);
	assert_int_equal(record.seq, SEGMENTS * PER_SEGMENT);
	cq_reader_close(reader);
}

static void unsynced_ones(void **state)
{
	struct qs *q = *state;

	qs_open_full(q, SEGMENTS);
	assert_int_equal(qs_stats(q->writer).unsynced, 6);
	assert_int_equal(cq_writer_trim(q->writer, 4 * PER_SEGMENT, 100), 4);
	qs_flush(q->writer); /* closes the deleted ones at once: open, they would keep their room */
	assert_true(atomic_load(&q->writer->flush.open_count) <= 2);
	assert_int_equal(cq_writer_sync(q->writer), 0);
	qs_flush(q->writer);
	assert_int_equal(qs_stats(q->writer).unsynced, 0);
	assert_int_equal(qs_stats(q->writer).durable_seq, SEGMENTS * PER_SEGMENT);
	assert_int_equal(qs_count_names(q->dir, ".idx"), 2); /* none of the deleted ones */
	expect_oldest(q, 4);
	qs_append(q->writer, SEGMENTS * PER_SEGMENT, PER_SEGMENT);
	assert_int_equal(cq_writer_trim(q->writer, UINT64_MAX, 100), 3); /* all, unsynced */
	qs_close(q);
	qs_expect(q->dir, SEGMENTS * PER_SEGMENT, PER_SEGMENT);
	qs_format_check(q->dir, "--closed");
}

static void trim_and_die(struct qs *q)
{
	qs_open_full(q, SEGMENTS);
	CHILD(cq_writer_trim(q->writer, 4 * PER_SEGMENT, 100) == 4);
	kill(getpid(), SIGKILL);
}

/* The watermark is before segments that are gone: nothing is missing. */
static void killed_after_a_trim(void **state)
{
	struct qs *q = *state;

	qs_run_killed(trim_and_die, q);
	qs_open(q);
	assert_int_equal(qs_stats(q->writer).next_seq, SEGMENTS * PER_SEGMENT);
	assert_int_equal(qs_stats(q->writer).oldest, 4);
	qs_close(q);
	qs_expect(q->dir, 4 * PER_SEGMENT, 3 * PER_SEGMENT);
	qs_format_check(q->dir, "--closed");
}

#ifdef CQ_FAULTS
/* An index without its segment is never left, even where the segment cannot be deleted. */
static void index_goes_first(void **state)
{
	struct qs *q = *state;

	make_synced(q);
	cq_fault_set("unlink", EIO, 1, -1);
	assert_int_equal(cq_writer_trim(q->writer, UINT64_MAX, 1), -EIO);
	cq_fault_set(NULL, 0, 0, 0);
	assert_true(support_exists(q->dir, "000000000.q"));
	assert_false(support_exists(q->dir, "000000000.idx"));
	assert_int_equal(cq_writer_trim(q->writer, UINT64_MAX, 1), 1);
	expect_oldest(q, 1);
}

static void *close_one(void *arg)
{
	CHILD(cq_sealed_finalize_one(arg));
	return NULL;
}

/* A segment is deleted while a thread finalizes it: no index comes after that. */
static void no_index_comes_late_child(struct qs *q)
{
	pthread_t thread;

	qs_open_full(q, SEGMENTS);
	CHILD(cq_writer_sync(q->writer) == 0);
	qs_hold(q, "close.before_index");
	CHILD(pthread_create(&thread, NULL, close_one, q->writer) == 0);
	qs_hold_reached(q);
	CHILD(cq_writer_trim(q->writer, UINT64_MAX, 1) == 1);
	qs_hold_go(q);
	pthread_join(thread, NULL);
	CHILD(!support_exists(q->dir, "000000000.idx"));
	qs_flush(q->writer);
	expect_oldest(q, 1);
	qs_close(q);
}

static void no_index_comes_late(void **state)
{
	qs_run(no_index_comes_late_child, *state);
}

static void *sync_one(void *arg)
{
	CHILD(cq_writer_sync(arg) == 0);
	return NULL;
}

/* The segment that was current when a sync began is sealed and trimmed before the sync reaches it: nothing
 * is lost. */
static void current_one_goes_during_a_sync_child(struct qs *q)
{
	pthread_t thread;

	qs_open(q);
	qs_append(q->writer, 0, 1);
	qs_hold(q, "sync.begun");
	CHILD(pthread_create(&thread, NULL, sync_one, q->writer) == 0);
	qs_hold_reached(q);
	qs_append(q->writer, 1, PER_SEGMENT);
	CHILD(cq_writer_trim(q->writer, UINT64_MAX, 1) == 1);
	qs_hold_go(q);
	pthread_join(thread, NULL);
	qs_append(q->writer, 1 + PER_SEGMENT, 1);
	CHILD(cq_writer_sync(q->writer) == 0);
	qs_close(q);
}

static void current_one_goes_during_a_sync(void **state)
{
	qs_run(current_one_goes_during_a_sync_child, *state);
}
#endif

/* ---- several at once ---- */

#define MANY 60U

static void *trim_all(void *arg)
{
	cq_writer *w = arg;
	uintptr_t count = 0;

	while (qs_stats(w).retired < MANY - 1) {
		int r = cq_writer_trim(w, UINT64_MAX, 3);

		if (r < 0)
			return (void *)UINTPTR_MAX;
		count += (uintptr_t)r;
		usleep(500);
	}
	return (void *)count;
}

/* Two threads that trim, retention, and an appender: each segment is deleted once. */
static void trims_and_retention_at_once(void **state)
{
	struct qs *q = *state;
	pthread_t threads[2];
	void *count;
	uint64_t sum = 0;

	q->config.retain_segments = 2;
	assert_int_equal(cq_writer_open(q->dir, &q->config, &q->writer), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, trim_all, q->writer), 0);
	for (unsigned i = 0; i < MANY; i++)
		qs_append(q->writer, i * PER_SEGMENT, PER_SEGMENT);
	for (int i = 0; i < 2; i++) {
		pthread_join(threads[i], &count);
		assert_true((uintptr_t)count < MANY);
		sum += (uintptr_t)count;
	}
	assert_int_equal(qs_stats(q->writer).retired, MANY - 1);
	assert_true(sum < MANY);
	assert_int_equal(qs_stats(q->writer).oldest, MANY - 1);
	qs_close(q);
	assert_int_equal(qs_count_names(q->dir, ".idx"), 0);
	qs_expect(q->dir, (MANY - 1) * PER_SEGMENT, PER_SEGMENT);
	qs_format_check(q->dir, "--closed");
}

static const struct CMUnitTest tests[] = {
	QS_TEST(at_the_borders),
	QS_TEST(foreign_segments),
	QS_TEST(damaged_segment),
	QS_TEST(a_reader_keeps_what_it_needs),
	QS_TEST(only_live_readers_count),
	QS_TEST(death_is_noticed_beforehand),
	QS_TEST(unreadable_readers),
	QS_TEST(remove_one),
	QS_TEST(others_delete_too),
	QS_TEST(reader_meets_one_gap),
	QS_TEST(positions_stay),
	QS_TEST(unsynced_ones),
	QS_TEST(killed_after_a_trim),
#ifdef CQ_FAULTS
	QS_TEST(index_goes_first),
	QS_TEST(no_index_comes_late),
	QS_TEST(current_one_goes_during_a_sync),
#endif
	QS_TEST(trims_and_retention_at_once),
};

QS_MAIN(tests)
