/* SPDX-License-Identifier: Apache-2.0 */
/* test_control.c - control.meta: the position's sequence lock, waiters, dead waiters */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <poll.h>
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
#include "wakes.h"

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

/* What readers see while the next writer puts it right, after every instruction of that writer. */
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

/* A writer died when it had moved the segment and not the offset: readers never see that. */
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
	cq_control_notify(&c); /* between the look and the sleep */
	assert_int_equal(cq_control_wait(&c, seen, 600000), 0);
	cq_control_wait_end(&c);
	assert_int_equal(cq_control_wait(&c, c.page->notify_seq, 1), 0); /* its time runs out */
	cq_control_close(&c);
}

/* A process that waits for one notification after another. */
struct waiter {
	pid_t pid;
	int said; /* 'w': it is about to wait; 'n': it was notified */
};

/* As chronicle-rs's readers and those of older versions of this library: counted in `waiters` alone. */
static uint32_t foreign_wait_begin(struct cq_control *c)
{
	__atomic_fetch_add(&c->page->waiters, 1, __ATOMIC_SEQ_CST);
	return __atomic_load_n(&c->page->notify_seq, __ATOMIC_ACQUIRE);
}

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

/* In two minutes, which is a fifth of what a waiter that nobody wakes would sleep. */
static void says(struct waiter *w, char what)
{
	struct pollfd fd = { .fd = w->said, .events = POLLIN };
	char byte;

	assert_int_equal(poll(&fd, 1, 120000), 1);
	assert_int_equal(read(w->said, &byte, 1), 1);
	assert_int_equal(byte, what);
}

static void falls_asleep(struct waiter *w)
{
	says(w, 'w');
	qs_await_sleep(w->pid, w->pid);
}

static void start_waiter(struct qs *q, bool foreign, struct waiter *w)
{
	int said[2];

	assert_int_equal(pipe(said), 0);
	w->pid = support_fork();
	assert_true(w->pid >= 0);
	if (w->pid == 0) {
		wait_again_and_again(q, foreign, said[1]);
		_exit(0);
	}
	close(said[1]);
	w->said = said[0];
	falls_asleep(w);
}

static void kill_waiter(struct waiter *w)
{
	int status;

	assert_int_equal(kill(w->pid, SIGKILL), 0);
	assert_int_equal(waitpid(w->pid, &status, 0), w->pid);
	close(w->said);
}

/* It does not run, as on a machine that is busy with something else, until it is let go on. */
static void hold_waiter(struct waiter *w)
{
	int status;

	assert_int_equal(kill(w->pid, SIGSTOP), 0);
	assert_int_equal(waitpid(w->pid, &status, WUNTRACED), w->pid);
	assert_true(WIFSTOPPED(status));
}

static void let_go_on(struct waiter *w)
{
	assert_int_equal(kill(w->pid, SIGCONT), 0);
	says(w, 'n');
	falls_asleep(w);
}

/* Every notification wakes all of them. */
static void are_woken(struct cq_control *c, struct waiter *waiters, size_t count)
{
	for (int i = 0; i < 20; i++) {
		cq_control_notify(c);
		for (size_t k = 0; k < count; k++) {
			says(&waiters[k], 'n');
			falls_asleep(&waiters[k]);
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
	start_waiter(q, false, &w[0]);
	assert_int_equal(c.page->waiters, 1);
	are_woken(&c, w, 1);
	start_waiter(q, true, &w[1]);
	start_waiter(q, false, &w[2]);
	assert_int_equal(c.page->waiters, 3);
	are_woken(&c, w, 3);
	for (int i = 0; i < 3; i++)
		kill_waiter(&w[i]);
	cq_control_close(&c);
}

/* A waiter that was woken and has not run yet is counted and sleeps no more, as a dead one.  However
 * long that lasts, and however much is notified meanwhile: when it waits again it is woken. */
static void held_waiters(void **state)
{
	struct waiter w[2], dead;
	struct qs *q = *state;
	struct cq_control c;

	establish(q, &c, 0, 64);
	start_waiter(q, false, &w[0]);
	hold_waiter(&w[0]);
	notify_until_it_costs_no_call(&c);
	assert_int_equal(c.page->waiters, 1);
	let_go_on(&w[0]);
	are_woken(&c, w, 1);

	start_waiter(q, false, &w[1]);
	start_waiter(q, false, &dead);
	kill_waiter(&dead);
	hold_waiter(&w[0]);
	hold_waiter(&w[1]);
	notify_until_it_costs_no_call(&c);
	assert_int_equal(c.page->waiters, 3);
	let_go_on(&w[0]);
	are_woken(&c, w, 1);
	let_go_on(&w[1]);
	are_woken(&c, w, 2);
	for (int i = 0; i < 2; i++)
		kill_waiter(&w[i]);
	cq_control_close(&c);
}

/* The same with one that is counted in `waiters` alone.  That one may be taken for dead: then what makes
 * up for it wakes it once, and from then on every notification does. */
static void held_foreign_waiter(void **state)
{
	struct qs *q = *state;
	struct cq_control c;
	struct waiter w;
	unsigned before;

	establish(q, &c, 0, 64);
	start_waiter(q, true, &w);
	hold_waiter(&w);
	notify_until_it_costs_no_call(&c);
	let_go_on(&w);
	cq_control_notify(&c);
	cq_control_wake_owed(&c);
	says(&w, 'n');
	falls_asleep(&w);
	are_woken(&c, &w, 1);
	kill_waiter(&w);

	notify_until_it_costs_no_call(&c);
	before = wake_calls;
	cq_control_wake_owed(&c); /* one for all */
	cq_control_wake_owed(&c);
	assert_int_equal(wake_calls, before + 1);
	cq_control_close(&c);
}

/* A waiter that was killed leaves the count too high.  After a while that costs no call any more;
 * whoever comes in addition is woken all the same. */
/* The writer before may have been killed between a record and its notification; and who is counted may be
 * lost with what else stood in control.meta.  Whoever sleeps is woken by the next writer, and can be again. */
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
		start_waiter(q, true, &w[0]);
		start_waiter(q, false, &w[1]);
		if (i == 1)
			support_poke(q->dir, "control.meta", 0, "X", 1);
		if (i == 2)
			qs_zero(q->dir, "control.meta", 0, 512);
		establish(q, &c, 0, 64);
		for (int k = 0; k < 2; k++) {
			says(&w[k], 'n');
			falls_asleep(&w[k]);
		}
		are_woken(&c, w, 2);
		for (int k = 0; k < 2; k++)
			kill_waiter(&w[k]);
		notify_until_it_costs_no_call(&c);
		cq_control_close(&c);
	}
}

static void dead_waiters(void **state)
{
	struct qs *q = *state;
	struct cq_control c;
	struct waiter w;
	unsigned before;

	establish(q, &c, 0, 64);
	start_waiter(q, false, &w);
	kill_waiter(&w);
	for (int foreign = 0; foreign < 2; foreign++) {
		assert_int_equal(c.page->waiters, 1 + foreign);
		notify_until_it_costs_no_call(&c);
		start_waiter(q, foreign, &w);
		are_woken(&c, &w, 1);
		kill_waiter(&w);
	}
	notify_until_it_costs_no_call(&c);

	c.page->waiters = 0; /* a writer repaired the block meanwhile */
	before = wake_calls;
	cq_control_notify(&c);
	assert_int_equal(wake_calls, before);
	start_waiter(q, false, &w);
	are_woken(&c, &w, 1);
	kill_waiter(&w);
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
