/* SPDX-License-Identifier: Apache-2.0 */
/* segment_bytes.h - the payloads of one segment, as bytes at positions; position 0 is its first payload byte */
#ifndef CQ_SEGMENT_BYTES_H
#define CQ_SEGMENT_BYTES_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "stream/segment_start.h"

/*
 * Reads payload bytes from `position` on, all that there are, but for the bytes of a damaged record
 * and those behind it.  Returns how many; 0 where the records end before that.
 *   EIO     the record that holds the byte is damaged, or the file was cut short
 *   ENOENT  the file has been deleted
 */
ssize_t cq_segment_bytes_read(struct cq_segment_bytes *segment, void *buffer, size_t length,
                              uint64_t position);

/* Goes from *place to where the records end now: 0.  EIO: to a damaged one, or the file was cut
 * short. */
int cq_segment_bytes_follow(struct cq_segment_bytes *segment, struct cq_record_start *place);

#endif
