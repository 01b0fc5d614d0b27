/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_record_time.c - the times of records
 *
 * A thread reads the clock before it has the writer lock.  If another thread appends meanwhile, the times must not go
 * backwards in the queue; and if the clock is set back, the next record has its time.  clock_gettime() is wrapped.
 * A time that a caller gives a record stays as it is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "os/clock.h"
#include "os/fault.h"
#include "queue_support.h"
#include "write/writer.h"

#define BEGIN 1000000

static const long *script; /* what CLOCK_REALTIME says next, seconds; NULL: the machine's */

int __real_clock_gettime(clockid_t clock, struct timespec *ret_time);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret_time);

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret_time)
{
	if (clock != CLOCK_REALTIME || !script)
		return __real_clock_gettime(clock, ret_time);
	*ret_time = (struct timespec){ .tv_sec = *script++ };
	return 0;
}

static void append_at(struct qs *q, const long *times, bool batch)
{
	const struct cq_message message = { "x", 1, CQ_TYPE_DEFAULT };

	script = times;
	if (batch)
		assert_int_equal(cq_writer_append_batch(q->writer, &message, 1, NULL), 1);
	else
		assert_int_equal(cq_writer_append(q->writer, 1, "x", 1, NULL), 0);
	script = NULL;
}

static void times_are(struct qs *q, bool batch)
{
	/* the clock as it is read before the lock, and as it is read under it */
	static const long first[] = { BEGIN }, overtaken[] = { BEGIN - 1, BEGIN + 1 },
			  later[] = { BEGIN + 1 }, set_back[] = { BEGIN - 9, BEGIN - 8 },
			  after_that[] = { BEGIN - 7 };
	static const long want[] = { BEGIN, BEGIN + 1, BEGIN + 1, BEGIN - 8, BEGIN - 7 };
	struct qs_record *records;

	/* without threads: none of the library's reads the clock meanwhile */
	assert_int_equal(cq_writer_open_with(q->dir, &q->config, false, &q->writer), 0);
	append_at(q, first, batch);
	append_at(q, overtaken, batch);
	append_at(q, later, batch);
	append_at(q, set_back, batch);
	append_at(q, after_that, batch);
	qs_close(q);
	assert_int_equal(qs_records(q->dir, &records), 5);
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(records[i].time_ns, (uint64_t)want[i] * 1000000000U);
	free(records);
}

static void single(void **state)
{
	times_are(*state, false);
}

static void batch(void **state)
{
	times_are(*state, true);
}

/* ---- times that a caller gives ---- */

static void expect_times(const char *dir, const uint64_t *times, size_t count)
{
	struct qs_record *records;

	assert_int_equal(qs_records(dir, &records), count);
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(records[i].seq, i);
		assert_int_equal(records[i].time_ns, times[i]);
	}
	free(records);
}

static uint64_t heartbeat(struct qs *q)
{
	struct cq_queue_info info = CQ_SIZED(info);

	assert_int_equal(cq_queue_position(cq_writer_queue(q->writer), &info), 0);
	return info.heartbeat_ns;
}

/* Any time, in any order; and the clock's again where none is given.  The writer's sign of life is the clock's. */
static void given(void **state)
{
	static const uint64_t times[] = { 5000, 3000, 0, UINT64_MAX, 3000 };
	const size_t count = sizeof times / sizeof *times;
	const uint64_t now = cq_realtime_ns();
	struct cq_appended appended;
	struct qs *q = *state;
	struct qs_record *records;

	qs_open(q);
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(
			cq_writer_append_at(q->writer, (uint16_t)i, times[i], "x", 1, &appended),
			0);
		assert_int_equal(appended.seq, i);
		assert_int_equal(appended.count, 1);
		assert_int_equal(qs_stats(q->writer).last_time_ns, times[i]);
		assert_true(heartbeat(q) >= now && heartbeat(q) <= cq_realtime_ns());
	}
	expect_times(q->dir, times, count);
	assert_int_equal(cq_writer_append(q->writer, 1, "x", 1, NULL), 0);
	assert_int_equal(cq_writer_append_at(q->writer, 0xFFFF, 1, "x", 1, &appended), -EINVAL);
	assert_int_equal(appended.count, 0);
	assert_int_equal(cq_writer_roll(q->writer), 0);
	assert_int_equal(cq_writer_append_at(q->writer, 1, 7000, "x", 1, NULL), 0);
	assert_int_equal(cq_writer_roll(q->writer), 0);
	qs_close(q);
	assert_int_equal(qs_records(q->dir, &records), count + 2);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(records[i].type, i);
	assert_true(records[count].time_ns >= now && records[count].time_ns <= cq_realtime_ns());
	free(records);
	assert_int_equal(qs_mtime_ns(q->dir, "000000001.q"), 7000);
	qs_format_check(q->dir, "--closed");
}

