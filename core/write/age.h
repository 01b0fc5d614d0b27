/* SPDX-License-Identifier: Apache-2.0 */
/*
 * age.h - how long ago the last record of the oldest segment was written
 *
 * A segment is dated by its last record: the file shows that time once the segment is closed, before
 * that its writer knows it.  The clock may have been wrong then.  A time cannot be right when it is in
 * the future, before there were queues of this format, before the segment that retention has judged
 * before this one, or before this process saw that the segment had no record yet.
 *
 * Invariant: the age of a segment with such a time is never taken for more than it is, as far as the
 * clock is right now.  Three things tell of a time when the last record was already there: the change
 * time of the file (ctime), the date of a later segment, and when this process saw the writer in a later
 * segment.  The oldest of these that can be right counts.  So such a segment goes late, but it goes.
 *
 * All of it is under the retention lock.
 */
#ifndef CQ_AGE_H
#define CQ_AGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chronq.h"

struct cq_retention_view;

#define CQ_AGE_SIGHTINGS 16

/* What this process saw at some time, by a clock that nobody sets. */
struct cq_age_sighting {
	uint64_t at_ms;  /* CLOCK_BOOTTIME */
	uint32_t active; /* all segments below it had all their records */
	uint32_t empty;  /* this one and all above it had none */
};

struct cq_age {
	struct cq_age_sighting sightings[CQ_AGE_SIGHTINGS]; /* in order of time */
	size_t count;
	uint32_t believed_id; /* the last segment with a time that can be right */
	int64_t believed_ms;  /* that time; 0: none yet */
	bool warned;
};

/* Remembers where the writer is; to be called now and then. */
void cq_age_see(cq_writer *writer, const struct cq_retention_view *view);

/* Milliseconds, of view->oldest.  -ENOENT: it is gone. */
int cq_age_of_oldest(cq_writer *writer, const struct cq_retention_view *view, uint64_t *ret_ms);

#endif
