/* SPDX-License-Identifier: Apache-2.0 */
/* test_prealloc.c - the slot between the preparer and the roll: states, stale results, waiting */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "os/clock.h"
#include "prealloc_support.h"
#include "write/writer.h"

static void the_ordinary_way(void **state)
{
	struct qs *q = *state;
	struct cq_wsegment *s = NULL;
	struct cq_prealloc p;
	bool waited = true;

	ps_init(q, &p, 1, 1);
	assert_int_equal(p.slots[0].state, CQ_SLOT_EMPTY);
	assert_int_equal(cq_prealloc_step(&p), 1);
	assert_int_equal(p.slots[0].state, CQ_SLOT_READY);
	assert_int_equal(p.slots[0].id, 1);
	assert_true(support_exists(q->dir, "000000001.q")); /* published before it is offered */
	assert_int_equal(cq_prealloc_step(&p), 0);
	assert_int_equal(ps_take(&p, 1, 0, &s, &waited), 1);
	assert_false(waited);
	assert_int_equal(s->id, 1);
	assert_true(s->populated > 0);
	assert_int_equal(p.slots[0].state, CQ_SLOT_EMPTY);
	assert_int_equal(p.expected, 2);
	cq_wsegment_free(s);
	assert_int_equal(cq_prealloc_step(&p), 1);
	assert_int_equal(p.slots[0].id, 2);
	assert_int_equal(p.made, 2);
	assert_int_equal(p.published, 2);
	assert_int_equal(p.stale + p.failed, 0);
	cq_prealloc_fini(&p);
	assert_true(support_exists(q->dir, "000000002.q"));
	assert_int_equal(qs_count_names(q->dir, ".tmp"), 0);
}

/* Three slots: prepared in order, taken in order; a segment that the writer has gone past is stale. */
static void several_spares(void **state)
{
	struct qs *q = *state;
	struct cq_wsegment *s = NULL;
	struct cq_prealloc p;
	bool waited;

	ps_init(q, &p, 3, 1);
	for (uint32_t id = 1; id <= 3; id++)
		assert_int_equal(cq_prealloc_step(&p), 1);
	assert_int_equal(cq_prealloc_step(&p), 0);
	assert_true(support_exists(q->dir, "000000003.q"));
	assert_false(support_exists(q->dir, "000000004.q"));
	for (uint32_t id = 1; id <= 3; id++) {
		assert_int_equal(ps_take(&p, id, 0, &s, &waited), 1);
		assert_false(waited);
		assert_int_equal(s->id, id);
		cq_wsegment_free(s);
	}
	for (uint32_t id = 4; id <= 6; id++)
		assert_int_equal(cq_prealloc_step(&p), 1);
	cq_prealloc_expect(&p, 6, 0); /* gone past 4 and 5 */
	assert_int_equal(cq_prealloc_step(&p), 1);
	assert_int_equal(cq_prealloc_step(&p), 1);
	assert_int_equal(cq_prealloc_step(&p), 0);
	assert_int_equal(p.stale, 2);
	assert_int_equal(p.made, 8);
	for (uint32_t id = 6; id <= 8; id++) {
		assert_int_equal(ps_take(&p, id, 0, &s, &waited), 1);
		assert_int_equal(s->id, id);
		cq_wsegment_free(s);
	}
	assert_int_equal(ps_take(&p, 9, 0, &s, &waited), 0);
	cq_prealloc_fini(&p);
}

/* A segment for an id that the writer has gone past: in the slot, and as a file on the disk. */
static void stale_prealloc_is_ignored(void **state)
{
	struct qs *q = *state;
	struct qs_snapshot before;
	struct cq_wsegment *s = NULL;
	struct cq_prealloc p;
	bool waited;

	ps_init(q, &p, 1, 1);
	assert_int_equal(cq_prealloc_step(&p), 1);
	support_poke(q->dir, "000000001.q", 4001, "S", 1);
	qs_snapshot(q->dir, &before);
	cq_prealloc_expect(&p, 2, 0);
	assert_int_equal(ps_take(&p, 2, 0, &s, &waited), 0);
	assert_null(s);
	assert_int_equal(p.stale, 1);
	assert_int_equal(p.slots[0].state, CQ_SLOT_EMPTY);
	assert_int_equal(p.expected, 3);
	qs_unchanged(q->dir, &before); /* published: it stays, unwritten */

	/* the preparer finds it stale too */
	assert_int_equal(cq_prealloc_step(&p), 1);
	assert_int_equal(p.slots[0].id, 3);
	cq_prealloc_expect(&p, 5, 0);
	assert_int_equal(cq_prealloc_step(&p), 1);
	assert_int_equal(p.slots[0].id, 5);
	assert_int_equal(p.stale, 2);

	/* 1 and 3 are on the disk: each is opened at its turn, and not before */
	cq_prealloc_expect(&p, 3, 0);
	support_poke(q->dir, "000000003.q", 4001, "T", 1);
	assert_int_equal(cq_prealloc_step(&p), 1);
	assert_int_equal(ps_take(&p, 3, 0, &s, &waited), 1);
	assert_int_equal(s->id, 3);
	assert_int_equal(s->map.base[4001], 'T');
	cq_wsegment_free(s);
	cq_prealloc_fini(&p);
	assert_int_equal(qs_count_names(q->dir, ".tmp"), 0);
	assert_int_equal(qs_count_names(q->dir, ".q"), 3);
}

