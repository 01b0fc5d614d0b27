/* SPDX-License-Identifier: Apache-2.0 */
/* locate.h - where records are inside a segment */
#ifndef CQ_LOCATE_H
#define CQ_LOCATE_H

#include <stdbool.h>
#include <stdint.h>

#include "catalog/mapped.h"
#include "format/record.h"
#include "meta/control.h"

enum cq_key { CQ_KEY_SEQ, CQ_KEY_TIME, CQ_KEY_STREAM };

/* The offset of a record from which a walk comes to the first one whose key is `value` or higher (for
 * CQ_KEY_STREAM: that holds byte `value`), if keys ascend in this segment.  With an index file that
 * stands up to checking it is close to that record, else it is the first.  ret_consecutive may be NULL;
 * true: by its index and its summary the sequence numbers of the sealed segment ascend by one. */
uint64_t cq_locate_start(int dirfd, const struct cq_mapped *mapped, enum cq_key key, uint64_t value,
                         bool *ret_consecutive);

/*
 * Looks for the lowest sequence number that is `seq` or higher and lower than *best_seq, and for the last
 * record of those that have it; the numbers may be in any order.  1 with *best_seq and *offset of that
 * record; 0 if there is none, with *offset behind the last record, or 0 if the segment is sealed and
 * its index says so.  `from`: the offset of a record before which all numbers are lower than `seq`, or 0.
 */
int cq_locate_seq(int dirfd, const struct cq_mapped *mapped, uint64_t seq, uint64_t from,
                  uint64_t *best_seq, uint64_t *offset);

/*
 * Finds the record that holds byte `target` of the stream, or else the first that begins behind it.
 * *position is where the segment begins in the stream.  1 with *offset at the record and *position
 * where its payload begins; 0 with *offset behind the last record if the segment ends before the byte.
 */
int cq_locate_byte(int dirfd, const struct cq_mapped *mapped, uint64_t target, uint64_t *position,
                   uint64_t *offset);

/*
 * Of the segment that is being written: the offset of the last record that control.meta tells (meta/control.h) and
 * whose number is at most `seq`; 0: there is none.  No record before it has a number that is sought behind it: this library
 * gives each record a higher one than all before.
 */
uint64_t cq_locate_landmark(const struct cq_control *control, const struct cq_mapped *mapped,
                            uint64_t seq);

/* The end of the last record that ends at `limit` at the latest. */
uint64_t cq_locate_end(const struct cq_mapped *mapped, uint64_t limit);

#endif
