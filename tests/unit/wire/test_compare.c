/* SPDX-License-Identifier: Apache-2.0 */
/* test_compare.c - what chronq ship --check finds, against a comparison of one number after another */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "check/compare.h"

#define MOST 64U

/* A side in memory. */
struct list {
	struct compare_item items[MOST];
	size_t count, given;
	int error;        /* at the end, in place of 0 */
	size_t trim_at;   /* behind so many items, older ones are deleted */
	uint64_t trim_to; /* `begins` from then on */
	struct compare_side side;
};

static struct compare_range ranges[4 * MOST];
static size_t range_count;

static int next_item(void *arg, struct compare_item *ret_item)
{
	struct list *list = arg;

	if (list->trim_to > 0 && list->given == list->trim_at)
		list->side.begins = list->trim_to;
	if (list->given == list->count)
		return list->error;
	*ret_item = list->items[list->given++];
	return 1;
}

static void add_range(void *arg, const struct compare_range *range)
{
	assert_ptr_equal(arg, ranges);
	assert_true(range_count < 4 * MOST);
	ranges[range_count++] = *range;
}

static void item(struct list *list, enum compare_state state, uint64_t first, uint64_t next,
                 uint32_t crc)
{
	assert_true(list->count < MOST);
	list->items[list->count++] =
		(struct compare_item){ .state = state, .first = first, .next = next, .crc = crc };
}

static void records(struct list *list, uint64_t first, uint64_t next)
{
	for (uint64_t seq = first; seq < next; seq++)
		item(list, COMPARE_RECORD, seq, seq + 1, (uint32_t)seq * 7);
}

static int run(struct list *stream, struct list *queue, struct compare_result *result)
{
	struct list *const sides[] = { stream, queue };

	for (size_t i = 0; i < 2; i++) {
		sides[i]->side.next = next_item;
		sides[i]->side.arg = sides[i];
		sides[i]->given = 0;
	}
	range_count = 0;
	memset(result, 0x5a, sizeof *result);
	return compare(&stream->side, &queue->side, add_range, ranges, result);
}

static void range_is(size_t i, enum compare_finding finding, uint64_t first, uint64_t next,
                     bool expected)
{
	assert_true(i < range_count);
	assert_int_equal(ranges[i].finding, finding);
	assert_int_equal(ranges[i].first, first);
	assert_int_equal(ranges[i].next, next);
	assert_int_equal(ranges[i].expected, expected);
}

static void nothing_at_all(void **state)
{
	struct list stream = { .count = 0 }, queue = { .count = 0 };
	struct compare_result result;

	(void)state;
	assert_int_equal(run(&stream, &queue, &result), 0);
	assert_int_equal(range_count, 0);
	assert_int_equal(result.faults, 0);
}

static void the_same(void **state)
{
	struct list stream = { .count = 0 }, queue = { .count = 0 };
	struct compare_result result;

	(void)state;
	records(&stream, 1000, 1060);
	records(&queue, 1000, 1060);
	assert_int_equal(run(&stream, &queue, &result), 0);
	assert_int_equal(range_count, 1);
	range_is(0, COMPARE_SAME, 1000, 1060, true);
	assert_int_equal(result.numbers[COMPARE_SAME], 60);
	assert_int_equal(result.faults, 0);
}

static void behind_and_trimmed(void **state)
{
	struct list stream = { .side.begins = 0 }, queue = { .side.begins = 10 };
	struct compare_result result;

	(void)state;
	records(&stream, 0, 30);
	records(&queue, 10, 35);
	assert_int_equal(run(&stream, &queue, &result), 0);
	assert_int_equal(range_count, 3);
	range_is(0, COMPARE_STREAM_ONLY, 0, 10, true);
	range_is(1, COMPARE_SAME, 10, 30, true);
	range_is(2, COMPARE_QUEUE_ONLY, 30, 35, false);
	assert_int_equal(result.faults, 5);

	/* the other way round: the stream has expired, the queue has lost its newest records */
	assert_int_equal(run(&queue, &stream, &result), 0);
	range_is(0, COMPARE_QUEUE_ONLY, 0, 10, true);
	range_is(2, COMPARE_STREAM_ONLY, 30, 35, false);
	assert_int_equal(result.faults, 5);

	/* without retention the first ten count, too */
	queue.side.begins = 0;
	assert_int_equal(run(&stream, &queue, &result), 0);
	range_is(0, COMPARE_STREAM_ONLY, 0, 10, false);
	assert_int_equal(result.faults, 15);
}

static void trimmed_meanwhile(void **state)
{
	struct list stream = { .side.begins = 0 }, queue = { .trim_at = 5, .trim_to = 20 };
	struct compare_result result;

	(void)state;
	records(&stream, 0, 30);
	records(&queue, 0, 5);
	records(&queue, 20, 30);
	assert_int_equal(run(&stream, &queue, &result), 0);
	assert_int_equal(range_count, 3);
	range_is(1, COMPARE_STREAM_ONLY, 5, 20, true);
	assert_int_equal(result.faults, 0);
}

