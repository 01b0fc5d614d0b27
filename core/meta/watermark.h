/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watermark.h - durable.meta: how far the queue is known to be on stable storage
 *
 * Stored after a good flush, so it may lag behind what is durable but never leads.  Two slots are
 * written alternately: a torn one leaves the other.
 */
#ifndef CQ_WATERMARK_H
#define CQ_WATERMARK_H

#include <stdbool.h>

#include "format/format.h"

/* Its checksum is right, and it names a place that there can be. */
bool cq_watermark_slot_valid(const struct cq_watermark_slot *slot);

/* What the file says.  A slot that is neither valid nor all zero is damaged: it may have held the newest
 * watermark, so that the other one is a lower bound alone. */
struct cq_watermark_state {
	bool found;                    /* there is a valid slot */
	struct cq_watermark_slot slot; /* the one that counts */
	unsigned newest;               /* which one that is; 0 if there is none */
	unsigned damaged;              /* bit N: slot N is damaged */
};

/* -ENOENT: no file. */
int cq_watermark_look(int dirfd, struct cq_watermark_state *ret_state);

/* The slot that counts alone.  -ENOENT: no file or no valid slot. */
int cq_watermark_read(int dirfd, struct cq_watermark_slot *ret_slot);

struct cq_watermark {
	int fd;
	uint32_t generation;
	unsigned
		newest; /* the slot that counts, and is never the next to be written, whatever it is */
};

/* Opens it for storing, making it where it is missing. */
int cq_watermark_open(struct cq_watermark *ret_durable, int dirfd);
void cq_watermark_close(struct cq_watermark *durable);

/* Stores the mark; generation and CRC are filled in. */
int cq_watermark_store(struct cq_watermark *durable, struct cq_watermark_slot slot);

#endif
