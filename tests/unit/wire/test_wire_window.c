/* SPDX-License-Identifier: Apache-2.0 */
/* test_wire_window.c - outstanding messages and what may be committed, against models that remember everything */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "wire/window.h"

#define S 1000000000ULL /* ns */

/* xorshift: the same numbers in each run */
static uint64_t random_state;

static uint64_t random_below(uint64_t n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state % n;
}

static void acknowledged_in_any_order(void **state)
{
	struct window w;

	(void)state;
	assert_int_equal(window_init(&w, 4, 100), 0);
	window_reset(&w, 20);
	assert_true(window_is_empty(&w));
	assert_int_equal(window_add(&w, 8, 25, 40, 1 * S), 0);
	assert_int_equal(window_add(&w, 9, 30, 30, 2 * S), 1);
	assert_int_equal(window_add(&w, 10, 31, 30, 3 * S), 2);
	assert_false(window_is_empty(&w));
	assert_int_equal(w.next, 20);

	assert_int_equal(window_acknowledge(&w, 1, 9, 4 * S), 0);
	assert_int_equal(w.next, 20);
	assert_int_equal(window_acknowledge(&w, 1, 9, 4 * S), -ENOENT);
	assert_int_equal(window_acknowledge(&w, 0, 8, 5 * S), 0);
	assert_int_equal(w.next, 30);
	assert_int_equal(window_acknowledge(&w, 0, 8, 5 * S), -ENOENT);
	assert_int_equal(window_acknowledge(&w, 3, 11, 5 * S), -ENOENT);
	assert_int_equal(window_acknowledge(&w, UINT64_MAX, 11, 5 * S), -ENOENT);
	assert_int_equal(window_acknowledge(&w, 2, 10, 6 * S), 0);
	assert_int_equal(w.next, 31);
	assert_true(window_is_empty(&w));
	assert_int_equal(w.bytes, 0);
	assert_int_equal(w.acknowledged_messages, 3);
	assert_int_equal(w.acknowledged_bytes, 100);
	window_free(&w);
	window_free(&w);
}

/* A message that was stored in another place than the one asked for counts for nothing. */
static void stored_elsewhere(void **state)
{
	struct window w;

	(void)state;
	assert_int_equal(window_init(&w, 4, 100), 0);
	window_reset(&w, 20);
	(void)window_add(&w, 8, 25, 40, 1 * S);
	assert_int_equal(window_acknowledge(&w, 0, 9, 2 * S), -EBADMSG);
	assert_int_equal(window_acknowledge(&w, 0, 7, 2 * S), -EBADMSG);
	assert_int_equal(w.next, 20);
	assert_int_equal(w.acknowledged_messages, 0);
	assert_int_equal(window_stalled_ns(&w, 2 * S), 1 * S);
	assert_int_equal(window_acknowledge(&w, 0, 8, 2 * S), 0);
	assert_int_equal(w.next, 25);
	window_free(&w);
}

/* What comes for messages from before a reset changes nothing, though later ones are in their places. */
static void late_acknowledgements(void **state)
{
	struct window w;

	(void)state;
	assert_int_equal(window_init(&w, 2, 100), 0);
	(void)window_add(&w, 8, 25, 40, 1 * S);
	(void)window_add(&w, 9, 26, 40, 1 * S);
	window_reset(&w, 22);
	assert_int_equal(w.next, 22);
	assert_int_equal(w.bytes, 0);
	assert_int_equal(window_add(&w, 8, 23, 40, 2 * S), 2);
	assert_int_equal(window_add(&w, 9, 24, 40, 2 * S), 3);
	assert_int_equal(window_acknowledge(&w, 0, 8, 3 * S), -ENOENT);
	assert_int_equal(window_acknowledge(&w, 1, 9, 3 * S), -ENOENT);
	assert_int_equal(w.next, 22);
	assert_int_equal(window_acknowledge(&w, 2, 8, 3 * S), 0);
	assert_int_equal(w.next, 23);
	window_free(&w);
}

static void bounded(void **state)
{
	struct window w;

	(void)state;
	assert_int_equal(window_init(&w, 3, 100), 0);
	assert_true(window_has_room(&w, SIZE_MAX)); /* a single one, however large */
	(void)window_add(&w, 1, 1, 60, S);
	assert_true(window_has_room(&w, 40));
	assert_false(window_has_room(&w, 41));
	assert_false(window_has_room(&w, SIZE_MAX));
	(void)window_add(&w, 2, 2, 20, S);
	(void)window_add(&w, 3, 3, 10, S);
	assert_false(window_has_room(&w, 0));
	assert_int_equal(window_acknowledge(&w, 1, 2, S),
	                 0); /* its place stays until the one before is done */
	assert_false(window_has_room(&w, 0));
	assert_int_equal(window_acknowledge(&w, 0, 1, S), 0);
	assert_true(window_has_room(&w, 90));
	assert_false(window_has_room(&w, 91));
	window_reset(&w, 0);
	(void)window_add(&w, 1, 1, 1000, S);
	assert_false(window_has_room(&w, 0));
	window_free(&w);
}

