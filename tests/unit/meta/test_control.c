/* SPDX-License-Identifier: Apache-2.0 */
/* test_control.c - control.meta: the position and its sequence lock, waiters, stale waiters */
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
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "meta/control.h"
#include "queue_support.h"
#include "waiters.h"

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

/* A writer died between the two stores: a reader gives up, the next writer repairs it. */
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
	assert_int_equal(cq_control_position(&c, &p), 0); /* also in an older mapping */
	assert_int_equal(p.offset, 704);
	cq_control_close(&again);
	cq_control_close(&c);
}

/* What readers see after each instruction of the writer that repairs it. */
static void odd_sequence_lock_step_by_step(struct qs *q, struct cq_control *c)
{
#if defined(__x86_64__)
	uint32_t gen = c->page->segment_gen, seen;
	struct cq_control again;
	int status;
	pid_t pid;

	pid = support_fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		CHILD(ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0);
		raise(SIGSTOP);
		CHILD(cq_control_establish(&again, q->dirfd, QS_SIZE, 3,
		                           (struct cq_position){ 5, 64 }) == 0);
		_exit(0);
	}
	for (;;) {
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (WIFEXITED(status))
			break;
		assert_true(WIFSTOPPED(status));
		seen = __atomic_load_n(&c->page->segment_gen, __ATOMIC_ACQUIRE);
		assert_true(seen >= gen);
		gen = seen;
		if (gen % 2 == 0) {
			assert_int_equal(c->page->current_segment, 5);
			assert_int_equal(c->page->write_offset, 64);
		}
		assert_int_equal(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
	}
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_int_equal(gen % 2, 0);
	assert_int_equal(c->page->init_state, CQ_CONTROL_READY);
#else
	(void)q;
	(void)c;
#endif
}

/* A writer died when it had stored the segment but not the offset: readers never see that pair. */
static void torn_position_is_never_seen(void **state)
{
	struct qs *q = *state;
	struct cq_control c;

	for (int damaged = 0; damaged < 2; damaged++) {
		establish(q, &c, 4, 4096);
		cq_control_move(&c, (struct cq_position){ 4, 4032 });
		c.page->segment_gen++;
		c.page->current_segment = 5;
		if (damaged)
			c.page->magic = 0;
		odd_sequence_lock_step_by_step(q, &c);
		cq_control_close(&c);
	}
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
	cq_control_notify(&c); /* before the waiter sleeps */
	assert_int_equal(cq_control_wait(&c, seen, 600000), 0);
	cq_control_wait_end(&c);
	assert_int_equal(cq_control_wait(&c, c.page->notify_seq, 1), 0); /* its time runs out */
	cq_control_close(&c);
}

/* Readers of chronicle-rs, and of older versions of this library, count in `waiters` alone. */
static uint32_t foreign_wait_begin(struct cq_control *c)
{
	__atomic_fetch_add(&c->page->waiters, 1, __ATOMIC_SEQ_CST);
	return __atomic_load_n(&c->page->notify_seq, __ATOMIC_ACQUIRE);
}

/* Says 'w' when it is about to wait, 'n' when it was notified. */
static void wait_again_and_again(struct qs *q, bool foreign, int say)
{
	struct cq_control c;
	uint32_t seen;

	CHILD(cq_control_open(&c, q->dirfd, true) == 0);
	for (;;) {
		seen = foreign ? foreign_wait_begin(&c) : cq_control_wait_begin(&c);
		CHILD(write(say, "w", 1) == 1);
		CHILD(cq_control_wait(&c, seen, 600000) == 0);
		CHILD(c.page->notify_seq != seen);
		cq_control_wait_end(&c);
		CHILD(write(say, "n", 1) == 1);
	}
}

static void wait_as_ours(struct qs *q, int say)
{
	wait_again_and_again(q, false, say);
}

static void wait_as_foreign(struct qs *q, int say)
{
	wait_again_and_again(q, true, say);
}

/* A held waiter that was notified runs again. */
static void let_run(const struct waiter *w)
{
	waiter_resume(w);
	waiter_says(w, 'n');
	waiter_sleeps(w);
}

/* Every notification wakes all of them. */
static void are_woken(struct cq_control *c, struct waiter *waiters, size_t count)
{
	for (int i = 0; i < 20; i++) {
		cq_control_notify(c);
		for (size_t k = 0; k < count; k++) {
			waiter_says(&waiters[k], 'n');
			waiter_sleeps(&waiters[k]);
		}
	}
}

static void notify_until_it_costs_no_call(struct cq_control *c)
{
	unsigned before;

	do {
		before = wake_calls;
		for (int i = 0; i < 1000; i++)
			cq_control_notify(c);
	} while (wake_calls != before);
}

static void live_waiters_of_other_processes(void **state)
{
	struct waiter w[3];
	struct qs *q = *state;
	struct cq_control c;

	establish(q, &c, 0, 64);
	waiter_start(&w[0], q, wait_as_ours);
	assert_int_equal(c.page->waiters, 1);
	are_woken(&c, w, 1);
	waiter_start(&w[1], q, wait_as_foreign);
	waiter_start(&w[2], q, wait_as_ours);
	assert_int_equal(c.page->waiters, 3);
	are_woken(&c, w, 3);
	for (int i = 0; i < 3; i++)
		waiter_kill(&w[i]);
	cq_control_close(&c);
}

