/* SPDX-License-Identifier: Apache-2.0 */
/* test_items.c - what a stream's messages say of each record, sound and damaged */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "check/items.h"
#include "wire_support.h"

static uint8_t payloads[3][300];
static uint8_t body[512];

/* A frame of the records 7 to 9, in `body`; returns its size. */
static size_t make_frame(struct wire_head *head, struct wire_record made[3])
{
	size_t size = 0;

	*head = sound_head(WIRE_FRAME);
	for (unsigned i = 0; i < 3; i++) {
		made[i] = made_record(7 + i, payloads[i], 40 * i);
		size += wire_entry_put(body + size, &made[i], &head->last.crc);
	}
	head->last.time_ns = made[2].time_ns;
	return size;
}

static void item_is(struct items *items, enum compare_state state, uint64_t first, uint64_t next,
                    uint32_t crc)
{
	struct compare_item item;

	assert_int_equal(items_next(items, &item), 1);
	assert_int_equal(item.state, state);
	assert_int_equal(item.first, first);
	assert_int_equal(item.next, next);
	if (state == COMPARE_RECORD)
		assert_int_equal(item.crc, crc);
}

static void no_more(struct items *items)
{
	struct compare_item item;

	assert_int_equal(items_next(items, &item), 0);
	assert_int_equal(items_next(items, &item), 0);
}

static void frames(void **state)
{
	struct items items = { .size = 0 };
	struct wire_record made[3];
	struct wire_head head;
	const size_t size = make_frame(&head, made);

	(void)state;
	items_message(&items, &head, body, size);
	for (unsigned i = 0; i < 3; i++)
		item_is(&items, COMPARE_RECORD, 7 + i, 8 + i, wire_crc(&made[i]));
	no_more(&items);
}

static void damaged_frames(void **state)
{
	struct items items = { .size = 0 };
	struct wire_record made[3];
	struct wire_head head;
	const size_t size = make_frame(&head, made);

	(void)state;
	/* the second record: the first one is sound */
	body[WIRE_ENTRY_SIZE + WIRE_ENTRY_SIZE + 5] ^= 1;
	items_message(&items, &head, body, size);
	item_is(&items, COMPARE_RECORD, 7, 8, wire_crc(&made[0]));
	item_is(&items, COMPARE_DAMAGED, 8, 10, 0);
	no_more(&items);
	body[WIRE_ENTRY_SIZE + WIRE_ENTRY_SIZE + 5] ^= 1;

	/* cut short, too long, another fingerprint */
	items_message(&items, &head, body, size - 1);
	item_is(&items, COMPARE_RECORD, 7, 8, wire_crc(&made[0]));
	item_is(&items, COMPARE_RECORD, 8, 9, wire_crc(&made[1]));
	item_is(&items, COMPARE_DAMAGED, 9, 10, 0);
	no_more(&items);
	head.next = 9;
	items_message(&items, &head, body, size);
	item_is(&items, COMPARE_RECORD, 7, 8, wire_crc(&made[0]));
	item_is(&items, COMPARE_DAMAGED, 8, 9, 0);
	no_more(&items);
	head.next = 10;
	head.last.crc ^= 1;
	items_message(&items, &head, body, size);
	item_is(&items, COMPARE_RECORD, 7, 8, wire_crc(&made[0]));
	item_is(&items, COMPARE_RECORD, 8, 9, wire_crc(&made[1]));
	item_is(&items, COMPARE_DAMAGED, 9, 10, 0);
	no_more(&items);
	head.next = 1000; /* more than there are */
	items_message(&items, &head, body, size);
	for (unsigned i = 0; i < 3; i++)
		item_is(&items, COMPARE_RECORD, 7 + i, 8 + i, wire_crc(&made[i]));
	item_is(&items, COMPARE_DAMAGED, 10, 1000, 0);
	no_more(&items);
}

static void records_and_gaps(void **state)
{
	const struct wire_record record = made_record(7, payloads[0], 30);
	struct wire_head head = sound_head(WIRE_RECORD);
	struct items items = { .size = 0 };

	(void)state;
	head.type = record.type;
	head.last.time_ns = record.time_ns;
	head.last.crc = wire_crc(&record);
	items_message(&items, &head, record.payload, record.length);
	item_is(&items, COMPARE_RECORD, 7, 8, head.last.crc);
	no_more(&items);
	items_message(&items, &head, record.payload, record.length - 1);
	item_is(&items, COMPARE_DAMAGED, 7, 8, 0);
	no_more(&items);
	head = sound_head(WIRE_GAP);
	items_message(&items, &head, NULL, 0);
	item_is(&items, COMPARE_GAP, 7, 10, 0);
	no_more(&items);
	items_message(&items, &head, "x", 1);
	item_is(&items, COMPARE_DAMAGED, 7, 10, 0);
	no_more(&items);
}

/* Gives the bytes from `offset` to `end` of a record of 250 as a message. */
static void part(struct items *items, const struct wire_record *record, uint32_t offset,
                 uint32_t end)
{
	struct wire_head head = sound_head(WIRE_PART);

	head.type = record->type;
	head.last.time_ns = record->time_ns;
	head.last.crc = wire_crc(record);
	head.first = record->seq;
	head.next = record->seq + (end == record->length);
	head.part_offset = offset;
	head.part_length = record->length;
	items_message(items, &head, (const uint8_t *)record->payload + offset, end - offset);
}

static void parts(void **state)
{
	const struct wire_record record = made_record(7, payloads[0], 250);
	const uint32_t crc = wire_crc(&record);
	struct items items = { .size = 0 };

	(void)state;
	part(&items, &record, 0, 100);
	no_more(&items);
	part(&items, &record, 100, 101);
	no_more(&items);
	part(&items, &record, 101, 250);
	item_is(&items, COMPARE_RECORD, 7, 8, crc);
	no_more(&items);
	assert_null(items.join.bytes);
	part(&items, &record, 0, 250);
	item_is(&items, COMPARE_RECORD, 7, 8, crc);
	no_more(&items);
}

static void damaged_parts(void **state)
{
	struct wire_record record = made_record(7, payloads[0], 250);
	struct items items = { .size = 0 };

	(void)state;
	/* a lost one */
	part(&items, &record, 0, 100);
	no_more(&items);
	part(&items, &record, 101, 250);
	item_is(&items, COMPARE_DAMAGED, 7, 8, 0);
	no_more(&items);
	/* a changed one */
	part(&items, &record, 0, 100);
	payloads[0][50] ^= 1;
	no_more(&items);
	payloads[0][50] ^= 1;
	part(&items, &record, 100, 250);
	item_is(&items, COMPARE_DAMAGED, 7, 8, 0);
	no_more(&items);
	/* one with another size, and a record that is not complete */
	part(&items, &record, 0, 100);
	items.size--;
	items.head.next = 8;
	item_is(&items, COMPARE_DAMAGED, 7, 8, 0);
	no_more(&items);
	part(&items, &record, 0, 100);
	no_more(&items);
	record = made_record(8, payloads[0], 250);
	part(&items, &record, 0, 250);
	item_is(&items, COMPARE_RECORD, 8, 9, wire_crc(&record));
	no_more(&items);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames),           cmocka_unit_test(damaged_frames),
		cmocka_unit_test(records_and_gaps), cmocka_unit_test(parts),
		cmocka_unit_test(damaged_parts),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