static void ages(void **state)
{
	struct window w;

	(void)state;
	assert_int_equal(window_init(&w, 8, 1000), 0);
	assert_int_equal(window_age_ns(&w, 50 * S), 0);
	assert_int_equal(window_stalled_ns(&w, 50 * S), 0);
	(void)window_add(&w, 1, 1, 1, 50 * S); /* after a long pause nothing has stalled */
	assert_int_equal(window_stalled_ns(&w, 50 * S), 0);
	(void)window_add(&w, 2, 2, 1, 53 * S);
	(void)window_add(&w, 3, 3, 1, 54 * S);
	assert_int_equal(window_age_ns(&w, 60 * S), 10 * S);
	assert_int_equal(window_stalled_ns(&w, 60 * S), 10 * S);
	/* an acknowledgement is progress, even with a hole before it */
	assert_int_equal(window_acknowledge(&w, 1, 2, 61 * S), 0);
	assert_int_equal(window_age_ns(&w, 70 * S), 20 * S);
	assert_int_equal(window_stalled_ns(&w, 70 * S), 9 * S);
	assert_int_equal(window_acknowledge(&w, 0, 1, 70 * S), 0);
	assert_int_equal(window_age_ns(&w, 71 * S), 17 * S);
	assert_int_equal(window_stalled_ns(&w, 71 * S), 1 * S);
	assert_int_equal(window_age_ns(&w, 1 * S), 0); /* another clock cannot make it negative */
	assert_int_equal(window_stalled_ns(&w, 1 * S), 0);
	assert_int_equal(window_acknowledge(&w, 2, 3, 72 * S), 0);
	assert_int_equal(window_stalled_ns(&w, 500 * S), 0);
	window_free(&w);
}

/* Random messages, acknowledgements, repeated and late ones, and resets: what is acknowledged is what a list says. */
static void against_a_list(void **state)
{
	enum { MOST = 4000 };
	static struct {
		uint64_t sequence, next;
		size_t bytes;
		bool acknowledged;
	} list[MOST];

	(void)state;
	random_state = 42;
	for (unsigned round = 0; round < 60; round++) {
		const size_t size = 1 + random_below(40), most = 1 + random_below(2000);
		uint64_t count = 0, begin = 0, base = 7, sequence = 1, record = 7;
		struct window w;

		assert_int_equal(window_init(&w, size, most), 0);
		window_reset(&w, record);
		for (unsigned step = 0; step < 3000; step++) {
			const uint64_t what = random_below(100);
			size_t outstanding = 0;
			uint64_t i, next;

			if (what < 45) {
				const size_t bytes = random_below(100);

				if (!window_has_room(&w, bytes))
					continue;
				record += random_below(3);
				list[count].sequence = sequence++;
				list[count].next = record;
				list[count].bytes = bytes;
				list[count].acknowledged = false;
				assert_int_equal(
					window_add(&w, list[count].sequence, record, bytes, 1),
					count);
				count++;
			} else if (what < 99 && count > 0) {
				const uint64_t back = random_below(3 * size) + 1;
				const uint64_t which = back > count ? count - 1 : count - back;
				const bool due = which >= begin && !list[which].acknowledged;

				assert_int_equal(
					window_acknowledge(&w, which, list[which].sequence, 1),
					due ? 0 : -ENOENT);
				list[which].acknowledged = true;
			} else if (what == 99 && random_below(20) == 0) {
				sequence = 1 + random_below(sequence);
				record = random_below(record + 1);
				window_reset(&w, record);
				begin = count;
				base = record;
			}
			i = begin;
			next = base;
			while (i < count && list[i].acknowledged)
				next = list[i++].next;
			for (uint64_t j = i; j < count; j++)
				outstanding += list[j].bytes;
			assert_int_equal(w.next, next);
			assert_int_equal(w.bytes, outstanding);
			assert_int_equal(w.end - w.first, count - i);
			assert_true(w.end - w.first <= size);
			assert_true(w.bytes <= most || w.end - w.first == 1);
		}
		window_free(&w);
	}
}

/* ---- what may be committed ---- */