static void lost_between_both(void **state)
{
	struct list stream = { .side.begins = 0 }, queue = { .side.begins = 20 };
	struct compare_result result;

	(void)state;
	records(&stream, 0, 10);
	records(&queue, 20, 22);
	assert_int_equal(run(&stream, &queue, &result), 0);
	assert_int_equal(range_count, 3);
	range_is(0, COMPARE_STREAM_ONLY, 0, 10, true);
	range_is(1, COMPARE_NEITHER, 10, 20, false);
	range_is(2, COMPARE_QUEUE_ONLY, 20, 22, false);
	assert_int_equal(result.faults, 12);
}

static void gaps_and_damage(void **state)
{
	struct list stream = { .count = 0 }, queue = { .count = 0 };
	struct compare_result result;

	(void)state;
	records(&stream, 0, 2);
	item(&stream, COMPARE_GAP, 2, 10, 0);
	records(&stream, 10, 14);
	item(&stream, COMPARE_DAMAGED, 14, 18, 0);
	records(&stream, 18, 20);
	records(&queue, 0, 2);
	item(&queue, COMPARE_DAMAGED, 4, 5, 0); /* in the gap */
	records(&queue, 8, 10);                 /* they are there again */
	records(&queue, 10, 12);
	item(&queue, COMPARE_DAMAGED, 12, 13, 0);
	item(&queue, COMPARE_RECORD, 13, 14, 1); /* another one */
	records(&queue, 14, 16);
	records(&queue, 18, 20);
	assert_int_equal(run(&stream, &queue, &result), 0);
	assert_int_equal(range_count, 8);
	range_is(0, COMPARE_SAME, 0, 2, true);
	range_is(1, COMPARE_ACCEPTED, 2, 8, true);
	range_is(2, COMPARE_QUEUE_ONLY, 8, 10, false);
	range_is(3, COMPARE_SAME, 10, 12, true);
	range_is(4, COMPARE_QUEUE_DAMAGED, 12, 13, false);
	range_is(5, COMPARE_DIFFERENT, 13, 14, false);
	range_is(6, COMPARE_STREAM_DAMAGED, 14, 18, false);
	range_is(7, COMPARE_SAME, 18, 20, true);
	assert_int_equal(result.faults, 8);
}

static void again_in_the_stream(void **state)
{
	struct list stream = { .count = 0 }, queue = { .count = 0 };
	struct compare_result result;

	(void)state;
	records(&stream, 0, 5);
	records(&stream, 3, 8);
	records(&queue, 0, 8);
	assert_int_equal(run(&stream, &queue, &result), 0);
	assert_int_equal(range_count, 3);
	range_is(0, COMPARE_SAME, 0, 5, true);
	range_is(1, COMPARE_REPEATED, 3, 5, false);
	range_is(2, COMPARE_SAME, 5, 8, true);
	assert_int_equal(result.numbers[COMPARE_REPEATED], 2);
	assert_int_equal(result.faults, 2);
}

static void several_come_again(void **state)
{
	struct list stream = { .count = 0 }, queue = { .count = 0 };
	struct compare_result result;

	(void)state;
	records(&stream, 0, 10);
	records(&stream, 2, 3);
	records(&stream, 5, 6);
	assert_int_equal(run(&stream, &queue, &result), 0); /* a queue without a record, too */
	assert_int_equal(range_count, 3);
	range_is(0, COMPARE_STREAM_ONLY, 0, 10, false);
	range_is(1, COMPARE_REPEATED, 2, 3, false);
	range_is(2, COMPARE_REPEATED, 5, 6, false);
}

static void what_was_found_before_an_error(void **state)
{
	struct list stream = { .error = -EIO }, queue = { .count = 0 };
	struct compare_result result;

	(void)state;
	records(&stream, 0, 5);
	records(&queue, 0, 9);
	assert_int_equal(run(&stream, &queue, &result), -EIO);
	assert_int_equal(range_count, 1);
	range_is(0, COMPARE_SAME, 0, 5, true);
	assert_int_equal(result.numbers[COMPARE_SAME], 5);
	stream.error = 0;
	queue.error = -ENOMEM;
	queue.count = 3;
	assert_int_equal(run(&stream, &queue, &result), -ENOMEM);
	range_is(0, COMPARE_SAME, 0, 3, true);
}

/* ---- against a comparison of one number after another ---- */

#define NUMBERS 20U

/* What a side has of a number: nothing, a record of one of two CRCs, damage, (a stream) a gap. */
enum has { NOTHING, ONE, OTHER, DAMAGE, GAP };

static void list_of(const enum has *has, struct list *list)
{
	static const enum compare_state states[] = { [ONE] = COMPARE_RECORD,
		                                     [OTHER] = COMPARE_RECORD,
		                                     [DAMAGE] = COMPARE_DAMAGED,
		                                     [GAP] = COMPARE_GAP };

	list->count = 0;
	for (unsigned i = 0, next; i < NUMBERS; i = next) {
		next = i + 1;
		if (has[i] == NOTHING)
			continue;
		while (has[i] >= DAMAGE && next < NUMBERS && has[next] == has[i] && rand() % 4)
			next++;
		item(list, states[has[i]], i, next, has[i]);
	}
}

