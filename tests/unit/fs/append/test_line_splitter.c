/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_line_splitter.c - records do not depend on how the bytes were cut into pieces
 *
 * The reference cuts the whole text at once: behind every newline, and where a record reaches the
 * limit.  Each test feeds pieces to a splitter and compares the records.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "append/line_splitter.h"

#define LIMIT 7

static const char *const samples[] = {
	"",
	"\n",
	"\n\n\n",
	"a",
	"a\n",
	"ab\ncd\nef",
	"abcdef\n",  /* exactly the limit with its newline */
	"abcdefg\n", /* the limit without: the newline is a record of its own */
	"abcdefg",
	"abcdefgh\nij\n",
	"abcdefghijklmnopqrstu", /* no newline at all, three times the limit */
	"abcdefghijklmnopqrstuv\nw",
	"one\ntwo\n\nthree and more\n\n\nx",
};
#define SAMPLES (sizeof samples / sizeof samples[0])

/* The records, each with its length before it, so that a comparison sees where they end. */
struct record_list {
	char bytes[4096];
	size_t used;
};

static void add(struct record_list *list, const char *bytes, size_t length)
{
	assert_in_range(length, 1, 255);
	assert_true(list->used + length + 1 <= sizeof list->bytes);
	list->bytes[list->used++] = (char)length;
	memcpy(list->bytes + list->used, bytes, length);
	list->used += length;
}

static void reference(const char *text, size_t size, size_t limit, struct record_list *list)
{
	size_t begin = 0;

	list->used = 0;
	for (size_t i = 0; i < size; i++) {
		if (text[i] == '\n' || i + 1 - begin == limit) {
			add(list, text + begin, i + 1 - begin);
			begin = i + 1;
		}
	}
	if (begin < size)
		add(list, text + begin, size - begin);
}

/* Feeds one piece.  Appends at most `most` records at a time; every `refuse`th attempt (0: none)
 * appends one fewer. */
static void feed(struct chronfs_line_splitter *splitter, struct record_list *list, const char *data,
                 size_t size, bool end, size_t most, unsigned refuse)
{
	struct cq_message messages[8];
	unsigned attempts = 0;
	ssize_t count;
	size_t taken;

	/* a copy of exactly this size, so that AddressSanitizer sees a read behind it */
	char *copy = malloc(size > 0 ? size : 1), *at = copy;

	assert_non_null(copy);
	assert_in_range(most, 1, 8);
	if (size > 0)
		memcpy(copy, data, size);
	while ((count = chronfs_line_splitter_cut(splitter, at, size, end, messages, most)) > 0) {
		assert_true((size_t)count <= most);
		if (refuse > 0 && ++attempts % refuse == 0 && --count == 0)
			continue; /* nothing was appended, so nothing has changed */
		for (ssize_t i = 0; i < count; i++)
			add(list, messages[i].payload, messages[i].length);
		taken = chronfs_line_splitter_consume(splitter, messages, (size_t)count);
		assert_true(taken <= size);
		at += taken;
		size -= taken;
	}
	assert_int_equal(count, 0);
	assert_int_equal(chronfs_line_splitter_keep(splitter, at, size), 0);
	chronfs_line_splitter_shrink(splitter);
	assert_true(splitter->used < splitter->limit);
	free(copy);
}

static void assert_same(const struct record_list *got, const struct record_list *wanted)
{
	assert_int_equal(got->used, wanted->used);
	assert_memory_equal(got->bytes, wanted->bytes, wanted->used);
}

/* One text in the pieces [0,a) [a,b) [b,size), then its end. */
static void three_pieces(const char *text, size_t a, size_t b, size_t most, unsigned refuse)
{
	struct chronfs_line_memory memory = { .most = 4096 };
	struct chronfs_line_splitter splitter;
	struct record_list got = { .used = 0 }, wanted;
	const size_t size = strlen(text);

	chronfs_line_splitter_init(&splitter, LIMIT, &memory);
	feed(&splitter, &got, text, a, false, most, refuse);
	feed(&splitter, &got, text + a, b - a, false, most, refuse);
	feed(&splitter, &got, text + b, size - b, false, most, refuse);
	feed(&splitter, &got, "", 0, true, most, refuse);
	reference(text, size, LIMIT, &wanted);
	assert_same(&got, &wanted);
	assert_int_equal(splitter.used, 0);
	chronfs_line_splitter_fini(&splitter);
	assert_int_equal(memory.used, 0);
}

