/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_made_up.c - small files that somebody has made up, with the right checksums
 *
 * durable.meta, control.meta, index.meta and readers' files say what was never so, in ways that no
 * checksum tells.  A writer that opens the queue, and a repair, either set that right, for good, or refuse
 * the queue and change nothing.  Afterwards verification finds nothing, also behind what is appended, and
 * a second repair has nothing to do.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "format.h"
#include "queue_support.h"
#include "writer.h"

#define AT(record) (64 + (uint64_t)((record) % 31) * 128)
#define FULL (64 + 31 * 128ULL)

/* ---- queues of 31 records to a segment ---- */

static void closed_in_the_middle(struct qs *q)
{
	qs_write(q, 0, 70);
}

static void closed_full(struct qs *q)
{
	qs_write(q, 0, 62);
}

static void killed_in_the_middle(struct qs *q)
{
	qs_killed_writer(q, 0, 70);
}

static void killed_full(struct qs *q)
{
	qs_killed_writer(q, 0, 62);
}

static void append_and_roll(struct qs *q)
{
	CHILD(cq_writer_open_with(q->dir, &q->config, false, &q->writer) == 0);
	qs_append(q->writer, 0, 62);
	CHILD(cq_writer_roll(q->writer) == 0);
}

/* The segment in use is empty. */
static void closed_after_a_roll(struct qs *q)
{
	append_and_roll(q);
	qs_close(q);
}

static void roll_and_die(struct qs *q)
{
	append_and_roll(q);
	raise(SIGKILL);
}

static void killed_after_a_roll(struct qs *q)
{
	qs_run_killed(roll_and_die, q);
}

static void (*const queues[])(struct qs *q) = { closed_in_the_middle, closed_full,
	                                        killed_in_the_middle, killed_full,
	                                        closed_after_a_roll, killed_after_a_roll };
static const unsigned counts[] = { 70, 62, 70, 62, 62, 62 };
#define QUEUES (sizeof queues / sizeof queues[0])

/* ---- what has to come of it ---- */

static unsigned findings(struct qs *q)
{
	struct cq_verify_result result;

	assert_int_equal(cq_verify(q->dir, NULL, NULL, &result), 0);
	return (unsigned)result.damage;
}

/* The records are there, it goes on with the next number, and is sound. */
static void goes_on(struct qs *q, unsigned count)
{
	assert_int_equal(findings(q), 0);
	qs_expect(q->dir, 0, count);
	qs_open(q);
	assert_int_equal(qs_stats(q->writer).next_seq, count);
	qs_append(q->writer, count, 40);
	qs_close(q);
	assert_int_equal(findings(q), 0);
	qs_expect(q->dir, 0, count + 40);
}

static int repair(struct qs *q, bool accept_loss, struct cq_repair_result *ret_result)
{
	const struct cq_repair_config config = { .accept_loss = accept_loss,
		                                 .log = q->config.log,
		                                 .log_arg = q->config.log_arg };

	*ret_result = (struct cq_repair_result){ .steps = 0 };
	return cq_repair(q->dir, &config, ret_result);
}

/* Nothing of the records is damaged.  Refused, it says why. */
static void is_repaired(struct qs *q, unsigned count)
{
	struct cq_repair_result result;
	struct qs_snapshot before;

	qs_snapshot(q->dir, &before);
	assert_int_equal(repair(q, false, &result), 0);
	if (result.refused) {
		qs_unchanged(q->dir, &before);
		assert_true(q->log_length > 0);
		assert_int_equal(repair(q, true, &result), 0);
		assert_true(result.done);
	} else {
		free(before.bytes);
	}
	assert_int_equal(repair(q, false, &result), 0);
	assert_false(result.refused);
	assert_int_equal(result.steps + result.losses, 0);
	goes_on(q, count);
}

/* The same of a writer that opens it; refused, it is as it was. */
static void is_opened(struct qs *q, unsigned count)
{
	struct qs_snapshot before;
	int r;

	qs_snapshot(q->dir, &before);
	r = qs_try_open(q);
	if (r < 0) {
		assert_int_equal(r, -EBADMSG);
		assert_true(q->log_length > 0);
		qs_unchanged(q->dir, &before);
		return;
	}
	free(before.bytes);
	assert_int_equal(qs_stats(q->writer).next_seq, count);
	qs_close(q);
	goes_on(q, count);
}

/* What is made up, in each of the queues. */
static void settles(struct qs *q, void (*make_up)(struct qs *q, const void *arg), const void *arg)
{
	for (size_t i = 0; i < QUEUES; i++) {
		qs_anew(q);
		queues[i](q);
		make_up(q, arg);
		is_repaired(q, counts[i]);
		qs_anew(q);
		queues[i](q);
		make_up(q, arg);
		is_opened(q, counts[i]);
	}
}

