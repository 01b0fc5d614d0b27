/* SPDX-License-Identifier: Apache-2.0 */
/* test_fetch_locate.c - the place in a stream at which a replica goes on, and reply subjects */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fetch/locate.h"

#define MOST 200

/* Messages 1 to `last`; what reading one gives. */
static struct {
	struct wire_head heads[MOST + 1];
	int errors[MOST + 1];
	uint64_t last;
	unsigned reads;
} stream;

static int probe(void *arg, uint64_t sequence, struct wire_head *ret_head)
{
	(void)arg;
	stream.reads++;
	assert_in_range(sequence, 1, stream.last);
	if (stream.errors[sequence] == 0)
		*ret_head = stream.heads[sequence];
	return stream.errors[sequence];
}

static uint64_t place(uint64_t seq, uint64_t first, uint64_t guess)
{
	uint64_t found = 0;

	stream.reads = 0;
	assert_int_equal(locate(seq, first, stream.last, guess, probe, NULL, &found), 0);
	assert_in_range(found, first, stream.last + 1);
	return found;
}

/* The right place, by reading all. */
static uint64_t plain(uint64_t seq, uint64_t first)
{
	for (uint64_t at = first; at <= stream.last; at++)
		if (stream.errors[at] == 0 && locate_reaches(&stream.heads[at], seq))
			return at;
	return stream.last + 1;
}

/* Messages of up to `most` records, some of them in parts, from record `seq` on; returns the number behind the last. */
static uint64_t fill(uint64_t last, uint64_t seq, unsigned most)
{
	memset(&stream, 0, sizeof stream);
	stream.last = last;
	for (uint64_t at = 1; at <= last; at++) {
		struct wire_head *head = &stream.heads[at];

		*head = (struct wire_head){ .kind = WIRE_FRAME, .first = seq, .next = seq + 1 };
		if (most > 1 && at % 7 < 2) {
			head->kind = WIRE_PART;
			head->next = at % 7 == 0 && at < last ? seq : seq + 1;
		} else if (most > 1) {
			head->next = seq + 1 + (uint64_t)rand() % most;
		}
		seq = head->next;
	}
	return seq;
}

static void each_record(void **state)
{
	(void)state;
	srand(1);
	for (uint64_t last = 1; last <= MOST; last += 13) {
		uint64_t end = fill(last, 50, 9);

		for (uint64_t seq = 40; seq <= end + 5; seq++) {
			assert_int_equal(place(seq, 1, 0), plain(seq, 1));
			assert_in_range(stream.reads, 1, 9);
			/* a wrong guess costs two messages more */
			assert_int_equal(place(seq, 1, 1 + (uint64_t)rand() % last), plain(seq, 1));
			assert_in_range(stream.reads, 1, 11);
		}
	}
}

static void all_parts_of_a_record(void **state)
{
	(void)state;
	fill(3, 10, 1);
	for (uint64_t at = 1; at <= 3; at++)
		stream.heads[at] = (struct wire_head){ .kind = WIRE_PART,
			                               .first = 10,
			                               .next = at < 3 ? 10 : 11 };
	assert_int_equal(place(10, 1, 0), 1);
	assert_int_equal(place(11, 1, 0), 4);
}

static void a_good_guess_needs_two(void **state)
{
	(void)state;
	fill(MOST, 0, 1);
	for (uint64_t seq = 0; seq < MOST; seq++) {
		assert_int_equal(place(seq, 1, seq + 1), seq + 1);
		assert_in_range(stream.reads, 1, 2);
	}
	assert_int_equal(place(10, 1, MOST + 1), 11); /* outside: no guess */
}

/* An earlier place may be found, never a later one; and never before all that expired. */
static void messages_that_cannot_be_read(void **state)
{
	static const int errors[] = { -ENOENT, -EBADMSG, -EPROTONOSUPPORT };

	(void)state;
	srand(2);
	for (int round = 0; round < 20000; round++) {
		uint64_t end = fill(1 + (uint64_t)rand() % MOST, 50, 9), seq, found;
		uint64_t at = 1 + (uint64_t)rand() % stream.last;
		uint64_t count = (uint64_t)rand() % 40;

		if (round % 2 == 0) /* the first ones have expired since the stream was asked */
			at = 1;
		for (; count > 0 && at <= stream.last; count--, at++)
			stream.errors[at] = errors[rand() % 3];
		seq = 50 + (uint64_t)rand() % (end - 50);
		found = place(seq, 1, round % 3 == 0 ? 1 + (uint64_t)rand() % stream.last : 0);
		assert_in_range(found, 1, plain(seq, 1));
		assert_in_range(stream.reads, 1, 100);
	}
}

static void nothing_to_search(void **state)
{
	(void)state;
	fill(5, 0, 1);
	assert_int_equal(place(3, 6, 0), 6);
	assert_int_equal(stream.reads, 0);
}

static void another_error_ends_it(void **state)
{
	uint64_t found = 77;

	(void)state;
	fill(5, 0, 1);
	for (uint64_t at = 1; at <= 5; at++)
		stream.errors[at] = -EAGAIN;
	assert_int_equal(locate(3, 1, 5, 0, probe, NULL, &found), -EAGAIN);
	assert_int_equal(found, 77);
}

static void replies(void **state)
{
	static const char *const good[] = {
		"$JS.ACK.S.C.1.5.6.1796069646509397522.7",
		"$JS.ACK.hub.ACCOUNT.S.C.1.5.6.1796069646509397522.7",
		"$JS.ACK._.ACCOUNT.S.C.1.5.6.1796069646509397522.7.RANDOM",
	};
	static const char *const bad[] = {
		"",
		"S",
		"$JS.ACK.",
		"$JS.ACK.S.C.1.5.6.1796069646509397522",
		"$JS.ACK.S.C.1.5.6.1796069646509397522.",
		"$JS.ACK.S.C.1.5.6.1796069646509397522.x",
		"$JS.ACK.S.C.1.x.6.1796069646509397522.7",
		"$JS.ACK.S.C.1.5..1796069646509397522.7",
		"$JS.ACK.S.C.1.5x.6.1796069646509397522.7",
		"$JS.NAK.S.C.1.5.6.1796069646509397522.7",
		"$JS.ACK.S.C.1.99999999999999999999.6.1796069646509397522.7",
		"$JS.ACK.x.S.C.1.5.6.1796069646509397522.7",
		"$JS.ACK.1.2.3.4.5.6.7.8.9.10.11.12.13",
	};
	uint64_t sequence, number, pending;

	(void)state;
	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
		sequence = number = pending = 0;
		assert_true(fetch_reply_parse(good[i], &sequence, &number, &pending));
		assert_int_equal(sequence, 5);
		assert_int_equal(number, 6);
		assert_int_equal(pending, 7);
	}
	assert_false(fetch_reply_parse(NULL, &sequence, &number, &pending));
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_false(fetch_reply_parse(bad[i], &sequence, &number, &pending));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_record),
		cmocka_unit_test(all_parts_of_a_record),
		cmocka_unit_test(a_good_guess_needs_two),
		cmocka_unit_test(messages_that_cannot_be_read),
		cmocka_unit_test(nothing_to_search),
		cmocka_unit_test(another_error_ends_it),
		cmocka_unit_test(replies),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