/* A waiter that was woken and has not run yet is counted but does not sleep, as a dead one.  However long that
 * lasts, and however many notifications come meanwhile: when it waits again it is woken. */
static void held_waiters(void **state)
{
	struct waiter w[2], dead;
	struct qs *q = *state;
	struct cq_control c;

	establish(q, &c, 0, 64);
	waiter_start(&w[0], q, wait_as_ours);
	waiter_hold(&w[0]);
	notify_until_it_costs_no_call(&c);
	assert_int_equal(c.page->waiters, 1);
	let_run(&w[0]);
	are_woken(&c, w, 1);

	waiter_start(&w[1], q, wait_as_ours);
	waiter_start(&dead, q, wait_as_ours);
	waiter_kill(&dead);
	waiter_hold(&w[0]);
	waiter_hold(&w[1]);
	notify_until_it_costs_no_call(&c);
	assert_int_equal(c.page->waiters, 3);
	let_run(&w[0]);
	are_woken(&c, w, 1);
	let_run(&w[1]);
	are_woken(&c, w, 2);
	for (int i = 0; i < 2; i++)
		waiter_kill(&w[i]);
	cq_control_close(&c);
}

/* The same with a waiter that counts in `waiters` alone.  The writer may take it for dead: then
 * cq_control_wake_owed() wakes it once, and from then on every notification does. */
static void held_foreign_waiter(void **state)
{
	struct qs *q = *state;
	struct cq_control c;
	struct waiter w;
	unsigned before;

	establish(q, &c, 0, 64);
	waiter_start(&w, q, wait_as_foreign);
	waiter_hold(&w);
	notify_until_it_costs_no_call(&c);
	let_run(&w);
	cq_control_notify(&c);
	cq_control_wake_owed(&c);
	waiter_says(&w, 'n');
	waiter_sleeps(&w);
	are_woken(&c, &w, 1);
	waiter_kill(&w);

	notify_until_it_costs_no_call(&c);
	before = wake_calls;
	cq_control_wake_owed(&c); /* one for all */
	cq_control_wake_owed(&c);
	assert_int_equal(wake_calls, before + 1);
	cq_control_close(&c);
}

/* The writer before may have been killed between a record and its notification, and the count of waiters may be
 * lost with the rest of control.meta.  The next writer wakes all sleeping readers, and can wake them again. */
static void waiters_of_the_writer_before(void **state)
{
	static const char *const what[] = { "sound", "damaged", "zeroed" };
	struct qs *q = *state;
	struct waiter w[2];
	struct cq_control c;

	for (int i = 0; i < 3; i++) {
		print_message("# %s\n", what[i]);
		qs_anew(q);
		establish(q, &c, 0, 64);
		for (int k = 0; k < 10; k++)
			cq_control_notify(&c);
		cq_control_close(&c);
		waiter_start(&w[0], q, wait_as_foreign);
		waiter_start(&w[1], q, wait_as_ours);
		if (i == 1)
			support_poke(q->dir, "control.meta", 0, "X", 1);
		if (i == 2)
			qs_zero(q->dir, "control.meta", 0, 512);
		establish(q, &c, 0, 64);
		for (int k = 0; k < 2; k++) {
			waiter_says(&w[k], 'n');
			waiter_sleeps(&w[k]);
		}
		are_woken(&c, w, 2);
		for (int k = 0; k < 2; k++)
			waiter_kill(&w[k]);
		notify_until_it_costs_no_call(&c);
		cq_control_close(&c);
	}
}

/* A waiter that was killed leaves the count too high.  After a while that costs no more calls, and further
 * waiters are still woken. */
static void dead_waiters(void **state)
{
	struct qs *q = *state;
	struct cq_control c;
	struct waiter w;
	unsigned before;

	establish(q, &c, 0, 64);
	waiter_start(&w, q, wait_as_ours);
	waiter_kill(&w);
	for (int foreign = 0; foreign < 2; foreign++) {
		assert_int_equal(c.page->waiters, 1 + foreign);
		notify_until_it_costs_no_call(&c);
		waiter_start(&w, q, foreign ? wait_as_foreign : wait_as_ours);
		are_woken(&c, &w, 1);
		waiter_kill(&w);
	}
	notify_until_it_costs_no_call(&c);

	c.page->waiters = 0; /* a writer repaired the block meanwhile */
	before = wake_calls;
	cq_control_notify(&c);
	assert_int_equal(wake_calls, before);
	waiter_start(&w, q, wait_as_ours);
	are_woken(&c, &w, 1);
	waiter_kill(&w);
	cq_control_close(&c);
}

static const struct CMUnitTest tests[] = {
	QS_TEST(position_is_what_was_set),
	QS_TEST(incomplete_block_is_not_opened),
	QS_TEST(odd_sequence_lock),
	QS_TEST(torn_position_is_never_seen),
	QS_TEST(no_torn_position),
	QS_TEST(waiters_never_below_zero),
	QS_TEST(no_lost_wake_up),
	QS_TEST(live_waiters_of_other_processes),
	QS_TEST(held_waiters),
	QS_TEST(held_foreign_waiter),
	QS_TEST(waiters_of_the_writer_before),
	QS_TEST(dead_waiters),
};

QS_MAIN(tests)
