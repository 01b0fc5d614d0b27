/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wait_for_room.c - appends that wait for room in a full queue
 *
 * With full=block, a request that finds no room is parked (held/parked.c) with a copy of its data.
 * The background thread tries again when the library has deleted segments, and at intervals: the
 * oldest request first, and no other until the oldest has succeeded or given up.  A request waits
 * no longer than full=block says.  An interrupted request gets its reply at once.
 *
 * A leftover (line_leftover.c) waits in a list of its own, without a request and without a time
 * limit.  Leftovers are tried first, and never delay a request.
 *
 * Invariant: the thread that parks a request wakes the background thread afterwards, because room
 * may have come after its own attempt.
 */
#include "append/wait_for_room.h"

#include <errno.h>

#include "chronfs.h"
#include "held/background.h"
#include "held/parked.h"
#include "shared/counters.h"

#define MOST_BYTES ((size_t)64 << 20) /* of data of the requests that wait */
#define MOST_LEFTOVERS 4096
#define REQUEST_INTERVAL_MS 20
#define LEFTOVER_INTERVAL_MS 100

void chronfs_room_wait_init(struct chronfs *fs)
{
	chronfs_parked_init(&fs->room_waits.requests, fs);
	chronfs_parked_init(&fs->room_waits.leftovers, fs);
}

bool chronfs_room_wait_any(const struct chronfs *fs)
{
	return chronfs_parked_any(&fs->room_waits.requests);
}

bool chronfs_room_wait_allowed(const struct chronfs *fs, bool nonblock, int *ret_error)
{
	if (nonblock)
		*ret_error = -EAGAIN;
	else if (fs->options.full_wait_ms > 0)
		return true;
	else
		*ret_error = -EDQUOT;
	return false;
}

/* Under the lock of the list of requests. */
static int add_request(struct chronfs *fs, struct chronfs_room_wait *wait)
{
	int r;

	if (wait->parked.held > MOST_BYTES - fs->room_waits.requests.held)
		return -EDQUOT;
	wait->until_ms = chronfs_now_ms() + fs->options.full_wait_ms;
	r = chronfs_parked_add(&fs->room_waits.requests, &wait->parked);
	if (r == 0)
		chronfs_count(&fs->counters.waited);
	return r;
}

void chronfs_room_wait_park(struct chronfs *fs, struct chronfs_room_wait *wait)
{
	struct chronfs_parked_list *list =
		wait->parked.req ? &fs->room_waits.requests : &fs->room_waits.leftovers;
	int r;

	if (wait->parked.req)
		chronfs_parked_catch_interrupt(list, wait->parked.req);
	pthread_mutex_lock(&list->lock);
	r = wait->parked.req ? add_request(fs, wait) : chronfs_parked_add(list, &wait->parked);
	pthread_mutex_unlock(&list->lock);
	if (r < 0)
		wait->parked.finish(fs, &wait->parked, r);
	else
		chronfs_background_wake(fs);
}

bool chronfs_room_wait_too_many_leftovers(struct chronfs *fs)
{
	bool too_many;

	pthread_mutex_lock(&fs->room_waits.leftovers.lock);
	too_many = fs->room_waits.leftovers.count >= MOST_LEFTOVERS;
	pthread_mutex_unlock(&fs->room_waits.leftovers.lock);
	return too_many;
}

/* The result for chronfs_parked_end_attempt(), 1: the wait continues. */
static int wait_result(const struct chronfs_room_wait *wait, int attempt)
{
	/* nobody gets a leftover's error: it gives up only when no append can succeed any more */
	if (!wait->parked.req)
		return attempt == 0 || attempt == -EIO || attempt == -EOVERFLOW ? attempt : 1;
	if (attempt != -EDQUOT &&
	    attempt != -EAGAIN) /* EAGAIN: the next segment is not prepared yet */
		return attempt;
	return chronfs_now_ms() >= wait->until_ms ? -EDQUOT : 1;
}

/* Tries the oldest, then the next, until one must wait on. */
static void try_list(struct chronfs *fs, struct chronfs_parked_list *list)
{
	struct chronfs_room_wait *first;
	int r;

	do {
		first = (struct chronfs_room_wait *)chronfs_parked_begin_attempt(list);
		if (!first)
			return;
		r = wait_result(first, first->attempt(fs, first));
	} while (chronfs_parked_end_attempt(list, &first->parked, r));
}

int chronfs_room_wait_step(struct chronfs *fs)
{
	try_list(fs, &fs->room_waits.leftovers);
	try_list(fs, &fs->room_waits.requests);
	if (chronfs_room_wait_any(fs))
		return REQUEST_INTERVAL_MS;
	return chronfs_parked_any(&fs->room_waits.leftovers) ? LEFTOVER_INTERVAL_MS : -1;
}

/* Finishes each with the result of a last attempt. */
static void end_list(struct chronfs *fs, struct chronfs_parked_list *list)
{
	struct chronfs_room_wait *first;

	while ((first = (struct chronfs_room_wait *)chronfs_parked_take_first(list)))
		first->parked.finish(fs, &first->parked, first->attempt(fs, first));
}

void chronfs_room_wait_end_requests(struct chronfs *fs)
{
	end_list(fs, &fs->room_waits.requests);
}

void chronfs_room_wait_fini(struct chronfs *fs)
{
	end_list(fs, &fs->room_waits.leftovers);
	chronfs_parked_fini(&fs->room_waits.leftovers);
	chronfs_parked_fini(&fs->room_waits.requests);
}

void chronfs_room_wait_count(struct chronfs *fs, uint64_t *ret_writes, uint64_t *ret_bytes)
{
	pthread_mutex_lock(&fs->room_waits.requests.lock);
	*ret_writes = fs->room_waits.requests.count;
	*ret_bytes = fs->room_waits.requests.held;
	pthread_mutex_unlock(&fs->room_waits.requests.lock);
}
