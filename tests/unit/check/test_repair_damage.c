/* SPDX-License-Identifier: Apache-2.0 */
/* test_repair_damage.c - each kind of damage: what a repair reports of it, gives up, and keeps */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "files/index.h"
#include "os/fault.h"
#include "queue_support.h"
#include "repair_support.h"
#include "write/writer.h"

#define NAME(id) "00000000" #id ".q"

/* ---- queues ---- */

/* Records 0 to 31 * full + 4: so many segments, and one in use with five records.  Closed. */
static void make_full(struct qs *q, unsigned full)
{
	qs_open(q);
	qs_append(q->writer, 0, full * 31 + 5);
	qs_flush(q->writer);
	qs_close(q);
}

static void drop(struct qs *q, const char *name)
{
	assert_int_equal(unlinkat(q->dirfd, name, 0), 0);
}

static void damage_record(struct qs *q, const char *name)
{
	support_poke(q->dir, name, 64 + 3 * 128 + 64, "RECORD", 6);
}

/* A repair does nothing without accept_loss, and repairs with it; both report the same. */
static void loses(struct qs *q, struct reported *reported)
{
	struct qs_snapshot before;

	qs_snapshot(q->dir, &before);
	assert_true(rs_repair(q, false, reported).refused);
	qs_unchanged(q->dir, &before);
	assert_true(rs_repair(q, true, reported).done);
}

static void goes_on_at(struct qs *q, unsigned seq)
{
	qs_open(q);
	assert_int_equal(qs_stats(q->writer).next_seq, seq);
	qs_append(q->writer, seq, 40);
	qs_flush(q->writer);
	qs_close(q);
	rs_is_sound(q);
}

/* The newest segment with records, and the one behind it never came to the disk. */
static void newest_is_damaged(void **state)
{
	struct qs *q = *state;
	const struct cq_repair_step *loss;
	struct reported reported;

	make_full(q, 3);
	drop(q, NAME(3));
	qs_mark(q->dir, 3, 64, 93);
	damage_record(q, NAME(2));
	loses(q, &reported);
	assert_non_null(rs_find(&reported, CQ_REPAIR_SET_ASIDE, NAME(2)));
	assert_non_null(rs_find(&reported, CQ_REPAIR_STAND_IN, NAME(2)));
	assert_non_null(rs_find(&reported, CQ_REPAIR_MAKE, NAME(3)));
	loss = rs_find(&reported, CQ_REPAIR_LOSS, NAME(2));
	assert_non_null(loss);
	assert_int_equal(loss->first_seq, 62);
	assert_true(loss->last_seq == UINT64_MAX);
	goes_on_at(q, 93);
}

/* The same for a writer, which does not read what is below the watermark: the numbers of what it
 * cannot count are not given twice. */
static void numbers_are_not_given_twice(void **state)
{
	struct qs *q = *state;

	make_full(q, 3);
	drop(q, NAME(3));
	qs_mark(q->dir, 3, 64, 93);
	qs_zero(q->dir, NAME(2), 0, 64);
	qs_open(q);
	assert_int_equal(qs_stats(q->writer).next_seq, 93);
	qs_close(q);
	drop(q, NAME(3));
	qs_mark(q->dir, 3, 64, 93);
	support_poke(q->dir, NAME(2), 0, "rubbish", 7);
	qs_open(q);
	assert_int_equal(qs_stats(q->writer).next_seq, 93);
	qs_close(q);

	/* one that was left unsealed, whole; then with nothing that can be read */
	for (int i = 0; i < 2; i++) {
		qs_anew(q);
		make_full(q, 3);
		drop(q, NAME(3));
		qs_make_segment(q->dir, 3, QS_SIZE);
		qs_mark(q->dir, 3, 64, 93);
		qs_unseal(q->dir, 2);
		if (i == 1) {
			support_poke(q->dir, NAME(2), 128, "RECORD", 6);
			assert_int_equal(qs_try_open(q), -EBADMSG);
			assert_true(
				qs_logged(q, "durable records 62 to 92 are missing or damaged"));
			break;
		}
		qs_open(q);
		assert_int_equal(qs_stats(q->writer).next_seq, 93);
		qs_close(q);
		assert_int_equal(qs_peek32(q->dir, NAME(2), 12), CQ_SEALED);
	}
}

