/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_closing.c - a queue that is being closed: what writer.lock says, and for how long others wait
 *
 * The holder is this process; how it gets on is decided by the function that is asked at each look.
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

#include "meta/lock.h"
#include "os/fault.h"
#include "queue_support.h"

/* writer.lock, held, and what is still to be done with it. */
struct play {
	struct qs *q;
	int fd;
	unsigned looks, steps; /* the lock goes after so many looks; 0: never */
	unsigned stop;         /* true at this look */
	uint64_t start;        /* of this process */
};

static void say(struct play *p, const char *rest)
{
	char text[80];

	snprintf(text, sizeof text, "%d %llu 3%s\n", (int)getpid(), (unsigned long long)p->start,
	         rest);
	qs_write_file(p->q->dir, "writer.lock", text, strlen(text));
}

static void say_closing(struct play *p, unsigned progress)
{
	char rest[32];

	snprintf(rest, sizeof rest, " closing %u", progress);
	say(p, rest);
}

static cq_queue *begin(struct play *p, struct qs *q)
{
	struct cq_holder holder = CQ_SIZED(holder);
	cq_queue *queue;

	*p = (struct play){ .q = q };
	qs_write(q, 0, 1);
	assert_int_equal(cq_lock_holder(q->dirfd, &holder), 0);
	p->start = holder.start_time;
	p->fd = openat(q->dirfd, "writer.lock", O_RDWR | O_CLOEXEC);
	assert_true(p->fd >= 0);
	assert_int_equal(flock(p->fd, LOCK_EX | LOCK_NB), 0);
	assert_int_equal(cq_queue_open(q->dir, &queue), 0);
	return queue;
}

static void end(struct play *p, cq_queue *queue)
{
	cq_queue_close(queue);
	close(p->fd);
}

static bool gets_on(void *arg)
{
	struct play *p = arg;

	p->looks++;
	if (p->looks == p->steps)
		assert_int_equal(flock(p->fd, LOCK_UN), 0);
	else
		say_closing(p, p->looks);
	return p->looks == p->stop;
}

/* Each look, 20 ms after the one before, finds a step forward; no stall of 1 ms is one. */
static void is_waited_for_while_it_gets_on(void **state)
{
	struct cq_holder holder = CQ_SIZED(holder);
	struct play p;
	cq_queue *queue = begin(&p, *state);

	say_closing(&p, 0);
	p.steps = 30;
	assert_int_equal(cq_queue_await_closing(queue, 1, gets_on, &p, &holder), 0);
	assert_false(holder.locked);
	assert_int_equal(p.looks, 30);
	end(&p, queue);
}

static void not_for_ever(void **state)
{
	struct cq_holder holder = CQ_SIZED(holder);
	struct play p;
	cq_queue *queue = begin(&p, *state);

	say_closing(&p, 7);
	assert_int_equal(cq_queue_await_closing(queue, 30, NULL, NULL, &holder), 0);
	assert_true(holder.locked && holder.closing);
	assert_int_equal(holder.progress, 7);
	assert_int_equal(holder.pid, getpid());
	p.stop = 3; /* nor when there is no need any more */
	assert_int_equal(cq_queue_await_closing(queue, UINT32_MAX, gets_on, &p, &holder), 0);
	assert_true(holder.locked);
	end(&p, queue);
}

