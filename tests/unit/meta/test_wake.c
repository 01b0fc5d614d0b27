/* SPDX-License-Identifier: Apache-2.0 */
/* test_wake.c - a writer wakes the readers that wait, whatever happened before, and does not call often */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "os/clock.h"
#include "queue_support.h"
#include "wakes.h"

#define READERS 3
#define BURST 300
#define SINGLES 50
#define SLICE_NS 100000000U /* after which a sleeping reader looks by itself */

enum { TYPE_BURST = 1, TYPE_SINGLE, TYPE_LAST };

struct process {
	pid_t pid;
	int said; /* a byte when it is about to wait behind a single record, or behind the burst's last */
};

static void read_on(struct qs *q, int say)
{
	struct cq_record record = { .type = TYPE_LAST };
	uint64_t expected = 0;
	cq_reader *reader;
	int r;

	CHILD(cq_reader_open(q->dir, NULL, CQ_START_OLDEST, 0, &reader) == 0);
	for (;;) {
		if (record.type != TYPE_BURST)
			CHILD(write(say, "w", 1) == 1);
		do
			CHILD(cq_reader_wait(reader, -1) == 1);
		while ((r = cq_reader_next(reader, &record)) == 0);
		CHILD(r == 1 && record.seq == expected++);
	}
}

static void falls_asleep(const struct process *p)
{
	struct pollfd fd = { .fd = p->said, .events = POLLIN };
	char byte;

	assert_int_equal(poll(&fd, 1, 120000), 1);
	assert_int_equal(read(p->said, &byte, 1), 1);
	qs_await_sleep(p->pid, p->pid);
}

static void start_reader(struct qs *q, struct process *p)
{
	int said[2];

	assert_int_equal(pipe(said), 0);
	p->pid = support_fork();
	assert_true(p->pid >= 0);
	if (p->pid == 0) {
		read_on(q, said[1]);
		_exit(0);
	}
	close(said[1]);
	p->said = said[0];
	falls_asleep(p);
}

static void kill_reader(const struct process *p)
{
	int status;

	assert_int_equal(kill(p->pid, SIGKILL), 0);
	assert_int_equal(waitpid(p->pid, &status, 0), p->pid);
	close(p->said);
}

static void append(struct qs *q, uint16_t type)
{
	assert_int_equal(cq_writer_append(q->writer, type, "one", 3, NULL), 0);
}

static void append_batch(struct qs *q)
{
	struct cq_message batch[BURST];

	for (unsigned i = 0; i < BURST; i++)
		batch[i] = (struct cq_message){ "some", 4, i < BURST - 1 ? TYPE_BURST : TYPE_LAST };
	assert_int_equal(cq_writer_append_batch(q->writer, batch, BURST, NULL), BURST);
}

static int by_value(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* How long most appends take to be read. */
static uint64_t median_ns(struct qs *q, const struct process *readers, size_t count)
{
	uint64_t took[SINGLES], start;

	for (size_t i = 0; i < SINGLES; i++) {
		start = cq_monotonic_ns();
		append(q, TYPE_SINGLE);
		for (size_t k = 0; k < count; k++)
			falls_asleep(&readers[k]);
		took[i] = cq_monotonic_ns() - start;
	}
	qsort(took, SINGLES, sizeof took[0], by_value);
	return took[SINGLES / 2];
}

/* Without a wake-up each append would take the rest of a slice that has just begun.  A busy machine may hold
 * up some, and is asked again if it held up many. */
static void are_woken(struct qs *q, const struct process *readers, size_t count)
{
	for (int i = 0; i < 10; i++)
		if (median_ns(q, readers, count) < SLICE_NS / 2)
			return;
	fail();
}

/* The readers do not get to run while much is appended. */
static void burst(struct qs *q, const struct process *readers, size_t count, bool batch)
{
	int status;

	for (size_t i = 0; i < count; i++) {
		assert_int_equal(kill(readers[i].pid, SIGSTOP), 0);
		assert_int_equal(waitpid(readers[i].pid, &status, WUNTRACED), readers[i].pid);
		assert_true(WIFSTOPPED(status));
	}
	if (batch)
		append_batch(q);
	else
		for (unsigned i = 0; i < BURST; i++)
			append(q, i < BURST - 1 ? TYPE_BURST : TYPE_LAST);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(kill(readers[i].pid, SIGCONT), 0);
	for (size_t i = 0; i < count; i++)
		falls_asleep(&readers[i]);
}

static void single_appends_after_a_burst(void **state)
{
	struct process readers[READERS], dead[2];
	struct qs *q = *state;

	qs_open(q);
	start_reader(q, &readers[0]);
	burst(q, readers, 1, false);
	are_woken(q, readers, 1);
	burst(q, readers, 1, true);
	are_woken(q, readers, 1);

	start_reader(q, &dead[0]);
	kill_reader(&dead[0]);
	burst(q, readers, 1, false);
	are_woken(q, readers, 1);
	for (size_t i = 1; i < READERS; i++)
		start_reader(q, &readers[i]);
	start_reader(q, &dead[1]);
	kill_reader(&dead[1]);
	burst(q, readers, READERS, false);
	are_woken(q, readers, READERS);
	for (size_t i = 0; i < READERS; i++)
		kill_reader(&readers[i]);
}

/* The readers of a batch are woken at its end, and where it goes on in another segment. */
static void one_call_for_a_batch(void **state)
{
	struct qs *q = *state;
	struct process reader;

	q->config.segment_size = 1 << 20;
	qs_open(q);
	start_reader(q, &reader);
	wake_calls = 0;
	burst(q, &reader, 1, true);
	assert_int_equal(wake_calls, 1);
	kill_reader(&reader);
}

/* Readers that were killed while they waited do not make every append a call for ever. */
static void dead_readers_cost_no_calls(void **state)
{
	struct qs *q = *state;
	struct process dead;
	unsigned before;

	q->config.segment_size = 1 << 20;
	qs_open(q);
	start_reader(q, &dead);
	kill_reader(&dead);
	do {
		before = wake_calls;
		for (int i = 0; i < 100; i++)
			append(q, TYPE_BURST);
	} while (wake_calls != before);
	assert_true(wake_calls > 0);
	/* whoever was counted and is not dead (one of chronicle-rs's sleeps without a limit) hears of it now, or
	 * of nothing any more */
	qs_close(q);
	assert_int_equal(wake_calls, before + 1);
}

static const struct CMUnitTest tests[] = {
	QS_TEST(single_appends_after_a_burst),
	QS_TEST(one_call_for_a_batch),
	QS_TEST(dead_readers_cost_no_calls),
};

QS_MAIN(tests)
