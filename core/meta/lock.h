/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lock.h - writer.lock: one writer at a time
 *
 * The kernel's flock decides, and ends with its holder, however that dies; the text in the file
 * (`PID STARTTIME EPOCH [closing N | closed]`) only tells people, and chronicle-rs, who it is.
 *
 * Invariants
 *   Two files are locked: the queue's directory, then writer.lock.  chronicle-rs knows the second
 *   one alone.  A writer.lock that was removed and made again can be locked by a second process; the
 *   directory cannot, so two of our writers are never in one queue.  (NFS has no locks on
 *   directories: there the file's has to do.)
 *   The locked writer.lock is the one that has the name, when it is taken and at each
 *   cq_lock_check().
 *   The directory's lock ends before the file's, also when the process is killed: whoever has seen
 *   the file unlocked finds the directory so.
 *   A release unlocks: a child that was forked meanwhile has the descriptors as well, and must not
 *   keep the lock with them.
 */
#ifndef CQ_LOCK_H
#define CQ_LOCK_H

#include <stdint.h>

#include "chronq.h"

struct cq_lock {
	int directory; /* -1: it cannot be locked */
	int file;      /* -1: nothing is locked */
};
#define CQ_LOCK_NONE                        \
	(struct cq_lock)                    \
	{                                   \
		.directory = -1, .file = -1 \
	}

/* Takes the lock for this process, making the file where it is missing.  What is in it stays as it is
 * until cq_lock_describe(): an open that is refused changes nothing.  -EBUSY: somebody has it. */
int cq_lock_acquire(int dirfd, struct cq_lock *ret_lock);

/* The same without making the file: -ENOENT. */
int cq_lock_try(int dirfd, struct cq_lock *ret_lock);

/* -ESTALE: writer.lock is another file by now, or none.  Any other error: it cannot be told. */
int cq_lock_check(int dirfd, const struct cq_lock *lock);

/* Writes the text: this process, with that epoch (0: not known yet). */
int cq_lock_describe(const struct cq_lock *lock, uint64_t epoch);

/* The same text, and that this process closes the queue: progress grows while that gets on.  Or that
 * it has closed it. */
int cq_lock_describe_closing(const struct cq_lock *lock, uint64_t epoch, uint64_t progress);
int cq_lock_describe_closed(const struct cq_lock *lock, uint64_t epoch);

/* Who has it, or had it last; for cq_queue_holder() and the message that goes with EBUSY.  Takes
 * no lock itself.  A missing or unreadable text gives pid 0, or the pid that the kernel tells. */
int cq_lock_holder(int dirfd, struct cq_holder *ret_holder);

/* Unlocks, and leaves the descriptors open: other threads may be in cq_lock_check(). */
void cq_lock_let_go(const struct cq_lock *lock);

/* Unlocks and closes; nothing for CQ_LOCK_NONE. */
void cq_lock_release(struct cq_lock *lock);

#endif
