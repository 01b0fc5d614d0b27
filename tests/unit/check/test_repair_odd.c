/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_repair_odd.c - repair where little is left to go by: no watermark, no summaries, no control.meta
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/fault.h"
#include "queue_support.h"
#include "repair_support.h"
#include "write/writer.h"

#define AT(record) (64 + (uint64_t)((record) % 31) * 128)
#define NAME(id) "00000000" #id ".q"

typedef void (*make_fn)(struct qs *q);

static void drop(struct qs *q, const char *name)
{
	assert_int_equal(unlinkat(q->dirfd, name, 0), 0);
}

/* `count` records, in segments of 31; closed; only the segments are left. */
static void make(struct qs *q, unsigned count)
{
	qs_open(q);
	qs_append(q->writer, 0, count);
	qs_close(q);
	drop(q, "durable.meta");
	drop(q, "control.meta");
	drop(q, "index.meta");
}

/* The records themselves show where each segment begins and ends, and how often the queue was opened. */
static void records_tell(void **state)
{
	struct qs *q = *state;
	struct reported reported;

	make(q, 70);
	qs_zero(q->dir, NAME(0), 16, 64);
	qs_zero(q->dir, NAME(1), 16, 64);
	assert_int_equal(rs_repair(q, false, &reported).losses, 0);
	rs_finds_nothing(q);
	qs_open(q);
	assert_int_equal(qs_stats(q->writer).next_seq, 70);
	assert_true(qs_stats(q->writer).epoch >= 2);
	qs_close(q);
	qs_expect(q->dir, 0, 70);
}

/* A segment that holds nothing and says nothing is between two: by its neighbours, its records are lost. */
static void empty_between_two(void **state)
{
	const struct cq_repair_step *loss;
	struct qs *q = *state;
	struct reported reported;

	make(q, 70);
	qs_zero(q->dir, NAME(0), 16, 64);
	qs_zero(q->dir, NAME(1), 16, 64);
	qs_zero(q->dir, NAME(1), 64, QS_SIZE);
	assert_int_equal(rs_repair(q, true, &reported).losses, 1);
	loss = rs_find(&reported, CQ_REPAIR_LOSS, NAME(1));
	assert_non_null(loss);
	assert_int_equal(loss->first_seq, 31);
	assert_int_equal(loss->last_seq, 61);
	rs_finds_nothing(q);
}

/* Nothing follows it that could be missing. */
static void one_segment_alone(void **state)
{
	struct qs *q = *state;
	struct reported reported;

	make(q, 40);
	drop(q, NAME(1));
	qs_zero(q->dir, NAME(0), 16, 64);
	assert_int_equal(rs_repair(q, false, &reported).losses, 0);
	rs_finds_nothing(q);
	qs_expect(q->dir, 0, 31);
}

/* durable.meta has its size, and says nothing. */
static void mark_that_says_nothing(void **state)
{
	const struct cq_repair_step *step;
	struct qs *q = *state;
	struct reported reported;

	make(q, 40);
	qs_mark(q->dir, 0, 64, 0);
	qs_zero(q->dir, "durable.meta", 0, 2 * sizeof(struct cq_watermark_slot));
	assert_int_equal(rs_repair(q, false, &reported).losses, 0);
	step = rs_find(&reported, CQ_REPAIR_REWRITE, "durable.meta");
	assert_non_null(step);
	rs_finds_nothing(q);
	qs_expect(q->dir, 0, 40);
}

/* A segment that was not sealed ends too early for the next one: without a watermark an opening writer
 * seals it there, a repair says that records are missing. */
static void ends_too_early(void **state)
{
	struct qs *q = *state;
	struct reported reported;

	make(q, 70);
	qs_unseal(q->dir, 1);
	support_poke(q->dir, NAME(1), AT(10) + 64, "X", 1);
	assert_int_equal(rs_repair(q, true, &reported).losses, 1);
	assert_non_null(rs_find(&reported, CQ_REPAIR_LOSS, NAME(1)));
	rs_finds_nothing(q);
	qs_open(q);
	assert_int_equal(qs_stats(q->writer).next_seq, 70);
}

#ifdef CQ_FAULTS
/* A temp file, a summary that is wrong, residue, no segment to go on in, a mark of more than there is. */
static void make_of_all_kinds(struct qs *q)
{
	qs_killed_writer(q, 0, 70);
	qs_mark(q->dir, 2, AT(70), 70);
	support_poke(q->dir, NAME(1), 20, "XXXX", 4); /* the summary's checksum */
	support_poke(q->dir, NAME(1), 4090, "X", 1);
	drop(q, NAME(2));
	drop(q, NAME(3));
	qs_write_file(q->dir, "000000005.q.tmp", "x", 1);
}

