/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire_records.c - fuzzing target: records become messages, one message is damaged, messages become records
 *
 * Input: eight bytes that choose the damage and how records are put into messages, then records: a byte for type and
 * gap, a byte for the length, the payload.
 *
 *   Without damage all records come back as they were.
 *   With damage only records come back that are as they were, in order, from the first one on; and if a body has been
 *   changed, fewer than all.
 */
#include <chronq.h>
#include <stdbool.h>
#include <stdlib.h>

#include "headers.h"

#define MOST 64U /* messages, and records */
#define FIRST 5U /* number of the first record */

struct message {
	struct headers headers;
	uint8_t body[512];
	size_t size;
};

static struct message messages[MOST];
static size_t message_count;
static struct wire_record records[MOST]; /* payload NULL and type 0xFFFF: it is missing */
static size_t record_count;

enum damage {
	NONE,
	FLIP,      /* a bit of a body */
	SHORTEN,   /* a body */
	LENGTHEN,  /* a body */
	NO_HEADER, /* one of them is gone */
	HEADER,    /* a character of one is another */
	LOSE,      /* a message */
	REPEAT,    /* a message */
	DAMAGES,
};

static bool is_missing(const struct wire_record *record)
{
	return record->type == 0xFFFF;
}

/* Position in the stream of record `i`. */
static uint64_t stream_of(size_t i)
{
	uint64_t at = 1000;

	while (i-- > 0)
		at += records[i].length;
	return at;
}

static void read_records(const uint8_t *at, const uint8_t *end)
{
	for (record_count = 0; end - at >= 2 && record_count < MOST; record_count++) {
		const bool missing = (at[0] & 0xF0) == 0xF0;
		const size_t rest = (size_t)(end - at) - 2, length = at[1] < rest ? at[1] : rest;

		records[record_count] = (struct wire_record){
			.seq = FIRST + record_count,
			.time_ns = at[0] * 1000000000ULL,
			.payload = missing ? NULL : at + 2,
			.length = missing ? 0 : length,
			.type = missing ? 0xFFFF : at[0],
		};
		at += 2 + length;
	}
}

/* Begins a message with records [i, next). */
static struct message *begin(enum wire_kind kind, size_t i, size_t next, bool have_stream,
                             struct wire_head *head)
{
	const struct wire_record *last = &records[next - 1];

	*head = (struct wire_head){ .kind = kind, .first = FIRST + i, .next = FIRST + next };
	head->have_stream = have_stream;
	if (have_stream)
		head->stream = stream_of(i);
	if (kind != WIRE_GAP) {
		head->last.epoch = 2;
		head->last.time_ns = last->time_ns;
		head->last.crc = wire_crc(last);
	}
	if (kind == WIRE_RECORD || kind == WIRE_PART)
		head->type = last->type;
	HELD_CHECK(message_count < MOST);
	messages[message_count].size = messages[message_count].headers.count = 0;
	return &messages[message_count++];
}

static void finish(struct message *message, const struct wire_head *head)
{
	HELD_CHECK(wire_head_put(head, headers_add, &message->headers) == 0);
	HELD_CHECK(wire_check(head, message->body, message->size) == 0);
}

static void put_parts(size_t i, size_t room)
{
	const struct wire_record *record = &records[i];
	struct wire_head head;

	for (size_t at = 0, n; at < record->length; at += n) {
		struct message *message = begin(WIRE_PART, i, i + 1, true, &head);

		n = record->length - at < room ? record->length - at : room;
		head.part_offset = at;
		head.part_length = record->length;
		head.next -= at + n < record->length;
		memcpy(message->body, (const uint8_t *)record->payload + at, n);
		message->size = n;
		finish(message, &head);
	}
}

/* One message with records from `i` on; returns the first one that is not in it. */
static size_t put_message(size_t i, size_t room, bool frames, bool have_stream)
{
	const bool missing = is_missing(&records[i]);
	size_t next = i, size = 0;
	struct message *message;
	struct wire_head head;
	uint32_t crc;

	for (; next < record_count && is_missing(&records[next]) == missing; next++) {
		const size_t more = records[next].length + (frames ? WIRE_ENTRY_SIZE : 0);

		if (!missing && (size + more > room || (!frames && next > i)))
			break;
		size += more;
	}
	if (next == i) {
		put_parts(i, room);
		return i + 1;
	}
	message = begin(missing  ? WIRE_GAP
	                : frames ? WIRE_FRAME
	                         : WIRE_RECORD,
	                i, next, have_stream, &head);
	for (size_t r = i; r < next && head.kind == WIRE_FRAME; r++)
		message->size += wire_entry_put(message->body + message->size, &records[r], &crc);
	if (head.kind == WIRE_RECORD && records[i].length > 0) {
		memcpy(message->body, records[i].payload, records[i].length);
		message->size = records[i].length;
	}
	finish(message, &head);
	return next;
}

