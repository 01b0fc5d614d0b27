/* SPDX-License-Identifier: Apache-2.0 */
/* compose.c - which records the next message has; see compose.h */
#include "ship/compose.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int compose_set(struct compose *compose, enum stream_format format, size_t frame_size, size_t most)
{
	uint8_t *buffer;

	if (most != compose->most) {
		buffer = realloc(compose->buffer, most);
		if (!buffer) /* GCOV_EXCL_BR_LINE: no memory */
			return -ENOMEM;
		compose->buffer = buffer;
	}
	compose->most = most;
	compose->format = format;
	compose->frame_size = frame_size < most ? frame_size : most;
	return 0;
}

void compose_free(struct compose *compose)
{
	free(compose->buffer);
}

void compose_begin(struct compose *compose, uint64_t part_offset)
{
	compose->frame = (struct publish_message){ .body = compose->buffer };
	compose->gap_first = compose->gap_next = 0;
	compose->part_offset = part_offset;
}

static struct wire_fingerprint fingerprint(const struct cq_record *record, uint32_t crc)
{
	return (struct wire_fingerprint){
		.epoch = record->have_stream ? record->epoch : 0,
		.crc = crc,
		.time_ns = record->time_ns,
	};
}

static bool needs_parts(const struct compose *compose, const struct cq_record *record)
{
	return record->length + (compose->format == STREAM_FRAMES ? WIRE_ENTRY_SIZE : 0) >
	       compose->most;
}

static struct wire_head head_of(const struct cq_record *record, enum wire_kind kind)
{
	return (struct wire_head){
		.kind = kind,
		.first = record->seq,
		.next = record->seq + 1,
		.have_stream = record->have_stream,
		.stream = record->stream_offset,
		.type = record->type,
	};
}

static void make_record(const struct cq_record *record, struct publish_message *message)
{
	*message = (struct publish_message){
		.head = head_of(record, WIRE_RECORD),
		.body = record->payload,
		.size = record->length,
		.time_ns = record->time_ns,
	};
	message->head.last = fingerprint(record, source_crc(record));
}

static void make_part(struct compose *compose, const struct cq_record *record,
                      struct publish_message *message)
{
	const uint64_t left = record->length - compose->part_offset;

	if (!compose->have_part_crc || compose->part_seq != record->seq) {
		compose->part_crc = source_crc(record);
		compose->part_seq = record->seq;
		compose->have_part_crc = true;
	}
	*message = (struct publish_message){
		.head = head_of(record, WIRE_PART),
		.body = (const uint8_t *)record->payload + compose->part_offset,
		.size = left < compose->most ? left : compose->most,
		.time_ns = record->time_ns,
	};
	message->head.last = fingerprint(record, compose->part_crc);
	message->head.part_offset = compose->part_offset;
	message->head.part_length = record->length;
	if (message->size < left)
		message->head.next = message->head.first;
}

static void make_gap(uint64_t first, uint64_t next, struct publish_message *message)
{
	*message = (struct publish_message){
		.head = { .kind = WIRE_GAP, .first = first, .next = next },
		.alone = true,
	};
}

/* Puts the record into the frame.  False: it does not fit, the frame is full. */
static bool add(struct compose *compose, const struct cq_record *record)
{
	struct publish_message *frame = &compose->frame;
	const struct wire_record entry = {
		.seq = record->seq,
		.time_ns = record->time_ns,
		.payload = record->payload,
		.length = record->length,
		.type = record->type,
	};
	const bool is_first = frame->size == 0;
	uint32_t crc;

	if (!is_first && frame->size + WIRE_ENTRY_SIZE + record->length > compose->frame_size)
		return false;
	if (is_first) {
		frame->head = head_of(record, WIRE_FRAME);
		frame->head.type = 0;
		frame->time_ns = record->time_ns;
	}
	frame->size += wire_entry_put(compose->buffer + frame->size, &entry, &crc);
	frame->head.next = record->seq + 1;
	frame->head.last = fingerprint(record, crc);
	return true;
}

/* Adds what there is.  1: there is a frame; else as source_peek(), with *ret_record that needs parts. */
static int fill(struct compose *compose, const struct cq_record **ret_record)
{
	struct publish_message *frame = &compose->frame;
	int r;

	frame->alone = false;
	while (frame->size + WIRE_ENTRY_SIZE <= compose->frame_size) {
		r = source_peek(compose->source, ret_record);
		if (r == 1 && needs_parts(compose, *ret_record))
			return 1;
		if (r == 1) {
			if (!add(compose, *ret_record))
				return 1;
			source_advance(compose->source);
			continue;
		}
		if (frame->size == 0)
			return r;
		/* there may be more later; or, in a copy of the queue, where this one has a hole */
		frame->alone = true;
		return 1;
	}
	return 1;
}

static int next_of_queue(struct compose *compose, struct publish_message *ret_message)
{
	const struct cq_record *record = NULL;
	int r;

	if (compose->format == STREAM_FRAMES) {
		r = fill(compose, &record);
		if (r == 1 && compose->frame.size > 0) {
			*ret_message = compose->frame;
			return 1;
		}
	} else {
		r = source_peek(compose->source, &record);
	}
	if (r != 1 || !record)
		return r;
	if (needs_parts(compose, record))
		make_part(compose, record, ret_message);
	else
		make_record(record, ret_message);
	return 1;
}

int compose_next(struct compose *compose, struct publish_message *ret_message)
{
	int r;

	if (compose->gap_first != compose->gap_next) {
		make_gap(compose->gap_first, compose->gap_next, ret_message);
		return 1;
	}
	r = next_of_queue(compose, ret_message);
	if (r != -ENODATA || !compose->accept_gap)
		return r;
	make_gap(compose->source->next, compose->source->hole_end, ret_message);
	return 1;
}

bool compose_oldest(struct compose *compose, struct publish_oldest *ret_oldest)
{
	struct publish_message message;

	if (compose_next(compose, &message) != 1)
		return false;
	*ret_oldest = (struct publish_oldest){
		.time_ns = message.time_ns,
		.have_stream = message.head.have_stream,
		.stream = message.head.stream,
	};
	return true;
}

void compose_sent(struct compose *compose, const struct publish_message *message)
{
	switch (message->head.kind) {
	case WIRE_GAP:
		if (compose->gap_first != compose->gap_next)
			compose->gap_first = compose->gap_next;
		else
			source_pass_hole(compose->source);
		break;
	case WIRE_FRAME:
		compose_begin(compose, 0);
		break;
	case WIRE_PART:
		compose->part_offset += message->size;
		if (message->head.next == message->head.first)
			break;
		compose->part_offset = 0;
		source_advance(compose->source);
		break;
	case WIRE_RECORD:
		source_advance(compose->source);
		break;
	}
}
