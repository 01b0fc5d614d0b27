/* SPDX-License-Identifier: Apache-2.0 */
/* test_wake.c - a writer wakes waiting readers, also after bursts and kills, and with few system calls */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <unistd.h>

#include "os/clock.h"
#include "queue_support.h"
#include "waiters.h"

#define READERS 3
#define BURST 300
#define SINGLES 50
#define SLICE_NS 100000000U /* after which a sleeping reader wakes by itself */

enum { TYPE_BURST = 1, TYPE_SINGLE, TYPE_LAST };

/* Says 'w' when it is about to wait behind a single record, or behind the last one of a burst. */
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

/* The time that most appends take until they are read. */
static uint64_t median_ns(struct qs *q, const struct waiter *readers, size_t count)
{
	uint64_t took[SINGLES], start;

	for (size_t i = 0; i < SINGLES; i++) {
		start = cq_monotonic_ns();
		append(q, TYPE_SINGLE);
		for (size_t k = 0; k < count; k++)
			waiter_sleeps(&readers[k]);
		took[i] = cq_monotonic_ns() - start;
	}
	qsort(took, SINGLES, sizeof took[0], by_value);
	return took[SINGLES / 2];
}

/* Without a wake-up each reader would sleep for the rest of a slice that has just begun.  A busy machine may delay
 * some; if it delays most, the test tries again. */
static void are_woken(struct qs *q, const struct waiter *readers, size_t count)
{
	for (int i = 0; i < 10; i++)
		if (median_ns(q, readers, count) < SLICE_NS / 2)
			return;
	fail();
}

/* The readers do not run while many records are appended. */
static void burst(struct qs *q, const struct waiter *readers, size_t count, bool batch)
{
	for (size_t i = 0; i < count; i++)
		waiter_hold(&readers[i]);
	if (batch)
		append_batch(q);
	else
		for (unsigned i = 0; i < BURST; i++)
			append(q, i < BURST - 1 ? TYPE_BURST : TYPE_LAST);
	for (size_t i = 0; i < count; i++)
		waiter_resume(&readers[i]);
	for (size_t i = 0; i < count; i++)
		waiter_sleeps(&readers[i]);
}

static void single_appends_after_a_burst(void **state)
{
	struct waiter readers[READERS], dead[2];
	struct qs *q = *state;

	qs_open(q);
	waiter_start(&readers[0], q, read_on);
	burst(q, readers, 1, false);
	are_woken(q, readers, 1);
	burst(q, readers, 1, true);
	are_woken(q, readers, 1);

	waiter_start(&dead[0], q, read_on);
	waiter_kill(&dead[0]);
	burst(q, readers, 1, false);
	are_woken(q, readers, 1);
	for (size_t i = 1; i < READERS; i++)
		waiter_start(&readers[i], q, read_on);
	waiter_start(&dead[1], q, read_on);
	waiter_kill(&dead[1]);
	burst(q, readers, READERS, false);
	are_woken(q, readers, READERS);
	for (size_t i = 0; i < READERS; i++)
		waiter_kill(&readers[i]);
}

/* A batch wakes readers at its end, and where it continues in another segment. */
static void one_call_for_a_batch(void **state)
{
	struct qs *q = *state;
	struct waiter reader;

	q->config.segment_size = 1 << 20;
	qs_open(q);
	waiter_start(&reader, q, read_on);
	wake_calls = 0;
	burst(q, &reader, 1, true);
	assert_int_equal(wake_calls, 1);
	waiter_kill(&reader);
}

/* Readers that were killed while they waited cost the appends no calls after a while. */
static void dead_readers_cost_no_calls(void **state)
{
	struct qs *q = *state;
	struct waiter dead;
	unsigned before;

	q->config.segment_size = 1 << 20;
	qs_open(q);
	waiter_start(&dead, q, read_on);
	waiter_kill(&dead);
	do {
		before = wake_calls;
		for (int i = 0; i < 100; i++)
			append(q, TYPE_BURST);
	} while (wake_calls != before);
	assert_true(wake_calls > 0);
	/* the close wakes once more: a reader of chronicle-rs that is alive would otherwise sleep for ever */
	qs_close(q);
	assert_int_equal(wake_calls, before + 1);
}

static const struct CMUnitTest tests[] = {
	QS_TEST(single_appends_after_a_burst),
	QS_TEST(one_call_for_a_batch),
	QS_TEST(dead_readers_cost_no_calls),
};

QS_MAIN(tests)
