/* SPDX-License-Identifier: Apache-2.0 */
/* test_control.c - control.meta: the position's sequence lock, waiters, dead waiters */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control.h"
#include "queue_support.h"

static void establish(struct qs *q, struct cq_control *c, uint32_t segment, uint64_t offset)
{
	assert_int_equal(cq_control_establish(c, q->dirfd, QS_SIZE, 3,
	                                      (struct cq_position){ segment, offset }),
	                 0);
}

static void position_is_what_was_set(void **state)
{
	struct qs *q = *state;
	struct cq_control writer, reader;
	struct cq_position p;

	assert_int_equal(cq_control_open(&reader, q->dirfd, false), -ENOENT);
	establish(q, &writer, 4, 640);
	assert_int_equal(qs_count_names(q->dir, ".tmp"), 0);
	assert_int_equal(cq_control_open(&reader, q->dirfd, true), 0);
	assert_true(reader.writable);
	assert_int_equal(cq_control_position(&reader, &p), 0);
	assert_int_equal(p.segment, 4);
	assert_int_equal(p.offset, 640);
	cq_control_advance(&writer, 704, 12345);
	assert_int_equal(cq_control_position(&reader, &p), 0);
	assert_int_equal(p.offset, 704);
	assert_int_equal(reader.page->heartbeat_ns, 12345);
	cq_control_move(&writer, (struct cq_position){ 5, 64 });
	assert_int_equal(cq_control_position(&reader, &p), 0);
	assert_int_equal(p.segment, 5);
	assert_int_equal(p.offset, 64);
	cq_control_close(&reader);
	cq_control_close(&writer);
}

static void incomplete_block_is_not_opened(void **state)
{
	static const uint32_t wrong[][2] = { { 0, 1 }, { 4, 2 }, { 8, 1 } }; /* offset, value */
	struct qs *q = *state;
	struct cq_control c;

	for (size_t i = 0; i < 3; i++) {
		establish(q, &c, 0, 64);
		cq_control_close(&c);
		support_poke(q->dir, "control.meta", wrong[i][0], &wrong[i][1], 4);
		assert_int_equal(cq_control_open(&c, q->dirfd, false), -EBADMSG);
	}
	qs_write_file(q->dir, "control.meta", "short", 5);
	assert_int_equal(cq_control_open(&c, q->dirfd, true), -EBADMSG);
}

/* Its writer died between the two stores: a reader gives up, the next writer puts it right. */
static void odd_sequence_lock(void **state)
{
	struct qs *q = *state;
	struct cq_control c, again;
	struct cq_position p = { 77, 77 };

	establish(q, &c, 4, 640);
	c.page->segment_gen++;
	assert_int_equal(cq_control_position(&c, &p), -EAGAIN);
	assert_int_equal(p.segment, 77);
	establish(q, &again, 4, 704);
	assert_int_equal(again.page->segment_gen % 2, 0);
	assert_int_equal(cq_control_position(&c, &p), 0); /* by the old mapping too */
	assert_int_equal(p.offset, 704);
	cq_control_close(&again);
	cq_control_close(&c);
}

#define MOVES 200000U

static void *move_on(void *arg)
{
	struct cq_control *c = arg;

	for (uint32_t i = 0; i < MOVES; i++)
		cq_control_move(c, (struct cq_position){ i, (uint64_t)i * 64 });
	return NULL;
}

/* Segment and offset are always of the same move. */
static void no_torn_position(void **state)
{
	struct qs *q = *state;
	struct cq_control c;
	struct cq_position p = { 0 };
	pthread_t thread;
	uint32_t last = 0;

	establish(q, &c, 0, 0);
	assert_int_equal(pthread_create(&thread, NULL, move_on, &c), 0);
	while (last < MOVES - 1) {
		if (cq_control_position(&c, &p) < 0)
			continue;
		assert_int_equal(p.offset, (uint64_t)p.segment * 64);
		assert_true(p.segment >= last);
		last = p.segment;
	}
	pthread_join(thread, NULL);
	cq_control_close(&c);
}

/* ---- waiting ---- */