/* It has let go; it is at the very end; it does not close at all; what is said is not to be understood. */
static void what_is_closing(void **state)
{
	static const struct {
		const char *rest;
		bool closing;
	} texts[] = {
		{ "", false },
		{ " closing 1", true },
		{ " closing", true },
		{ " closed", true },
		{ " 7 closing", false },
		{ " closing 99999999999999999999", true },
		{ "\nclosing 5", false },
		{ " closingly", false },
	};
	struct cq_holder holder = CQ_SIZED(holder);
	struct play p;
	cq_queue *queue = begin(&p, *state);

	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		say(&p, texts[i].rest);
		assert_int_equal(cq_queue_await_closing(queue, 0, NULL, NULL, &holder), 0);
		assert_true(holder.locked);
		assert_int_equal(holder.closing, texts[i].closing);
	}
	assert_int_equal(cq_queue_await_closing(queue, UINT32_MAX, NULL, NULL, &holder), 0);
	p.start++; /* the text is that of the writer before */
	say_closing(&p, 1);
	assert_int_equal(cq_queue_await_closing(queue, UINT32_MAX, NULL, NULL, &holder), 0);
	assert_true(holder.locked && !holder.closing);
	p.start--;
	say_closing(&p, 1);
	assert_int_equal(flock(p.fd, LOCK_UN), 0);
	assert_int_equal(cq_queue_await_closing(queue, UINT32_MAX, NULL, NULL, &holder), 0);
	assert_false(holder.locked);
	end(&p, queue);
}

/* What a close leaves behind. */
static void closed_is_said(void **state)
{
	struct qs *q = *state;
	struct cq_holder holder = CQ_SIZED(holder);

	qs_open(q);
	assert_int_equal(cq_lock_holder(q->dirfd, &holder), 0);
	assert_true(holder.locked && !holder.closing);
	qs_append(q->writer, 0, 3);
	qs_close(q);
	assert_int_equal(cq_lock_holder(q->dirfd, &holder), 0);
	assert_true(!holder.locked && holder.closing);
	assert_int_equal(holder.pid, getpid());
	qs_open(q);
	assert_int_equal(cq_lock_holder(q->dirfd, &holder), 0);
	assert_true(holder.locked && !holder.closing);
}

#ifdef CQ_FAULTS
static struct qs *watched;
static uint64_t last, told;

static void look(const char *name)
{
	struct cq_holder holder = CQ_SIZED(holder);

	if (strcmp(name, "lock.described") == 0) {
		assert_int_equal(cq_lock_holder(watched->dirfd, &holder), 0);
		assert_true(holder.locked && holder.closing && holder.progress > last);
		last = holder.progress;
		told++;
	}
}

/* A step for each segment that is synced or closed, and one for each 8 MiB of it. */
static void a_close_tells_how_it_gets_on(void **state)
{
	struct qs *q = *state;

	q->config.segment_size = 24U << 20;
	qs_open(q);
	for (unsigned i = 0; i < 3; i++) {
		qs_append(q->writer, i, 1);
		qs_prepare(q->writer);
		assert_int_equal(cq_writer_roll(q->writer), 0);
	}
	watched = q;
	last = told = 0;
	cq_point_heard = look;
	qs_close(q);
	cq_point_heard = NULL;
	assert_in_range(told, 3 * (3 + 2), 100);
}

/* What is written out early has failed: that is a failed sync, which no later one may hide. */
static void a_failed_step_is_a_failed_sync(void **state)
{
	struct qs *q = *state;
	cq_writer *w;

	qs_open(q);
	qs_append(q->writer, 0, 3);
	w = q->writer;
	q->writer = NULL;
	cq_fault_set("write_out", EIO, 0, 1);
	assert_int_equal(cq_writer_close(w), -EIO);
	cq_fault_set(NULL, 0, 0, 0);
}

/* That the text cannot be written is nobody's loss. */
static void a_text_that_cannot_be_written(void **state)
{
	struct qs *q = *state;

	qs_open(q);
	qs_append(q->writer, 0, 3);
	assert_int_equal(cq_writer_sync(q->writer), 0);
	cq_fault_set("truncate", EIO, 0, -1);
	qs_close(q);
	cq_fault_set(NULL, 0, 0, 0);
	qs_expect(q->dir, 0, 3);
}
#endif

static const struct CMUnitTest tests[] = {
	QS_TEST(is_waited_for_while_it_gets_on),
	QS_TEST(not_for_ever),
	QS_TEST(what_is_closing),
	QS_TEST(closed_is_said),
#ifdef CQ_FAULTS
	QS_TEST(a_close_tells_how_it_gets_on),
	QS_TEST(a_failed_step_is_a_failed_sync),
	QS_TEST(a_text_that_cannot_be_written),
#endif
};

QS_MAIN(tests)
