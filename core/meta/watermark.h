/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watermark.h - durable.meta: how far the queue is known to be on stable storage
 *
 * Stored after a good flush, so it may lag behind what is durable but never leads.  Two slots are
 * written alternately: if a write is torn, the other slot is still valid.
 */
#ifndef CQ_WATERMARK_H
#define CQ_WATERMARK_H

#include <stdbool.h>

#include "format/format.h"

/* Its checksum is right, and its place is possible. */
bool cq_watermark_slot_valid(const struct cq_watermark_slot *slot);

/* The contents of the file.  A slot that is neither valid nor all zero is damaged: it may have held the
 * newest watermark, so the other slot is only a lower bound. */
struct cq_watermark_state {
	bool found;                       /* there is a valid slot */
	struct cq_watermark_slot slot;    /* the newest valid one */
	unsigned newest;                  /* its number; 0 if there is none */
	unsigned damaged;                 /* bit N: slot N is damaged */
	struct cq_listing_record listing; /* as it is there; zero behind the file's end */
};

/* -ENOENT: no file. */
int cq_watermark_read(int dirfd, struct cq_watermark_state *ret_state);

struct cq_watermark {
	int fd;
	uint32_t generation;
	unsigned newest; /* the number of the newest valid slot; the other one is written next */
};

/* Opens it for storing; makes it if it is missing. */
int cq_watermark_open(struct cq_watermark *ret_watermark, int dirfd);
void cq_watermark_close(struct cq_watermark *watermark);

/* Stores the slot with the next generation and its CRC. */
int cq_watermark_store(struct cq_watermark *watermark, struct cq_watermark_slot slot);

#endif
