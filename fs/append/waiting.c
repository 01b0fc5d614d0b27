/* SPDX-License-Identifier: Apache-2.0 */
/*
 * waiting.c - what waits for room in a full queue
 *
 * With full=block a request that found no room is parked with a copy of its data.  The ticker tries
 * again when the library has deleted segments, and at intervals: the oldest request first, and none
 * before it has gone through.  A request waits no longer than full=block says; its interruption is
 * answered at once.  What a closed file has left to append is an orphan: tried first, as long as
 * there is a chance, and never in anybody's way.
 *
 * Invariants: a request is in fs->waiting until it is answered; who takes it out, under the mutex,
 * calls finish().  While it is being tried, without the mutex, it stays the first there: its
 * interruption leaves it alone, and is looked for after an attempt in vain.  Who parks wakes the
 * ticker, for the room may have come after his own attempt.
 */
#include "append/waiting.h"

#include <errno.h>

#define MOST_BYTES ((size_t)64 << 20) /* of copies */
#define MOST_ORPHANS 4096
#define REQUEST_INTERVAL_MS 20
#define ORPHAN_INTERVAL_MS 100

/* Under the mutex.  The first of a list is looked at without it, too. */
static void put_last(struct chronfs_waiting **list, struct chronfs_waiting *waiting)
{
	while (*list)
		list = &(*list)->next;
	waiting->next = NULL;
	__atomic_store_n(list, waiting, __ATOMIC_RELAXED);
}

static void take_out(struct chronfs *fs, struct chronfs_waiting **link)
{
	struct chronfs_waiting *waiting = *link;

	__atomic_store_n(link, waiting->next, __ATOMIC_RELAXED);
	if (waiting->req) {
		fs->waiting_count--;
		fs->waiting_bytes -= waiting->held;
	} else {
		__atomic_sub_fetch(&fs->orphan_count, 1, __ATOMIC_RELAXED);
	}
}

static void interrupted(fuse_req_t req, void *data)
{
	struct chronfs *fs = data;
	struct chronfs_waiting **link, *waiting;

	pthread_mutex_lock(&fs->waiting_lock);
	for (link = &fs->waiting; *link && (*link)->req != req; link = &(*link)->next)
		;
	waiting = *link; /* NULL: answered, or not parked yet: park() looks again */
	if (waiting && waiting->trying)
		waiting = NULL;
	if (waiting)
		take_out(fs, link);
	pthread_mutex_unlock(&fs->waiting_lock);
	if (!waiting)
		return;
	waiting->finish(fs, waiting, -EINTR);
	chronfs_ticker_wake(fs); /* the next one may need less room */
}

void chronfs_waiting_park(struct chronfs *fs, struct chronfs_waiting *waiting)
{
	int r = 0;

	waiting->trying = false;
	if (waiting->req)
		fuse_req_interrupt_func(waiting->req, interrupted, fs);
	pthread_mutex_lock(&fs->waiting_lock);
	if (!waiting->req) {
		put_last(&fs->orphans, waiting);
		__atomic_add_fetch(&fs->orphan_count, 1, __ATOMIC_RELAXED);
	} else if (fuse_req_interrupted(waiting->req)) {
		r = -EINTR; /* before it was parked: interrupted() has not found it */
	} else if (waiting->held > MOST_BYTES - fs->waiting_bytes) {
		r = -EDQUOT;
	} else {
		waiting->until_ms = chronfs_now_ms() + fs->options.full_wait_ms;
		put_last(&fs->waiting, waiting);
		fs->waiting_count++;
		fs->waiting_bytes += waiting->held;
		chronfs_count(&fs->counters.waited);
	}
	pthread_mutex_unlock(&fs->waiting_lock);
	if (r < 0)
		waiting->finish(fs, waiting, r);
	else
		chronfs_ticker_wake(fs);
}

bool chronfs_waiting_orphaned(const struct chronfs *fs)
{
	return __atomic_load_n(&fs->orphan_count, __ATOMIC_RELAXED) >= MOST_ORPHANS;
}

/* What the attempt comes to: -EDQUOT or -EINTR for a request that gives up, 1: it goes on waiting.
 * Under the mutex. */
static int judge(const struct chronfs_waiting *waiting, int result)
{
	/* An orphan has nobody to tell: it gives up only when nothing can be appended any more. */
	if (!waiting->req)
		return result == 0 || result == -EIO || result == -EOVERFLOW ? result : 1;
	if (result != -EDQUOT && result != -EAGAIN) /* EAGAIN: the segment is not prepared yet */
		return result;
	if (fuse_req_interrupted(waiting->req))
		return -EINTR;
	return chronfs_now_ms() >= waiting->until_ms ? -EDQUOT : 1;
}

/* Tries from the first on until one has to go on waiting. */
static void try_list(struct chronfs *fs, struct chronfs_waiting **list)
{
	struct chronfs_waiting *first;
	int r;

	do {
		pthread_mutex_lock(&fs->waiting_lock);
		first = *list;
		if (first)
			first->trying = true;
		pthread_mutex_unlock(&fs->waiting_lock);
		if (!first)
			return;
		r = first->attempt(fs, first);
		pthread_mutex_lock(&fs->waiting_lock);
		first->trying = false;
		r = judge(first, r);
		if (r <= 0)
			take_out(fs, list);
		pthread_mutex_unlock(&fs->waiting_lock);
		if (r <= 0)
			first->finish(fs, first, r);
	} while (r <= 0);
}

int chronfs_waiting_step(struct chronfs *fs)
{
	int next = -1;
	bool had;

	had = chronfs_waiting_any(fs);
	if (!had && !__atomic_load_n(&fs->orphans, __ATOMIC_RELAXED))
		return -1;
	try_list(fs, &fs->orphans);
	try_list(fs, &fs->waiting);
	pthread_mutex_lock(&fs->waiting_lock);
	if (fs->waiting)
		next = REQUEST_INTERVAL_MS;
	else if (fs->orphans)
		next = ORPHAN_INTERVAL_MS;
	pthread_mutex_unlock(&fs->waiting_lock);
	if (had && next != REQUEST_INTERVAL_MS)
		chronfs_poll_changed(fs); /* nobody is before those who poll any more */
	return next;
}

/* A last attempt of each, then the truth. */
static void end_list(struct chronfs *fs, struct chronfs_waiting **list)
{
	struct chronfs_waiting *first;

	for (;;) {
		pthread_mutex_lock(&fs->waiting_lock);
		first = *list;
		if (first)
			take_out(fs, list);
		pthread_mutex_unlock(&fs->waiting_lock);
		if (!first)
			return;
		first->finish(fs, first, first->attempt(fs, first));
	}
}

void chronfs_waiting_end(struct chronfs *fs)
{
	end_list(fs, &fs->waiting);
}

void chronfs_waiting_fini(struct chronfs *fs)
{
	end_list(fs, &fs->orphans);
	pthread_mutex_destroy(&fs->waiting_lock);
}

void chronfs_waiting_figures(struct chronfs *fs, uint64_t *ret_writes, uint64_t *ret_bytes)
{
	pthread_mutex_lock(&fs->waiting_lock);
	*ret_writes = fs->waiting_count;
	*ret_bytes = fs->waiting_bytes;
	pthread_mutex_unlock(&fs->waiting_lock);
}