static void kept_for_a_span(void **state)
{
	struct window_kept kept = { .span_ns = 600 * S };
	uint64_t next = 0;

	(void)state;
	assert_false(window_kept_due(&kept, 1000 * S, &next));
	window_kept_add(&kept, 70, 1000 * S);
	assert_false(window_kept_due(&kept, 1599 * S, &next));
	assert_true(window_kept_due(&kept, 1600 * S, &next));
	assert_int_equal(next, 70);
	window_kept_add(&kept, 80, 1600 * S);
	assert_true(window_kept_due(&kept, 2199 * S, &next));
	assert_int_equal(next, 70);
	assert_true(window_kept_due(&kept, 2200 * S, &next));
	assert_int_equal(next, 80);
	/* what is said again and again counts from the first time */
	for (uint64_t at = 2200; at < 3000; at++) {
		window_kept_add(&kept, 90, at * S);
		assert_true(window_kept_due(&kept, at * S, &next));
		assert_int_equal(next, at < 2800 ? 80 : 90);
	}
}

static void kept_for_no_time(void **state)
{
	struct window_kept kept = { .span_ns = 0 };
	uint64_t next;

	(void)state;
	for (uint64_t n = 1; n < 100; n++) {
		window_kept_add(&kept, n, S);
		assert_true(window_kept_due(&kept, S, &next));
		assert_int_equal(next, n);
	}
}

/* The servers have an older copy of the stream: what they have lost is not committed, and no longer was. */
static void kept_is_cut(void **state)
{
	struct window_kept kept = { .span_ns = 60 * S };
	uint64_t next;

	(void)state;
	window_kept_add(&kept, 10, 100 * S);
	window_kept_add(&kept, 20, 110 * S);
	window_kept_add(&kept, 30, 150 * S);
	assert_true(window_kept_due(&kept, 165 * S, &next));
	assert_int_equal(next, 10);
	window_kept_cut(&kept, 15);
	assert_true(window_kept_due(&kept, 165 * S, &next));
	assert_int_equal(next, 10);
	assert_true(window_kept_due(&kept, 300 * S, &next));
	assert_int_equal(next, 15);
	window_kept_cut(&kept, 5);
	assert_true(window_kept_due(&kept, 300 * S, &next));
	assert_int_equal(next, 5);
}

/* Acknowledgements at random times: never early, and late by less than the thirtieth that was promised. */
static void kept_against_a_list(void **state)
{
	enum { MOST = 5000 };
	static struct {
		uint64_t at, next;
	} list[MOST];

	(void)state;
	random_state = 4242;
	for (unsigned round = 0; round < 30; round++) {
		const uint64_t span =
			random_below(3) == 0 ? random_below(50) : random_below(600 * S);
		const uint64_t pause =
			1 + random_below(3) * (span / 20 + 1) + random_below(span / 40 + 1);
		struct window_kept kept = { .span_ns = span };
		uint64_t now = random_below(1000 * S), next = 0, got;
		size_t count = 0;

		for (unsigned step = 0; step < MOST; step++) {
			uint64_t early = 0, late = 0;
			bool any;

			now += random_below(pause);
			if (random_below(2) == 0) {
				next += 1 + random_below(9);
				window_kept_add(&kept, next, now);
				list[count].at = now;
				list[count++].next = next;
			}
			if (random_below(500) == 0 && next > 0) {
				next -= random_below(next < 50 ? next : 50);
				window_kept_cut(&kept, next);
				for (size_t i = 0; i < count; i++)
					list[i].next = list[i].next < next ? list[i].next : next;
			}
			for (size_t i = 0; i < count; i++) {
				if (now - list[i].at >= span)
					early = list[i].next;
				if (now - list[i].at >= span + span / 30 + 1)
					late = list[i].next;
			}
			any = window_kept_due(&kept, now, &got);
			if (!any)
				got = 0;
			if (got > early || got < late)
				fail_msg("span %llu: %llu is not from %llu to %llu",
				         (unsigned long long)span, (unsigned long long)got,
				         (unsigned long long)late, (unsigned long long)early);
			assert_true(kept.count <= WINDOW_KEPT_SLOTS);
		}
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(acknowledged_in_any_order),
		cmocka_unit_test(stored_elsewhere),
		cmocka_unit_test(late_acknowledgements),
		cmocka_unit_test(bounded),
		cmocka_unit_test(ages),
		cmocka_unit_test(against_a_list),
		cmocka_unit_test(kept_for_a_span),
		cmocka_unit_test(kept_for_no_time),
		cmocka_unit_test(kept_is_cut),
		cmocka_unit_test(kept_against_a_list),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