static void the_only_one_is_damaged(void **state)
{
	struct qs *q = *state;
	struct reported reported;

	make_full(q, 1);
	drop(q, NAME(1));
	qs_mark(q->dir, 1, 64, 31);
	damage_record(q, NAME(0));
	loses(q, &reported);
	assert_non_null(rs_find(&reported, CQ_REPAIR_SET_ASIDE, NAME(0)));
	assert_null(rs_find(&reported, CQ_REPAIR_STAND_IN, NAME(0)));
	assert_non_null(rs_find(&reported, CQ_REPAIR_LOSS, NAME(0)));
	goes_on_at(q, 31);
}

/* Retention takes the oldest first, a power cut the name of the newest: nothing that was kept is lost. */
static void watermark_alone_is_left(void **state)
{
	struct qs *q = *state;
	struct reported reported;
	struct cq_repair_result result = CQ_SIZED(result);

	make_full(q, 1);
	drop(q, NAME(0));
	drop(q, "000000000.idx");
	drop(q, NAME(1));
	qs_mark(q->dir, 1, 64, 31);
	result = rs_repair(q, false, &reported);
	assert_true(result.done);
	assert_int_equal(result.losses, 0);
	assert_non_null(rs_find(&reported, CQ_REPAIR_MAKE, NAME(1)));
	goes_on_at(q, 31);
}

/* Nothing is missing of what it counts, but it names a place that there is not. */
static void watermark_behind_the_last_record(void **state)
{
	struct qs *q = *state;
	struct reported reported;

	make_full(q, 1);
	qs_mark(q->dir, 1, 64 + 6 * 128, 36);
	loses(q, &reported);
	assert_int_equal(reported.count, 1);
	assert_non_null(rs_find(&reported, CQ_REPAIR_REWRITE, "durable.meta"));
	goes_on_at(q, 36);
}

/* Segments below the watermark that were never sealed: one whose records end too early, one with nothing but
 * its name, and one before an empty one, which nothing shows to be incomplete. */
static void unsealed_below_the_watermark(void **state)
{
	struct qs *q = *state;
	struct reported reported;

	make_full(q, 5);
	qs_unseal(q->dir, 1);
	qs_zero(q->dir, NAME(1), 64 + 20 * 128, QS_SIZE);
	qs_zero(q->dir, NAME(3), 0, QS_SIZE);
	loses(q, &reported);
	assert_non_null(rs_find(&reported, CQ_REPAIR_SET_ASIDE, NAME(1)));
	assert_non_null(rs_find(&reported, CQ_REPAIR_SET_ASIDE, NAME(3)));
	assert_int_equal(reported.steps[reported.count - 2].first_seq, 31);
	assert_int_equal(reported.steps[reported.count - 2].last_seq, 61);
	assert_int_equal(reported.steps[reported.count - 1].first_seq, 93);
	assert_int_equal(reported.steps[reported.count - 1].last_seq, 123);
	rs_finds_nothing(q);

	qs_anew(q);
	make_full(q, 2);
	drop(q, NAME(2));
	qs_make_segment(q->dir, 2, QS_SIZE);
	qs_mark(q->dir, 2, 64, 62);
	qs_unseal(q->dir, 1);
	assert_true(rs_repair(q, false, &reported).done);
	assert_non_null(rs_find(&reported, CQ_REPAIR_SEAL, NAME(1)));
	goes_on_at(q, 62);
}

/* A sealed segment above the watermark has all the records that its summary counts, and bytes behind them:
 * a length, and rubbish that looks like no record. */
static void residue_of_a_sealed_one_above_the_watermark(void **state)
{
	struct qs *q = *state;
	struct reported reported;

	for (uint64_t at = 4032; at < 4096; at += 16) {
		qs_anew(q);
		make_full(q, 3);
		qs_mark(q->dir, 0, 64, 0);
		support_poke(q->dir, NAME(1), at, "\5", 1);
		assert_true(rs_repair(q, false, &reported).done);
		assert_non_null(rs_find(&reported, CQ_REPAIR_CUT, NAME(1)));
		rs_finds_nothing(q);
	}
	goes_on_at(q, 98);
}

