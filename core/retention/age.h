/* SPDX-License-Identifier: Apache-2.0 */
/*
 * age.h - how long ago the last record of the oldest segment was written
 *
 * A segment is dated by its last record: its file shows that time once the segment is finalized, before
 * that its writer knows it.  The clock may have been wrong then.  A time cannot be right when it is in
 * the future, before there were queues of this format, before the time of the segment that retention
 * judged before this one, or before this process saw that the segment had no record yet.  (The last does
 * not count once a caller has given records their times: those are older than the segment.)
 *
 * Invariant: with the clock right now, a segment is never taken for older than it is.  For a segment with
 * a wrong time, three things prove an age: the change time of the file (ctime), the time of a later
 * segment, and the moment when this process saw the writer in a later segment.  The oldest of these that
 * can be right counts.  So such a segment is deleted late, but it is deleted.
 *
 * All of it is under the retention lock.
 */
#ifndef CQ_AGE_H
#define CQ_AGE_H

#include "retention/rules.h"

#define CQ_AGE_SIGHTINGS 16

/* Where the writer was at some time, by a clock that nobody sets. */
struct cq_age_sighting {
	uint64_t at_ms;       /* CLOCK_BOOTTIME */
	uint32_t current;     /* all segments below it had all their records */
	uint32_t first_empty; /* this one and all above it had none */
};

struct cq_age {
	struct cq_age_sighting sightings[CQ_AGE_SIGHTINGS]; /* in order of time */
	size_t count;
	uint32_t believed_id; /* the last segment with a time that can be right */
	int64_t believed_ms;  /* that time; 0: none yet */
	bool warned;
	bool times_given; /* the writer's callers have given records their times */
};

/* Remembers where the writer is; to be called now and then. */
void cq_age_see(struct cq_age *age, const struct cq_config *config,
                const struct cq_situation *situation);

/* Milliseconds, of situation->oldest.  -ENOENT: that segment is gone. */
int cq_age_of_oldest(struct cq_age *age, cq_queue *queue, const struct cq_config *config,
                     const struct cq_situation *situation, uint64_t *ret_ms);

#endif