#define BATCH 100U

/* Messages whose times change every now and then, in a batch that rolls, and is written in runs. */
static void append_timed_batch(struct qs *q, uint64_t *times, size_t count)
{
	struct cq_message messages[BATCH];
	struct cq_appended appended;

	for (size_t i = 0; i < count; i++) {
		messages[i] = (struct cq_message){ "payload", 7, CQ_TYPE_DEFAULT };
		times[i] = 1000 - i / 7;
	}
	CHILD(cq_writer_append_batch_at(q->writer, messages, times, count, &appended) ==
	      (ssize_t)count);
	CHILD(appended.count == count && appended.seq == 0);
}

static void given_in_a_batch(void **state)
{
	struct qs *q = *state;
	uint64_t times[BATCH];

	for (size_t least = 300; least <= 1U << 20; least <<= 6) { /* in runs, and one by one */
		qs_anew(q);
		qs_open(q);
		q->writer->run.least_batch = least;
		append_timed_batch(q, times, BATCH);
		assert_true(qs_stats(q->writer).segment > 2);
		expect_times(q->dir, times, BATCH);
		qs_close(q);
		expect_times(q->dir, times, BATCH);
		qs_format_check(q->dir, "--closed");
	}
}

#ifdef CQ_FAULTS
static void die_in_a_run(struct qs *q)
{
	uint64_t times[BATCH];

	CHILD(setenv("CHRONQ_KILL", "run.stored:2", 1) == 0);
	CHILD(qs_try_open(q) == 0);
	q->writer->run.least_batch = 300;
	append_timed_batch(q, times, 28); /* four runs, for there are four times */
}

/* A writer that is killed in the second run leaves the first one, and no loss: each run has one time. */
static void killed_in_a_run(void **state)
{
	static const uint64_t times[] = { 1000, 1000, 1000, 1000, 1000, 1000, 1000 };
	struct qs *q = *state;

	qs_run_killed(die_in_a_run, q);
	qs_open(q);
	expect_times(q->dir, times, 7);
	assert_false(qs_logged(q, "warning"));
}
#endif

/* A reader finds a given time, where the times are in order. */
static void sought(void **state)
{
	struct qs *q = *state;
	struct cq_record record;
	cq_reader *reader;

	qs_open(q);
	for (uint64_t i = 0; i < 100; i++)
		assert_int_equal(
			cq_writer_append_at(q->writer, 1, 1000 + i / 2 * 10, "record", 6, NULL), 0);
	assert_int_equal(cq_reader_open(q->dir, NULL, CQ_START_LATEST, 0, &reader), 0);
	for (uint64_t i = 0; i < 50; i++) {
		assert_int_equal(cq_reader_seek_time(reader, 1000 + i * 10 - 3), 0);
		assert_int_equal(cq_reader_next(reader, &record), 1);
		assert_int_equal(record.seq, 2 * i);
	}
	cq_reader_close(reader);
}

/* Retention by age goes by the given times, though the writer has seen that the segments are younger. */
static void retained(void **state)
{
	const uint64_t hour = 3600 * UINT64_C(1000000000), now = cq_realtime_ns();
	struct qs *q = *state;

	q->config.retain_age_ms = 4 * 3600 * 1000;
	qs_open(q);
	qs_flush(q->writer);
	for (uint64_t i = 10; i > 0; i--) {
		assert_int_equal(cq_writer_append_at(q->writer, 1, now - i * hour, "x", 1, NULL),
		                 0);
		assert_int_equal(cq_writer_roll(q->writer), 0);
	}
	assert_int_equal(cq_writer_sync(q->writer), 0);
	qs_flush(q->writer);
	qs_flush(q->writer);
	assert_int_equal(qs_stats(q->writer).oldest, 7); /* of three hours ago */
	assert_false(qs_logged(q, "cannot be right"));
}

static const struct CMUnitTest tests[] = {
	QS_TEST(single), QS_TEST(batch),           QS_TEST(given), QS_TEST(given_in_a_batch),
#ifdef CQ_FAULTS
	QS_TEST(killed_in_a_run),
#endif
	QS_TEST(sought), QS_TEST(retained),
};

QS_MAIN(tests)
