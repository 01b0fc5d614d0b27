/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_retention_clock.c - retain_age where the clock was wrong when segments were written
 *
 * The test sets the process's clocks, but not the kernel's, which dates files. So a test also runs with a
 * clock that is three years behind the kernel's: then no file's change time can be right, and only the
 * records and the process's own sightings are evidence.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "files/dir.h"
#include "meta/reader_file.h"
#include "os/fault.h"
#include "queue_support.h"
#include "write/writer.h"

#define HOUR 3600LL
#define YEAR (365 * 24 * HOUR)

/* ---- the clocks ---- */

static time_t right;  /* offset of the right clock to the kernel's, in seconds */
static time_t wrong;  /* offset of CLOCK_REALTIME to the right one */
static time_t passed; /* time that has passed in addition, by all clocks */

int __real_clock_gettime(clockid_t clock, struct timespec *ret_time);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret_time);

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret_time)
{
	int r = __real_clock_gettime(clock, ret_time);

	if (clock == CLOCK_REALTIME)
		ret_time->tv_sec += right + wrong + passed;
	else if (clock == CLOCK_BOOTTIME)
		ret_time->tv_sec += passed;
	return r;
}

#define TO_1970 INT32_MIN

static void set_wrong(time_t by)
{
	struct timespec now;

	assert_int_equal(__real_clock_gettime(CLOCK_REALTIME, &now), 0);
	wrong = by == TO_1970 ? -(now.tv_sec + right + passed) + 100 : by;
}

/* ---- a queue ---- */

static unsigned appended;

static void append_segments(struct qs *q, unsigned count)
{
	qs_append(q->writer, appended, count * SUPPORT_PER_SEGMENT);
	appended += count * SUPPORT_PER_SEGMENT;
	qs_prepare(q->writer);
	assert_int_equal(cq_writer_sync(q->writer), 0);
	qs_flush(q->writer);
}

static uint32_t oldest(struct qs *q)
{
	uint32_t id;

	qs_flush(q->writer);
	assert_int_equal(cq_dir_next(q->dirfd, 0, &id), 0);
	return id;
}

/* Time passes, and the writer's thread runs meanwhile. */
static void pass(struct qs *q, time_t seconds)
{
	for (time_t done = 0; done < seconds; done += 600) {
		passed += 600;
		qs_flush(q->writer);
	}
}

static unsigned count_logged(const struct qs *q, const char *text)
{
	unsigned count = 0;

	for (const char *at = q->log; (at = strstr(at, text)); at++)
		count++;
	return count;
}

static void start(struct qs *q, time_t base)
{
	right = base;
	wrong = 0;
	passed = 0;
	appended = 0;
	qs_anew(q);
	q->config.retain_age_ms = (uint64_t)HOUR * 1000;
	qs_open(q);
	qs_flush(q->writer);
}

static void reopen(struct qs *q)
{
	qs_close(q);
	qs_open(q);
	qs_flush(q->writer);
}

static const time_t bases[] = { 0, -3 * YEAR };

/* Segments 0 to 2 are written with a clock that is wrong by `by`, 3 and 4 with the right one. */
enum reopened { NEVER, AT_ONCE, AT_LAST };

static void mixed(struct qs *q, time_t base, time_t by, enum reopened reopened)
{
	unsigned logged;

	start(q, base);
	set_wrong(by);
	append_segments(q, 3);
	wrong = 0;
	if (reopened == AT_ONCE)
		reopen(q);
	append_segments(q, 2);
	assert_int_equal(oldest(q), 0);
	pass(q, HOUR / 2);
	assert_int_equal(oldest(q), 0);
	logged = count_logged(q, "cannot be right");
	assert_int_equal(logged, reopened == AT_ONCE && by == TO_1970 ? 2 : 1);
	if (reopened == AT_LAST) {
		passed += HOUR;
		reopen(q);
		logged++; /* by the new process, too */
	} else {
		pass(q, HOUR);
	}
	assert_int_equal(oldest(q), 4);
	/* segments that are written from now on have right times */
	append_segments(q, 2);
	pass(q, HOUR / 2);
	assert_in_range(oldest(q), 4, 5);
	pass(q, HOUR);
	assert_int_equal(oldest(q), 6);
	assert_int_equal(count_logged(q, "cannot be right"), logged);
	qs_close(q);
}

static void segments_from_the_future(void **state)
{
	for (size_t i = 0; i < sizeof bases / sizeof bases[0]; i++) {
		mixed(*state, bases[i], 10 * YEAR, NEVER);
		mixed(*state, bases[i], 10 * YEAR, AT_ONCE);
		mixed(*state, bases[i], 10 * YEAR, AT_LAST);
		mixed(*state, bases[i], 3 * HOUR, AT_ONCE);
	}
}

static void segments_of_1970(void **state)
{
	for (size_t i = 0; i < sizeof bases / sizeof bases[0]; i++) {
		mixed(*state, bases[i], TO_1970, NEVER);
		mixed(*state, bases[i], TO_1970, AT_ONCE);
		mixed(*state, bases[i], TO_1970, AT_LAST);
	}
}

/* As after a start with a firmware's clock: a time in the past, but before the queue existed. */
static void segments_from_before_the_process(void **state)
{
	mixed(*state, 0, -2 * YEAR, NEVER);
	mixed(*state, -2 * YEAR, -2 * YEAR, NEVER);
}