/* Returns whether a body was changed. */
static bool do_damage(enum damage damage, const uint8_t *how)
{
	const size_t victim = how[0] % message_count;
	struct message *message = &messages[victim];
	struct headers *headers = &message->headers;
	const size_t header = how[1] % headers->count;
	char *value = headers->list[header].value;
	bool changed = false;

	if (damage == FLIP && message->size > 0) {
		message->body[how[1] % message->size] ^= (uint8_t)(1U << how[2] % 8);
		changed = true;
	} else if (damage == SHORTEN && message->size > 0) {
		message->size -= 1 + how[1] % message->size;
		changed = true;
	} else if (damage == LENGTHEN && message->size < sizeof message->body) {
		message->body[message->size++] = how[1];
		changed = true;
	} else if (damage == NO_HEADER) {
		headers->list[header] = headers->list[--headers->count];
	} else if (damage == HEADER) {
		value[how[2] % strlen(value)] = (char)(how[3] == 0 ? 1 : how[3]);
	} else if (damage == LOSE) {
		memmove(message, message + 1, (--message_count - victim) * sizeof *message);
	} else if (damage == REPEAT && message_count < MOST) {
		memmove(message + 1, message, (message_count++ - victim) * sizeof *message);
	}
	return changed;
}

static void is_as_it_was(const struct wire_record *record, size_t i)
{
	const struct wire_record *was = &records[i];

	HELD_CHECK(i < record_count && !is_missing(was));
	HELD_CHECK(record->seq == was->seq && record->time_ns == was->time_ns);
	HELD_CHECK(record->type == was->type && record->length == was->length);
	HELD_CHECK(was->length == 0 || memcmp(record->payload, was->payload, was->length) == 0);
}

/* Takes one message; returns how many records there are now, and what is missing of these, or a negative errno. */
static ssize_t take(struct wire_join *join, struct message *message, size_t count)
{
	struct wire_head head;
	struct wire_record record = { .seq = FIRST + count };
	uint32_t crc;
	size_t at = 0;
	int r = wire_head_get(headers_get, &message->headers, &head);

	if (r < 0)
		return r;
	r = wire_check(&head, message->body, message->size);
	if (r < 0)
		return r;
	if (head.first != FIRST + count || (join->active && head.kind != WIRE_PART) ||
	    (head.have_stream && head.stream != stream_of(count)))
		return -EILSEQ;
	switch (head.kind) {
	case WIRE_RECORD:
		wire_record_of(&head, message->body, message->size, &record);
		is_as_it_was(&record, count);
		break;
	case WIRE_FRAME:
		for (size_t i = count;
		     wire_entry_next(message->body, message->size, &at, &record, &crc) > 0;
		     record.seq++)
			is_as_it_was(&record, i++);
		break;
	case WIRE_PART:
		r = wire_join_add(join, &head, message->body, message->size, &record);
		if (r > 0)
			is_as_it_was(&record, count);
		break;
	case WIRE_GAP:
		break;
	}
	return r < 0 ? r : (ssize_t)(count + (head.next - head.first));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct wire_join join = { .active = false };
	enum damage damage;
	size_t room, count = 0;
	bool changed;

	if (size < 10)
		return 0;
	damage = (enum damage)(data[0] % DAMAGES);
	room = 32 + data[6];
	read_records(data + 8, data + size);
	message_count = 0;
	for (size_t i = 0; i < record_count && message_count < MOST - 16;)
		i = put_message(i, room, (data[7] & 1) != 0, (data[7] & 2) != 0);
	if (message_count >= MOST - 16)
		return 0; /* more than there is room for */
	changed = do_damage(damage, data + 1);
	for (size_t i = 0; i < message_count; i++) {
		const ssize_t n = take(&join, &messages[i], count);

		if (n < 0)
			break;
		count = (size_t)n;
	}
	HELD_CHECK(damage != NONE || count == record_count);
	HELD_CHECK(!changed || count < record_count);
	wire_join_free(&join);
	return 0;
}
