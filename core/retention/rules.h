/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rules.h - which segments may be deleted: the configuration and the situation in, a segment id out
 *
 * Nothing here calls the system, so a test can ask about any situation.
 */
#ifndef CQ_RULES_H
#define CQ_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chronq.h"

/* A named reader, as its file was read last. */
struct cq_reader_seen {
	char name[CQ_READER_NAME_MAX + 1];
	uint64_t segment; /* the lowest one that it has still to read */
	uint64_t generation;
	uint64_t heartbeat_ns;
	uint64_t changed_ms; /* CLOCK_BOOTTIME when generation or heartbeat last changed */
	bool present;        /* its file was there in the reading under way */
	bool unreadable;     /* its file cannot be read, which is logged; segment may be too low */
};

/* What the rules judge. */
struct cq_situation {
	uint32_t oldest, current; /* ids */
	uint32_t first_empty;     /* the first segment without a record, whether it exists or not */
	uint64_t segment_size;
	uint64_t
		oldest_age_ms; /* of the oldest segment's last record; needed with retain_age_ms only */
	uint64_t now_ms;       /* CLOCK_BOOTTIME */
	const struct cq_reader_seen *readers;
	size_t reader_count;
};

/* Whether the configuration has a rule that deletes. */
bool cq_rules_any(const struct cq_config *config);

/* Whether count, size or age say that the oldest segment should go, whatever readers still need. */
bool cq_rules_want_oldest_gone(const struct cq_config *config,
                               const struct cq_situation *situation);

/* The lowest segment that a live reader still needs; above every id: no reader needs one. */
uint64_t cq_rules_needed_from(const struct cq_config *config, const struct cq_situation *situation);

/* Whether this reader is live and still needs the oldest segment. */
bool cq_rules_reader_needs_oldest(const struct cq_config *config,
                                  const struct cq_situation *situation,
                                  const struct cq_reader_seen *reader);

/* The oldest segment when it must stay.  Else a higher id: all segments below it may go, as far as
 * counting tells (the age is known of the oldest one only). */
uint32_t cq_rules_keep_from(const struct cq_config *config, const struct cq_situation *situation);

#endif
