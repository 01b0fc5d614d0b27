/* SPDX-License-Identifier: Apache-2.0 */
/* repair.h - setting damaged bytes and segments aside; nothing is ever deleted */
#ifndef CQ_REPAIR_H
#define CQ_REPAIR_H

#include <stdint.h>

#include "segment.h"

/*
 * Copies every non-zero byte behind `tail` to the segment's .q.broken file, at the same offsets,
 * makes that durable, then zeroes the bytes in the segment and makes that durable.  Otherwise old
 * records would come back behind new ones.  Returns how many bytes (in whole blocks) were set aside.
 */
int cq_repair_tail(int dirfd, struct cq_active *segment, uint64_t tail, uint64_t *ret_bytes);

/* Renames a segment out of the queue, to the first free of .q.corrupt, .q.corrupt.2, ... and removes
 * its index.  *ret_name (room for CQ_NAME_MAX) gets the new name. */
int cq_repair_set_aside(int dirfd, uint32_t id, char *ret_name);

#endif
