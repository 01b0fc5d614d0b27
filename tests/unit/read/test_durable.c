/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_durable.c - the durable position and the bounds of a queue, as others than its writer see them, and waiting
 * for the former
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "format/format.h"
#include "meta/control.h"
#include "queue_support.h"
#include "read/reader.h"
#include "write/writer.h"

#define LENGTH(count) \
	((count)*8 + ((count) > 10 ? (count)-10 : 0)) /* of "record 0" and so on, below 100 */

static cq_queue *open_queue(struct qs *q)
{
	cq_queue *queue;

	assert_int_equal(cq_queue_open(q->dir, &queue), 0);
	return queue;
}

static struct cq_queue_info info_of(struct qs *q)
{
	struct cq_queue_info info = CQ_SIZED(info);
	cq_queue *queue = open_queue(q);

	assert_int_equal(cq_queue_info(queue, &info), 0);
	cq_queue_close(queue);
	return info;
}

static void expect(struct qs *q, uint64_t first, uint64_t next, uint64_t begin, uint64_t end)
{
	const struct cq_queue_info info = info_of(q);

	assert_true(info.have_bounds);
	assert_int_equal(info.first_seq, first);
	assert_int_equal(info.next_seq, next);
	assert_int_equal(info.stream_begin, begin);
	assert_int_equal(info.stream_end, end);
}

/* ---- bounds ---- */

static void bounds(void **state)
{
	struct qs *q = *state;

	qs_open(q);
	expect(q, 0, 0, 0, 0);
	qs_append(q->writer, 0, 5);
	expect(q, 0, 5, 0, LENGTH(5));
	qs_append(q->writer, 5, 26);
	expect(q, 0, 31, 0, LENGTH(31)); /* the segment is full */
	qs_append(q->writer, 31, 31);
	qs_prepare(q->writer); /* a spare behind the current one */
	expect(q, 0, 62, 0, LENGTH(62));
	assert_int_equal(cq_writer_roll(q->writer), 0);
	expect(q, 0, 62, 0, LENGTH(62)); /* the newest is empty */
	qs_close(q);
	expect(q, 0, 62, 0, LENGTH(62));
	qs_open(q);
	assert_int_equal(cq_writer_trim(q->writer, 62, 1), 1);
	expect(q, 31, 62, LENGTH(31), LENGTH(62));
	assert_int_equal(cq_writer_trim(q->writer, 62, 1), 1);
	expect(q, 62, 62, LENGTH(62), LENGTH(62)); /* no record is left */
	qs_append(q->writer, 62, 1);
	expect(q, 62, 63, LENGTH(62), LENGTH(63));
}

/* By records alone, where no header says it. */
static void bounds_without_headers(void **state)
{
	static const uint8_t none[48];
	struct qs *q = *state;

	qs_write(q, 0, 40);
	support_poke(q->dir, "000000000.q", 16, none, sizeof none);
	support_poke(q->dir, "000000001.q", 16, none, sizeof none);
	expect(q, 0, 40, 0, LENGTH(40));
	support_poke(q->dir, "000000001.q", 64, none, 1); /* no record is left there */
	expect(q, 0, 31, 0, LENGTH(31));
}

/* Nothing is made up: chronicle-rs's records, damage, no segment. */
static void bounds_unknown(void **state)
{
	struct cq_queue_info older = { .size = offsetof(struct cq_queue_info, have_bounds) };
	struct qs *q = *state;
	char from[PATH_SIZE];
	cq_queue *queue;

	assert_false(info_of(q).have_bounds);
	assert_false(info_of(q).have_durable);
	support_golden(from, "v2-small");
	support_copy(from, q->dir);
	assert_false(info_of(q).have_bounds);
	assert_false(info_of(q).have_durable);
	qs_anew(q);
	qs_write(q, 0, 40);
	support_poke(q->dir, "000000001.q", 64 + 8, "!", 1);
	assert_false(info_of(q).have_bounds);
	assert_true(info_of(q).have_durable);
	queue = open_queue(q);
	assert_int_equal(cq_queue_info(queue, &older), 0);
	assert_false(older.have_bounds);
	assert_int_equal(older.durable_seq, 40);
	cq_queue_close(queue);
}

