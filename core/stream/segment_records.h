/* SPDX-License-Identifier: Apache-2.0 */
/* segment_records.h - the records of one segment, by number, without their payloads; number 0 is the first */
#ifndef CQ_SEGMENT_RECORDS_H
#define CQ_SEGMENT_RECORDS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "chronq-fs.h"
#include "stream/segment_start.h"

/*
 * Finds out about records from number `number` on, up to `count` of them.  `base` is
 * where the segment begins in the stream.  Returns how many; 0 where the records end before that.  Payloads
 * are not looked at.
 *   EIO     that record, or one on the way to it, is damaged, or the file was cut short
 *   ENOENT  the file has been deleted
 */
ssize_t cq_segment_records_read(struct cq_segment_bytes *segment, uint64_t base, uint64_t number,
                                struct cq_record_info *records, size_t count);

#endif
