/* SPDX-License-Identifier: Apache-2.0 */
/* retention_view.h - what retention sees of a queue when it judges which segments may go */
#ifndef CQ_RETENTION_VIEW_H
#define CQ_RETENTION_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chronq.h"

struct cq_reader_seen {
	char name[CQ_READER_NAME_MAX + 1];
	uint64_t segment;
	uint64_t generation;
	uint64_t heartbeat_ns;
	uint64_t changed_ms; /* CLOCK_BOOTTIME when generation or heartbeat last changed */
	bool present;        /* seen in the round under way */
};

struct cq_retention_view {
	uint32_t oldest, active; /* ids */
	uint32_t empty;          /* the first segment without a record, there or not */
	uint64_t segment_size;
	uint64_t oldest_age_ms; /* of the oldest segment's last record */
	uint64_t now_ms;        /* CLOCK_BOOTTIME */
	const struct cq_reader_seen *readers;
	size_t reader_count;
};

#endif
