/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parked.c - requests that wait for something: for room, for a lock, for the background thread
 *
 * A thread that serves requests never waits.  It parks the request in a list, oldest first, and serves the
 * next one.  Whatever ends the wait finishes the request: the thread that made room, dropped the lock or did
 * the work; the request's interruption; the end of the mount.
 *
 * Invariants:
 *  1. A parked request is in its list.  The thread that removes it, under the list's lock, finishes it: it
 *     replies once and frees it, after it has released the lock.  An interruption that does not find its
 *     request has nothing to do.
 *  2. No interruption is lost.  libfuse marks the request as interrupted first, and calls interrupted()
 *     then.  The call is arranged before the request is parked, and the mark is looked at under the lock
 *     that it is parked under: so either the mark is seen there, or interrupted() comes later and finds the
 *     request in the list.
 *  3. While somebody works on the first without the lock (try, tried), it stays the first: others come in
 *     behind it, and its interruption leaves it alone.  The mark is looked at when the work has not finished
 *     it; if the work has, the result counts, for it has happened.
 *
 * libfuse holds a lock of the request while it calls interrupted(), and keeps the request until that has
 * returned; so none has the address of another that is being looked for.  Lock order: that one > a list's >
 * libfuse's own.
 */
#include "held/parked.h"

#include <errno.h>

#include "chronfs.h"
#include "fault.h"
#include "held/background.h"

void chronfs_parked_init(struct chronfs_parked_list *list, struct chronfs *fs)
{
	*list = (struct chronfs_parked_list){ .fs = fs };
	pthread_mutex_init(&list->lock, NULL);
}

void chronfs_parked_fini(struct chronfs_parked_list *list)
{
	struct chronfs_parked *parked;

	while ((parked = chronfs_parked_take_first(list)))
		parked->finish(list->fs, parked, -ENOTCONN);
	pthread_mutex_destroy(&list->lock);
}

bool chronfs_parked_any(const struct chronfs_parked_list *list)
{
	return __atomic_load_n(&list->first, __ATOMIC_RELAXED) != NULL;
}

struct chronfs_parked *chronfs_parked_take(struct chronfs_parked_list *list,
                                           struct chronfs_parked **link)
{
	struct chronfs_parked *parked = *link;

	__atomic_store_n(link, parked->next, __ATOMIC_RELAXED);
	parked->next = NULL;
	list->count--;
	list->held -= parked->held;
	return parked;
}

struct chronfs_parked *chronfs_parked_take_first(struct chronfs_parked_list *list)
{
	struct chronfs_parked *first = NULL;

	pthread_mutex_lock(&list->lock);
	if (list->first)
		first = chronfs_parked_take(list, &list->first);
	pthread_mutex_unlock(&list->lock);
	return first;
}

/* The request, unless it has been finished, is not parked yet, or is being worked on. */
static struct chronfs_parked *take_request(struct chronfs_parked_list *list, fuse_req_t req)
{
	struct chronfs_parked **link = &list->first;

	while (*link && (*link)->req != req)
		link = &(*link)->next;
	return *link && !(*link)->tried ? chronfs_parked_take(list, link) : NULL;
}

/* Called by libfuse. */
static void interrupted(fuse_req_t req, void *data)
{
	struct chronfs_parked_list *list = data;
	struct chronfs_parked *parked;

	pthread_mutex_lock(&list->lock);
	parked = take_request(list, req);
	pthread_mutex_unlock(&list->lock);
	if (!parked)
		return;
	parked->finish(list->fs, parked, -EINTR);
	chronfs_background_wake(list->fs); /* the one behind it may need less */
}

void chronfs_parked_catch_interrupt(struct chronfs_parked_list *list, fuse_req_t req)
{
	fuse_req_interrupt_func(req, interrupted, list);
}

int chronfs_parked_add(struct chronfs_parked_list *list, struct chronfs_parked *parked)
{
	struct chronfs_parked **link = &list->first;

	if (parked->req && fuse_req_interrupted(parked->req) &&
	    !chronfs_planted("early_interrupt_lost"))
		return -EINTR;
	while (*link)
		link = &(*link)->next;
	parked->next = NULL;
	parked->tried = false;
	__atomic_store_n(link, parked, __ATOMIC_RELAXED);
	list->count++;
	list->held += parked->held;
	return 0;
}

struct chronfs_parked *chronfs_parked_begin_attempt(struct chronfs_parked_list *list)
{
	struct chronfs_parked *first;

	pthread_mutex_lock(&list->lock);
	first = list->first;
	if (first)
		first->tried = true;
	pthread_mutex_unlock(&list->lock);
	return first;
}

bool chronfs_parked_end_attempt(struct chronfs_parked_list *list, struct chronfs_parked *parked,
                                int result)
{
	pthread_mutex_lock(&list->lock);
	parked->tried = false;
	if (result > 0 && parked->req && fuse_req_interrupted(parked->req))
		result = -EINTR;
	if (result <= 0)
		(void)chronfs_parked_take(list, &list->first);
	pthread_mutex_unlock(&list->lock);
	if (result <= 0)
		parked->finish(list->fs, parked, result);
	return result <= 0;
}
