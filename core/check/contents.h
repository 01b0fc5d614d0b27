/* SPDX-License-Identifier: Apache-2.0 */
/* contents.h - what a segment holds, found by reading all of it */
#ifndef CQ_CONTENTS_H
#define CQ_CONTENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "files/wsegment.h"
#include "format/format.h"
#include "messages/meter.h"

struct cq_segment_scan {
	uint64_t tail;    /* offset behind the last sound record */
	uint64_t records; /* PAD excluded, as in all that follows */
	uint64_t payload_bytes;
	uint64_t first_seq, max_seq; /* valid when records > 0 */
	uint64_t last_time;
	uint32_t epoch; /* highest one seen */
	bool anchored;  /* stream_end is known from a record's own stream offset */
	uint64_t stream_end;
	bool damaged; /* the tail is a record that is not sound, not a zero commit word */
};

/*
 * Walks the records of segment `header` in the file fd.  The tail is the first place with no sound
 * record: bounds, CRCs, and for records of this library a sequence number that follows the one
 * before and an epoch not lower.  Records of chronicle-rs are taken with any sequence number, for it
 * starts anew at 0.  count, if not NULL, gets every record by cq_wsegment_count(); meter, if not NULL, is
 * told of the way.
 */
int cq_segment_scan_file(int fd, uint64_t size, const struct cq_segment_header *header,
                         struct cq_wsegment *count, struct cq_meter *meter,
                         struct cq_segment_scan *ret_survey);

#endif
