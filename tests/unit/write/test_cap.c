/* SPDX-License-Identifier: Apache-2.0 */
/* test_cap.c - config.max_bytes: what is refused, who is told of room, no file too many */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "files/dir.h"
#include "os/clock.h"
#include "os/fault.h"
#include "queue_support.h"
#include "write/writer.h"

#define PER_SEGMENT 31U
#define PATIENCE_S 60

/* Counts the calls of config.space, and wakes whoever waits for one. */
static sem_t told;

static void tell(void *arg)
{
	sem_post(arg);
}

static int times_told(void)
{
	int n;

	assert_int_equal(sem_getvalue(&told, &n), 0);
	return n;
}

static void await_told(void)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += PATIENCE_S;
	assert_int_equal(sem_timedwait(&told, &until), 0);
}

static void limit(struct qs *q, uint64_t max_bytes)
{
	sem_destroy(&told);
	assert_int_equal(sem_init(&told, 0, 0), 0);
	q->config.max_bytes = max_bytes;
	q->config.space = tell;
	q->config.space_arg = &told;
}

/* The files on the disk, which the writer knows of. */
static unsigned files(struct qs *q)
{
	unsigned n = qs_count_names(q->dir, ".q");

	assert_int_equal(qs_stats(q->writer).file_bytes, (uint64_t)n * QS_SIZE);
	return n;
}

static int append_one(struct qs *q)
{
	char text[32];
	int n = snprintf(text, sizeof text, "record %u", (unsigned)qs_stats(q->writer).next_seq);

	return cq_writer_append(q->writer, CQ_TYPE_DEFAULT, text, (size_t)n, NULL);
}

/* Until it is refused; returns how many went in. */
static unsigned fill(struct qs *q, bool prepare, unsigned most_files)
{
	unsigned n = 0;
	int r;

	while ((r = append_one(q)) == 0) {
		n++;
		if (prepare)
			qs_prepare(q->writer);
		assert_true(qs_count_names(q->dir, ".q") <= most_files);
	}
	assert_int_equal(r, -EDQUOT);
	return n;
}

static void refused_at_the_limit(void **state)
{
	const struct cq_message batch[3] = { { "x", 1, 1 }, { "x", 1, 1 }, { "x", 1, 1 } };
	struct qs *q = *state;
	struct cq_stats s = CQ_SIZED(s);

	limit(q, 3 * QS_SIZE);
	qs_open(q);
	assert_int_equal(files(q), 2); /* with the spare */
	assert_int_equal(fill(q, true, 3), 3 * PER_SEGMENT);
	assert_int_equal(files(q), 3);
	assert_int_equal(append_one(q), -EDQUOT);
	assert_int_equal(cq_writer_roll(q->writer), -EDQUOT);
	assert_int_equal(cq_writer_append_batch(q->writer, batch, 3, NULL), -EDQUOT);
	assert_int_equal(cq_writer_room(q->writer, 1), -EDQUOT);
	assert_int_equal(cq_writer_room(q->writer, QS_SIZE), -EMSGSIZE);
	s = qs_stats(q->writer);
	assert_int_equal(s.full, 4);
	assert_int_equal(s.max_bytes, 3 * QS_SIZE);
	assert_int_equal(s.next_seq, 3 * PER_SEGMENT);
	assert_int_equal(s.segment, 2);
	assert_int_equal(s.error, 0);
	assert_int_equal(s.prealloc_failed, 0);
	assert_int_equal(qs_peek32(q->dir, "000000002.q", 12), 0); /* not sealed */
	assert_int_equal(qs_count_names(q->dir, ".tmp"), 0);
	assert_null(strstr(q->log, "not prepared")); /* that is no failure */
	assert_int_equal(times_told(), 0);
	qs_close(q);
	qs_expect(q->dir, 0, 3 * PER_SEGMENT);
	qs_format_check(q->dir, "--closed");
}

/* Whoever makes the segments, and however many are to be made ahead. */
static void exact_boundary(void **state)
{
	static const struct {
		uint64_t max_bytes;
		unsigned files;
	} limits[] = {
		{ 2 * QS_SIZE, 2 },     { 3 * QS_SIZE - 1, 2 }, { 3 * QS_SIZE, 3 },
		{ 4 * QS_SIZE - 1, 3 }, { 6 * QS_SIZE + 7, 6 },
	};
	static const uint32_t spares[] = { 1, 2, CQ_SPARES_MAX };
	struct qs *q = *state;

	for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
		for (size_t j = 0; j < 2 * sizeof spares / sizeof spares[0]; j++) {
			limit(q, limits[i].max_bytes);
			q->config.spares = spares[j / 2];
			qs_open(q);
			assert_int_equal(fill(q, j % 2, limits[i].files),
			                 limits[i].files * PER_SEGMENT);
			assert_int_equal(files(q), limits[i].files);
			qs_close(q);
			qs_expect(q->dir, 0, limits[i].files * PER_SEGMENT);
			qs_anew(q);
		}
	}
}

