/* SPDX-License-Identifier: Apache-2.0 */
/* locate.h - where records are inside a segment */
#ifndef CQ_LOCATE_H
#define CQ_LOCATE_H

#include <stdbool.h>
#include <stdint.h>

#include "catalog/mapped.h"
#include "format/record.h"

enum cq_key { CQ_KEY_SEQ, CQ_KEY_TIME, CQ_KEY_STREAM };

/* A record's offset from where to walk to the first one whose key is `value` or higher (that holds
 * byte `value`, for CQ_KEY_STREAM), supposing that keys ascend in this segment. The sparse index
 * makes it close; without one that bears checking it is the beginning. */
uint64_t cq_locate_start(int dirfd, const struct cq_mapped *mapped, enum cq_key key,
                         uint64_t value);

/*
 * Looks through a segment, whatever order its sequence numbers are in, for the lowest one that is
 * `seq` or higher and lower than *best_seq, the last of equal ones.  1 with *best_seq and *offset
 * set to it when there is one; else 0 with *offset behind the last record, or 0 if the segment
 * is sealed and its index says that there is none.
 */
int cq_locate_seq(int dirfd, const struct cq_mapped *mapped, uint64_t seq, uint64_t *best_seq,
                  uint64_t *offset);

/*
 * Finds the record that holds byte `target` of the stream, or else the first that begins behind it.
 * *position is where the segment begins in the stream.  1 with *offset at the record and *position
 * where its payload begins; 0 with *offset behind the last record if the segment ends before the byte.
 */
int cq_locate_byte(int dirfd, const struct cq_mapped *mapped, uint64_t target, uint64_t *position,
                   uint64_t *offset);

/* The end of the last record that ends at `limit` at the latest. */
uint64_t cq_locate_end(const struct cq_mapped *mapped, uint64_t limit);

#endif
