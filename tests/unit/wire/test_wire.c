/* SPDX-License-Identifier: Apache-2.0 */
/* test_wire.c - CRCs, frames, and the check of a whole message: any damage to it is found */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <chronq.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "wire_support.h"

#define RECORDS 3U

/* A frame of the records 7 to 9, with 5, 0 and 300 bytes. */
struct frame {
	uint8_t body[512];
	size_t size;
	struct wire_head head;
	struct wire_record records[RECORDS];
	uint8_t payloads[RECORDS][300];
	uint32_t crcs[RECORDS];
};

static void make_frame(struct frame *f)
{
	static const size_t lengths[RECORDS] = { 5, 0, 300 };

	f->size = 0;
	f->head = sound_head(WIRE_FRAME);
	for (unsigned i = 0; i < RECORDS; i++) {
		f->records[i] = made_record(7 + i, f->payloads[i], lengths[i]);
		f->size += wire_entry_put(f->body + f->size, &f->records[i], &f->crcs[i]);
	}
	assert_int_equal(f->size, 3 * WIRE_ENTRY_SIZE + 305);
	f->head.last.crc = f->crcs[RECORDS - 1];
	f->head.last.time_ns = f->records[RECORDS - 1].time_ns;
}

/* The message in memory of exactly its size, so that a sanitizer sees reads behind it. */
static int check(const struct wire_head *head, const void *body, size_t size)
{
	void *copy = malloc(size > 0 ? size : 1);
	int r;

	assert_non_null(copy);
	memcpy(copy, body, size);
	r = wire_check(head, copy, size);
	free(copy);
	return r;
}

/* Values of another implementation (zlib's crc32 of the same bytes). */
static void known_crcs(void **state)
{
	uint8_t all[256];
	const struct wire_record empty = { .type = 1 },
				 hello = { .seq = 7,
		                           .time_ns = 1700000000123456789,
		                           .payload = "hello",
		                           .length = 5,
		                           .type = 3 },
				 most = { .seq = WIRE_COUNT_MAX - 1,
		                          .time_ns = UINT64_MAX,
		                          .payload = all,
		                          .length = sizeof all,
		                          .type = CQ_TYPE_MAX };

	(void)state;
	for (unsigned i = 0; i < sizeof all; i++)
		all[i] = (uint8_t)i;
	assert_int_equal(wire_crc(&empty), 0x1b7dad45);
	assert_int_equal(wire_crc(&hello), 0x3797144c);
	assert_int_equal(wire_crc(&most), 0xb1a7851a);
}

static void layout_of_an_entry(void **state)
{
	static const uint8_t expected[] = {
		5,    0,    0,    0,                            /* length */
		0x4c, 0x14, 0x97, 0x37,                         /* CRC */
		0x15, 0xcd, 0x85, 0x3d, 0xfe, 0x9c, 0x97, 0x17, /* time */
		3,    0,    0,    0,                            /* type, zero */
		'h',  'e',  'l',  'l',  'o',
	};
	const struct wire_record record = {
		.seq = 7, .time_ns = 1700000000123456789, .payload = "hello", .length = 5, .type = 3
	};
	uint8_t bytes[sizeof expected + 1];
	uint32_t crc = 0;

	(void)state;
	memset(bytes, 0x5a, sizeof bytes);
	assert_int_equal(wire_entry_put(bytes, &record, &crc), sizeof expected);
	assert_int_equal(crc, 0x3797144c);
	assert_memory_equal(bytes, expected, sizeof expected);
	assert_int_equal(bytes[sizeof expected], 0x5a);
}

