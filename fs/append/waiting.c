/* SPDX-License-Identifier: Apache-2.0 */
/*
 * waiting.c - what waits for room in a full queue
 *
 * With full=block a request that found no room is parked (held/parked.c) with a copy of its data.  The
 * ticker tries again when the library has deleted segments, and at intervals: the oldest request first,
 * and none before it has gone through.  A request waits no longer than full=block says; its interruption
 * is answered at once.  What a closed file has left to append is an orphan: tried first, as long as there
 * is a chance, and never in anybody's way.
 *
 * Invariant: who parks wakes the ticker, for the room may have come after his own attempt.
 */
#include "append/waiting.h"

#include <errno.h>

#include "chronfs.h"
#include "held/parked.h"
#include "held/poll.h"
#include "held/ticker.h"
#include "shared/counters.h"

#define MOST_BYTES ((size_t)64 << 20) /* of copies */
#define MOST_ORPHANS 4096
#define REQUEST_INTERVAL_MS 20
#define ORPHAN_INTERVAL_MS 100

void chronfs_waiting_init(struct chronfs *fs)
{
	chronfs_parked_init(&fs->waiting.requests, fs);
	chronfs_parked_init(&fs->waiting.orphans, fs);
}

bool chronfs_waiting_any(const struct chronfs *fs)
{
	return chronfs_parked_any(&fs->waiting.requests);
}

bool chronfs_waiting_allowed(const struct chronfs *fs, bool nonblock, int *ret_error)
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
static int add_request(struct chronfs *fs, struct chronfs_waiting *waiting)
{
	int r;

	if (waiting->parked.held > MOST_BYTES - fs->waiting.requests.held)
		return -EDQUOT;
	waiting->until_ms = chronfs_now_ms() + fs->options.full_wait_ms;
	r = chronfs_parked_add(&fs->waiting.requests, &waiting->parked);
	if (r == 0)
		chronfs_count(&fs->counters.waited);
	return r;
}

void chronfs_waiting_park(struct chronfs *fs, struct chronfs_waiting *waiting)
{
	struct chronfs_parked_list *list =
		waiting->parked.req ? &fs->waiting.requests : &fs->waiting.orphans;
	int r;

	if (waiting->parked.req)
		chronfs_parked_expect(list, waiting->parked.req);
	pthread_mutex_lock(&list->lock);
	r = waiting->parked.req ? add_request(fs, waiting)
	                        : chronfs_parked_add(list, &waiting->parked);
	pthread_mutex_unlock(&list->lock);
	if (r < 0)
		waiting->parked.finish(fs, &waiting->parked, r);
	else
		chronfs_ticker_wake(fs);
}

bool chronfs_waiting_orphaned(struct chronfs *fs)
{
	bool orphaned;

	pthread_mutex_lock(&fs->waiting.orphans.lock);
	orphaned = fs->waiting.orphans.count >= MOST_ORPHANS;
	pthread_mutex_unlock(&fs->waiting.orphans.lock);
	return orphaned;
}

/* What the attempt comes to: -EDQUOT for a request that gives up, 1: it goes on waiting. */
static int judge(const struct chronfs_waiting *waiting, int result)
{
	/* An orphan has nobody to tell: it gives up only when nothing can be appended any more. */
	if (!waiting->parked.req)
		return result == 0 || result == -EIO || result == -EOVERFLOW ? result : 1;
	if (result != -EDQUOT && result != -EAGAIN) /* EAGAIN: the segment is not prepared yet */
		return result;
	return chronfs_now_ms() >= waiting->until_ms ? -EDQUOT : 1;
}

/* Tries from the first on until one has to go on waiting. */
static void try_list(struct chronfs *fs, struct chronfs_parked_list *list)
{
	struct chronfs_waiting *first;
	int r;

	do {
		first = (struct chronfs_waiting *)chronfs_parked_try(list);
		if (!first)
			return;
		r = judge(first, first->attempt(fs, first));
	} while (chronfs_parked_tried(list, &first->parked, r));
}

int chronfs_waiting_step(struct chronfs *fs)
{
	const bool had = chronfs_waiting_any(fs);

	if (!had && !chronfs_parked_any(&fs->waiting.orphans))
		return -1;
	try_list(fs, &fs->waiting.orphans);
	try_list(fs, &fs->waiting.requests);
	if (chronfs_waiting_any(fs))
		return REQUEST_INTERVAL_MS;
	if (had)
		chronfs_poll_changed(fs); /* nobody is before those who poll any more */
	return chronfs_parked_any(&fs->waiting.orphans) ? ORPHAN_INTERVAL_MS : -1;
}

/* A last attempt of each, then the truth. */
static void end_list(struct chronfs *fs, struct chronfs_parked_list *list)
{
	struct chronfs_waiting *first;

	while ((first = (struct chronfs_waiting *)chronfs_parked_take_first(list)))
		first->parked.finish(fs, &first->parked, first->attempt(fs, first));
}

void chronfs_waiting_end(struct chronfs *fs)
{
	end_list(fs, &fs->waiting.requests);
}

void chronfs_waiting_fini(struct chronfs *fs)
{
	end_list(fs, &fs->waiting.orphans);
	chronfs_parked_fini(&fs->waiting.orphans);
	chronfs_parked_fini(&fs->waiting.requests);
}

void chronfs_waiting_figures(struct chronfs *fs, uint64_t *ret_writes, uint64_t *ret_bytes)
{
	pthread_mutex_lock(&fs->waiting.requests.lock);
	*ret_writes = fs->waiting.requests.count;
	*ret_bytes = fs->waiting.requests.held;
	pthread_mutex_unlock(&fs->waiting.requests.lock);
}
