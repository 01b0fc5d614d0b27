/* SPDX-License-Identifier: Apache-2.0 */
/* test_quota.c - the count of segment files, corrected by a count of the directory */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <sys/stat.h>
#include <time.h>

#include "os/clock.h"
#include "os/fault.h"
#include "queue_support.h"
#include "retention/quota.h"

static void name_segments(struct qs *q, unsigned count)
{
	char name[32];

	for (unsigned i = 0; i < count; i++) {
		snprintf(name, sizeof name, "%09u.q", i);
		qs_write_file(q->dir, name, "", 0);
	}
}

/* The directory was last changed `seconds` ago. */
static void age(struct qs *q, time_t seconds)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT } };

	assert_int_equal(clock_gettime(CLOCK_REALTIME, &times[1]), 0);
	times[1].tv_sec -= seconds;
	assert_int_equal(futimens(q->dirfd, times), 0);
}

/* A directory whose time is unchanged is not listed again; a change within the second counts. */
static void listed_when_it_has_changed(void **state)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = 1000, .tv_nsec = 5 } };
	struct cq_quota quota;
	struct qs *q = *state;

	name_segments(q, 3);
	cq_quota_init(&quota, 0, QS_SIZE, 4);
	assert_int_equal(futimens(q->dirfd, times), 0);
	assert_true(cq_quota_recount(&quota, q->dirfd));
	assert_int_equal(unlinkat(q->dirfd, "000000000.q", 0), 0);
	assert_int_equal(futimens(q->dirfd, times), 0); /* as if nothing had been deleted */
	assert_false(cq_quota_recount(&quota, q->dirfd));
	assert_int_equal(cq_quota_files(&quota), 3);
	times[1].tv_nsec = 6;
	assert_int_equal(futimens(q->dirfd, times), 0);
	assert_true(cq_quota_recount(&quota, q->dirfd));
	assert_int_equal(cq_quota_files(&quota), 2);
}

/* Files that others delete make room; files that others create make none. */
static void room_that_others_make(void **state)
{
	struct cq_quota quota;
	struct qs *q = *state;

	name_segments(q, 3);
	cq_quota_init(&quota, 4 * QS_SIZE, QS_SIZE, 4);
	assert_false(cq_quota_reserve(&quota));
	atomic_store(&quota.at_limit, true);
	assert_true(cq_quota_recount(&quota, q->dirfd));
	assert_int_equal(cq_quota_files(&quota), 3);
	assert_false(atomic_load(&quota.at_limit));
	assert_true(atomic_load(&quota.wake_pending));
	assert_true(cq_quota_reserve(&quota));
	/* a file is on its way: the listing may have it, or not */
	assert_false(cq_quota_recount(&quota, q->dirfd));
	cq_quota_settle(&quota, true);
	assert_int_equal(cq_quota_files(&quota), 4);
	name_segments(q, 5);
	assert_false(cq_quota_recount(&quota, q->dirfd));
	assert_int_equal(cq_quota_files(&quota), 5);
	cq_quota_fini(&quota);
}

/* A count below zero would let the queue grow without end. */
static void more_deleted_than_there_were(void **state)
{
	struct cq_quota quota;

	(void)state;
	cq_quota_init(&quota, 2 * QS_SIZE, QS_SIZE, 1);
	cq_quota_deleted(&quota);
	cq_quota_deleted(&quota);
	assert_int_equal(cq_quota_files(&quota), 0);
	assert_true(cq_quota_reserve(&quota));
	assert_true(cq_quota_reserve(&quota));
	assert_false(cq_quota_reserve(&quota));
	cq_quota_fini(&quota);
}

/* The directory is listed only if its time has changed, or is too young to exclude a further change. */
static void looks_only_when_it_may_help(void **state)
{
	struct cq_quota quota;
	struct qs *q = *state;
	uint64_t start;
	bool helped;

	name_segments(q, 2);
	cq_quota_init(&quota, 4 * QS_SIZE, QS_SIZE, 2);
	age(q, 100);
	assert_false(cq_quota_recount(&quota, q->dirfd));
	quota.files = 4; /* only a listing could correct this */
	assert_false(cq_quota_recount(&quota, q->dirfd));
	assert_int_equal(cq_quota_files(&quota), 4);
	atomic_store(&quota.recount_needed, true);
	assert_true(cq_quota_recount(&quota, q->dirfd));
	assert_int_equal(cq_quota_files(&quota), 2);

	do { /* a change may follow within a step of the clock, two seconds; the loop repeats where the test itself took too long */
		start = cq_realtime_ns();
		age(q, 1);
		quota.files = 2;
		assert_false(cq_quota_recount(&quota, q->dirfd));
		quota.files = 4;
		helped = cq_quota_recount(&quota, q->dirfd);
	} while (!helped && cq_realtime_ns() - start > 1000000000U);
	assert_true(helped);
	age(q, -100); /* a clock that was set back */
	assert_false(cq_quota_recount(&quota, q->dirfd));
	quota.files = 4;
	assert_true(cq_quota_recount(&quota, q->dirfd));
	cq_quota_fini(&quota);
}

#ifdef CQ_FAULTS
/* A recount that fails finds no room. */
static void cannot_look(void **state)
{
	static const char *const calls[] = { "stat", "list", "next_name" };
	struct cq_quota quota;
	struct qs *q = *state;

	name_segments(q, 1);
	cq_quota_init(&quota, 4 * QS_SIZE, QS_SIZE, 4);
	for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
		cq_fault_set(calls[i], EIO, 0, 1);
		assert_false(cq_quota_recount(&quota, q->dirfd));
		cq_fault_set(NULL, 0, 0, 0);
		assert_int_equal(cq_quota_files(&quota), 4);
	}
	assert_true(cq_quota_recount(&quota, q->dirfd));
	cq_quota_fini(&quota);
}
#endif

static const struct CMUnitTest tests[] = {
	QS_TEST(listed_when_it_has_changed),
	QS_TEST(room_that_others_make),
	QS_TEST(more_deleted_than_there_were),
	QS_TEST(looks_only_when_it_may_help),
#ifdef CQ_FAULTS
	QS_TEST(cannot_look),
#endif
};

QS_MAIN(tests)