static void waiters_never_below_zero(void **state)
{
	struct qs *q = *state;
	struct cq_control c;

	establish(q, &c, 0, 64);
	cq_control_wait_end(&c);
	assert_int_equal(c.page->waiters, 0);
	(void)cq_control_wait_begin(&c);
	(void)cq_control_wait_begin(&c);
	assert_int_equal(c.page->waiters, 2);
	c.page->waiters = 0; /* a writer repaired the block meanwhile */
	cq_control_wait_end(&c);
	cq_control_wait_end(&c);
	assert_int_equal(c.page->waiters, 0);
	cq_control_close(&c);
}

static void no_lost_wake_up(void **state)
{
	struct qs *q = *state;
	struct cq_control c;
	uint32_t seen;

	establish(q, &c, 0, 64);
	seen = cq_control_wait_begin(&c);
	cq_control_notify(&c); /* between the look and the sleep */
	assert_int_equal(cq_control_wait(&c, seen, 600000), 0);
	cq_control_wait_end(&c);
	assert_int_equal(cq_control_wait(&c, c.page->notify_seq, 1), 0); /* its time runs out */
	cq_control_close(&c);
}

static int waiter_pipe[2];

/* Waits for one notification; tells its parent when it is about to. */
static void wait_for_one(struct qs *q)
{
	struct cq_control c;
	uint32_t seen;

	CHILD(cq_control_open(&c, q->dirfd, true) == 0);
	seen = cq_control_wait_begin(&c);
	CHILD(write(waiter_pipe[1], "x", 1) == 1);
	CHILD(cq_control_wait(&c, seen, 600000) == 0);
	CHILD(c.page->notify_seq != seen);
	cq_control_wait_end(&c);
}

static pid_t start_waiter(struct qs *q)
{
	char byte;
	pid_t pid = support_fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		wait_for_one(q);
		_exit(0);
	}
	assert_int_equal(read(waiter_pipe[0], &byte, 1), 1);
	qs_await_sleep(pid, pid);
	return pid;
}

static void is_woken(pid_t pid)
{
	int status = -1;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void live_waiter_of_another_process(void **state)
{
	struct qs *q = *state;
	struct cq_control c;
	pid_t pid;

	assert_int_equal(pipe(waiter_pipe), 0);
	establish(q, &c, 0, 64);
	for (int i = 0; i < 20; i++) {
		pid = start_waiter(q);
		assert_int_equal(c.page->waiters, 1);
		cq_control_notify(&c);
		is_woken(pid);
		assert_int_equal(c.page->waiters, 0);
	}
	cq_control_close(&c);
}

/* A waiter that was killed leaves the count too high.  After a while nobody is called for that count;
 * whoever comes in addition is woken all the same. */
static void dead_waiters(void **state)
{
	struct qs *q = *state;
	struct cq_control c;
	uint32_t wakes;
	int status;
	pid_t pid;

	assert_int_equal(pipe(waiter_pipe), 0);
	establish(q, &c, 0, 64);
	pid = start_waiter(q);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(c.page->waiters, 1);

	for (wakes = 0; c.ghosts == 0; wakes++) {
		assert_true(wakes < 100000);
		cq_control_notify(&c);
	}
	for (int i = 0; i < 1000; i++) /* not answered any more: no idle wake-up is counted */
		cq_control_notify(&c);
	assert_int_equal(c.idle_wakes, 0);

	for (int i = 0; i < 5; i++) {
		pid = start_waiter(q);
		assert_int_equal(c.page->waiters, 2);
		cq_control_notify(&c);
		is_woken(pid);
		assert_int_equal(c.ghosts, 1);
	}
	c.page->waiters = 0; /* the debris goes */
	cq_control_notify(&c);
	assert_int_equal(c.ghosts, 0);
	pid = start_waiter(q);
	cq_control_notify(&c);
	is_woken(pid);
	cq_control_close(&c);
}

static const struct CMUnitTest tests[] = {
	QS_TEST(position_is_what_was_set),
	QS_TEST(incomplete_block_is_not_opened),
	QS_TEST(odd_sequence_lock),
	QS_TEST(no_torn_position),
	QS_TEST(waiters_never_below_zero),
	QS_TEST(no_lost_wake_up),
	QS_TEST(live_waiter_of_another_process),
	QS_TEST(dead_waiters),
};

QS_MAIN(tests)
