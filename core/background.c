/* SPDX-License-Identifier: Apache-2.0 */
/*
 * background.c - the two steps that a writer's threads repeat (worker.h)
 *
 * The preparer makes the next segment and the pages ahead; a roll may wait for it, under the writer
 * lock, so it never takes that lock.  The flusher syncs, closes, indexes, retires and gives the sign
 * of life.
 */
#include "writer.h"

#include <string.h>

#include "clock.h"
#include "log.h"

#define TICK_MS 1000 /* sign of life of an idle writer; chronicle-rs's readers allow 5 s */

int cq_writer_prepare_step(void *writer)
{
	cq_writer *w = writer;
	int r;

	while (cq_flush_open(w) > CQ_SEALED_OPEN_MAX)
		if (!cq_flush_close_one(w) && cq_flush_sealed(w) <= 0)
			break;
	r = cq_prealloc_step(&w->prealloc);
	if (cq_flush_wants_wake(w))
		cq_worker_kick(&w->flusher);
	if (r > 0)
		return 0;
	if (r < 0 && r != atomic_exchange(&w->prepare_error, r))
		cq_log(&w->config, CQ_WARNING, "next segment not prepared: %s",
		       strerrordesc_np(-r));
	else if (r == 0)
		atomic_store(&w->prepare_error, 0);
	cq_prefault_step(&w->prefault,
	                 __atomic_load_n(&w->control.page->write_offset, __ATOMIC_RELAXED));
	return TICK_MS;
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
		if (seq != w->last_interval_seq)
			(void)cq_flush_upto(w, seq);
		w->last_interval_seq = seq;
		w->last_interval_ms = now;
	}
	now = w->last_interval_ms + w->config.sync_interval_ms - now;
	return now < TICK_MS ? (int)now : TICK_MS;
}

int cq_writer_flush_step(void *writer)
{
	cq_writer *w = writer;
	int wait, due;
	bool busy;

	__atomic_store_n(&w->control.page->heartbeat_ns, cq_realtime_ns(), __ATOMIC_RELAXED);
	wait = cq_flush_step(w);
	/* each time, however much there is to sync and to close */
	busy = cq_retention_step(w) > 0;
	due = interval_sync(w);
	if (wait == 0 || busy)
		return 0;
	return due < wait ? (due > 0 ? due : 1) : wait;
}