/* ---- durable.meta ---- */

struct slots {
	struct cq_durable_slot slot[2];
};

static void put_slots(struct qs *q, const void *arg)
{
	struct slots s = *(const struct slots *)arg;

	for (int i = 0; i < 2; i++)
		if (s.slot[i].generation != 0)
			s.slot[i].crc = qs_crc32(&s.slot[i], 32);
	qs_write_file(q->dir, CQ_DURABLE_NAME, &s, sizeof s);
}

static void watermarks(void **state)
{
	static const struct slots made_up[] = {
		/* each slot where the other's generation belongs; alone, and with a damaged one */
		{ { { 0, 64, 0, 1, 3, 0, 0 }, { 0 } } },
		{ { { 0 }, { 0, 64, 0, 1, 4, 0, 0 } } },
		{ { { 0, AT(5), 5, 1, 3, 0, 0 }, { 0, 64, 0, 1, 4, 0, 0 } } },
		{ { { 0, 64, 0, 1, 3, 0, 0 }, { 1, 1, 1, 1, 0, 1, 1 } } },
		{ { { 1, 1, 1, 1, 0, 1, 1 }, { 0, 64, 0, 1, 4, 0, 0 } } },
		{ { { 0, 64, 0, 1, 4, 0, 0 }, { 1, 1, 1, 1, 0, 1, 1 } } },
		/* two of one generation, one half of all generations apart */
		{ { { 0, AT(5), 5, 1, 4, 0, 0 }, { 0, 64, 0, 1, 4, 0, 0 } } },
		{ { { 0, AT(5), 5, 1, 4, 0, 0 }, { 0, 64, 0, 1, 4 + (1U << 31), 0, 0 } } },
		{ { { 0, AT(5), 5, 1, UINT32_MAX - 1, 0, 0 }, { 0 } } },
		/* the beginning of the next segment, and numbers of its own */
		{ { { 1, 64, 31, 1, 2, 0, 0 }, { 0 } } },
		{ { { 2, 64, 62, 1, 2, 0, 0 }, { 0 } } },
		{ { { 2, 64, 7, 1, 2, 0, 0 }, { 0 } } },
		{ { { 2, 64, 1000, 1, 2, 0, 0 }, { 0 } } },
		{ { { 2, 64, CQ_COUNT_MAX - 1, 1, 2, 0, 0 }, { 0 } } },
		{ { { 2, 64, CQ_COUNT_MAX, 1, 2, 0, 0 }, { 0 } } },
		{ { { 1, FULL, 7, 1, 2, 0, 0 }, { 0 } } },
		{ { { 1, FULL, 1000, 1, 2, 0, 0 }, { 0 } } },
		{ { { 1, FULL, CQ_COUNT_MAX, 1, 2, 0, 0 }, { 0 } } },
		{ { { 1, AT(5), 7, 1, 2, 0, 0 }, { 0 } } },
		{ { { 1, AT(5), CQ_COUNT_MAX, 1, 2, 0, 0 }, { 0 } } },
		{ { { 0, 64, 1000, 1, 2, 0, 0 }, { 0 } } },
		/* no record begins there, and none can */
		{ { { 1, AT(5) + 64, 36, 1, 2, 0, 0 }, { 0 } } },
		{ { { 1, 0, 31, 1, 2, 0, 0 }, { 0 } } },
		{ { { 1, FULL + 64, 62, 1, 2, 0, 0 }, { 0 } } },
		{ { { 0, CQ_FORMAT_SIZE_MAX, 31, 1, 2, 0, 0 }, { 0 } } },
		/* far ahead, by place, by number, by epoch */
		{ { { 7, 640, 1000, 1, 2, 0, 0 }, { 0 } } },
		{ { { CQ_SEGMENT_ID_MAX, 64, 62, 1, 2, 0, 0 }, { 0 } } },
		{ { { CQ_SEGMENT_ID_MAX + 1ULL, 64, CQ_COUNT_MAX, 1, 2, 0, 0 }, { 0 } } },
		{ { { 0, 64, 0, UINT32_MAX, 2, 0, 0 }, { 0 } } },
	};

	for (size_t i = 0; i < sizeof made_up / sizeof made_up[0]; i++)
		settles(*state, put_slots, &made_up[i]);
}

static const struct CMUnitTest tests[] = {
	QS_TEST(watermarks),
};

QS_MAIN(tests)
