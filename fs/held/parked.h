/* SPDX-License-Identifier: Apache-2.0 */
/* parked.h - requests that wait for something; see parked.c */
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
	fuse_req_t req; /* NULL: work that nobody waits for */
	size_t held;    /* bytes of the request's data that it keeps */
	/* It waits no more.  Replies and frees it: `result` is 0, -EINTR after an interruption, or
	 * another -errno.  Called on any thread, with no lock of ours held. */
	void (*finish)(struct chronfs *fs, struct chronfs_parked *parked, int result);

	/* parked.c's, under the list's lock */
	struct chronfs_parked *next;
	bool tried; /* from chronfs_parked_begin_attempt() to chronfs_parked_end_attempt() */
};

struct chronfs_parked_list {
	struct chronfs *fs;           /* constant */
	pthread_mutex_t lock;         /* guards the rest, and what its owner says */
	struct chronfs_parked *first; /* oldest first; atomic to look whether there is any */
	size_t count;
	size_t held; /* bytes, by all */
};

void chronfs_parked_init(struct chronfs_parked_list *list, struct chronfs *fs);

/* When no request is served any more: finishes those that are left with -ENOTCONN. */
void chronfs_parked_fini(struct chronfs_parked_list *list);

/* Whether anything is in the list.  Takes no lock. */
bool chronfs_parked_any(const struct chronfs_parked_list *list);

/* Before chronfs_parked_add(), and without the lock: interruptions of the request look for it in
 * this list from now on. */
void chronfs_parked_catch_interrupt(struct chronfs_parked_list *list, fuse_req_t req);

/*
 * Under the lock: puts it last.
 *   EINTR  the request was interrupted before; it is the caller's still
 */
int chronfs_parked_add(struct chronfs_parked_list *list, struct chronfs_parked *parked);

/* Under the lock: removes *link from the list.  The caller finishes it, without the lock. */
struct chronfs_parked *chronfs_parked_take(struct chronfs_parked_list *list,
                                           struct chronfs_parked **link);

/* Takes the first; NULL: there is none. */
struct chronfs_parked *chronfs_parked_take_first(struct chronfs_parked_list *list);

/*
 * The first, which stays where it is while the caller, one thread at a time, does for it what it can;
 * NULL: there is none.  chronfs_parked_end_attempt() ends that with the result, 1: it goes on waiting.
 * True: it was finished, by this result or because it was interrupted meanwhile.
 */
struct chronfs_parked *chronfs_parked_begin_attempt(struct chronfs_parked_list *list);
bool chronfs_parked_end_attempt(struct chronfs_parked_list *list, struct chronfs_parked *parked,
                                int result);

#endif