static void every_two_cuts_of_every_sample(void **state)
{
	(void)state;
	for (size_t s = 0; s < SAMPLES; s++)
		for (size_t b = 0; b <= strlen(samples[s]); b++)
			for (size_t a = 0; a <= b; a++)
				three_pieces(samples[s], a, b, 8, 0);
}

static void batches_of_one_and_refusals(void **state)
{
	(void)state;
	for (size_t s = 0; s < SAMPLES; s++) {
		for (size_t b = 0; b <= strlen(samples[s]); b++) {
			for (size_t a = 0; a <= b; a++) {
				three_pieces(samples[s], a, b, 1, 0);
				three_pieces(samples[s], a, b, 1, 2);
				three_pieces(samples[s], a, b, 3, 2);
			}
		}
	}
}

/* With `end` a piece leaves nothing open. */
static void the_end_of_a_piece_can_end_a_record(void **state)
{
	struct chronfs_line_memory memory = { .most = 4096 };
	struct chronfs_line_splitter splitter;
	struct record_list got = { .used = 0 }, wanted = { .used = 0 };

	(void)state;
	chronfs_line_splitter_init(&splitter, LIMIT, &memory);
	feed(&splitter, &got, "ab", 2, false, 8, 0);
	feed(&splitter, &got, "cd\nef", 5, true, 8, 0);
	assert_int_equal(splitter.used, 0);
	feed(&splitter, &got, "gh", 2, true, 8, 0);
	feed(&splitter, &got, "ijklmnopqr", 10, true, 8, 0);
	feed(&splitter, &got, "", 0, true, 8, 0); /* no bytes are no record */
	add(&wanted, "abcd\n", 5);
	add(&wanted, "ef", 2);
	add(&wanted, "gh", 2);
	add(&wanted, "ijklmno", 7);
	add(&wanted, "pqr", 3);
	assert_same(&got, &wanted);
	chronfs_line_splitter_fini(&splitter);
}

/* Only a line that begins with the open line is copied. */
static void records_point_into_the_data(void **state)
{
	static const char data[] = "c\nd\nrest";
	struct chronfs_line_memory memory = { .most = 4096 };
	struct cq_message messages[8];
	struct chronfs_line_splitter splitter;

	(void)state;
	chronfs_line_splitter_init(&splitter, LIMIT, &memory);
	assert_int_equal(chronfs_line_splitter_cut(&splitter, data, 4, false, messages, 8), 2);
	assert_ptr_equal(messages[0].payload, data);
	assert_ptr_equal(messages[1].payload, data + 2);
	assert_int_equal(messages[1].type, CQ_TYPE_DEFAULT);
	assert_int_equal(memory.used, 0);

	assert_int_equal(chronfs_line_splitter_keep(&splitter, "ab", 2), 0);
	assert_int_equal(
		chronfs_line_splitter_cut(&splitter, data, sizeof data - 1, false, messages, 8), 2);
	assert_ptr_equal(messages[0].payload, splitter.open);
	assert_memory_equal(messages[0].payload, "abc\n", 4);
	assert_ptr_equal(messages[1].payload, data + 2);
	assert_int_equal(splitter.used, 2); /* until it is appended */
	assert_int_equal(chronfs_line_splitter_consume(&splitter, messages, 2), 4);
	assert_int_equal(splitter.used, 0);
	chronfs_line_splitter_fini(&splitter);
}

static void without_memory_nothing_changes(void **state)
{
	struct chronfs_line_memory memory = { .most = 300 };
	struct cq_message messages[8];
	struct chronfs_line_splitter one, two;
	static const char zeros[400];

	(void)state;
	chronfs_line_splitter_init(&one, 1000, &memory);
	chronfs_line_splitter_init(&two, 1000, &memory);
	assert_int_equal(chronfs_line_splitter_keep(&one, "abc", 3), 0);
	assert_int_equal(memory.used, 256);
	assert_int_equal(chronfs_line_splitter_keep(&two, "x", 1), -ENOBUFS);
	assert_int_equal(two.used, 0);
	assert_int_equal(chronfs_line_splitter_keep(&one, zeros, 400), -ENOBUFS);
	assert_int_equal(chronfs_line_splitter_cut(&one, zeros, 400, true, messages, 8), -ENOBUFS);
	assert_int_equal(one.used, 3);
	assert_memory_equal(one.open, "abc", 3);
	assert_int_equal(memory.used, 256);
	/* a record that fits is still cut */
	assert_int_equal(chronfs_line_splitter_cut(&one, "d\n", 2, false, messages, 8), 1);
	assert_memory_equal(messages[0].payload, "abcd\n", 5);
	chronfs_line_splitter_fini(&one);
	assert_int_equal(chronfs_line_splitter_keep(&two, "x", 1), 0);
	chronfs_line_splitter_fini(&two);
	assert_int_equal(memory.used, 0);
}

