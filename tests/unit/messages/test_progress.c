/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_progress.c - recovery, repair and verification say how far they are, and end when they are told to
 *
 * Five full segments and one in use, of which a crash left none surely on the disk.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "queue_support.h"

#define RECORDS 160U /* 31 to a segment */
#define SEGMENTS 6U

static struct {
	unsigned calls;
	unsigned last;      /* the call that is to be the last; 0: none is */
	unsigned phases[3]; /* calls in each */
	struct cq_progress now;
} told;

static int hear(void *arg, const struct cq_progress *p)
{
	assert_ptr_equal(arg, &told);
	assert_true(told.last == 0 || told.calls < told.last);
	assert_in_range(p->phase, 0, 2);
	assert_true(p->segments_done <= p->segments && p->bytes_done <= p->bytes);
	assert_int_equal(p->bytes, p->segments * QS_SIZE);
	assert_in_range(p->bytes_done, p->segments_done * QS_SIZE,
	                (p->segments_done + 1) * QS_SIZE);
	if (told.phases[p->phase] > 0) {
		assert_int_equal(p->phase, told.now.phase); /* none comes back */
		assert_int_equal(p->segments, told.now.segments);
		assert_true(p->segments_done >= told.now.segments_done);
		assert_true(p->bytes_done >= told.now.bytes_done);
	}
	told.now = *p;
	told.phases[p->phase]++;
	return ++told.calls == told.last ? 7 : 0;
}

static void forget(unsigned last)
{
	memset(&told, 0, sizeof told);
	told.last = last;
}

static void append_and_die(struct qs *q)
{
	qs_killed_writer(q, 0, RECORDS);
}

static void crashed(struct qs *q)
{
	append_and_die(q);
	qs_mark(q->dir, 0, 64, 0);
	q->config.progress = hear;
	q->config.progress_arg = &told;
}