/* ---- the durable position ---- */

static uint64_t durable(struct qs *q)
{
	const struct cq_queue_info info = info_of(q);

	assert_true(info.have_durable);
	return info.durable_seq;
}

static void follows_the_syncs(void **state)
{
	struct qs *q = *state;
	cq_queue *queue;
	uint64_t seq;

	qs_open(q);
	queue = open_queue(q);
	assert_int_equal(durable(q), 0);
	qs_append(q->writer, 0, 7);
	assert_int_equal(durable(q), 0);
	assert_int_equal(cq_queue_wait_durable(queue, 1, 0, &seq), 0);
	assert_int_equal(seq, 0);
	assert_int_equal(cq_queue_wait_durable(queue, 0, 0, &seq), 1);
	assert_int_equal(cq_writer_sync(q->writer), 0);
	assert_int_equal(durable(q), 7);
	assert_int_equal(cq_queue_wait_durable(queue, 7, 0, &seq), 1);
	assert_int_equal(cq_queue_wait_durable(queue, 7, -1, NULL), 1);
	assert_int_equal(seq, 7);
	assert_int_equal(cq_queue_wait_durable(queue, 8, 20, &seq), 0);
	assert_int_equal(seq, 7);
	qs_append(q->writer, 7, 2);
	qs_close(q);
	assert_int_equal(durable(q), 9);
	cq_queue_close(queue);
}

struct waiter {
	cq_queue *queue;
	uint64_t seq, durable;
	int result;
	_Atomic pid_t tid;
};

static void *wait_for(void *arg)
{
	struct waiter *w = arg;

	atomic_store(&w->tid, gettid());
	w->result = cq_queue_wait_durable(w->queue, w->seq, -1, &w->durable);
	return NULL;
}

static void start(struct waiter *w, struct qs *q, uint64_t seq, pthread_t *ret_thread)
{
	*w = (struct waiter){ .queue = open_queue(q), .seq = seq };
	assert_int_equal(pthread_create(ret_thread, NULL, wait_for, w), 0);
	while (atomic_load(&w->tid) == 0)
		sched_yield();
	qs_await_sleep(getpid(), atomic_load(&w->tid));
}

static void join(pthread_t thread, struct waiter *w)
{
	struct timespec limit;

	assert_int_equal(clock_gettime(CLOCK_REALTIME, &limit), 0);
	limit.tv_sec += 10;
	assert_int_equal(pthread_timedjoin_np(thread, NULL, &limit), 0);
	cq_queue_close(w->queue);
}

/* A waiter sleeps, and a flush wakes it: with slices of an hour nothing else does.  It registers nowhere. */
static void woken_by_the_flush(void **state)
{
	struct qs *q = *state;
	struct waiter waiters[2];
	struct cq_control control;
	pthread_t threads[2];

	cq_durable_slice_ms = 3600000;
	qs_open(q);
	qs_append(q->writer, 0, 3);
	start(&waiters[0], q, 3, &threads[0]);
	start(&waiters[1], q, 5, &threads[1]);
	assert_int_equal(cq_control_open(&control, q->dirfd, false), 0);
	assert_int_equal(control.page->waiters, 0);
	cq_control_close(&control);
	assert_int_equal(cq_writer_sync(q->writer), 0);
	join(threads[0], &waiters[0]);
	assert_int_equal(waiters[0].result, 1);
	assert_int_equal(waiters[0].durable, 3);
	/* the other one was woken, too, and sleeps again */
	qs_append(q->writer, 3, 2);
	assert_int_equal(cq_writer_sync(q->writer), 0);
	join(threads[1], &waiters[1]);
	assert_int_equal(waiters[1].result, 1);
	assert_int_equal(waiters[1].durable, 5);
	cq_durable_slice_ms = CQ_DURABLE_SLICE_MS;
}

