/* SPDX-License-Identifier: Apache-2.0 */
/*
 * background.c - the two steps that a writer's threads repeat (worker.h)
 *
 * The preparer makes the next segment and the pages ahead.  A roll may wait for the preparer under the
 * writer lock, so the preparer never takes that lock, and calls no function that might.  The flusher syncs,
 * finalizes and deletes segments, stores the sign of life, makes up for wake-ups that were left out
 * (control.c), and calls config.space when there is room again.
 *
 * An idle writer wakes once a second: the flusher does, for its sign of life.  The preparer sleeps while
 * no segment is missing, until it is kicked: each roll kicks it, a write into the last pages that are
 * present, and a deletion.  While one is missing (it failed, was refused, or waits for a roll that makes one
 * itself), the preparer tries once a second.
 */
#include "write/writer.h"

#include <errno.h>

#include "messages/log.h"
#include "messages/room.h"
#include "os/clock.h"

#define TICK_MS 1000     /* sign of life of an idle writer; chronicle-rs's readers allow 5 s */
#define IDLE_MS 60000    /* of a preparer with nothing to do, if no kick comes */
#define DISK_FULL_MS 100 /* between two tries to prepare, while the disk is full */

void cq_writer_call_space(cq_writer *w)
{
	if (atomic_exchange(&w->quota.wake_pending, false) && w->config.space)
		w->config.space(w->config.space_arg);
}

static int prepare(cq_writer *w)
{
	int r = 0;

	if (atomic_load(&w->ousted))
		return TICK_MS;
	while (atomic_load(&w->flush.open_count) > CQ_SEALED_OPEN_MAX)
		if (!cq_sealed_finalize_one(w) && cq_flush_sealed(w) <= 0)
			break;
	if (!cq_prealloc_complete(&w->prealloc)) {
		if (cq_owner_check(w) == -EIO && atomic_load(&w->ousted))
			return TICK_MS;
		r = cq_prealloc_step(&w->prealloc);
	}
	/* a deletion by retention makes room for the next segment before that is needed */
	if (atomic_exchange(&w->flush.wake_due, false) || w->prealloc.refused)
		cq_worker_kick(&w->flusher);
	if (r > 0) {
		atomic_store(&w->prepare_error, 0);
		if (cq_quota_note_room(&w->quota))
			cq_worker_kick(&w->flusher);
		return 0;
	}
	if (r < 0 && r != atomic_exchange(&w->prepare_error, r))
		cq_room_log(&w->config, CQ_WARNING, "next segment not prepared", r, w->dirfd,
		            w->segment_size);
	cq_prefault_step(&w->prefault);
	if (atomic_load(&w->quota.disk_full))
		return DISK_FULL_MS;
	/* at the limit there is nothing to do, either: every deletion that is noticed comes with a kick */
	return w->prealloc.refused || cq_prealloc_complete(&w->prealloc) ? IDLE_MS : TICK_MS;
}

int cq_writer_prepare_step(void *writer)
{
	cq_writer *w = writer;
	int ms;

	pthread_mutex_lock(&w->preparing);
	ms = prepare(w);
	pthread_mutex_unlock(&w->preparing);
	return ms;
}

/* Milliseconds until the next sync of CQ_SYNC_INTERVAL is due; does it when it is. */
static int interval_sync(cq_writer *w)
{
	uint64_t now, seq;

	if (w->config.sync != CQ_SYNC_INTERVAL || atomic_load(&w->error) < 0)
		return TICK_MS;
	now = cq_boottime_ms();
	if (now - w->last_interval_ms >= w->config.sync_interval_ms) {
		seq = cq_writer_appended(w);
		if (seq == w->last_interval_seq || cq_flush_upto(w, seq) == 0)
			w->last_interval_seq = seq;
		w->last_interval_ms = now;
	}
	now = w->last_interval_ms + w->config.sync_interval_ms - now;
	return now < TICK_MS ? (int)now : TICK_MS;
}

/* Once a second, also for an idle writer. */
static void check_owner(cq_writer *w)
{
	const uint64_t now = cq_boottime_ms();

	if (now - w->owner_checked_ms >= TICK_MS) {
		w->owner_checked_ms = now;
		(void)cq_owner_check(w);
	}
	if (atomic_load(&w->ousted))
		cq_owner_let_go(w);
}

int cq_writer_flush_step(void *writer)
{
	cq_writer *w = writer;
	int wait, due;
	bool busy;

	check_owner(w);
	if (!atomic_load(&w->ousted))
		__atomic_store_n(&w->control.page->heartbeat_ns, cq_realtime_ns(),
		                 __ATOMIC_RELAXED);
	if (atomic_exchange(&w->cut_short, false))
		cq_log(&w->config, CQ_ERROR,
		       "the current segment's file was cut short; the queue accepts nothing until it is "
		       "opened again");
	/* rolls that follow each other closely hold the writer lock all the time */
	if (cq_control_owes_wake(&w->control)) {
		cq_mutex_lock(&w->lock);
		cq_control_wake_owed(&w->control);
		cq_mutex_unlock(&w->lock);
	}
	wait = cq_flush_step(w);
	/* in each step, however much there is to sync and to finalize */
	busy = cq_retire_step(w) > 0;
	cq_writer_call_space(w);
	due = interval_sync(w);
	if (wait == 0 || busy)
		return 0;
	if (due < wait)
		wait = due;
	due = cq_retire_due(w);
	return due < wait ? due : wait;
}