static void a_frame_comes_back(void **state)
{
	struct frame f;
	size_t at = 0;

	(void)state;
	make_frame(&f);
	assert_int_equal(check(&f.head, f.body, f.size), 0);
	for (unsigned i = 0; i < RECORDS; i++) {
		struct wire_record record = { .seq = 7 + i };
		uint32_t crc = 0;

		assert_int_equal(wire_entry_next(f.body, f.size, &at, &record, &crc), 1);
		assert_int_equal(record.seq, 7 + i);
		assert_int_equal(record.time_ns, f.records[i].time_ns);
		assert_int_equal(record.type, f.records[i].type);
		assert_int_equal(record.length, f.records[i].length);
		assert_memory_equal(record.payload, f.records[i].payload, record.length);
		assert_int_equal(crc, f.crcs[i]);
	}
	assert_int_equal(wire_entry_next(f.body, f.size, &at, &(struct wire_record){ .seq = 10 },
	                                 &(uint32_t){ 0 }),
	                 0);
	assert_int_equal(at, f.size);
}

static void each_flipped_bit_is_found(void **state)
{
	struct frame f;

	(void)state;
	make_frame(&f);
	for (size_t bit = 0; bit < f.size * 8; bit++) {
		f.body[bit / 8] ^= (uint8_t)(1U << bit % 8);
		if (check(&f.head, f.body, f.size) != -EBADMSG)
			fail_msg("bit %zu of a frame", bit);
		f.body[bit / 8] ^= (uint8_t)(1U << bit % 8);
	}
	assert_int_equal(check(&f.head, f.body, f.size), 0);
}

static void each_other_size_is_refused(void **state)
{
	struct frame f;

	(void)state;
	make_frame(&f);
	memset(f.body + f.size, 0, sizeof f.body - f.size);
	for (size_t size = 0; size <= sizeof f.body; size++)
		assert_int_equal(check(&f.head, f.body, size), size == f.size ? 0 : -EBADMSG);
}

static void a_frame_of_other_numbers_is_refused(void **state)
{
	struct frame f;
	struct wire_head head;

	(void)state;
	make_frame(&f);
	for (int i = 0; i < 6; i++) {
		head = f.head;
		head.first += i == 0;
		head.next += (uint64_t)(i == 1);
		head.next -= (uint64_t)(i == 2);
		head.last.crc ^= i == 3;
		head.last.time_ns += i == 4;
		if (i == 5) { /* all numbers are others, as if the record's place were */
			head.first++;
			head.next++;
		}
		assert_int_equal(check(&head, f.body, f.size), -EBADMSG);
	}
	head = f.head;
	head.last.epoch++; /* no entry has it */
	assert_int_equal(check(&head, f.body, f.size), 0);
	head.stream = WIRE_COUNT_MAX - 305;
	assert_int_equal(check(&head, f.body, f.size), 0);
	head.stream++;
	assert_int_equal(check(&head, f.body, f.size), -EBADMSG);
}

/* Sound CRCs do not help an entry that no record can have. */
static void a_type_that_no_record_has(void **state)
{
	struct wire_record record = { .seq = 7, .time_ns = 1, .type = 0xFFFF };
	struct wire_head head = sound_head(WIRE_FRAME);
	uint8_t body[WIRE_ENTRY_SIZE];

	(void)state;
	head.next = 8;
	head.last.time_ns = 1;
	assert_int_equal(wire_entry_put(body, &record, &head.last.crc), sizeof body);
	assert_int_equal(check(&head, body, sizeof body), -EBADMSG);
	record.type = CQ_TYPE_MAX;
	assert_int_equal(wire_entry_put(body, &record, &head.last.crc), sizeof body);
	assert_int_equal(check(&head, body, sizeof body), 0);
}

static void after_damage_the_walk_has_not_moved(void **state)
{
	struct wire_record record = { .seq = 7 }, before;
	struct frame f;
	uint32_t crc = 0;
	size_t at = 0;

	(void)state;
	make_frame(&f);
	assert_int_equal(wire_entry_next(f.body, f.size, &at, &record, &crc), 1);
	record.seq++;
	before = record;
	f.body[at + 4] ^= 1;
	assert_int_equal(wire_entry_next(f.body, f.size, &at, &record, &crc), -EBADMSG);
	assert_int_equal(at, WIRE_ENTRY_SIZE + 5);
	assert_memory_equal(&record, &before, sizeof before);
	assert_int_equal(crc, f.crcs[0]);
	f.body[at + 4] ^= 1;
	assert_int_equal(wire_entry_next(f.body, f.size, &at, &record, &crc), 1);
}