/* The same through a writer. */
static void stale_slot_of_a_writer(void **state)
{
	struct qs *q = *state;

	qs_open(q);
	qs_append(q->writer, 0, 31);
	/* segment 1 is in the slot; as if the writer had gone past it: now 2 is expected */
	cq_prealloc_expect(&q->writer->prealloc, 2, 0);
	qs_prepare(q->writer);
	assert_int_equal(qs_stats(q->writer).prealloc_stale, 1);
	qs_append(q->writer, 31, 1); /* needs 1, has 2 in the slot */
	assert_int_equal(qs_stats(q->writer).segment, 1);
	assert_int_equal(qs_stats(q->writer).rolls_fallback, 1);
	qs_append(q->writer, 32, 40);
	qs_close(q);
	qs_expect(q->dir, 0, 72);
	qs_format_check(q->dir, "--closed");
}

static void unfit_file_is_left_alone(void **state)
{
	static const uint32_t commit = 1;
	struct qs *q = *state;
	struct qs_snapshot before;
	struct cq_taken taken;
	struct cq_prealloc p;

	ps_init(q, &p, 1, 1);
	qs_make_segment(q->dir, 1, QS_SIZE);
	support_poke(q->dir, "000000001.q", 64, &commit, sizeof commit); /* holds a record */
	qs_snapshot(q->dir, &before);
	assert_int_equal(cq_prealloc_step(&p), -EBADMSG);
	assert_int_equal(p.slots[0].state, CQ_SLOT_EMPTY);
	assert_int_equal(p.failed, 1);
	qs_unchanged(q->dir, &before);
	/* a roll that may not make a segment itself gets the preparer's error */
	assert_int_equal(cq_prealloc_take(&p, 1, 0, true, &taken), -EBADMSG);
	cq_prealloc_fini(&p);
}

static void bounded_wait(void **state)
{
	struct qs *q = *state;
	uint64_t start = cq_monotonic_ns(), span;
	struct cq_wsegment *s = NULL;
	struct cq_prealloc p;
	bool waited = false;

	ps_init(q, &p, 1, 1);
	assert_int_equal(ps_take(&p, 1, 30, &s, &waited), 0);
	span = cq_monotonic_ns() - start;
	assert_true(waited);
	assert_true(span >= 30000000U);
	assert_true(span < 100000000000U);
	assert_int_equal(p.expected, 2);
	/* the same with a stale segment in the slot */
	assert_int_equal(cq_prealloc_step(&p), 1);
	cq_prealloc_expect(&p, 3, 0);
	assert_int_equal(ps_take(&p, 3, 1, &s, &waited), 0);
	assert_true(waited);
	assert_int_equal(p.stale, 1);
	cq_prealloc_fini(&p);
}

static void require_prealloc(void **state)
{
	struct qs *q = *state;
	struct cq_stats before = CQ_SIZED(before), after = CQ_SIZED(after);

	q->config.require_prealloc = true;
	q->config.prealloc_wait_ms = 5;
	qs_open(q);
	qs_append(q->writer, 0, 62); /* the slot is empty now */
	before = qs_stats(q->writer);
	assert_int_equal(cq_writer_append(q->writer, 1, "x", 1, NULL), -EAGAIN);
	assert_int_equal(cq_writer_append(q->writer, 1, "x", 1, NULL), -EAGAIN);
	assert_int_equal(cq_writer_roll(q->writer), -EAGAIN);
	after = qs_stats(q->writer);
	assert_memory_equal(&before, &after, sizeof before);
	assert_false(support_exists(q->dir, "000000002.q"));
	assert_int_equal(qs_peek32(q->dir, "000000001.q", 12), 0);
	qs_prepare(q->writer);
	qs_append(q->writer, 62, 1);
	assert_int_equal(qs_stats(q->writer).rolls_ready, 2);
	assert_int_equal(qs_stats(q->writer).rolls_fallback, 0);
	qs_close(q);
	qs_expect(q->dir, 0, 63);
}

static double wake_ups_a_second(int preparer_ms, int flusher_ms)
{
	return 1000.0 / preparer_ms + 1000.0 / flusher_ms;
}

/* A writer that has nothing to do wakes once a second, with both threads together, also when it has all of
 * its spares.  While a segment is missing, the preparer tries every second. */
static void an_idle_writer_sleeps(void **state)
{
	struct qs *q = *state;
	int preparer;

	for (unsigned spares = 1; spares <= 3; spares += 2) {
		qs_anew(q);
		q->config.spares = spares;
		qs_open(q);
		qs_append(q->writer, 0, 40); /* one roll */
		while ((preparer = cq_writer_prepare_step(q->writer)) == 0)
			;
		qs_flush(q->writer);
		assert_int_equal(cq_writer_sync(q->writer), 0);
		qs_flush(q->writer);
		assert_true(wake_ups_a_second(preparer, cq_writer_flush_step(q->writer)) < 1.05);
		qs_close(q);
	}
	qs_anew(q);
	q->config.spares = 1;
	q->config.max_bytes = 2 * QS_SIZE; /* no spare fits */
	qs_open(q);
	qs_append(q->writer, 0, 40);
	assert_true(wake_ups_a_second(cq_writer_prepare_step(q->writer), 60000) < 1.05);
	qs_close(q);
}

static const struct CMUnitTest tests[] = {
	QS_TEST(the_ordinary_way),          QS_TEST(several_spares),
	QS_TEST(stale_prealloc_is_ignored), QS_TEST(stale_slot_of_a_writer),
	QS_TEST(unfit_file_is_left_alone),  QS_TEST(bounded_wait),
	QS_TEST(require_prealloc),          QS_TEST(an_idle_writer_sleeps),
};

QS_MAIN(tests)
