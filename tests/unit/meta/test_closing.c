/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_closing.c - a queue that is being closed: the text in writer.lock, and how long other processes wait
 *
 * The holder is this process: the function that is called in each round decides whether it advances.
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

/* writer.lock, which this process holds. */
struct play {
	struct qs *q;
	int fd;
	unsigned looks, steps; /* the lock is released in round `steps`; 0: never */
	unsigned stop;         /* the wait is ended in this round */
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

static bool advance(void *arg)
{
	struct play *p = arg;

	p->looks++;
	if (p->looks == p->steps)
		assert_int_equal(flock(p->fd, LOCK_UN), 0);
	else
		say_closing(p, p->looks);
	return p->looks == p->stop;
}

/* Each round, 20 ms after the one before, finds progress: so a limit of 1 ms without progress is not reached. */
static void others_wait_while_it_advances(void **state)
{
	struct cq_holder holder = CQ_SIZED(holder);
	struct play p;
	cq_queue *queue = begin(&p, *state);

	say_closing(&p, 0);
	p.steps = 30;
	assert_int_equal(cq_queue_await_closing(queue, 1, advance, &p, &holder), 0);
	assert_false(holder.locked);
	assert_int_equal(p.looks, 30);
	end(&p, queue);
}

static void others_do_not_wait_for_ever(void **state)
{
	struct cq_holder holder = CQ_SIZED(holder);
	struct play p;
	cq_queue *queue = begin(&p, *state);

	say_closing(&p, 7);
	assert_int_equal(cq_queue_await_closing(queue, 30, NULL, NULL, &holder), 0);
	assert_true(holder.locked && holder.closing);
	assert_int_equal(holder.progress, 7);
	assert_int_equal(holder.pid, getpid());
	p.stop = 3; /* nor after the caller has ended the wait */
	assert_int_equal(cq_queue_await_closing(queue, UINT32_MAX, advance, &p, &holder), 0);
	assert_true(holder.locked);
	end(&p, queue);
}

/* Texts of a holder that closes, of one that does not, and texts that cannot be parsed; a text of another
 * process; a holder that has released the lock. */
static void which_texts_mean_closing(void **state)
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
	p.start++; /* the text is an earlier writer's */
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

static void a_close_leaves_its_text(void **state)
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
static uint64_t last, steps_seen;

static void look(const char *name)
{
	struct cq_holder holder = CQ_SIZED(holder);

	if (strcmp(name, "lock.described") == 0) {
		assert_int_equal(cq_lock_holder(watched->dirfd, &holder), 0);
		assert_true(holder.locked && holder.closing && holder.progress > last);
		last = holder.progress;
		steps_seen++;
	}
}

/* A step for each segment that is synced or closed, and one for each 8 MiB of it. */
static void a_close_counts_its_steps(void **state)
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
	last = steps_seen = 0;
	cq_point_heard = look;
	qs_close(q);
	cq_point_heard = NULL;
	assert_in_range(steps_seen, 3 * (3 + 2), 100);
}

/* An early write-out fails: that counts as a failed sync, which no later sync may hide. */
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

/* A failure to write the text does not fail the close. */
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
	QS_TEST(others_wait_while_it_advances), QS_TEST(others_do_not_wait_for_ever),
	QS_TEST(which_texts_mean_closing),      QS_TEST(a_close_leaves_its_text),
#ifdef CQ_FAULTS
	QS_TEST(a_close_counts_its_steps),      QS_TEST(a_failed_step_is_a_failed_sync),
	QS_TEST(a_text_that_cannot_be_written),
#endif
};

QS_MAIN(tests)
