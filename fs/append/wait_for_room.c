/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wait_for_room.c - what waits for room in a full queue
 *
 * With full=block a request that found no room is parked (held/parked.c) with a copy of its data.
 * The background thread tries again when the library has deleted segments, and at intervals: the
 * oldest request first, and none before it has gone through.  A request waits no longer than
 * full=block says; its interruption is answered at once.  What a closed file has left to append is
 * a leftover: tried first, as long as there is a chance, and never in anybody's way.
 *
 * Invariant: who parks wakes the background thread, for the room may have come after his own
 * attempt.
 */
#include "append/wait_for_room.h"

#include <errno.h>

#include "chronfs.h"
#include "held/background.h"
#include "held/parked.h"
#include "held/poll.h"
#include "shared/counters.h"

#define MOST_BYTES ((size_t)64 << 20) /* of copies */
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

/* Under the lock. */
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

/* What the attempt comes to: -EDQUOT for a request that gives up, 1: it goes on waiting. */
static int judge(const struct chronfs_room_wait *wait, int result)
{
	/* A leftover has nobody to tell: it gives up only when nothing can be appended any more. */
	if (!wait->parked.req)
		return result == 0 || result == -EIO || result == -EOVERFLOW ? result : 1;
	if (result != -EDQUOT && result != -EAGAIN) /* EAGAIN: the segment is not prepared yet */
		return result;
	return chronfs_now_ms() >= wait->until_ms ? -EDQUOT : 1;
}

/* Tries from the first on until one has to go on waiting. */
static void try_list(struct chronfs *fs, struct chronfs_parked_list *list)
{
	struct chronfs_room_wait *first;
	int r;

	do {
		first = (struct chronfs_room_wait *)chronfs_parked_begin_attempt(list);
		if (!first)
			return;
		r = judge(first, first->attempt(fs, first));
	} while (chronfs_parked_end_attempt(list, &first->parked, r));
}

int chronfs_room_wait_step(struct chronfs *fs)
{
	const bool had = chronfs_room_wait_any(fs);

	if (!had && !chronfs_parked_any(&fs->room_waits.leftovers))
		return -1;
	try_list(fs, &fs->room_waits.leftovers);
	try_list(fs, &fs->room_waits.requests);
	if (chronfs_room_wait_any(fs))
		return REQUEST_INTERVAL_MS;
	if (had)
		chronfs_poll_changed(fs); /* nobody is before those who poll any more */
	return chronfs_parked_any(&fs->room_waits.leftovers) ? LEFTOVER_INTERVAL_MS : -1;
}

/* A last attempt of each, then the truth. */
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
