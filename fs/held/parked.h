/* SPDX-License-Identifier: Apache-2.0 */
/* parked.h - requests that wait in a list; see parked.c */
#ifndef CHRONFS_PARKED_H
#define CHRONFS_PARKED_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "libfuse.h"

struct chronfs;

/*
 * The first member of what its owner allocates for a request, and fills down to the blank line.  It
 * stays in its place until finish() is called, once.
 */
struct chronfs_parked {
	fuse_req_t req; /* NULL: work without a request */
	size_t held;    /* bytes of the request's data that it keeps */
	/* Ends the wait: replies to the request and frees this.  `result` is 0, -EINTR after an
	 * interruption, or another -errno.  Any thread may call it; the caller holds none of our
	 * locks. */
	void (*finish)(struct chronfs *fs, struct chronfs_parked *parked, int result);

	/* For parked.c; under the list's lock. */
	struct chronfs_parked *next;
	bool in_attempt; /* while a thread works on it without the lock */
};

struct chronfs_parked_list {
	struct chronfs *fs; /* constant */
	pthread_mutex_t lock;
	struct chronfs_parked *first; /* oldest first; under lock, but for chronfs_parked_any() */
	size_t count;                 /* under lock */
	size_t held;                  /* bytes of all; under lock */
};

void chronfs_parked_init(struct chronfs_parked_list *list, struct chronfs *fs);

/* After the last request: finishes the parked requests that are left with -ENOTCONN. */
void chronfs_parked_fini(struct chronfs_parked_list *list);

/* Whether the list has an entry.  Takes no lock. */
bool chronfs_parked_any(const struct chronfs_parked_list *list);

/* Before chronfs_parked_add(), and without the lock: from now on an interruption of the request
 * looks for it in this list. */
void chronfs_parked_catch_interrupt(struct chronfs_parked_list *list, fuse_req_t req);

/*
 * Under the lock: adds it as the last.
 *   EINTR  the request was interrupted before; it still belongs to the caller
 */
int chronfs_parked_add(struct chronfs_parked_list *list, struct chronfs_parked *parked);

/* Under the lock: removes *link from the list.  The caller finishes it, after it has released the
 * lock. */
struct chronfs_parked *chronfs_parked_take(struct chronfs_parked_list *list,
                                           struct chronfs_parked **link);

/* Takes the lock, and removes the first.  NULL: the list is empty. */
struct chronfs_parked *chronfs_parked_take_first(struct chronfs_parked_list *list);

/*
 * Between these two calls, the caller works on the first without the lock, and the first stays in
 * the list.  One thread at a time.  NULL: the list is empty.  `result` 1 means that the wait
 * continues; any other finishes it.  Returns whether it was finished: by this result, or because it
 * was interrupted meanwhile.
 */
struct chronfs_parked *chronfs_parked_begin_attempt(struct chronfs_parked_list *list);
bool chronfs_parked_end_attempt(struct chronfs_parked_list *list, struct chronfs_parked *parked,
                                int result);

#endif
