/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_record_time.c - the times of records
 *
 * A thread reads the clock before it has the writer lock.  If another thread appends meanwhile, the times must not go
 * backwards in the queue; and if the clock is set back, the next record has its time.  clock_gettime() is wrapped.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <time.h>

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

static const struct CMUnitTest tests[] = {
	QS_TEST(single),
	QS_TEST(batch),
};

QS_MAIN(tests)
