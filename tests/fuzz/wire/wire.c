/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire.c - fuzzing target: hostile messages of a stream, as fetch takes them
 *
 * Input: a byte of flags, then messages.  A message is lines "NAME: VALUE", an empty line, two bytes with the size of
 * the body, and the body.  With MEND the CRCs are made right first, so that what they cover is reached.
 *
 *   A head that is taken has one text, the one that it came as.
 *   The check of a frame says what a second implementation says.
 *   A record that parts gave is as long as they said and has their CRC.
 *   No memory is taken that is not in proportion to what has come.
 */
#include <chronq.h>
#include <stdbool.h>
#include <stdlib.h>

#include "headers.h"

#define MEND 1U

/* CRC-32, bit by bit. */
static uint32_t crc32(uint32_t crc, const uint8_t *bytes, size_t size)
{
	crc = ~crc;
	for (size_t i = 0; i < size; i++) {
		crc ^= bytes[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320 : 0);
	}
	return ~crc;
}

static void put(uint8_t *at, uint64_t number, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		at[i] = (uint8_t)(number >> 8 * i);
}

static uint64_t get(const uint8_t *at, unsigned bytes)
{
	uint64_t number = 0;

	for (unsigned i = 0; i < bytes; i++)
		number |= (uint64_t)at[i] << 8 * i;
	return number;
}

static uint32_t record_crc(uint64_t seq, uint64_t time_ns, uint64_t type, const uint8_t *payload,
                           size_t length)
{
	uint8_t covered[24] = { 0 };

	put(covered, seq, 8);
	put(covered + 8, time_ns, 8);
	put(covered + 16, length, 4);
	put(covered + 20, type, 2);
	return crc32(crc32(0, covered, sizeof covered), payload, length);
}

/* The second implementation.  With `mend` it corrects the CRCs, and the head's fingerprint. */
static bool frame_is_right(struct wire_head *head, uint8_t *body, size_t size, bool mend)
{
	uint64_t seq = head->first, sum = 0, time_ns = 0, length;
	uint32_t crc = 0;
	uint8_t *entry = body, *const end = body + size;

	for (; end - entry >= (ptrdiff_t)WIRE_ENTRY_SIZE; entry += WIRE_ENTRY_SIZE + length) {
		length = get(entry, 4);
		if (length > (uint64_t)(end - entry) - WIRE_ENTRY_SIZE)
			return false;
		time_ns = get(entry + 8, 8);
		crc = record_crc(seq++, time_ns, get(entry + 16, 2), entry + WIRE_ENTRY_SIZE,
		                 length);
		if (mend)
			put(entry + 4, crc, 4);
		if (get(entry + 4, 4) != crc || get(entry + 16, 2) == 0xFFFF ||
		    get(entry + 18, 2) != 0)
			return false;
		sum += length;
	}
	if (mend) {
		head->last.time_ns = time_ns;
		head->last.crc = crc;
	}
	return entry == end && seq == head->next && time_ns == head->last.time_ns &&
	       crc == head->last.crc &&
	       (!head->have_stream || head->stream + sum <= WIRE_COUNT_MAX);
}

static bool record_is_right(struct wire_head *head, const uint8_t *body, size_t size, bool mend)
{
	const uint32_t crc = record_crc(head->first, head->last.time_ns, head->type, body, size);

	if (mend)
		head->last.crc = crc;
	return crc == head->last.crc &&
	       (!head->have_stream || head->stream + size <= WIRE_COUNT_MAX);
}

static bool is_right(struct wire_head *head, uint8_t *body, size_t size, bool mend)
{
	const uint64_t end = head->part_offset + size;

	switch (head->kind) {
	case WIRE_RECORD:
		return record_is_right(head, body, size, mend);
	case WIRE_FRAME:
		return frame_is_right(head, body, size, mend);
	case WIRE_PART:
		return size > 0 && end <= head->part_length &&
		       (head->next != head->first) == (end == head->part_length);
	case WIRE_GAP:
		break;
	}
	return size == 0;
}

/* The text of a head is the one that it came from, with the same headers. */
static void has_one_text(const struct wire_head *head, struct headers *from)
{
	struct headers text = { .count = 0 };
	size_t known = 0;

	HELD_CHECK(wire_head_put(head, headers_add, &text) == 0);
	for (size_t i = 0; i < from->count; i++) {
		const char *value = headers_get(&text, from->list[i].name);

		HELD_CHECK(!value || strcmp(value, from->list[i].value) == 0);
		known += value != NULL;
	}
	HELD_CHECK(known == text.count);
}

static void numbers_are_bounded(const struct wire_head *head)
{
	HELD_CHECK(head->first < WIRE_COUNT_MAX && head->next <= WIRE_COUNT_MAX);
	HELD_CHECK(head->next >= head->first && head->type <= CQ_TYPE_MAX);
	HELD_CHECK(!head->have_stream || head->stream <= WIRE_COUNT_MAX);
	HELD_CHECK(head->part_length <= CQ_SEGMENT_SIZE_MAX);
	HELD_CHECK(head->kind != WIRE_PART || head->part_offset < head->part_length);
}

