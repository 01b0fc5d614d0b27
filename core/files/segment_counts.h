/* SPDX-License-Identifier: Apache-2.0 */
/* segment_counts.h - what a segment holds that this process is writing, or has written and not yet finalised */
#ifndef CQ_SEGMENT_COUNTS_H
#define CQ_SEGMENT_COUNTS_H

#include <stdbool.h>
#include <stdint.h>

struct cq_segment_counts {
	uint64_t records; /* PAD excluded, as in payload_bytes */
	uint64_t payload_bytes;
	uint64_t used;      /* offset behind the last record */
	uint64_t first_seq; /* with the next three valid when records > 0 */
	uint64_t last_seq;
	uint64_t first_time_ns;
	uint64_t last_time_ns;
	uint64_t stream_base; /* payload bytes of the queue before it */
	bool sealed;
};

#endif
