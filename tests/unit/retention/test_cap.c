/* SPDX-License-Identifier: Apache-2.0 */
/* test_cap.c - config.max_bytes: what is refused, and that no file is one too many */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cap_support.h"
#include "files/dir.h"
#include "os/clock.h"
#include "os/fault.h"
#include "write/writer.h"

static void refused_at_the_limit(void **state)
{
	const struct cq_message batch[3] = { { "x", 1, 1 }, { "x", 1, 1 }, { "x", 1, 1 } };
	struct qs *q = *state;
	struct cq_stats s = CQ_SIZED(s);

	cap_limit(q, 3 * QS_SIZE);
	qs_open(q);
	assert_int_equal(cap_files(q), 2); /* with the spare */
	assert_int_equal(cap_fill(q, true, 3), 3 * PER_SEGMENT);
	assert_int_equal(cap_files(q), 3);
	assert_int_equal(cap_append_one(q), -EDQUOT);
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
	assert_int_equal(cap_times_told(), 0);
	qs_close(q);
	qs_expect(q->dir, 0, 3 * PER_SEGMENT);
	qs_format_check(q->dir, "--closed");
}

/* While appends are refused room is looked for often; when nobody has asked for a while, once a second. */
static void looked_for_less_and_less_often(void **state)
{
	struct qs *q = *state;

	for (int rule = 0; rule < 2; rule++) {
		const int least = rule ? 10 : 100;

		cap_limit(q, 4 * QS_SIZE);
		q->config.retain_segments = rule ? 2 : 0;
		qs_open(q);
		assert_int_equal(cq_retire_due(q->writer), 1000);
		atomic_store(&q->writer->quota.refused_ms, 0);
		cap_fill(q, true, 4);
		assert_int_equal(cap_append_one(q), -EDQUOT);
		assert_in_range(cq_retire_due(q->writer), least, 999);
		/* the preparer waits for a kick, which a deletion comes with */
		assert_in_range(cq_writer_prepare_step(q->writer), 10000, 100000);
		atomic_fetch_sub(&q->writer->quota.refused_ms, 16000);
		assert_in_range(cq_retire_due(q->writer), 500, 1000);
		atomic_fetch_sub(&q->writer->quota.refused_ms, 100000);
		assert_int_equal(cq_retire_due(q->writer), 1000);
		assert_int_equal(cap_append_one(q), -EDQUOT);
		assert_in_range(cq_retire_due(q->writer), least, 999);
		qs_close(q);
		qs_anew(q);
	}
}

/* Whichever thread makes the segments, and however many are made ahead. */
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
			cap_limit(q, limits[i].max_bytes);
			q->config.spares = spares[j / 2];
			qs_open(q);
			assert_int_equal(cap_fill(q, j % 2, limits[i].files),
			                 limits[i].files * PER_SEGMENT);
			assert_int_equal(cap_files(q), limits[i].files);
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

	cap_limit(q, 2 * QS_SIZE);
	qs_open(q);
	qs_append(q->writer, 0, PER_SEGMENT + 5); /* the last segment */
	assert_int_equal(cq_writer_room(q->writer, sizeof large), -EDQUOT);
	assert_int_equal(cq_writer_room(q->writer, 64), 0);
	assert_int_equal(cq_writer_append_batch(q->writer, batch, 3, NULL), 1);
	assert_int_equal(cq_writer_append(q->writer, 1, large, sizeof large, NULL), -EDQUOT);
	qs_append(q->writer, PER_SEGMENT + 6, PER_SEGMENT - 6);
	assert_int_equal(cq_writer_room(q->writer, 1), -EDQUOT);
	assert_int_equal(cap_append_one(q), -EDQUOT);
	assert_int_equal(cq_writer_room(q->writer, 0), 0); /* 64 bytes are left: a header */
	assert_int_equal(cq_writer_append(q->writer, 1, NULL, 0, NULL), 0);
	assert_int_equal(cq_writer_room(q->writer, 0), -EDQUOT);
	assert_int_equal(cap_files(q), 2);
}

/* Retention that keeps as much as the limit allows never makes room: the log says so at the open. */
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
		cap_limit(q, 4 * QS_SIZE);
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

	cap_limit(q, 2 * QS_SIZE - 1);
	assert_int_equal(qs_try_open(q), -EINVAL);
	assert_true(qs_logged(q, "max_bytes has to hold two segments of 4096 bytes"));
	assert_int_equal(qs_count_names(q->dir, ".q"), 0);
	cap_limit(q, 2 * QS_SIZE);
	qs_write(q, 0, 3);
	qs_snapshot(q->dir, &before);
	q->config.segment_size = 0; /* the queue's, then */
	cap_limit(q, 2 * QS_SIZE - 1);
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
	cap_limit(q, 3 * QS_SIZE);
	qs_open(q);
	assert_int_equal(cap_files(q), 6);
	assert_int_equal(cap_fill(q, true, 6), 2 * PER_SEGMENT - 1);
	assert_int_equal(cq_writer_trim(q->writer, UINT64_MAX, 3), 3);
	assert_int_equal(cap_files(q), 3);
	assert_int_equal(cap_append_one(q), -EDQUOT); /* three are the limit */
	assert_int_equal(cq_writer_trim(q->writer, UINT64_MAX, 1), 1);
	assert_int_equal(cap_fill(q, true, 3), PER_SEGMENT);
	assert_int_equal(cap_files(q), 3);
	qs_close(q);
	qs_expect(q->dir, 4 * PER_SEGMENT, 3 * PER_SEGMENT);
}

