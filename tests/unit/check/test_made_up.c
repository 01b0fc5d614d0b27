/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_made_up.c - small files that somebody has made up, with the right checksums
 *
 * durable.meta, control.meta, index.meta and readers' files say what was never true, with right checksums.
 * A writer that opens the queue, and a repair, either set that right for good, or refuse the queue and
 * change nothing.  Afterwards verification finds nothing, also after more appends, and a second repair has
 * nothing to do.
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

#include "format/format.h"
#include "queue_support.h"
#include "write/writer.h"

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
	                                        closed_after_a_roll,  killed_after_a_roll };
static const unsigned counts[] = { 70, 62, 70, 62, 62, 62 };
#define QUEUES (sizeof queues / sizeof queues[0])

/* ---- what has to come of it ---- */

static unsigned findings(struct qs *q)
{
	struct cq_verify_result result = CQ_SIZED(result);

	assert_int_equal(cq_verify(q->dir, NULL, NULL, &result), 0);
	return (unsigned)result.damage;
}

/* The records are there, the next one has the next number, and the queue is sound. */
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
	const struct cq_repair_config config = { .size = sizeof config,
		                                 .accept_loss = accept_loss,
		                                 .log = q->config.log,
		                                 .log_arg = q->config.log_arg };

	*ret_result =
		(struct cq_repair_result){ .size = sizeof(struct cq_repair_result), .steps = 0 };
	return cq_repair(q->dir, &config, ret_result);
}