static void nobody_has_the_lock(const struct qs *q)
{
	int fd = openat(q->dirfd, "writer.lock", O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
	close(fd);
}

static void recovery_tells(void **state)
{
	struct qs *q = *state;

	crashed(q);
	forget(0);
	qs_open(q);
	assert_int_equal(told.now.segments, SEGMENTS);
	assert_int_equal(told.now.segments_done, SEGMENTS - 1);
	assert_in_range(told.phases[CQ_PHASE_RECOVER], SEGMENTS, told.calls);
	qs_close(q);
	qs_expect(q->dir, 0, RECORDS);
}

/* What is known to be on the disk is not read: with nothing to read, nothing is told. */
static void nothing_to_tell(void **state)
{
	struct qs *q = *state;

	q->config.progress = hear;
	q->config.progress_arg = &told;
	forget(0);
	qs_open(q);
	assert_int_equal(told.calls, 0);
	qs_append(q->writer, 0, 1);
	qs_close(q);
	forget(0);
	qs_open(q);
	assert_int_equal(told.now.segments, 1);
}

/* Ended at each of its calls it changes nothing, lets go of the lock, and the next open does it all. */
static void recovery_ends(void **state)
{
	struct qs *q = *state;
	struct qs_snapshot before;
	unsigned calls;

	crashed(q);
	forget(0);
	qs_open(q);
	calls = told.calls;
	qs_close(q);
	for (unsigned last = 1; last <= calls; last++) {
		qs_anew(q);
		crashed(q);
		qs_snapshot(q->dir, &before);
		forget(last);
		assert_int_equal(qs_try_open(q), -ECANCELED);
		assert_int_equal(told.calls, last);
		qs_unchanged(q->dir, &before);
		nobody_has_the_lock(q);
		forget(0);
		qs_open(q);
		assert_int_equal(told.calls, calls);
		qs_close(q);
		qs_expect(q->dir, 0, RECORDS);
	}
}

static void repair_tells_and_ends(void **state)
{
	struct qs *q = *state;
	struct cq_repair_config config = { .size = sizeof config,
		                           .progress = hear,
		                           .progress_arg = &told };
	struct cq_repair_result result = { .size = sizeof result, .steps = 77 };
	struct qs_snapshot before;
	unsigned calls;

	qs_write(q, 0, RECORDS);
	assert_int_equal(unlinkat(q->dirfd, "index.meta", 0), 0); /* something to repair */
	config.dry_run = true;
	forget(0);
	assert_int_equal(cq_repair(q->dir, &config, &result), 0);
	assert_true(result.steps > 0 && !result.done);
	assert_in_range(told.phases[CQ_PHASE_RECOVER], SEGMENTS, told.calls);
	assert_in_range(told.phases[CQ_PHASE_INDEXES], 1, told.calls);
	calls = told.calls;
	config.dry_run = false;
	result.steps = 77;
	for (unsigned last = 1; last <= calls; last++) {
		qs_snapshot(q->dir, &before);
		forget(last);
		assert_int_equal(cq_repair(q->dir, &config, &result), -ECANCELED);
		assert_int_equal(result.steps, 77);
		qs_unchanged(q->dir, &before);
		nobody_has_the_lock(q);
	}
	forget(0);
	assert_int_equal(cq_repair(q->dir, &config, &result), 0);
	assert_true(result.done);
	qs_expect(q->dir, 0, RECORDS);
	forget(0); /* what there is nothing to do about is told of as well, and is no error */
	assert_int_equal(cq_repair(q->dir, &config, &result), 0);
	assert_true(!result.done && result.steps == 0);
	assert_true(told.calls > 0);
}

/* A segment below the watermark is sealed by a repair, which opens it for that: nobody is told of it, and
 * nobody ends a repair that has begun. */
static void repair_does_not_end_half_way(void **state)
{
	struct qs *q = *state;
	struct cq_repair_config config = {
		.size = sizeof config, .dry_run = true, .progress = hear, .progress_arg = &told
	};
	struct cq_repair_result result = CQ_SIZED(result);
	struct qs_snapshot before;
	unsigned calls;

	qs_write(q, 0, RECORDS);
	qs_unseal(q->dir, 1);
	qs_unseal(q->dir, 3);
	forget(0);
	assert_int_equal(cq_repair(q->dir, &config, &result), 0);
	assert_true(result.steps > 1);
	calls = told.calls;
	config.dry_run = false;
	qs_snapshot(q->dir, &before);
	forget(calls);
	assert_int_equal(cq_repair(q->dir, &config, &result), -ECANCELED);
	qs_unchanged(q->dir, &before);
	forget(calls + 1);
	assert_int_equal(cq_repair(q->dir, &config, &result), 0);
	assert_true(result.done);
	assert_int_equal(told.calls, calls);
	qs_expect(q->dir, 0, RECORDS);
}

static void find(void *arg, const struct cq_finding *finding)
{
	unsigned *damage = arg;

	*damage += finding->damage;
}

static void verification_tells_and_ends(void **state)
{
	struct qs *q = *state;
	unsigned damage = 0, calls;
	const struct cq_verify_config config = { sizeof config, find, &damage, hear, &told };
	struct cq_verify_result result = { .size = sizeof result, .segments = 77 };

	qs_write(q, 0, RECORDS);
	forget(0);
	assert_int_equal(cq_verify_with(q->dir, &config, &result), 0);
	assert_int_equal(told.now.segments, result.segments);
	assert_true(result.segments >= SEGMENTS && result.damage == 0);
	calls = told.phases[CQ_PHASE_VERIFY];
	assert_int_equal(calls, told.calls);
	result.segments = 77;
	for (unsigned last = 1; last <= calls; last++) {
		forget(last);
		assert_int_equal(cq_verify_with(q->dir, &config, &result), -ECANCELED);
		assert_int_equal(result.segments, 77);
		assert_int_equal(damage, 0);
	}
	assert_int_equal(cq_verify_with(q->dir,
	                                &(struct cq_verify_config){
						.size = sizeof(struct cq_verify_config) },
	                                &result),
	                 0);
	assert_int_equal(result.damage, 0);
}

static const struct CMUnitTest tests[] = {
	QS_TEST(recovery_tells),
	QS_TEST(nothing_to_tell),
	QS_TEST(recovery_ends),
	QS_TEST(repair_tells_and_ends),
	QS_TEST(repair_does_not_end_half_way),
	QS_TEST(verification_tells_and_ends),
};

QS_MAIN(tests)