/* What an earlier writer prepared needs no reservation, even before the preparer has looked for it. */
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
	cap_limit(q, 3 * QS_SIZE);
	qs_open(q);
	assert_int_equal(cap_fill(q, false, 5), 5 * PER_SEGMENT - 1);
	assert_int_equal(cap_files(q), 5);
	assert_int_equal(qs_stats(q->writer).prealloc_made, 1);
	qs_close(q);
	qs_expect(q->dir, 0, 5 * PER_SEGMENT);
	qs_format_check(q->dir, "--closed");
}

/* No waiting for what cannot come, and no error that says the preparer is late. */
static void refused_at_once(void **state)
{
	const uint64_t start = cq_monotonic_ns();
	struct qs *q = *state;

	cap_limit(q, 2 * QS_SIZE);
	q->config.prealloc_wait_ms = 100000;
	q->config.require_prealloc = true;
	qs_open(q);
	qs_append(q->writer, 0, 2 * PER_SEGMENT);
	for (unsigned i = 0; i < 100; i++) {
		assert_int_equal(cap_append_one(q), -EDQUOT);
		qs_prepare(q->writer);
	}
	assert_true(cq_monotonic_ns() - start < 90000000000U);
}

/* ---- with threads ---- */

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

	cap_limit(q, 5 * QS_SIZE);
	q->config.retain_segments = 2;
	q->config.spares = 3;
	q->config.prealloc_wait_ms = 1;
	assert_int_equal(cq_writer_open(q->dir, &q->config, &q->writer), 0);
	assert_int_equal(pthread_create(&watcher, NULL, watch_files, q), 0);
	while (qs_stats(q->writer).next_seq < 100 * PER_SEGMENT) {
		int r = cap_append_one(q);

		if (r == -EDQUOT)
			cap_await_told();
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

/* A roll that does not wait for the preparer takes over its reservation, the last one. */
static void last_reservation_is_taken_over_child(struct qs *q)
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
	CHILD(cap_append_one(q) == -EDQUOT);
	qs_hold_go(q);
	pthread_join(thread, NULL);
	CHILD(cap_append_one(q) == -EDQUOT);
	CHILD(cap_files(q) == 3);
	CHILD(cq_writer_trim(q->writer, UINT64_MAX, 1) == 1);
	qs_prepare(q->writer);
	CHILD(cap_append_one(q) == 0);
	CHILD(cap_files(q) == 3);
	qs_close(q);
}

static void last_reservation_is_taken_over(void **state)
{
	struct qs *q = *state;

	cap_limit(q, 3 * QS_SIZE);
	qs_run(last_reservation_is_taken_over_child, q);
	qs_expect(q->dir, PER_SEGMENT, 2 * PER_SEGMENT + 1);
	assert_int_equal(qs_count_names(q->dir, ".tmp"), 0);
}

/* The reservation of a file that could not be made is free for the next. */
static void failure_keeps_no_reservation(void **state)
{
	const uint64_t start = cq_monotonic_ns();
	struct qs *q = *state;

	cap_limit(q, 3 * QS_SIZE);
	q->config.prealloc_wait_ms = 100000; /* nor is it waited for again */
	qs_open(q);
	qs_append(q->writer, 0, 2 * PER_SEGMENT);
	cq_fault_set("allocate", ENOSPC, 0, -1);
	qs_prepare(q->writer);
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(cap_append_one(q), -ENOSPC);
		assert_int_equal(cap_append_one(q), -ENOSPC);
		assert_in_range(cq_writer_prepare_step(q->writer), 1,
		                100); /* it tries again soon */
	}
	cq_fault_set("rename_noreplace", EIO, 0, -1);
	qs_prepare(q->writer);
	assert_int_equal(cap_append_one(q), -EIO);
	cq_fault_set(NULL, 0, 0, 0);
	assert_int_equal(cap_fill(q, true, 3), PER_SEGMENT);
	assert_int_equal(cap_files(q), 3);
	assert_true(cq_monotonic_ns() - start < 90000000000U);
}

#endif

static const struct CMUnitTest tests[] = {
	QS_TEST(refused_at_the_limit),
	QS_TEST(looked_for_less_and_less_often),
	QS_TEST(exact_boundary),
	QS_TEST(what_fits_is_taken),
	QS_TEST(retention_that_never_deletes),
	QS_TEST(two_segments_at_least),
	QS_TEST(larger_queue_reopened),
	QS_TEST(published_ones_are_used),
	QS_TEST(refused_at_once),
	QS_TEST(never_a_file_too_many),
#ifdef CQ_FAULTS
	QS_TEST(last_reservation_is_taken_over),
	QS_TEST(failure_keeps_no_reservation),
#endif
};

QS_MAIN(tests)