/* Nothing of the records is damaged.  Refused, it says why. */
static void is_repaired(struct qs *q, unsigned count)
{
	struct cq_repair_result result = CQ_SIZED(result);
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
	struct cq_watermark_slot slot[2];
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

/* ---- control.meta, index.meta ---- */

struct place {
	uint64_t segment, offset;
};

static void put_position(struct qs *q, const void *arg)
{
	qs_write_file(q->dir, CQ_POSITION_NAME, arg, sizeof(struct place));
}

static void put_control(struct qs *q, const void *arg)
{
	const struct place *place = arg;
	const uint32_t segment = (uint32_t)place->segment;

	support_poke(q->dir, CQ_CONTROL_NAME, offsetof(struct cq_control_page, current_segment),
	             &segment, sizeof segment);
	support_poke(q->dir, CQ_CONTROL_NAME, offsetof(struct cq_control_page, write_offset),
	             &place->offset, sizeof place->offset);
}

static void positions(void **state)
{
	static const struct place made_up[] = {
		{ 0, 64 },
		{ 0, 65 },
		{ 1, AT(5) + 32 },
		{ 2, AT(7) },
		{ 2, CQ_FORMAT_SIZE_MAX },
		{ 77, 64 },
		{ CQ_SEGMENT_ID_MAX, 4096 },
		{ UINT64_MAX, UINT64_MAX },
	};

	for (size_t i = 0; i < sizeof made_up / sizeof made_up[0]; i++) {
		settles(*state, put_position, &made_up[i]);
		settles(*state, put_control, &made_up[i]);
	}
}

struct field {
	size_t offset, size;
	uint64_t value;
};

static void put_field(struct qs *q, const void *arg)
{
	const struct field *field = arg;

	support_poke(q->dir, CQ_CONTROL_NAME, field->offset, &field->value, field->size);
}

static void control_fields(void **state)
{
	static const struct field made_up[] = {
		{ offsetof(struct cq_control_page, epoch), 8, 0 },
		{ offsetof(struct cq_control_page, epoch), 8, UINT32_MAX },
		{ offsetof(struct cq_control_page, epoch), 8, UINT64_MAX },
		{ offsetof(struct cq_control_page, segment_size), 8, 0 },
		{ offsetof(struct cq_control_page, segment_size), 8, 8192 },
		{ offsetof(struct cq_control_page, segment_size), 8, 1ULL << 62 },
		{ offsetof(struct cq_control_page, segment_gen), 4, UINT32_MAX },
		{ offsetof(struct cq_control_page, segment_gen), 4, UINT32_MAX - 1 },
		{ offsetof(struct cq_control_page, heartbeat_ns), 8, UINT64_MAX },
		{ offsetof(struct cq_control_page, notify_seq), 4, UINT32_MAX },
		{ offsetof(struct cq_control_page, waiters), 4, UINT32_MAX },
	};

	for (size_t i = 0; i < sizeof made_up / sizeof made_up[0]; i++)
		settles(*state, put_field, &made_up[i]);
}

/* ---- readers/NAME.meta ---- */

struct cursors {
	struct cq_reader_slot slot[2];
};

static void put_cursors(struct qs *q, const struct cursors *cursors)
{
	struct cursors c = *cursors;

	for (int i = 0; i < 2; i++)
		if (c.slot[i].reserved == 0)
			c.slot[i].crc = qs_crc32(&c.slot[i], 32);
	assert_int_equal(mkdirat(q->dirfd, CQ_READERS_DIR, 0755), 0);
	qs_write_file(q->dir, CQ_READERS_DIR "/log.meta", &c, sizeof c);
}

static uint64_t read_one(struct qs *q, enum cq_start start, bool commit)
{
	struct cq_record record;
	cq_reader *reader;

	assert_int_equal(cq_reader_open(q->dir, "log", start, 0, &reader), 0);
	assert_int_equal(cq_reader_next(reader, &record), 1);
	if (commit)
		assert_int_equal(cq_reader_commit(reader), 0);
	cq_reader_close(reader);
	return record.seq;
}

/* A commit that returned 0 counts, whatever the file said before; no write destroys the slot that does. */
static void cursors(void **state)
{
	static const struct cursors made_up[] = {
		/* `reserved`: a damaged slot */
		{ { { 0, AT(5), 0, 3, 0, 0 }, { 0, 0, 0, 0, 0, 1 } } },
		{ { { 0, 0, 0, 0, 0, 1 }, { 0, AT(5), 0, 4, 0, 0 } } },
		{ { { 0, AT(5), 0, 3, 0, 0 }, { 0, AT(4), 0, 2, 0, 0 } } },
		{ { { 0, AT(5), 0, 4, 0, 0 }, { 0, AT(4), 0, 4, 0, 0 } } },
		{ { { 0, AT(5), 0, UINT64_MAX - 1, 0, 0 }, { 0, 0, 0, 0, 0, 1 } } },
		{ { { 0, 0, 0, 0, 0, 1 }, { 0, AT(5), 0, UINT64_MAX - 1, 0, 0 } } },
		{ { { 0, AT(5), 0, UINT64_MAX - 1, 0, 0 },
		    { 0, AT(4), 0, UINT64_MAX - 2, 0, 0 } } },
		{ { { 0, AT(5), UINT64_MAX, 0, 0, 0 }, { 0, 0, 0, 0, 0, 1 } } },
	};
	struct qs *q = *state;
	struct cq_repair_result result = CQ_SIZED(result);

	for (size_t i = 0; i < sizeof made_up / sizeof made_up[0]; i++) {
		qs_anew(q);
		qs_write(q, 0, 70);
		put_cursors(q, &made_up[i]);
		for (int runs = 0; runs < 2; runs++) {
			assert_int_equal(repair(q, false, &result), 0);
			assert_int_equal(result.losses, 0);
		}
		assert_int_equal(result.steps, 0);
		assert_int_equal(findings(q), 0);
		for (uint64_t seq = 5; seq < 9; seq++) {
			assert_int_equal(read_one(q, CQ_START_RESUME, true), seq);
			assert_int_equal(read_one(q, CQ_START_RESUME, false), seq + 1);
		}
		goes_on(q, 70);
	}
}

static const struct CMUnitTest tests[] = {
	QS_TEST(watermarks),
	QS_TEST(positions),
	QS_TEST(control_fields),
	QS_TEST(cursors),
};

SUPPORT_MAIN_IN_MEMORY(tests)