/* Without a watermark a repair compares the numbers of the segments. */
static void without_a_watermark(void **state)
{
	struct qs *q = *state;
	struct reported reported;

	make_full(q, 3); /* a segment that was left unsealed, but is whole */
	drop(q, "durable.meta");
	qs_unseal(q->dir, 1);
	assert_true(rs_repair(q, false, &reported).done);
	assert_non_null(rs_find(&reported, CQ_REPAIR_SEAL, NAME(1)));

	drop(q, "durable.meta"); /* one that is not */
	qs_unseal(q->dir, 1);
	qs_zero(q->dir, NAME(1), 64 + 20 * 128, QS_SIZE);
	loses(q, &reported);
	assert_non_null(rs_find(&reported, CQ_REPAIR_SET_ASIDE, NAME(1)));
	assert_non_null(rs_find(&reported, CQ_REPAIR_LOSS, NAME(1)));

	drop(q, "durable.meta"); /* the newest */
	support_poke(q->dir, NAME(3), 0, "rubbish", 7);
	loses(q, &reported);
	assert_non_null(rs_find(&reported, CQ_REPAIR_SET_ASIDE, NAME(3)));
	assert_non_null(rs_find(&reported, CQ_REPAIR_LOSS, NAME(3)));
	rs_finds_nothing(q);

	qs_anew(q); /* a spare of which only the name is there was never used */
	make_full(q, 2);
	drop(q, "durable.meta");
	qs_make_segment(q->dir, 3, QS_SIZE);
	qs_zero(q->dir, NAME(3), 0, 64);
	assert_true(rs_repair(q, false, &reported).done);
	assert_non_null(rs_find(&reported, CQ_REPAIR_SET_ASIDE, NAME(3)));
	goes_on_at(q, 67);
}

/* The epoch is known from the records alone: the next writer's is higher. */
static void epoch_from_the_records(void **state)
{
	struct qs_record *records;
	struct qs *q = *state;
	struct reported reported;
	size_t count;

	for (int i = 0; i < 3; i++) {
		qs_open(q);
		qs_append(q->writer, 31 * (unsigned)i, 31);
		qs_flush(q->writer);
		qs_close(q);
	}
	drop(q, "control.meta");
	drop(q, "durable.meta");
	assert_true(rs_repair(q, false, &reported).done);
	drop(q, "control.meta"); /* what it found out is of use at once */
	qs_write(q, 93, 1);
	count = qs_records(q->dir, &records);
	assert_int_equal(count, 94);
	assert_true(records[93].epoch > records[92].epoch);
	free(records);
}

/* Nothing says how many records, and which, a damaged segment of chronicle-rs held. */
static void loss_in_a_queue_of_chronicle_rs(void **state)
{
	const struct cq_repair_step *loss;
	struct qs *q = *state;
	char golden[PATH_SIZE];
	struct reported reported;

	support_golden(golden, "v1-small"); /* 31 records, and 9 */
	for (int i = 0; i < 2; i++) {
		support_copy(golden, q->dir);
		if (i == 0)
			damage_record(q, NAME(0));
		else /* ours came behind them, and are gone */
			qs_mark(q->dir, 1, 64 + 10 * 128, 41);
		loses(q, &reported);
		assert_int_equal(rs_find(&reported, CQ_REPAIR_SET_ASIDE, NAME(0)) != NULL, i == 0);
		loss = &reported.steps[reported.count - 1];
		assert_int_equal(loss->action, CQ_REPAIR_LOSS);
		assert_true(loss->first_seq == UINT64_MAX);
		assert_true(loss->last_seq == (i == 0 ? UINT64_MAX : 40));
		assert_int_equal(loss->bytes, 0);
		assert_int_equal(rs_repair(q, false, &reported).steps, 0);
		qs_anew(q);
	}
}

/* ---- small files ---- */

