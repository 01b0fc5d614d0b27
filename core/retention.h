/* SPDX-License-Identifier: Apache-2.0 */
/*
 * retention.h - which segments may go, and letting them go
 *
 * cq_retention_keep_from() is pure: policy and situation in, the lowest id that must stay out.
 * cq_retention_step() looks at the directory and deletes the oldest segment if it may go.
 */
#ifndef CQ_RETENTION_H
#define CQ_RETENTION_H

#include <stdatomic.h>
#include <stdbool.h>
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

struct cq_retention {
	uint32_t oldest; /* no published id below it, as far as known */
	struct cq_reader_seen *readers;
	size_t count, capacity;
	bool warned;
	_Atomic uint64_t retired;
};

struct cq_retention_view {
	uint32_t oldest, active; /* ids */
	uint64_t segment_size;
	uint64_t oldest_age_ms;  /* of the oldest segment's last record */
	uint64_t now_ms;         /* CLOCK_BOOTTIME */
	const struct cq_reader_seen *readers;
	size_t reader_count;
};

/* view->oldest when the oldest segment must stay, else a higher id: all below may go, as far as
 * counting tells (age is known of the oldest one only). */
uint32_t cq_retention_keep_from(const struct cq_config *config,
                                const struct cq_retention_view *view);

/* Deletes some of the oldest segments with their indexes.  Returns how many; 0: nothing to do. */
int cq_retention_step(cq_writer *writer);

void cq_retention_fini(struct cq_retention *retention);

#endif