/* The same temp file, and an empty segment to go on in, with residue. */
static void make_empty_at_the_end(struct qs *q)
{
	qs_killed_writer(q, 0, 70);
	qs_mark(q->dir, 0, 64, 0);
	qs_make_segment(q->dir, 2, QS_SIZE);
	support_poke(q->dir, NAME(2), 4090, "X", 1);
	qs_write_file(q->dir, "000000005.q.tmp", "x", 1);
}

/* A segment between others is lost: something has to stand there. */
static void make_a_gap(struct qs *q)
{
	qs_write(q, 0, 70);
	drop(q, NAME(1));
}

/* What is to stand there cannot be made: it says so, and the next repair ends the same. */
static void no_stand_in(void **state)
{
	static const char *const calls[] = { "create_new",       "truncate",
		                             "pwrite",           "sync_data",
		                             "rename_noreplace", "unlink",
		                             "sync_dir",         "pread" };
	const struct cq_repair_config config = { .size = sizeof config, .accept_loss = true };
	struct cq_repair_result result = CQ_SIZED(result);
	struct reported reported;
	struct qs *q = *state;
	unsigned failed = 0;

	for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
		bool given = true;

		for (int skip = 0; given; skip++) {
			int r;

			qs_anew(q);
			make_a_gap(q);
			cq_fault_forget();
			cq_fault_set(calls[i], strcmp(calls[i], "pread") == 0 ? ENOMEM : EROFS,
			             skip, 1);
			r = cq_repair(q->dir, &config, &result);
			cq_fault_set(NULL, 0, 0, 0);
			given = cq_fault_given() > 0;
			failed += r < 0;
			assert_true(r == 0 || given);
			(void)rs_repair(q, true, &reported);
			rs_finds_nothing(q);
			assert_true(support_exists(q->dir, NAME(1)));
			assert_int_equal(qs_count_names(q->dir, ".tmp"), 0);
		}
	}
	assert_true(failed > 5);
}

/* Any call fails while a repair inspects, reports or applies: it says so, and the next one ends the same. */
static void calls_fail(void **state)
{
	static const char *const calls[] = { "open", "pread",     "stat",     "stat_at",
		                             "list", "next_name", "seek_data" };
	static const make_fn makes[] = { make_of_all_kinds, make_empty_at_the_end };
	const struct cq_repair_config config = { .size = sizeof config, .accept_loss = true };
	const size_t count = sizeof calls / sizeof calls[0];
	struct qs *q = *state;
	struct cq_repair_result result = CQ_SIZED(result);
	char start[PATH_SIZE];
	struct reported reported;
	unsigned failed = 0;

	support_path(start, q->base, "start");
	for (size_t i = 0; i < 2 * count; i++) {
		const char *call = calls[i % count];
		bool given = true;

		if (i % count == 0) {
			if (i > 0)
				support_remove(start);
			qs_anew(q);
			makes[i / count](q);
			assert_int_equal(mkdir(start, 0750), 0);
			support_copy(q->dir, start);
		}

		for (int skip = 0; given; skip++) {
			int r;

			qs_anew(q);
			support_copy(start, q->dir);
			cq_fault_forget();
			/* what cannot be read is damaged, and given up; memory comes back */
			cq_fault_set(call, strcmp(call, "pread") == 0 ? ENOMEM : ESTALE, skip, 1);
			r = cq_repair(q->dir, &config, &result);
			cq_fault_set(NULL, 0, 0, 0);
			given = cq_fault_given() > 0;
			failed += r < 0;
			assert_true(r == 0 || given);
			(void)rs_repair(q, true, &reported);
			rs_finds_nothing(q);
			qs_expect(q->dir, 0, 62);
		}
	}
	assert_true(failed > 30);
}
#endif

static const struct CMUnitTest tests[] = {
	QS_TEST(records_tell),      QS_TEST(empty_between_two),
	QS_TEST(one_segment_alone), QS_TEST(mark_that_says_nothing),
	QS_TEST(ends_too_early),
#ifdef CQ_FAULTS
	QS_TEST(calls_fail),        QS_TEST(no_stand_in),
#endif
};

SUPPORT_MAIN_IN_MEMORY(tests)
