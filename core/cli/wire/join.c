/* SPDX-License-Identifier: Apache-2.0 */
/* join.c - joins the parts of a record: see wire.h */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "wire/fault.h"
#include "wire/wire.h"

#define FIRST_ROOM (64U << 10)

/* Whether the part belongs to the record that has begun, and is the next one of it. */
static bool continues(const struct wire_join *join, const struct wire_head *part)
{
	const struct wire_head *before = &join->head;

	return join->active && part->first == before->first && part->type == before->type &&
	       part->have_stream == before->have_stream && part->stream == before->stream &&
	       part->last.epoch == before->last.epoch &&
	       part->last.time_ns == before->last.time_ns && part->last.crc == before->last.crc &&
	       part->part_length == before->part_length &&
	       (part->part_offset == join->have || wire_planted("part_order_unchecked"));
}

/* Room for `need` bytes, which have come, of a record of `length`: at most twice as much. */
static int make_room(struct wire_join *join, size_t need, uint64_t length)
{
	uint64_t room = need < FIRST_ROOM ? FIRST_ROOM : need;
	uint8_t *bytes;

	if (need <= join->room)
		return 0;
	if (room < (uint64_t)join->room * 2)
		room = (uint64_t)join->room * 2;
	if (room > length || wire_planted("length_promised"))
		room = length;
	bytes = room <= SIZE_MAX ? realloc(join->bytes, (size_t)room) : NULL;
	if (!bytes)
		return -ENOMEM;
	join->bytes = bytes;
	join->room = (size_t)room;
	return 0;
}

/* Keeps the bytes, if they are to be kept. */
static int keep(struct wire_join *join, size_t have, const struct wire_head *head, const void *body,
                size_t size)
{
	int r;

	if (join->crc_only)
		return 0;
	r = make_room(join, have + size, head->part_length);
	if (r == 0)
		memcpy(join->bytes + have, body, size);
	return r;
}

int wire_join_add(struct wire_join *join, const struct wire_head *head, const void *body,
                  size_t size, struct wire_record *ret_record)
{
	const bool begins = head->kind == WIRE_PART && head->part_offset == 0;
	const size_t have = begins ? 0 : join->have;
	struct wire_record record;
	int r;

	if (head->kind != WIRE_PART || wire_check(head, body, size) < 0 ||
	    (!begins && !continues(join, head)))
		return -EBADMSG;
	r = keep(join, have, head, body, size);
	if (r < 0)
		return r;
	wire_record_of(head, join->bytes, (size_t)head->part_length, &record);
	if (begins)
		join->crc = wire_crc_begin(&record);
	join->crc = wire_crc_more(join->crc, body, size);
	join->have = have + size;
	join->head = *head;
	join->active = head->next == head->first;
	if (join->active)
		return 0;
	if (join->crc != head->last.crc)
		return -EBADMSG;
	*ret_record = record;
	return 1;
}

void wire_join_free(struct wire_join *join)
{
	free(join->bytes);
	*join = (struct wire_join){ .crc_only = join->crc_only };
}
