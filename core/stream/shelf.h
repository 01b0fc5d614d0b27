/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shelf.h - the last few segments that were read, mapped
 *
 * Whoever takes a segment keeps it until it is put back, also when the shelf has let it go
 * meanwhile; the last one to hold it unmaps it.  Segments are opened and closed with no lock held:
 * that takes milliseconds for large ones.
 */
#ifndef CQ_SHELF_H
#define CQ_SHELF_H

#include <pthread.h>
#include <stdint.h>

#include "chronq.h"
#include "stream/payload.h"

#define CQ_SHELF_SLOTS 16

struct cq_shelf {
	cq_queue *queue;
	pthread_mutex_t lock; /* the following, and `users` and `used` of what was taken here */
	struct cq_payload *slots[CQ_SHELF_SLOTS]; /* the shelf is one of their users; no id twice */
	uint64_t takings;
};

void cq_shelf_init(struct cq_shelf *shelf, cq_queue *queue);
/* All that was taken has been put back. */
void cq_shelf_fini(struct cq_shelf *shelf);

/* Takes a segment, opening it if it is not there.  Errors as cq_mapped_open(). */
int cq_shelf_take(struct cq_shelf *shelf, uint32_t id, struct cq_payload **ret_payload);
void cq_shelf_put(struct cq_shelf *shelf, struct cq_payload *payload);

/* Lets go of this one: its file is not what it was.  Others take it anew. */
void cq_shelf_discard(struct cq_shelf *shelf, const struct cq_payload *payload);

/* Lets go of all segments below id: a deleted file takes space for as long as it is mapped. */
void cq_shelf_drop_below(struct cq_shelf *shelf, uint32_t id);

#endif
