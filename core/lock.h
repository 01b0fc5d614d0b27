/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lock.h - writer.lock: one writer at a time
 *
 * The kernel's flock decides and ends with its holder, however that dies; the text in the file
 * (`pid starttime epoch`) only tells people, and chronicle-rs, who it is.
 */
#ifndef CQ_LOCK_H
#define CQ_LOCK_H

#include <stdint.h>

#include "chronq.h"

/* Takes the lock for this process, making the file where it is missing.  What is in it stays as it is
 * until cq_lock_describe(): an open that is refused changes nothing.  -EBUSY: somebody has it. */
int cq_lock_acquire(int dirfd, int *ret_fd);

/* The same without making the file: -ENOENT. */
int cq_lock_try(int dirfd, int *ret_fd);

/* Writes the text anew: this process, with that epoch (0: not known yet). */
int cq_lock_describe(int fd, uint64_t epoch);

/* Who has it, or had it last; for cq_queue_holder() and the message that goes with EBUSY.  Takes
 * no lock itself.  A missing or unreadable text gives pid 0. */
int cq_lock_holder(int dirfd, struct cq_holder *ret_holder);

void cq_lock_release(int fd);

#endif