static enum compare_finding finding_of(enum has stream, enum has queue)
{
	static const enum compare_finding table[5][4] = {
		[NOTHING] = { COMPARE_NEITHER, COMPARE_QUEUE_ONLY, COMPARE_QUEUE_ONLY,
		              COMPARE_QUEUE_DAMAGED },
		[ONE] = { COMPARE_STREAM_ONLY, COMPARE_SAME, COMPARE_DIFFERENT,
		          COMPARE_QUEUE_DAMAGED },
		[OTHER] = { COMPARE_STREAM_ONLY, COMPARE_DIFFERENT, COMPARE_SAME,
		            COMPARE_QUEUE_DAMAGED },
		[DAMAGE] = { COMPARE_STREAM_DAMAGED, COMPARE_STREAM_DAMAGED, COMPARE_STREAM_DAMAGED,
		             COMPARE_STREAM_DAMAGED },
		[GAP] = { COMPARE_ACCEPTED, COMPARE_QUEUE_ONLY, COMPARE_QUEUE_ONLY,
		          COMPARE_ACCEPTED },
	};

	return table[stream][queue];
}

static bool is_expected(enum compare_finding finding, uint64_t seq, uint64_t stream_begins,
                        uint64_t queue_begins)
{
	return finding == COMPARE_SAME || finding == COMPARE_ACCEPTED ||
	       (finding == COMPARE_QUEUE_ONLY && seq < stream_begins) ||
	       (finding == COMPARE_STREAM_ONLY && seq < queue_begins) ||
	       (finding == COMPARE_NEITHER && seq < stream_begins && seq < queue_begins);
}

static void one_by_one(const enum has *stream, const enum has *queue, uint64_t stream_begins,
                       uint64_t queue_begins, const struct compare_result *result)
{
	unsigned first = 0, end = NUMBERS;
	uint64_t faults = 0;
	size_t at = 0;

	while (first < NUMBERS && stream[first] == NOTHING && queue[first] == NOTHING)
		first++;
	while (end > first && stream[end - 1] == NOTHING && queue[end - 1] == NOTHING)
		end--;
	for (unsigned i = first; i < end; i++) {
		const enum compare_finding finding = finding_of(stream[i], queue[i]);
		const bool expected = is_expected(finding, i, stream_begins, queue_begins);

		if (at < range_count && ranges[at].next == i)
			at++;
		assert_true(at < range_count && ranges[at].first <= i && i < ranges[at].next);
		assert_int_equal(ranges[at].finding, finding);
		assert_int_equal(ranges[at].expected, expected);
		faults += !expected;
	}
	assert_int_equal(range_count, end > first ? at + 1 : 0);
	for (size_t i = 0; i + 1 < range_count; i++) { /* joined where they are of one kind */
		assert_int_equal(ranges[i].next, ranges[i + 1].first);
		assert_true(ranges[i].finding != ranges[i + 1].finding ||
		            ranges[i].expected != ranges[i + 1].expected);
	}
	assert_int_equal(result->faults, faults);
}

static void random_sides(void **state)
{
	(void)state;
	srand(13);
	for (unsigned round = 0; round < 50000; round++) {
		enum has stream[NUMBERS], queue[NUMBERS];
		struct list s = { .count = 0 }, q = { .count = 0 };
		struct compare_result result;

		for (unsigned i = 0; i < NUMBERS; i++) {
			stream[i] = i > 0 && rand() % 2 ? stream[i - 1] : (enum has)(rand() % 5);
			queue[i] = i > 0 && rand() % 2 ? queue[i - 1] : (enum has)(rand() % 4);
		}
		list_of(stream, &s);
		list_of(queue, &q);
		s.side.begins = (uint64_t)rand() % NUMBERS;
		q.side.begins = (uint64_t)rand() % NUMBERS;
		assert_int_equal(run(&s, &q, &result), 0);
		one_by_one(stream, queue, s.side.begins, q.side.begins, &result);
	}
}

static void each_finding_has_a_text(void **state)
{
	(void)state;
	for (enum compare_finding i = COMPARE_SAME; i < COMPARE_FINDINGS; i++)
		assert_true(strlen(compare_text(i)) > 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_at_all),
		cmocka_unit_test(the_same),
		cmocka_unit_test(behind_and_trimmed),
		cmocka_unit_test(trimmed_meanwhile),
		cmocka_unit_test(lost_between_both),
		cmocka_unit_test(gaps_and_damage),
		cmocka_unit_test(again_in_the_stream),
		cmocka_unit_test(several_come_again),
		cmocka_unit_test(what_was_found_before_an_error),
		cmocka_unit_test(random_sides),
		cmocka_unit_test(each_finding_has_a_text),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