static void records(void **state)
{
	struct wire_head head = sound_head(WIRE_RECORD);
	struct wire_record record, got;
	uint8_t payload[50];

	(void)state;
	record = made_record(7, payload, sizeof payload);
	head.type = record.type;
	head.last.time_ns = record.time_ns;
	head.last.crc = wire_crc(&record);
	assert_int_equal(check(&head, payload, sizeof payload), 0);
	wire_record_of(&head, payload, sizeof payload, &got);
	assert_int_equal(got.seq, 7);
	assert_int_equal(got.time_ns, record.time_ns);
	assert_int_equal(got.type, record.type);
	assert_int_equal(got.length, sizeof payload);
	assert_ptr_equal(got.payload, payload);
	for (size_t bit = 0; bit < sizeof payload * 8; bit++) {
		payload[bit / 8] ^= (uint8_t)(1U << bit % 8);
		assert_int_equal(check(&head, payload, sizeof payload), -EBADMSG);
		payload[bit / 8] ^= (uint8_t)(1U << bit % 8);
	}
	for (size_t size = 0; size < sizeof payload; size++)
		assert_int_equal(check(&head, payload, size), -EBADMSG);
	head.type++;
	assert_int_equal(check(&head, payload, sizeof payload), -EBADMSG);
	head.type--;
	head.last.time_ns++;
	assert_int_equal(check(&head, payload, sizeof payload), -EBADMSG);
	head.last.time_ns--;
	head.stream = WIRE_COUNT_MAX - 49;
	assert_int_equal(check(&head, payload, sizeof payload), -EBADMSG);
	head.stream--;
	assert_int_equal(check(&head, payload, sizeof payload), 0);

	record.length = 0;
	head.last.crc = wire_crc(&record);
	assert_int_equal(check(&head, payload, 0), 0);
	assert_int_equal(wire_check(&head, NULL, 0), 0);
}

static void parts_end_where_their_record_ends(void **state)
{
	const struct wire_head last = sound_head(WIRE_PART); /* the bytes from 100 to 250 */
	struct wire_head other = last;
	uint8_t body[300] = { 0 };

	(void)state;
	other.next = other.first;
	for (size_t size = 0; size <= sizeof body; size++) {
		assert_int_equal(check(&last, body, size), size == 150 ? 0 : -EBADMSG);
		assert_int_equal(check(&other, body, size), size > 0 && size < 150 ? 0 : -EBADMSG);
	}
}

static void a_gap_has_no_body(void **state)
{
	const struct wire_head head = sound_head(WIRE_GAP);

	(void)state;
	assert_int_equal(wire_check(&head, NULL, 0), 0);
	assert_int_equal(check(&head, "\0", 1), -EBADMSG);
}

static void a_kind_that_there_is_not(void **state)
{
	struct wire_head head = sound_head(WIRE_GAP);

	(void)state;
	head.kind = (enum wire_kind)4;
	assert_int_equal(wire_check(&head, NULL, 0), -EBADMSG);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_crcs),
		cmocka_unit_test(layout_of_an_entry),
		cmocka_unit_test(a_frame_comes_back),
		cmocka_unit_test(each_flipped_bit_is_found),
		cmocka_unit_test(each_other_size_is_refused),
		cmocka_unit_test(a_frame_of_other_numbers_is_refused),
		cmocka_unit_test(a_type_that_no_record_has),
		cmocka_unit_test(after_damage_the_walk_has_not_moved),
		cmocka_unit_test(records),
		cmocka_unit_test(parts_end_where_their_record_ends),
		cmocka_unit_test(a_gap_has_no_body),
		cmocka_unit_test(a_kind_that_there_is_not),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
