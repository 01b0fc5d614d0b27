/* SPDX-License-Identifier: Apache-2.0 */
/* items.c - see items.h */
#include "check/items.h"

void items_message(struct items *items, const struct wire_head *head, const void *body, size_t size)
{
	items->head = *head;
	items->body = body;
	items->size = size;
	items->at = 0;
	items->seq = head->first;
	items->sound = wire_check(head, body, size) == 0;
}

/* All that is left of the message. */
static int rest(struct items *items, enum compare_state state, uint32_t crc,
                struct compare_item *ret_item)
{
	*ret_item = (struct compare_item){
		.state = state, .first = items->seq, .next = items->head.next, .crc = crc
	};
	items->seq = items->head.next;
	return 1;
}

static int next_of_frame(struct items *items, struct compare_item *ret_item)
{
	struct wire_record record = { .seq = items->seq };
	uint32_t crc;

	/* The last entry of a damaged frame is not believed: there may be more behind it, or the frame may be another
	 * one. */
	if (wire_entry_next(items->body, items->size, &items->at, &record, &crc) <= 0 ||
	    (!items->sound && items->seq + 1 == items->head.next))
		return rest(items, COMPARE_DAMAGED, 0, ret_item);
	*ret_item = (struct compare_item){
		.state = COMPARE_RECORD, .first = items->seq, .next = items->seq + 1, .crc = crc
	};
	items->seq++;
	return 1;
}

static int next_of_part(struct items *items, struct compare_item *ret_item)
{
	struct wire_record record;
	int r;

	items->join.crc_only = true;
	r = wire_join_add(&items->join, &items->head, items->body, items->size, &record);
	/* what is missing of a record that is not complete is found as a missing record */
	if (items->seq == items->head.next)
		return 0;
	return rest(items, r == 1 ? COMPARE_RECORD : COMPARE_DAMAGED, items->head.last.crc,
	            ret_item);
}

int items_next(struct items *items, struct compare_item *ret_item)
{
	const bool part = items->head.kind == WIRE_PART && items->at == 0;

	if (part)
		items->at = 1; /* each part is joined once */
	if (part)
		return next_of_part(items, ret_item);
	if (items->seq == items->head.next)
		return 0;
	if (items->head.kind == WIRE_FRAME)
		return next_of_frame(items, ret_item);
	if (!items->sound)
		return rest(items, COMPARE_DAMAGED, 0, ret_item);
	return rest(items, items->head.kind == WIRE_GAP ? COMPARE_GAP : COMPARE_RECORD,
	            items->head.last.crc, ret_item);
}