/* No segment has a time that can be right: each is deleted when this process has seen it long enough. */
static void nothing_but_what_was_seen(void **state)
{
	struct qs *q = *state;

	for (int past = 0; past < 2; past++) {
		start(q, -3 * YEAR);
		set_wrong(past ? TO_1970 : 10 * YEAR);
		append_segments(q, 5);
		if (!past)
			wrong = 0;
		reopen(q);
		pass(q, HOUR / 2);
		assert_int_equal(oldest(q), 0);
		pass(q, HOUR);
		assert_int_equal(oldest(q), 4);
		qs_close(q);
	}
}

/* With a clock that is wrong now, no segment is older than this process has seen it. */
static void the_clock_goes_wrong(void **state)
{
	struct qs *q = *state;

	start(q, 0);
	append_segments(q, 5);
	wrong = 50 * YEAR;
	assert_int_equal(oldest(q), 0);
	pass(q, HOUR / 2);
	assert_int_equal(oldest(q), 0);
	pass(q, HOUR);
	assert_int_equal(oldest(q), 4);
}

/* So many segments have a wrong time that the first right one is not looked at, then one is before 1970:
 * they are deleted when they have been seen long enough. */
static void many_wrong_times(void **state)
{
	static const struct timespec before_1970[2] = { { .tv_sec = -1000 }, { .tv_sec = -1000 } };
	struct qs *q = *state;

	start(q, -3 * YEAR);
	set_wrong(10 * YEAR);
	append_segments(q, 18);
	wrong = 0;
	append_segments(q, 1);
	qs_flush(q->writer);
	assert_int_equal(utimensat(q->dirfd, "000000000.q", before_1970, 0), 0);
	reopen(q);
	assert_int_equal(oldest(q), 0);
	assert_true(qs_logged(q, "segment 000000000 has a last record of 1970-01-01 00:00:00 UTC, "
	                         "which cannot be right"));
	pass(q, HOUR / 2);
	assert_int_equal(oldest(q), 0);
	pass(q, HOUR);
	assert_int_equal(oldest(q), 18);
}

/* An empty segment has no record that dates it. */
static void an_empty_segment_tells_no_time(void **state)
{
	struct qs *q = *state;

	start(q, -3 * YEAR);
	set_wrong(10 * YEAR);
	append_segments(q, 3);
	assert_int_equal(cq_writer_roll(q->writer), 0);
	wrong = 0;
	pass(q, HOUR / 2);
	assert_int_equal(oldest(q), 0);
	pass(q, HOUR);
	assert_int_equal(oldest(q), 3);
}

#ifdef CQ_FAULTS
/* A segment whose time cannot be read stays, with a message; it is deleted when the time can be read again. */
static void times_that_cannot_be_had(void **state)
{
	struct qs *q = *state;
	uint32_t id;

	start(q, -3 * YEAR);
	set_wrong(10 * YEAR);
	append_segments(q, 3);
	wrong = 0;
	append_segments(q, 2);
	pass(q, HOUR / 2);
	passed += 2 * HOUR;
	cq_fault_set("stat_at", EIO, 0, -1);
	assert_int_equal(cq_retire_step(q->writer), 0);
	cq_fault_set(NULL, 0, 0, 0);
	assert_int_equal(cq_dir_next(q->dirfd, 0, &id), 0);
	assert_int_equal(id, 0);
	assert_true(qs_logged(q, "segment 000000000 not deleted: Input/output error"));
	pass(q, HOUR);
	assert_int_equal(oldest(q), 4);
}
#endif

static void other_rules_do_not_ask_for_the_time(void **state)
{
	struct qs *q = *state;

	start(q, 0);
	wrong = 10 * YEAR;
	append_segments(q, 3);
	wrong = 0;
	append_segments(q, 2);
	assert_int_equal(oldest(q), 0);
	q->writer->config.retain_segments = 3;
	assert_int_equal(oldest(q), 2);
	q->writer->config.retain_segments = 0;
	q->writer->config.retain_bytes = 2 * QS_SIZE;
	assert_int_equal(oldest(q), 3);
}

/* A reader is live while its file changes, however wrong the time in the file. */
static void signs_of_life_with_a_wrong_time(void **state)
{
	static const uint64_t heartbeats[] = { 1, 4102444800000000000, UINT64_MAX, 2 };
	struct qs *q = *state;
	struct cq_reader_file cursor = { .offset = 64 };
	int fd;

	start(q, 0);
	q->writer->config.reader_ttl_ms = (uint64_t)HOUR * 1000;
	q->writer->config.retain_age_ms = 0;
	append_segments(q, 4);
	assert_int_equal(cq_reader_file_open(q->dirfd, "reader", true, &fd), 0);
	for (size_t i = 0; i < sizeof heartbeats / sizeof heartbeats[0]; i++) {
		cursor.heartbeat_ns = heartbeats[i];
		assert_int_equal(cq_reader_file_write(fd, &cursor), 0);
		q->writer->config.retain_segments = 1;
		assert_int_equal(oldest(q), 0);
		pass(q, HOUR / 2);
		assert_int_equal(oldest(q), 0);
	}
	close(fd);
	pass(q, HOUR);
	assert_int_equal(oldest(q), 3);
}

static const struct CMUnitTest tests[] = {
	QS_TEST(segments_from_the_future),
	QS_TEST(segments_of_1970),
	QS_TEST(segments_from_before_the_process),
	QS_TEST(nothing_but_what_was_seen),
	QS_TEST(the_clock_goes_wrong),
	QS_TEST(many_wrong_times),
	QS_TEST(an_empty_segment_tells_no_time),
#ifdef CQ_FAULTS
	QS_TEST(times_that_cannot_be_had),
#endif
	QS_TEST(other_rules_do_not_ask_for_the_time),
	QS_TEST(signs_of_life_with_a_wrong_time),
};

QS_MAIN(tests)