static void what_fits_is_taken(void **state)
{
	static const char large[QS_SIZE - 128];
	const struct cq_message batch[3] = { { "x", 1, 1 },
		                             { large, sizeof large, 1 },
		                             { "x", 1, 1 } };
	struct qs *q = *state;

	limit(q, 2 * QS_SIZE);
	qs_open(q);
	qs_append(q->writer, 0, PER_SEGMENT + 5); /* the last segment */
	assert_int_equal(cq_writer_room(q->writer, sizeof large), -EDQUOT);
	assert_int_equal(cq_writer_room(q->writer, 64), 0);
	assert_int_equal(cq_writer_append_batch(q->writer, batch, 3, NULL), 1);
	assert_int_equal(cq_writer_append(q->writer, 1, large, sizeof large, NULL), -EDQUOT);
	qs_append(q->writer, PER_SEGMENT + 6, PER_SEGMENT - 6);
	assert_int_equal(cq_writer_room(q->writer, 1), -EDQUOT);
	assert_int_equal(append_one(q), -EDQUOT);
	assert_int_equal(cq_writer_room(q->writer, 0), 0); /* 64 bytes are left: a header */
	assert_int_equal(cq_writer_append(q->writer, 1, NULL, 0, NULL), 0);
	assert_int_equal(cq_writer_room(q->writer, 0), -EDQUOT);
	assert_int_equal(files(q), 2);
}

/* Retention that keeps as much as the limit allows never makes room: that is said when it is set up. */
static void retention_that_never_deletes(void **state)
{
	static const struct {
		uint64_t segments, bytes, age_ms;
		bool warned;
	} cases[] = {
		{ 0, 0, 0, false },
		{ 0, 4 * QS_SIZE, 0, true },
		{ 0, 4 * QS_SIZE - 1, 0, false },
		{ 4, 0, 0, true },
		{ 3, 0, 0, false },
		{ 4, 4 * QS_SIZE, 0, true },
		{ 3, 4 * QS_SIZE, 0, false },
		{ 9, 4 * QS_SIZE, 1000, false },
	};
	struct qs *q = *state;

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		qs_anew(q);
		limit(q, 4 * QS_SIZE);
		q->config.retain_segments = cases[i].segments;
		q->config.retain_bytes = cases[i].bytes;
		q->config.retain_age_ms = cases[i].age_ms;
		qs_open(q);
		assert_int_equal(
			qs_logged(q, "retention never deletes a segment: max_bytes of 16 KiB is "
		                     "reached before retain_"),
			cases[i].warned);
		qs_close(q);
	}
}

static void two_segments_at_least(void **state)
{
	struct qs *q = *state;
	struct qs_snapshot before;

	limit(q, 2 * QS_SIZE - 1);
	assert_int_equal(qs_try_open(q), -EINVAL);
	assert_true(qs_logged(q, "max_bytes has to hold two segments of 4096 bytes"));
	assert_int_equal(qs_count_names(q->dir, ".q"), 0);
	limit(q, 2 * QS_SIZE);
	qs_write(q, 0, 3);
	qs_snapshot(q->dir, &before);
	q->config.segment_size = 0; /* the queue's, then */
	limit(q, 2 * QS_SIZE - 1);
	assert_int_equal(qs_try_open(q), -EINVAL);
	qs_unchanged(q->dir, &before);
}

static void larger_queue_reopened(void **state)
{
	struct qs *q = *state;

	qs_open(q);
	for (unsigned i = 0; i < 5; i++) {
		qs_append(q->writer, i * PER_SEGMENT, i < 4 ? PER_SEGMENT : 1);
		qs_prepare(q->writer);
	}
	qs_close(q);
	assert_int_equal(qs_count_names(q->dir, ".q"), 6); /* with a spare that is not used */
	limit(q, 3 * QS_SIZE);
	qs_open(q);
	assert_int_equal(files(q), 6);
	assert_int_equal(fill(q, true, 6), 2 * PER_SEGMENT - 1);
	assert_int_equal(cq_writer_trim(q->writer, UINT64_MAX, 3), 3);
	assert_int_equal(files(q), 3);
	assert_int_equal(append_one(q), -EDQUOT); /* three are the limit */
	assert_int_equal(cq_writer_trim(q->writer, UINT64_MAX, 1), 1);
	assert_int_equal(fill(q, true, 3), PER_SEGMENT);
	assert_int_equal(files(q), 3);
	qs_close(q);
	qs_expect(q->dir, 4 * PER_SEGMENT, 3 * PER_SEGMENT);
}

