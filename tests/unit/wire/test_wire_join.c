/* SPDX-License-Identifier: Apache-2.0 */
/* test_wire_join.c - parts become their record again, or nothing; memory comes with bytes, not with promises */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <chronq.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "wire_support.h"

#define LENGTH (300U << 10)

static uint8_t payload[LENGTH];
static bool no_memory;
static size_t most_memory; /* the largest realloc() */

void *__real_realloc(void *at, size_t size);
void *__wrap_realloc(void *at, size_t size);

void *__wrap_realloc(void *at, size_t size)
{
	if (size > most_memory)
		most_memory = size;
	/* a mistake of ours must not take all memory of the machine: malloc may fill what it gives */
	return no_memory || size > 64U << 20 ? NULL : __real_realloc(at, size);
}

static int begin(void **state)
{
	static struct wire_join join;

	join = (struct wire_join){ .active = false };
	no_memory = false;
	most_memory = 0;
	*state = &join;
	return 0;
}

static int end(void **state)
{
	wire_join_free(*state);
	return 0;
}

/* The part [offset, offset + size) of record `seq`, whose payload is in `payload`. */
static struct wire_head part_of(uint64_t seq, uint32_t length, uint32_t offset, uint32_t size)
{
	const struct wire_record record = made_record(seq, payload, length);
	struct wire_head head = sound_head(WIRE_PART);

	head.first = seq;
	head.next = seq + (offset + size == length);
	head.type = record.type;
	head.last.time_ns = record.time_ns;
	head.last.crc = wire_crc(&record);
	head.part_offset = offset;
	head.part_length = length;
	return head;
}

/* Adds that part. */
static int add(struct wire_join *join, uint64_t seq, uint32_t length, uint32_t offset,
               uint32_t size, struct wire_record *ret_record)
{
	const struct wire_head head = part_of(seq, length, offset, size);

	return wire_join_add(join, &head, payload + offset, size, ret_record);
}

static void is_record(const struct wire_record *record, uint64_t seq, size_t length)
{
	const struct wire_record expected = made_record(seq, payload, length);

	assert_int_equal(record->seq, seq);
	assert_int_equal(record->time_ns, expected.time_ns);
	assert_int_equal(record->type, expected.type);
	assert_int_equal(record->length, length);
	assert_memory_equal(record->payload, payload, length);
}

static void all_sizes_of_parts(void **state)
{
	struct wire_join *join = *state;
	struct wire_record record;

	for (uint32_t size = 1; size <= 100; size++)
		for (uint32_t offset = 0; offset < 100; offset += size) {
			const uint32_t rest = 100 - offset, n = size < rest ? size : rest;

			assert_int_equal(add(join, size, 100, offset, n, &record), n == rest);
			assert_int_equal(join->active, n < rest);
			if (n == rest)
				is_record(&record, size, 100);
		}
}

static void large_and_small_records(void **state)
{
	static const uint32_t lengths[] = { LENGTH, 10, LENGTH / 2, LENGTH };
	struct wire_join *join = *state;
	struct wire_record record;

	for (size_t i = 0; i < 4; i++)
		for (uint32_t offset = 0, n; offset < lengths[i]; offset += n) {
			n = lengths[i] - offset < 4097 ? lengths[i] - offset : 4097;
			if (add(join, i, lengths[i], offset, n, &record) == 1)
				is_record(&record, i, lengths[i]);
			else
				assert_true(offset + n < lengths[i]);
		}
	assert_false(join->active);
	assert_true(most_memory <= LENGTH);
}

/* A header may promise 4 GiB. */
static void memory_grows_with_what_comes(void **state)
{
	struct wire_join *join = *state;
	struct wire_head head = part_of(7, LENGTH, 0, 1000);
	struct wire_record record;

	head.part_length = CQ_SEGMENT_SIZE_MAX;
	assert_int_equal(wire_join_add(join, &head, payload, 1000, &record), 0);
	assert_true(most_memory <= 64U << 10);
	for (head.part_offset = 1000; head.part_offset < 200000; head.part_offset += 1000) {
		assert_int_equal(wire_join_add(join, &head, payload, 1000, &record), 0);
		assert_true(most_memory <= 64U << 10 || most_memory <= 2 * join->have);
	}
}

