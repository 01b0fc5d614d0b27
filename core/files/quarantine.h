/* SPDX-License-Identifier: Apache-2.0 */
/*
 * quarantine.h - sets damaged bytes and segments aside, and makes placeholders for segments that are gone
 *
 * Nothing is ever deleted or overwritten, except indexes, which are hints.  Each of these functions may be
 * killed anywhere and called again: the result is the same.
 */
#ifndef CQ_QUARANTINE_H
#define CQ_QUARANTINE_H

#include <stdbool.h>
#include <stdint.h>

#include "files/wsegment.h"

/* The first byte behind `tail` that is not zero; `size`: there is none. */
int cq_quarantine_first_residue(int fd, uint64_t size, uint64_t tail, uint64_t *ret_first);

/* The same, and how many bytes would be set aside. */
int cq_quarantine_residue(int fd, uint64_t size, uint64_t tail, uint64_t *ret_first,
                          uint64_t *ret_bytes);

/*
 * Copies every byte behind `tail` that is not zero to the same place of the segment's .q.broken,
 * makes that durable, then zeroes the bytes in the segment and makes that durable.  Otherwise old
 * records would come back behind new ones.  What an earlier repair has put into .q.broken stays: where
 * other bytes are in the way, or a file that we do not write to, .q.broken.2 is used, and so on up to
 * .q.broken.999; then EEXIST.
 * *ret_bytes: how many bytes were set aside.
 */
int cq_quarantine_tail(int dirfd, struct cq_wsegment *segment, uint64_t tail, uint64_t *ret_bytes);

/* EEXIST where cq_quarantine_tail() or cq_quarantine_segment() would find no name; nothing is changed. */
int cq_quarantine_may_cut(int dirfd, uint32_t id, uint64_t size, uint64_t tail);
int cq_quarantine_may_take_segment(int dirfd, uint32_t id);

/* Removes a segment's index, which does not fit the segment, or will not. */
int cq_quarantine_drop_index(int dirfd, uint32_t id);

/* Renames a segment out of the queue, to the first free of .q.corrupt, .q.corrupt.2, ... (EEXIST: 999
 * are there) and removes its index.  *ret_name (room for CQ_NAME_MAX) gets the new name. */
int cq_quarantine_segment(int dirfd, uint32_t id, char *ret_name);

/* Publishes a placeholder (wsegment.h) in the place of a segment that is gone, so that readers do not wait for
 * that.  `first_seq` and `stream_base` are those of its predecessor's end. */
int cq_placeholder_publish(int dirfd, uint32_t id, uint64_t size, uint64_t first_seq,
                           uint64_t stream_base);

/* A sealed segment with this header is a placeholder. */
bool cq_placeholder_is(const struct cq_segment_header *header);

#endif