static void walk(const struct wire_head *head, const uint8_t *body, size_t size)
{
	struct wire_record record = { .seq = head->first };
	uint32_t crc = 0;
	size_t at = 0;

	while (wire_entry_next(body, size, &at, &record, &crc) > 0) {
		const uint8_t *payload = record.payload;

		HELD_CHECK(at <= size && payload + record.length == body + at);
		HELD_CHECK(crc == wire_crc(&record));
		record.seq++;
	}
	HELD_CHECK(at == size || head->kind != WIRE_FRAME || wire_check(head, body, size) < 0);
}

/* A part that is not the last one is added twice, as after a new consumer: the second one is refused, or begins. */
static void join_up(struct wire_join *join, const struct wire_head *head, const uint8_t *body,
                    size_t size)
{
	const struct wire_join before = *join;
	struct wire_record record;
	int r = wire_join_add(join, head, body, size, &record);

	HELD_CHECK(join->room <= 65536 || join->room <= 2 * join->have ||
	           join->room == before.room);
	HELD_CHECK(join->have <= join->room);
	if (r == 1) {
		HELD_CHECK(!join->active && record.length == head->part_length);
		HELD_CHECK(record.seq == head->first && record.type == head->type);
		HELD_CHECK(record_crc(record.seq, record.time_ns, record.type, record.payload,
		                      record.length) == head->last.crc);
	} else if (r == 0) {
		HELD_CHECK(join->active && join->have == head->part_offset + size);
		r = head->part_offset == 0 ? 0 : -EBADMSG;
		HELD_CHECK(wire_join_add(join, head, body, size, &record) == r);
	} else if (join->active) {
		HELD_CHECK(before.active && before.have == join->have);
	}
}

/* Gives the last part, and what is there of its record, the CRC that the record has. */
static void mend_record(struct wire_join *join, struct wire_head *head, const uint8_t *body,
                        size_t size)
{
	const size_t have = head->part_offset == 0 ? 0 : join->have;
	uint8_t *bytes;

	if (head->kind != WIRE_PART || head->next == head->first || have != head->part_offset)
		return;
	bytes = malloc(have + size + 1);
	HELD_CHECK(bytes != NULL);
	if (have > 0)
		memcpy(bytes, join->bytes, have);
	memcpy(bytes + have, body, size);
	head->last.crc =
		record_crc(head->first, head->last.time_ns, head->type, bytes, have + size);
	join->head.last.crc = head->last.crc;
	free(bytes);
}

static void take_message(struct wire_join *join, struct headers *headers, const uint8_t *data,
                         size_t size, bool mend)
{
	/* a copy of exactly this size: a sanitizer sees reads behind it */
	uint8_t *body = malloc(size > 0 ? size : 1);
	struct wire_head head;
	bool right;
	int r;

	HELD_CHECK(body != NULL);
	if (size > 0)
		memcpy(body, data, size);
	r = wire_head_get(headers_get, headers, &head);
	HELD_CHECK(r == 0 || r == -EBADMSG || r == -EPROTONOSUPPORT);
	if (r == 0) {
		has_one_text(&head, headers);
		numbers_are_bounded(&head);
		right = is_right(&head, body, size, mend);
		HELD_CHECK(wire_check(&head, body, size) == (right ? 0 : -EBADMSG));
		walk(&head, body, size);
		if (mend)
			mend_record(join, &head, body, size);
		join_up(join, &head, body, size);
	}
	free(body);
}

/* Takes the lines of one message from the text; returns where its body's size is, or NULL. */
static const uint8_t *take_headers(const uint8_t *at, const uint8_t *end, struct headers *headers)
{
	const uint8_t *newline;
	char line[128], *value;

	headers->count = 0;
	for (; (newline = memchr(at, '\n', (size_t)(end - at))) != NULL; at = newline + 1) {
		const size_t length = (size_t)(newline - at);

		if (length == 0)
			return newline + 1;
		if (length >= sizeof line)
			continue;
		memcpy(line, at, length);
		line[length] = '\0';
		value = strstr(line, ": ");
		if (!value)
			continue;
		*value = '\0';
		(void)headers_add(headers, line, value + 2);
	}
	return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct wire_join join = { .active = false };
	const uint8_t *const end = data + size;
	struct headers headers;
	bool mend;

	if (size < 1)
		return 0;
	mend = (*data++ & MEND) != 0;
	while ((data = take_headers(data, end, &headers)) != NULL && end - data >= 2) {
		size_t length = get(data, 2);

		data += 2;
		if (length > (size_t)(end - data))
			length = (size_t)(end - data);
		take_message(&join, &headers, data, length, mend);
		data += length;
	}
	wire_join_free(&join);
	return 0;
}