/* After a refused part the sound one is taken. */
static void only_the_next_part(void **state)
{
	struct wire_join *join = *state;
	const struct wire_head next = part_of(7, 300, 100, 100);
	struct wire_head wrong[13];
	struct wire_record record = { .seq = 99 };

	for (size_t i = 0; i < 13; i++)
		wrong[i] = next;
	wrong[0].first = 8;
	wrong[0].next = 8;
	wrong[1].part_offset = 99;
	wrong[2].part_offset = 101;
	wrong[3].part_length = 301;
	wrong[4].type++;
	wrong[5].last.crc++;
	wrong[6].last.time_ns++;
	wrong[7].last.epoch++;
	wrong[8].stream++;
	wrong[9].have_stream = false;
	wrong[9].stream = 0;
	wrong[10].next = 8; /* the last one ends elsewhere */
	wrong[11].part_offset = 200;
	wrong[12] = sound_head(WIRE_GAP);

	/* none has begun */
	assert_int_equal(add(join, 7, 300, 100, 100, &record), -EBADMSG);
	assert_int_equal(add(join, 7, 300, 200, 100, &record), -EBADMSG);
	assert_int_equal(add(join, 7, 300, 0, 100, &record), 0);
	for (size_t i = 0; i < 13; i++)
		if (wire_join_add(join, &wrong[i], payload + 100, 100, &record) != -EBADMSG)
			fail_msg("wrong part %zu", i);
	assert_int_equal(wire_join_add(join, &next, payload, 0, &record), -EBADMSG);
	assert_int_equal(wire_join_add(join, &next, payload, 200, &record), -EBADMSG);
	assert_int_equal(record.seq, 99);
	assert_int_equal(add(join, 7, 300, 100, 100, &record), 0);
	/* the same once more */
	assert_int_equal(add(join, 7, 300, 100, 100, &record), -EBADMSG);
	assert_int_equal(add(join, 7, 300, 200, 100, &record), 1);
	is_record(&record, 7, 300);
	/* and it is over */
	assert_int_equal(add(join, 7, 300, 200, 100, &record), -EBADMSG);
}

static void a_wrong_crc_drops_the_record(void **state)
{
	struct wire_join *join = *state;
	struct wire_record record = { .seq = 99 };
	struct wire_head head;

	assert_int_equal(add(join, 7, 300, 0, 100, &record), 0);
	head = part_of(7, 300, 100, 200);
	payload[150] ^= 1;
	assert_int_equal(wire_join_add(join, &head, payload + 100, 200, &record), -EBADMSG);
	assert_int_equal(record.seq, 99);
	assert_false(join->active);
	assert_int_equal(add(join, 7, 300, 100, 200, &record), -EBADMSG);
	assert_int_equal(add(join, 7, 300, 0, 100, &record), 0);
	assert_int_equal(add(join, 7, 300, 100, 200, &record), 1);
	is_record(&record, 7, 300);
}

static void a_first_part_begins_in_any_case(void **state)
{
	struct wire_join *join = *state;
	struct wire_record record;

	assert_int_equal(add(join, 7, 300, 0, 100, &record), 0);
	assert_int_equal(add(join, 7, 300, 0, 150, &record), 0);
	assert_int_equal(add(join, 7, 300, 150, 150, &record), 1);
	is_record(&record, 7, 300);
	assert_int_equal(add(join, 8, 300, 0, 100, &record), 0);
	assert_int_equal(add(join, 9, 250, 0, 100, &record), 0);
	assert_int_equal(add(join, 8, 300, 100, 200, &record), -EBADMSG);
	assert_int_equal(add(join, 9, 250, 100, 150, &record), 1);
	is_record(&record, 9, 250);
	/* a record in one part */
	assert_int_equal(add(join, 10, 20, 0, 20, &record), 1);
	is_record(&record, 10, 20);
}

static void without_memory_nothing_changes(void **state)
{
	struct wire_join *join = *state;
	struct wire_record record;

	no_memory = true;
	assert_int_equal(add(join, 7, LENGTH, 0, 1000, &record), -ENOMEM);
	assert_false(join->active);
	no_memory = false;
	assert_int_equal(add(join, 7, LENGTH, 0, 1000, &record), 0);
	no_memory = true;
	assert_int_equal(add(join, 7, LENGTH, 1000, LENGTH - 1000, &record), -ENOMEM);
	assert_int_equal(add(join, 8, LENGTH, 0, LENGTH, &record), -ENOMEM);
	no_memory = false;
	assert_int_equal(add(join, 7, LENGTH, 1000, LENGTH - 1000, &record), 1);
	is_record(&record, 7, LENGTH);
}

static void the_crc_alone(void **state)
{
	struct wire_join *join = *state;
	struct wire_record record;

	join->crc_only = true;
	assert_int_equal(add(join, 7, LENGTH, 0, LENGTH - 1, &record), 0);
	assert_int_equal(add(join, 7, LENGTH, LENGTH - 1, 1, &record), 1);
	assert_int_equal(record.seq, 7);
	assert_int_equal(record.length, LENGTH);
	assert_null(record.payload);
	assert_int_equal(add(join, 8, 300, 0, 200, &record), 0);
	assert_int_equal(add(join, 8, 300, 200, 100, &record), 1);
	assert_int_equal(most_memory, 0);
	wire_join_free(join);
	assert_true(join->crc_only);
}

static void free_drops_what_has_come(void **state)
{
	struct wire_join *join = *state;
	struct wire_record record;

	assert_int_equal(add(join, 7, 300, 0, 100, &record), 0);
	wire_join_free(join);
	assert_false(join->active);
	assert_int_equal(add(join, 7, 300, 100, 200, &record), -EBADMSG);
	assert_int_equal(add(join, 7, 300, 0, 100, &record), 0);
	assert_int_equal(add(join, 7, 300, 100, 200, &record), 1);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(all_sizes_of_parts),
		TEST(large_and_small_records),
		TEST(memory_grows_with_what_comes),
		TEST(only_the_next_part),
		TEST(a_wrong_crc_drops_the_record),
		TEST(a_first_part_begins_in_any_case),
		TEST(without_memory_nothing_changes),
		TEST(the_crc_alone),
		TEST(free_drops_what_has_come),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