/* What was prepared by an earlier writer needs no place, even if no preparer has come to look. */
static void published_ones_are_used(void **state)
{
	struct qs *q = *state;

	q->config.spares = 4;
	qs_open(q);
	qs_append(q->writer, 0, 1);
	qs_prepare(q->writer);
	qs_close(q);
	assert_int_equal(qs_count_names(q->dir, ".q"), 5);
	q->config.spares = 1;
	limit(q, 3 * QS_SIZE);
	qs_open(q);
	assert_int_equal(fill(q, false, 5), 5 * PER_SEGMENT - 1);
	assert_int_equal(files(q), 5);
	assert_int_equal(qs_stats(q->writer).prealloc_made, 1);
	qs_close(q);
	qs_expect(q->dir, 0, 5 * PER_SEGMENT);
	qs_format_check(q->dir, "--closed");
}

/* No waiting for what cannot come, and no word of a preparer that is late. */
static void refused_at_once(void **state)
{
	const uint64_t start = cq_monotonic_ns();
	struct qs *q = *state;

	limit(q, 2 * QS_SIZE);
	q->config.prealloc_wait_ms = 100000;
	q->config.require_prealloc = true;
	qs_open(q);
	qs_append(q->writer, 0, 2 * PER_SEGMENT);
	for (unsigned i = 0; i < 100; i++) {
		assert_int_equal(append_one(q), -EDQUOT);
		qs_prepare(q->writer);
	}
	assert_true(cq_monotonic_ns() - start < 50000000000U);
}

/* ---- room ---- */

static void told_after_trim_and_remove(void **state)
{
	struct qs *q = *state;

	limit(q, 3 * QS_SIZE);
	qs_open(q);
	fill(q, true, 3);
	assert_int_equal(cq_writer_trim(q->writer, PER_SEGMENT - 1, 9), 0);
	assert_int_equal(times_told(), 0);
	assert_int_equal(cq_writer_trim(q->writer, PER_SEGMENT, 9), 1);
	assert_int_equal(times_told(), 1);
	assert_int_equal(cq_writer_room(q->writer, 1), 0);
	assert_int_equal(fill(q, false, 3), PER_SEGMENT);
	assert_int_equal(cq_writer_remove(q->writer, 2), -EBUSY);
	assert_int_equal(times_told(), 1);
	assert_int_equal(cq_writer_remove(q->writer, 1), 0);
	assert_int_equal(times_told(), 2);
	assert_int_equal(fill(q, true, 3), PER_SEGMENT);
	assert_int_equal(files(q), 3);
	qs_close(q);
	qs_expect(q->dir, 2 * PER_SEGMENT, 3 * PER_SEGMENT);
}

static void told_after_retention(void **state)
{
	struct qs *q = *state;

	limit(q, 4 * QS_SIZE);
	q->config.retain_segments = 2;
	qs_open(q);
	fill(q, true, 4);
	assert_int_equal(times_told(), 0);
	qs_flush(q->writer);
	assert_true(times_told() > 0);
	assert_int_equal(files(q), 2);
	assert_int_equal(fill(q, true, 4), 2 * PER_SEGMENT);
}

/* Nobody tells the writer; it looks while it is full, a few times a second. */
static void told_after_a_stranger(void **state)
{
	struct qs *q = *state;

	limit(q, 4 * QS_SIZE);
	qs_open(q);
	fill(q, true, 4);
	for (uint32_t id = 0; id < 3; id++) {
		const uint64_t start = cq_monotonic_ns();
		char name[CQ_NAME_MAX];

		cq_segment_name(name, id == 0 ? 1 : id == 1 ? 0 : 2); /* also one in the middle */
		assert_int_equal(unlinkat(q->dirfd, name, 0), 0);
		while (times_told() <= (int)id) {
			int wait;

			assert_true(cq_monotonic_ns() - start < PATIENCE_S * 1000000000U);
			assert_int_equal(append_one(q), -EDQUOT);
			wait = cq_writer_flush_step(q->writer);
			assert_true(wait <= 100 || times_told() > (int)id);
			usleep(1000);
		}
		assert_int_equal(fill(q, true, 4), PER_SEGMENT);
		assert_int_equal(files(q), 4);
	}
	assert_int_equal(qs_stats(q->writer).oldest, 3);
	assert_int_equal(qs_stats(q->writer).retired, 0);
}

