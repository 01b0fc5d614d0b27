/* SPDX-License-Identifier: Apache-2.0 */
/*
 * retention.h - which segments may go, and letting them go
 *
 * cq_retention_keep_from() and cq_retention_pinned_from() are pure: policy and situation in, a
 * segment id out.  Deleting itself is here too, for retention and for those who trim (trim.c):
 * under the retention lock, one at a time, always the oldest segment there is.
 *
 * The lock is held while readers' files are read and segments are unlinked, which may take tens of
 * milliseconds.  Nobody takes it who holds another one, nor the preparer.
 */
#ifndef CQ_RETENTION_H
#define CQ_RETENTION_H

#include <pthread.h>
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
	pthread_mutex_t lock; /* all but `retired`, and writer->oldest */
	struct cq_reader_seen *readers;
	size_t count, capacity;
	uint64_t readers_ms;   /* CLOCK_BOOTTIME of the last look at them */
	uint64_t strangers_ms; /* of the last look at what others have deleted */
	bool warned;
	_Atomic uint64_t retired;
};

struct cq_retention_view {
	uint32_t oldest, active; /* ids */
	uint64_t segment_size;
	uint64_t oldest_age_ms; /* of the oldest segment's last record */
	uint64_t now_ms;        /* CLOCK_BOOTTIME */
	const struct cq_reader_seen *readers;
	size_t reader_count;
};

/* The lowest segment that a live reader has still to read; above every id: there is none. */
uint64_t cq_retention_pinned_from(const struct cq_config *config,
                                  const struct cq_retention_view *view);

/* view->oldest when the oldest segment must stay, else a higher id: all below may go, as far as
 * counting tells (age is known of the oldest one only). */
uint32_t cq_retention_keep_from(const struct cq_config *config,
                                const struct cq_retention_view *view);

void cq_retention_init(struct cq_retention *retention);
void cq_retention_fini(struct cq_retention *retention);

/* The flusher's: deletes some of the oldest segments with their indexes, and looks whether others
 * have deleted any.  Returns how many it deleted; 0: nothing to do. */
int cq_retention_step(cq_writer *writer);

/* After how many milliseconds it wants to be called again. */
int cq_retention_due(cq_writer *writer);

/* ---- under the retention lock ---- */

/* All of the view but oldest_age_ms.  The readers' files are read anew: what is missing in it
 * cannot be told (an error). -ENOENT: no segment is there. */
int cq_retention_look(cq_writer *writer, struct cq_retention_view *ret_view);

/* The lowest id that is there. */
int cq_retention_oldest(cq_writer *writer, uint32_t *ret_id);

/* Deletes the oldest segment, `id`, and its index. */
int cq_retention_delete(cq_writer *writer, uint32_t id);

#endif
