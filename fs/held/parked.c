/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parked.c - requests that wait in a list: for room, for a file lock, for the background thread
 *
 * A serving thread never waits.  It parks the request in a list, oldest first, and serves the next
 * request.  The event that ends the wait finishes the parked request: room in the queue, a dropped
 * lock, work that is done, the request's interruption, or the end of the mount.
 *
 * Invariants:
 *  1. A parked request is in its list.  The thread that removes it, under the list's lock, finishes
 *     it: it releases the lock, replies once, and frees the parked request.  An interruption that
 *     does not find its request has nothing to do.
 *  2. No interruption is lost.  libfuse first marks the request as interrupted, and then calls
 *     parked_interrupted().  The serving thread sets this callback before it parks the request, and
 *     checks the mark under the same lock under which it parks: so either it sees the mark, or the
 *     callback comes later and finds the request in the list.
 *  3. While a thread works on the first request without the lock, the request stays the first: new
 *     ones go behind it, and the callback leaves it alone.  chronfs_parked_end_attempt() checks the
 *     mark if the work has not finished the request; otherwise the result of the work counts, since
 *     the work is done.
 *
 * libfuse holds a lock of the request during the callback, and keeps the request until the callback
 * has returned; so no other request can have the address that the callback looks for.  Lock order:
 * libfuse's lock of a request > the lock of a list > libfuse's lock of the session.
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

/* Removes the request, unless it is finished, not parked yet, or in an attempt. */
static struct chronfs_parked *take_request(struct chronfs_parked_list *list, fuse_req_t req)
{
	struct chronfs_parked **link = &list->first;

	while (*link && (*link)->req != req)
		link = &(*link)->next;
	return *link && !(*link)->in_attempt ? chronfs_parked_take(list, link) : NULL;
}

/* libfuse calls this. */
static void parked_interrupted(fuse_req_t req, void *data)
{
	struct chronfs_parked_list *list = data;
	struct chronfs_parked *parked;

	pthread_mutex_lock(&list->lock);
	parked = take_request(list, req);
	pthread_mutex_unlock(&list->lock);
	if (!parked)
		return;
	parked->finish(list->fs, parked, -EINTR);
	chronfs_background_wake(list->fs); /* the next request may need less room */
}

void chronfs_parked_catch_interrupt(struct chronfs_parked_list *list, fuse_req_t req)
{
	fuse_req_interrupt_func(req, parked_interrupted, list);
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
	parked->in_attempt = false;
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
		first->in_attempt = true;
	pthread_mutex_unlock(&list->lock);
	return first;
}

bool chronfs_parked_end_attempt(struct chronfs_parked_list *list, struct chronfs_parked *parked,
                                int result)
{
	pthread_mutex_lock(&list->lock);
	parked->in_attempt = false;
	if (result > 0 && parked->req && fuse_req_interrupted(parked->req))
		result = -EINTR;
	if (result <= 0)
		(void)chronfs_parked_take(list, &list->first);
	pthread_mutex_unlock(&list->lock);
	if (result <= 0)
		parked->finish(list->fs, parked, result);
	return result <= 0;
}