/* Who asks and does not append is told, too. */
static void asking_is_enough(void **state)
{
	struct qs *q = *state;

	limit(q, 2 * QS_SIZE);
	qs_open(q);
	qs_append(q->writer, 0, 2 * PER_SEGMENT);
	qs_prepare(q->writer);
	while (cq_sealed_finalize_one(q->writer) || cq_writer_flush_step(q->writer) <= 100)
		usleep(1000);
	assert_int_equal(cq_writer_room(q->writer, 1), -EDQUOT);
	assert_true(cq_writer_flush_step(q->writer) <= 100);
	assert_int_equal(unlinkat(q->dirfd, "000000000.q", 0), 0);
	while (times_told() == 0) {
		(void)cq_writer_flush_step(q->writer);
		usleep(1000);
	}
	assert_int_equal(cq_writer_room(q->writer, 1), 0);
	assert_int_equal(qs_stats(q->writer).full, 0);
	qs_prepare(q->writer);
	assert_int_equal(cq_writer_room(q->writer, 1), 0); /* prepared: still room */
}

/* ---- with threads ---- */

/* All that is sealed is synced and closed: the flusher has nothing to come back for but room. */
static void await_rest(struct qs *q)
{
	char name[32];

	snprintf(name, sizeof name, "%09u.idx", (unsigned)qs_stats(q->writer).segment - 1);
	while (qs_stats(q->writer).unsynced > 0 || !support_exists(q->dir, name))
		usleep(1000);
}

static int by_length(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* A reader that commits lets a writer go on that waits for it: in some tens of milliseconds, where
 * the flusher of a queue that is not full looks once a second.  Not each time: a machine has others to
 * serve. */
static void commit_frees_a_blocked_writer(void **state)
{
	uint64_t start, spans[9], next = 0;
	const unsigned rounds = sizeof spans / sizeof spans[0];
	struct qs *q = *state;
	struct cq_record record;
	cq_reader *reader;

	limit(q, 3 * QS_SIZE);
	q->config.retain_segments = 1;
	q->config.prealloc_wait_ms = 1000;
	assert_int_equal(cq_writer_open(q->dir, &q->config, &q->writer), 0);
	assert_int_equal(cq_reader_open(q->dir, "r", CQ_START_OLDEST, 0, &reader), 0);
	assert_int_equal(cq_reader_commit(reader), 0);
	for (unsigned i = 0; i < rounds; i++) {
		fill(q, false, 3);
		await_rest(q);
		while (cq_reader_next(reader, &record) == 1)
			assert_int_equal(record.seq, next++);
		start = cq_monotonic_ns();
		assert_int_equal(cq_reader_commit(reader), 0);
		while (append_one(q) == -EDQUOT)
			await_told();
		spans[i] = cq_monotonic_ns() - start;
	}
	qsort(spans, rounds, sizeof spans[0], by_length);
	assert_true(spans[rounds / 2] < 500000000U);
	cq_reader_close(reader);
	qs_close(q);
	qs_format_check(q->dir, "--closed");
}

static void *watch_files(void *arg)
{
	struct qs *q = arg;
	uint32_t *ids;
	size_t count;
	uintptr_t most = 0;

	while (qs_stats(q->writer).next_seq < 100 * PER_SEGMENT) {
		if (cq_dir_list(q->dirfd, &ids, &count) < 0)
			continue;
		free(ids);
		if (count > most)
			most = count;
	}
	return (void *)most;
}

/* At full speed, with retention that has to keep up: all in order, never a file too many. */
static void never_a_file_too_many(void **state)
{
	struct qs *q = *state;
	pthread_t watcher;
	void *most;

	limit(q, 5 * QS_SIZE);
	q->config.retain_segments = 2;
	q->config.spares = 3;
	q->config.prealloc_wait_ms = 1;
	assert_int_equal(cq_writer_open(q->dir, &q->config, &q->writer), 0);
	assert_int_equal(pthread_create(&watcher, NULL, watch_files, q), 0);
	while (qs_stats(q->writer).next_seq < 100 * PER_SEGMENT) {
		int r = append_one(q);

		if (r == -EDQUOT)
			await_told();
		else
			assert_int_equal(r, 0);
	}
	pthread_join(watcher, &most);
	assert_true((uintptr_t)most <= 5);
	while (qs_stats(q->writer).retired < 98)
		usleep(1000);
	qs_close(q);
	qs_expect(q->dir, 98 * PER_SEGMENT, 2 * PER_SEGMENT);
	qs_format_check(q->dir, "--closed");
}

#ifdef CQ_FAULTS
static void *prepare(void *arg)
{
	(void)cq_writer_prepare_step(arg);
	return NULL;
}

/* A roll that does not wait for the preparer takes over its place: the last one. */
static void last_place_is_taken_over_child(struct qs *q)
{
	pthread_t thread;

	CHILD(qs_try_open(q) == 0);
	qs_append(q->writer, 0, 2 * PER_SEGMENT);
	qs_hold(q, "prepare.prepared");
	CHILD(pthread_create(&thread, NULL, prepare, q->writer) == 0);
	qs_hold_reached(q);
	CHILD(cq_writer_room(q->writer, 1) == 0);
	qs_append(q->writer, 2 * PER_SEGMENT, PER_SEGMENT);
	CHILD(qs_stats(q->writer).rolls_fallback == 1);
	CHILD(append_one(q) == -EDQUOT);
	qs_hold_go(q);
	pthread_join(thread, NULL);
	CHILD(append_one(q) == -EDQUOT);
	CHILD(files(q) == 3);
	CHILD(cq_writer_trim(q->writer, UINT64_MAX, 1) == 1);
	qs_prepare(q->writer);
	CHILD(append_one(q) == 0);
	CHILD(files(q) == 3);
	qs_close(q);
}

static void last_place_is_taken_over(void **state)
{
	struct qs *q = *state;

	limit(q, 3 * QS_SIZE);
	qs_run(last_place_is_taken_over_child, q);
	qs_expect(q->dir, PER_SEGMENT, 2 * PER_SEGMENT + 1);
	assert_int_equal(qs_count_names(q->dir, ".tmp"), 0);
}

/* A place whose file could not be made is there for the next. */
static void failure_keeps_no_place(void **state)
{
	const uint64_t start = cq_monotonic_ns();
	struct qs *q = *state;

	limit(q, 3 * QS_SIZE);
	q->config.prealloc_wait_ms = 50000; /* nor is it waited for again */
	qs_open(q);
	qs_append(q->writer, 0, 2 * PER_SEGMENT);
	cq_fault_set("allocate", ENOSPC, 0, -1);
	qs_prepare(q->writer);
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(append_one(q), -ENOSPC);
		assert_int_equal(append_one(q), -ENOSPC);
		assert_in_range(cq_writer_prepare_step(q->writer), 1,
		                100); /* it tries again soon */
	}
	cq_fault_set("rename_noreplace", EIO, 0, -1);
	qs_prepare(q->writer);
	assert_int_equal(append_one(q), -EIO);
	cq_fault_set(NULL, 0, 0, 0);
	assert_int_equal(fill(q, true, 3), PER_SEGMENT);
	assert_int_equal(files(q), 3);
	assert_true(cq_monotonic_ns() - start < 50000000000U);
}