static void set_index(struct qs *q, int what)
{
	struct cq_index index;

	assert_int_equal(cq_index_read(q->dirfd, 1, QS_SIZE, &index), 0);
	assert_int_equal(index.header.entries, 1);
	switch (what) {
	case 0: /* another record's time */
		index.entries[0].time_ns++;
		break;
	case 1:
		index.header.entries = 0;
		break;
	case 2:
		index.header.min_seq--;
		break;
	case 3:
		index.header.max_seq++;
		break;
	case 4:
		index.header.min_time_ns--;
		break;
	default:
		index.header.max_time_ns++;
	}
	assert_int_equal(cq_index_write(q->dirfd, &index), 0);
	cq_index_fini(&index);
}

/* Each value alone, with everything about it as in a right one; at last what is not even a file. */
static void indexes_that_lie(void **state)
{
	struct qs *q = *state;
	char path[PATH_SIZE];
	struct reported reported;

	make_full(q, 2);
	support_path(path, q->dir, "000000001.idx");
	for (int what = 0; what < 7; what++) {
		size_t size, now_size;
		char *right = support_slurp(path, &size), *now;

		if (what < 6) {
			set_index(q, what);
		} else {
			drop(q, "000000001.idx");
			assert_int_equal(symlinkat("/etc/passwd", q->dirfd, "000000001.idx"), 0);
		}
		assert_true(rs_repair(q, false, &reported).done);
		assert_int_equal(reported.count, 1);
		assert_non_null(rs_find(&reported, CQ_REPAIR_INDEX, "000000001.idx"));
		now = support_slurp(path, &now_size);
		assert_int_equal(now_size, size);
		assert_memory_equal(now, right, size);
		free(now);
		free(right);
	}
	rs_finds_nothing(q);
}

/* Of the segment in use, as chronicle-rs leaves it: it may end early, and say nothing that is not so. */
static void index_of_the_segment_in_use(void **state)
{
	struct cq_index index;
	struct qs *q = *state;
	char path[PATH_SIZE];
	struct reported reported;
	int fd;

	make_full(q, 2);
	support_path(path, q->dir, NAME(2));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(cq_index_build(fd, 2, QS_SIZE, NULL, &index), 0);
	close(fd);
	index.header.max_seq--; /* without the last record: right */
	assert_int_equal(cq_index_write(q->dirfd, &index), 0);
	assert_int_equal(rs_repair(q, false, &reported).steps, 0);
	for (int what = 0; what < 3; what++) {
		if (what == 0)
			index.header.max_seq += 2;
		else if (what == 1)
			index.header.max_time_ns += 1000000000U;
		else /* the record that came last is torn: the index may be of it */
			support_poke(q->dir, NAME(2), 64 + 5 * 128, "a header, torn", 14);
		qs_other_boot(q->dir);
		assert_int_equal(cq_index_write(q->dirfd, &index), 0);
		assert_true(rs_repair(q, false, &reported).done);
		assert_non_null(rs_find(&reported, CQ_REPAIR_REMOVE, "000000002.idx"));
		assert_false(support_exists(q->dir, "000000002.idx"));
		if (what == 0)
			index.header.max_seq -= 2;
		else
			index.header.max_time_ns -= 1000000000U;
	}
	rs_finds_nothing(q);
	cq_index_fini(&index);
}

/* A placeholder holds nothing, and there is an index of its id. */
static void index_of_a_stand_in(void **state)
{
	struct cq_index index;
	struct qs *q = *state;
	struct reported reported;

	make_full(q, 3);
	assert_int_equal(cq_index_read(q->dirfd, 1, QS_SIZE, &index), 0);
	drop(q, NAME(1));
	loses(q, &reported);
	assert_false(support_exists(q->dir, "000000001.idx"));
	assert_int_equal(cq_index_write(q->dirfd, &index), 0);
	cq_index_fini(&index);
	assert_true(rs_repair(q, false, &reported).done);
	assert_non_null(rs_find(&reported, CQ_REPAIR_INDEX, "000000001.idx"));
	rs_finds_nothing(q);
}

