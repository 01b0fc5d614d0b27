/* SPDX-License-Identifier: Apache-2.0 */
/*
 * retention.h - which segments may go, and letting them go
 *
 * cq_retention_keep_from() and cq_retention_pinned_from() are pure: policy and situation in, a
 * segment id out.  Deleting itself is here too, for retention and for those who trim (trim.c):
 * under the retention lock, one at a time, always the oldest segment there is.
 *
 * Invariant: a segment is deleted only after a look at all readers' files that was taken when it was
 * already known that the rules, or whoever trims, want it gone.  What is remembered of readers between
 * two looks only ever keeps a segment.  So readers cost nothing while nothing is to be deleted, one
 * file while one of them is in the way, and all of their files before a deletion.  A reader that goes
 * back is safe from the end of its commit on, but for a deletion that is under way then (at most
 * sixteen segments).
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
#include "write/age.h"
#include "write/retention_view.h"

struct cq_retention {
	pthread_mutex_t lock; /* all but `retired`, and writer->oldest */
	struct cq_reader_seen *readers;
	size_t count, capacity;
	uint64_t readers_ms; /* CLOCK_BOOTTIME of the last look at all of them */
	struct cq_age age;
	int wait_ms;           /* the flusher's: not 0: when to come again for a look put off */
	uint64_t strangers_ms; /* of the last look at what others have deleted */
	bool warned;
	_Atomic uint64_t retired;
};

/* The lowest segment that a live reader has still to read; above every id: there is none. */
uint64_t cq_retention_pinned_from(const struct cq_config *config,
                                  const struct cq_retention_view *view);

/* view->oldest when the oldest segment must stay, else a higher id: all below may go, as far as
 * counting tells (age is known of the oldest one only). */
uint32_t cq_retention_keep_from(const struct cq_config *config,
                                const struct cq_retention_view *view);

/* Whether this reader has still to read the oldest segment, and counts. */
bool cq_retention_pins_oldest(const struct cq_config *config, const struct cq_retention_view *view,
                              const struct cq_reader_seen *reader);

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

/* The same for readers alone (retention_readers.c): those of the view. */
int cq_retention_look_at_readers(cq_writer *writer, struct cq_retention_view *view);

/* Whether a reader that the last look found in the way of the oldest segment is there still: looks at
 * the files of such readers, up to the first that is. */
bool cq_retention_still_pinned(cq_writer *writer, const struct cq_retention_view *view);

/* Whether it is too early for the next look, there being so many readers. */
bool cq_retention_must_wait(cq_writer *writer, const struct cq_retention_view *view);

/* The lowest id that is there. */
int cq_retention_oldest(cq_writer *writer, uint32_t *ret_id);

/* Deletes the oldest segment, `id`, and its index. */
int cq_retention_delete(cq_writer *writer, uint32_t id);

#endif