/* The writer of another process, of which the waiter sees the files alone: it syncs by interval. */
static void write_on(struct qs *q)
{
	cq_writer *writer;

	q->config.sync = CQ_SYNC_INTERVAL;
	q->config.sync_interval_ms = 1;
	CHILD(cq_writer_open(q->dir, &q->config, &writer) == 0);
	for (unsigned i = 0; i < 100; i++)
		CHILD(cq_writer_append(writer, 1, "x", 1, NULL) == 0);
	for (;;)
		pause();
}

static void of_another_process(void **state)
{
	struct qs *q = *state;
	cq_queue *queue;
	uint64_t seq;
	pid_t pid;

	qs_write(q, 0, 1);
	queue = open_queue(q);
	pid = support_fork();
	if (pid == 0)
		write_on(q);
	assert_int_equal(cq_queue_wait_durable(queue, 101, -1, &seq), 1);
	assert_int_equal(seq, 101);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	cq_queue_close(queue);
}

static void ignore(int signal)
{
	(void)signal;
}

static void interrupt(pthread_t thread, struct waiter *w)
{
	assert_int_equal(pthread_kill(thread, SIGUSR1), 0);
	join(thread, w);
	assert_int_equal(w->result, -EINTR);
}

/* Without control.meta it polls, and a signal ends both ways of waiting. */
static void odd_ways(void **state)
{
	const struct sigaction action = { .sa_handler = ignore };
	struct qs *q = *state;
	struct waiter w;
	pthread_t thread;

	assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
	cq_durable_slice_ms = 3600000;
	qs_open(q);
	qs_append(q->writer, 0, 3);
	start(&w, q, 3, &thread);
	interrupt(thread, &w);
	assert_int_equal(unlinkat(q->dirfd, "control.meta", 0), 0);
	assert_int_equal(unlinkat(q->dirfd, "durable.meta", 0), 0);
	start(&w, q, 3, &thread);
	assert_int_equal(cq_queue_wait_durable(w.queue, 1, 30, NULL), 0);
	/* interrupted until it is asleep when the signal comes */
	while (pthread_tryjoin_np(thread, NULL) == EBUSY) {
		pthread_kill(thread, SIGUSR1);
		sched_yield();
	}
	assert_int_equal(w.result, -EINTR);
	cq_queue_close(w.queue);
	cq_durable_slice_ms = CQ_DURABLE_SLICE_MS;
}

/* durable.meta says nothing, or nothing that is right: nothing is known to be durable. */
static void nothing_said(void **state)
{
	struct qs *q = *state;
	uint64_t seq = 77;
	cq_queue *queue;

	qs_write(q, 0, 5);
	queue = open_queue(q);
	assert_int_equal(cq_queue_wait_durable(queue, 5, 0, &seq), 1);
	assert_int_equal(seq, 5);
	qs_zero(q->dir, "durable.meta", 0, 2 * sizeof(struct cq_watermark_slot));
	assert_int_equal(cq_queue_wait_durable(queue, 5, 0, &seq), 0);
	assert_int_equal(seq, 0);
	assert_int_equal(unlinkat(q->dirfd, "durable.meta", 0), 0);
	assert_int_equal(cq_queue_wait_durable(queue, 1, 0, &seq), 0);
	cq_queue_close(queue);
}

static const struct CMUnitTest tests[] = {
	QS_TEST(bounds),
	QS_TEST(bounds_without_headers),
	QS_TEST(bounds_unknown),
	QS_TEST(follows_the_syncs),
	QS_TEST(woken_by_the_flush),
	QS_TEST(of_another_process),
	QS_TEST(odd_ways),
	QS_TEST(nothing_said),
};

QS_MAIN(tests)
