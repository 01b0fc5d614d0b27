/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lock.h - writer.lock: one writer at a time
 *
 * The kernel's flock decides.  It ends with the process that holds it, however that process dies.  The text
 * in the file (`PID STARTTIME EPOCH [closing N | closed]`) only names that process to people and to
 * chronicle-rs.
 *
 * Invariants
 *   Two files are locked: the queue's directory, then writer.lock.  chronicle-rs knows only the second.
 *   A second process can lock a writer.lock that was removed and made again, but not the directory: so
 *   two writers of this library never write to one queue.  (NFS has no locks on directories: there only
 *   the file is locked.)
 *   The locked file is the one that has the name writer.lock, at the time of the lock and of each
 *   cq_lock_check().
 *   The directory's lock ends before the file's, also when the process is killed: a process that has
 *   seen the file unlocked finds the directory unlocked.
 *   A release unlocks explicitly: a child that was forked meanwhile has the same descriptors, which
 *   would keep the lock.
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

/* Takes the lock for this process; makes the file if it is missing.  The text in it stays until
 * cq_lock_describe(): an open that is refused changes nothing.  -EBUSY: another process has the lock. */
int cq_lock_acquire(int dirfd, struct cq_lock *ret_lock);

/* The same without making the file: -ENOENT. */
int cq_lock_try(int dirfd, struct cq_lock *ret_lock);

/* 0; -ESTALE: writer.lock is another file by now, or missing.  Any other error: unknown. */
int cq_lock_check(int dirfd, const struct cq_lock *lock);

/* Writes the text: this process and its epoch (0: not known yet). */
int cq_lock_describe(const struct cq_lock *lock, uint64_t epoch);

/* Adds to the text that this process closes the queue (`progress` grows while closing advances), or that
 * it has closed it. */
int cq_lock_describe_closing(const struct cq_lock *lock, uint64_t epoch, uint64_t progress);
int cq_lock_describe_closed(const struct cq_lock *lock, uint64_t epoch);

/* The process that has the lock, or had it last; for cq_queue_holder() and the message that goes with EBUSY.
 * Takes no lock itself.  A missing or unreadable text gives pid 0, or the pid from /proc/locks. */
int cq_lock_holder(int dirfd, struct cq_holder *ret_holder);

/* Unlocks, but leaves the descriptors open: other threads may be in cq_lock_check(). */
void cq_lock_unlock(const struct cq_lock *lock);

/* Unlocks and closes; does nothing for CQ_LOCK_NONE. */
void cq_lock_release(struct cq_lock *lock);

#endif