/* The memory of a short line stays. */
static void memory_of_a_long_line_is_freed(void **state)
{
	const size_t large = 200000;
	struct chronfs_line_memory memory = { .most = 1 << 20 };
	struct cq_message messages[8];
	struct chronfs_line_splitter splitter;
	char *zeros = calloc(1, large);

	(void)state;
	assert_non_null(zeros);
	chronfs_line_splitter_init(&splitter, 1000000, &memory);
	assert_int_equal(chronfs_line_splitter_keep(&splitter, zeros, large), 0);
	chronfs_line_splitter_shrink(&splitter);
	assert_true(memory.used >= large);
	assert_int_equal(chronfs_line_splitter_cut(&splitter, "\n", 1, false, messages, 8), 1);
	assert_int_equal(messages[0].length, large + 1);
	assert_int_equal(chronfs_line_splitter_consume(&splitter, messages, 1), 1);
	chronfs_line_splitter_shrink(&splitter);
	assert_int_equal(memory.used, 0);

	assert_int_equal(chronfs_line_splitter_keep(&splitter, "short", 5), 0);
	assert_int_equal(chronfs_line_splitter_cut(&splitter, "", 0, true, messages, 8), 1);
	assert_int_equal(chronfs_line_splitter_consume(&splitter, messages, 1), 0);
	chronfs_line_splitter_shrink(&splitter);
	assert_in_range(memory.used, 5, 65536);
	chronfs_line_splitter_fini(&splitter);
	free(zeros);
}

/* The records of the queue have no room for a byte: takes no line, and does not cut for ever. */
static void records_without_room(void **state)
{
	struct chronfs_line_memory memory = { .most = 1 << 16 };
	struct chronfs_line_splitter splitter;
	struct cq_message messages[8];

	(void)state;
	chronfs_line_splitter_init(&splitter, 0, &memory);
	assert_int_equal(chronfs_line_splitter_cut(&splitter, "a\n", 2, false, messages, 8),
	                 -EMSGSIZE);
	assert_int_equal(chronfs_line_splitter_cut(&splitter, "a", 1, true, messages, 8),
	                 -EMSGSIZE);
	assert_int_equal(chronfs_line_splitter_cut(&splitter, "", 0, true, messages, 8), 0);
	assert_int_equal(chronfs_line_splitter_keep(&splitter, "", 0), 0);
	assert_int_equal(memory.used, 0);
	chronfs_line_splitter_fini(&splitter);
}

/* A number below n, the same in each run. */
static unsigned next(unsigned *state, unsigned n)
{
	*state = *state * 1103515245U + 12345U;
	return (*state >> 16) % n;
}

static void random_pieces(void **state)
{
	struct chronfs_line_memory memory = { .most = 1 << 16 };
	unsigned random = 12345;
	char text[1000];

	(void)state;
	for (int round = 0; round < 2000; round++) {
		struct record_list got = { .used = 0 }, wanted;
		struct chronfs_line_splitter splitter;
		size_t limit, at = 0, size;

		limit = 1 + next(&random, 60);
		size = next(&random, sizeof text);
		for (size_t i = 0; i < size; i++)
			text[i] = (char)(next(&random, 20) == 0 ? '\n' : 'a' + next(&random, 26));
		chronfs_line_splitter_init(&splitter, limit, &memory);
		while (at < size) {
			size_t n = 1 + next(&random, 100), most = 1 + next(&random, 8);

			if (n > size - at)
				n = size - at;
			feed(&splitter, &got, text + at, n, false, most, 2 * next(&random, 3));
			at += n;
		}
		feed(&splitter, &got, "", 0, true, 1, 0);
		reference(text, size, limit, &wanted);
		assert_same(&got, &wanted);
		chronfs_line_splitter_fini(&splitter);
		assert_int_equal(memory.used, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_two_cuts_of_every_sample),
		cmocka_unit_test(batches_of_one_and_refusals),
		cmocka_unit_test(the_end_of_a_piece_can_end_a_record),
		cmocka_unit_test(records_point_into_the_data),
		cmocka_unit_test(without_memory_nothing_changes),
		cmocka_unit_test(memory_of_a_long_line_is_freed),
		cmocka_unit_test(records_without_room),
		cmocka_unit_test(random_pieces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
