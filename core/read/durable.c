/* SPDX-License-Identifier: Apache-2.0 */
/*
 * durable.c - waiting for another process's writer to make records durable
 *
 * The writer stores the watermark (durable.meta), adds 1 to `flushes` in control.meta, and wakes all that sleep
 * on that word.  A waiter loads the word, reads the watermark, and sleeps while the word has not changed.  So it
 * finds the watermark that it waits for, or the word changed, or is woken.
 *
 * A waiter registers nowhere and stores nothing, so one that is killed leaves nothing behind, and one that may not
 * write to the queue waits as well.  The writer pays for it with a call after each flush, never after an append.
 * A writer that does not count (chronicle-rs, an older version), and a control.meta that is replaced, cost a
 * slice.
 */
#include <errno.h>
#include <time.h>

#include "catalog/queue.h"
#include "meta/control.h"
#include "meta/watermark.h"
#include "os/clock.h"
#include "os/process.h"
#include "read/reader.h"

#define POLL_MS 20U /* while there is no control.meta to sleep on */

uint32_t cq_durable_slice_ms = CQ_DURABLE_SLICE_MS;

static uint64_t durable_seq(const cq_queue *queue)
{
	struct cq_watermark_state state;

	return cq_watermark_read(queue->dirfd, &state) == 0 && state.found ? state.slot.seq : 0;
}

/* Sleeps for at most so long, or until a flush after `seen`.  -EINTR: a signal came. */
static int doze(struct cq_control *control, uint32_t seen, uint64_t ms)
{
	const struct timespec span = { .tv_sec = (time_t)(ms / 1000),
		                       .tv_nsec = (long)(ms % 1000) * 1000000 };

	if (control->page)
		return cq_control_wait_flush(control, seen, (int)ms);
	return clock_nanosleep(CLOCK_MONOTONIC, 0, &span, NULL) == EINTR ? -EINTR : 0;
}

int cq_queue_wait_durable(cq_queue *queue, uint64_t seq, int timeout_ms, uint64_t *ret_durable_seq)
{
	const uint64_t limit = timeout_ms < 0 ? UINT64_MAX : (uint64_t)timeout_ms;
	const uint64_t start = cq_monotonic_ns();
	uint64_t durable, spent, slice;
	struct cq_control control;
	uint32_t seen = 0;
	int r = 0;

	if (cq_process_forked(queue->process))
		return -ECHILD;
	for (;;) {
		if (cq_control_open(&control, queue->dirfd, false) < 0)
			control.page = NULL;
		do {
			if (control.page)
				seen = cq_control_flushes(&control);
			durable = durable_seq(queue);
			spent = (cq_monotonic_ns() - start) / 1000000U;
			if (durable >= seq || spent >= limit)
				break;
			slice = control.page ? cq_durable_slice_ms : POLL_MS;
			if (slice > limit - spent)
				slice = limit - spent;
			r = doze(&control, seen, slice);
		} while (r == 0 && control.page && cq_control_flushes(&control) != seen);
		if (control.page)
			cq_control_close(&control);
		if (r < 0)
			return r;
		if (durable >= seq || spent >= limit)
			break;
	}
	if (ret_durable_seq)
		*ret_durable_seq = durable;
	return durable >= seq;
}
