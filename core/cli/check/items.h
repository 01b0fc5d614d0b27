/* SPDX-License-Identifier: Apache-2.0 */
/* items.h - the items (compare.h) that the messages of a stream give.  Pure. */
#ifndef CHRONQ_ITEMS_H
#define CHRONQ_ITEMS_H

#include "check/compare.h"
#include "wire/wire.h"

/* All zero at first. */
struct items {
	struct wire_join join;
	struct wire_head head;
	const uint8_t *body;
	size_t size;
	size_t at;    /* in a frame's body */
	uint64_t seq; /* of the next item; head.next: the message is done */
	bool sound;   /* the message is as it has to be */
};

/* Begins a message, with a head of wire_head_get().  The body has to stay until items_next() has returned 0. */
void items_message(struct items *items, const struct wire_head *head, const void *body,
                   size_t size);

/* Returns 1 with the next item of the message, 0 at its end.  A record in parts is an item of the last one. */
int items_next(struct items *items, struct compare_item *ret_item);

#endif
