/* SPDX-License-Identifier: Apache-2.0 */
/*
 * quota.h - how many segment files the queue has and may have, and which appends were refused one
 *
 * Only the queue's writer makes segment files.  Each of its threads reserves a file before it makes one.
 * Afterwards the thread says that the file exists, or releases the reservation.  Files and reservations
 * together never exceed `limit`.  So, by this writer's doing, the files on the disk never do either.
 *
 * Files are deleted by retention, by trims, and by others.  Retention and trims say so;
 * cq_quota_recount() counts the directory, and so finds files that were deleted externally.  Until then
 * the count is too high, never too low.
 *
 * The flags say what the background threads have to do for an append that was refused; the thread that
 * raises a flag wakes them (roll.c).  With `wake_pending`, config.space is to be called: the thread that
 * takes the flag down calls it, without any lock (background.c).
 */
#ifndef CQ_QUOTA_H
#define CQ_QUOTA_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct cq_quota {
	uint64_t limit; /* constant: segment files; UINT64_MAX: no limit */

	pthread_mutex_t lock; /* taken under any other lock, none is taken under it */
	/* under lock */
	uint64_t files;        /* published */
	uint64_t reservations; /* for files on their way */
	uint64_t changes;      /* of the two, ever */

	_Atomic bool at_limit;       /* an append was refused for `limit`; no room seen since */
	_Atomic uint64_t refused_ms; /* CLOCK_BOOTTIME when that was so last */
	_Atomic bool disk_full;      /* the disk refused one; nothing has been prepared since */
	_Atomic bool wake_pending;   /* a retry may succeed, and config.space was not called yet */
	_Atomic bool recount_needed; /* the count is known to be wrong */

	/* under the retention lock */
	struct timespec counted_at; /* the directory's time when it was counted */
};

/* max_bytes 0: no limit. */
void cq_quota_init(struct cq_quota *quota, uint64_t max_bytes, uint64_t segment_size,
                   uint64_t files);
void cq_quota_fini(struct cq_quota *quota);

/* Reserves one more file; false at the limit. */
bool cq_quota_reserve(struct cq_quota *quota);

/* Ends a reservation: the file exists, or it was not made. */
void cq_quota_settle(struct cq_quota *quota, bool made);

/* A file is gone. */
void cq_quota_deleted(struct cq_quota *quota);

/* No file can be reserved. */
bool cq_quota_exhausted(struct cq_quota *quota);

uint64_t cq_quota_files(struct cq_quota *quota);

/* A segment was prepared, or a roll has succeeded: lowers at_limit and disk_full.  True if one was
 * raised; then wake_pending is. */
bool cq_quota_note_room(struct cq_quota *quota);

/* Under the retention lock, so that no deletion of ours is under way: counts the directory, unless
 * nothing has changed there.  True if files were deleted externally; then wake_pending is raised. */
bool cq_quota_recount(struct cq_quota *quota, int dirfd);

#endif