/* The disk has room for one more, which a roll gets: it has room for those who wait, too. */
static void told_after_a_roll(void **state)
{
	struct qs *q = *state;

	limit(q, 0);
	qs_open(q);
	qs_append(q->writer, 0, 2 * PER_SEGMENT);
	cq_fault_set("allocate", ENOSPC, 0, -1);
	assert_int_equal(append_one(q), -ENOSPC);
	qs_prepare(q->writer);
	qs_flush(q->writer);
	assert_int_equal(times_told(), 0);
	cq_fault_set("allocate", ENOSPC, 1, -1);
	assert_int_equal(append_one(q), 0);
	qs_prepare(q->writer);
	qs_flush(q->writer);
	assert_int_equal(times_told(), 1);
}
#endif

static const struct CMUnitTest tests[] = {
	QS_TEST(refused_at_the_limit),
	QS_TEST(exact_boundary),
	QS_TEST(what_fits_is_taken),
	QS_TEST(retention_that_never_deletes),
	QS_TEST(two_segments_at_least),
	QS_TEST(larger_queue_reopened),
	QS_TEST(published_ones_are_used),
	QS_TEST(refused_at_once),
	QS_TEST(told_after_trim_and_remove),
	QS_TEST(told_after_retention),
	QS_TEST(told_after_a_stranger),
	QS_TEST(asking_is_enough),
	QS_TEST(commit_frees_a_blocked_writer),
	QS_TEST(never_a_file_too_many),
#ifdef CQ_FAULTS
	QS_TEST(last_place_is_taken_over),
	QS_TEST(failure_keeps_no_place),
	QS_TEST(told_after_a_roll),
#endif
};

QS_MAIN(tests)