static void control_of_another_kind(void **state)
{
	static const uint32_t version = 9, initialising = 1;
	struct qs *q = *state;
	struct reported reported;

	make_full(q, 1);
	for (int i = 0; i < 2; i++) {
		support_poke(q->dir, "control.meta", i == 0 ? 4 : 8,
		             i == 0 ? &version : &initialising, 4);
		assert_true(rs_repair(q, false, &reported).done);
		assert_int_equal(reported.count, 1);
		assert_non_null(rs_find(&reported, CQ_REPAIR_REWRITE, "control.meta"));
	}
	rs_finds_nothing(q);
}

/* ---- what is set aside ---- */

#define LARGE (256U * 1024)

/* More than is copied at once, with zeros in it; and what is aside already is never overwritten. */
static void large_residue(void **state)
{
	enum { FROM = 8192, LENGTH = 150000 };
	struct qs *q = *state;
	char *residue = malloc(LENGTH), *aside, path[PATH_SIZE];
	struct reported reported;
	size_t size;

	assert_non_null(residue);
	q->config.segment_size = LARGE;
	make_full(q, 0);
	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < LENGTH; i++)
			residue[i] = (char)(i % 251 + 1);
		if (round == 1) /* agrees with what is there, and has less of it */
			memset(residue + 1000, 0, 2000);
		if (round == 2)
			residue[LENGTH - 1] ^= 0x55;
		support_poke(q->dir, NAME(0), FROM, residue, LENGTH);
		assert_true(rs_repair(q, false, &reported).done);
		assert_non_null(rs_find(&reported, CQ_REPAIR_CUT, NAME(0)));
		assert_true(qs_all_zero(q->dir, NAME(0), FROM, LARGE));
		assert_int_equal(support_exists(q->dir, NAME(0) ".broken.2"), round == 2);
		if (round == 1)
			continue;
		support_path(path, q->dir, round == 0 ? NAME(0) ".broken" : NAME(0) ".broken.2");
		aside = support_slurp(path, &size);
		assert_int_equal(size, FROM + LENGTH);
		assert_memory_equal(aside + FROM, residue, LENGTH);
		free(aside);
	}
	free(residue);
	rs_finds_nothing(q);
}

#ifdef CQ_FAULTS
/* A disk that cannot read a segment for once: nobody gives up its records without being asked. */
static void unreadable_is_not_given_up(void **state)
{
	const struct cq_repair_config config = CQ_SIZED(config);
	struct cq_repair_result result = CQ_SIZED(result);
	struct qs_snapshot before;
	struct qs *q = *state;
	unsigned refused = 0;
	int r, skip = 0;

	make_full(q, 3);
	do {
		qs_snapshot(q->dir, &before);
		cq_fault_forget();
		cq_fault_set("pread", EIO, skip++, 1);
		r = cq_repair(q->dir, &config, &result);
		cq_fault_set(NULL, 0, 0, 0);
		qs_unchanged(q->dir, &before);
		if (cq_fault_given() > 0 && r == 0 && result.refused) {
			assert_int_equal(result.losses, 1);
			refused++;
		} else if (r == 0) { /* it was some hint's */
			assert_false(result.done);
		}
	} while (cq_fault_given() > 0);
	assert_int_equal(r, 0);
	assert_int_equal(result.steps, 0);
	assert_int_equal(refused,
	                 9); /* of each of the three: its header, and each read of its records */
	rs_finds_nothing(q);
}
#endif

static const struct CMUnitTest tests[] = {
	QS_TEST(newest_is_damaged),
	QS_TEST(numbers_are_not_given_twice),
	QS_TEST(the_only_one_is_damaged),
	QS_TEST(watermark_alone_is_left),
	QS_TEST(watermark_behind_the_last_record),
	QS_TEST(unsealed_below_the_watermark),
	QS_TEST(residue_of_a_sealed_one_above_the_watermark),
	QS_TEST(without_a_watermark),
	QS_TEST(epoch_from_the_records),
	QS_TEST(loss_in_a_queue_of_chronicle_rs),
	QS_TEST(indexes_that_lie),
	QS_TEST(index_of_the_segment_in_use),
	QS_TEST(index_of_a_stand_in),
	QS_TEST(control_of_another_kind),
	QS_TEST(large_residue),
#ifdef CQ_FAULTS
	QS_TEST(unreadable_is_not_given_up),
#endif
};

QS_MAIN(tests)
