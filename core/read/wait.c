/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wait.c - a reader waits for the writer
 *
 * Order, against the writer's (commit, notify_seq += 1, look at waiters; all seq_cst): waiters +=
 * 1, load notify_seq, arrivals += 1, look for data, sleep while notify_seq is unchanged.  Either the
 * writer sees the waiter and wakes it, or the waiter sees the record.  control.c says when a writer
 * omits a wake-up, and why no waiter misses it.  A wake-up that is lost nevertheless (a writer that does
 * not notify, or was killed before it did; control.meta replaced) costs one slice.
 */
#include "read/reader.h"

#include <errno.h>
#include <sched.h>
#include <time.h>

#include "os/clock.h"
#include "os/process.h"

#define SPINS 200
#define YIELDS 4
#define SLICE_NS 100000000U /* of sleeping on the futex */
#define POLL_NS_MIN 50000U  /* of sleeping without one */
#define POLL_NS_MAX 20000000U
#define HEARTBEAT_NS 1000000000U

/* A PAD is no record: passes it. */
static bool pass_pad(cq_reader *reader)
{
	enum cq_record_state state;
	struct cq_record_header h;

	if (cq_record_load(reader->base, reader->size, reader->offset, &h, &state) <= 0 ||
	    h.type != CQ_TYPE_PAD)
		return false;
	reader->offset += cq_record_span((uint64_t)h.commit - 1);
	return true;
}

bool cq_reader_ready(cq_reader *reader)
{
	int r;

	while (reader->pending == 0) {
		if (cq_reader_has_record(reader)) {
			if (!pass_pad(reader))
				return true;
			continue;
		}
		r = cq_reader_follow(reader);
		if (r == 0)
			return false;
		if (r < 0)
			reader->pending = r;
	}
	return true;
}

static bool ready_soon(cq_reader *reader)
{
	for (int i = 0; i < SPINS && !cq_reader_has_record(reader); i++)
		cq_pause();
	for (int i = 0; i < YIELDS && !cq_reader_has_record(reader); i++)
		sched_yield();
	return cq_reader_ready(reader);
}

/* A sign of life, at most once a second; the committed position stays.  If the file cannot be written
 * now, the next commit reports it. */
static void heartbeat(cq_reader *reader)
{
	const uint64_t now = cq_realtime_ns();

	if (!reader->have_committed || now - reader->committed.heartbeat_ns < HEARTBEAT_NS)
		return;
	(void)cq_reader_file_beat(reader->committed_fd, now, &reader->committed);
}

/* Sleeps for at most `ns`, or until the writer notifies. -EINTR: a signal came. */
static int doze(cq_reader *reader, uint64_t ns)
{
	const struct timespec span = { .tv_sec = 0, .tv_nsec = (long)ns };
	uint32_t seen;
	int r = 0;

	if (!reader->control.page || !reader->control.writable)
		return clock_nanosleep(CLOCK_MONOTONIC, 0, &span, NULL) == EINTR ? -EINTR : 0;
	seen = cq_control_wait_begin(&reader->control);
	if (!cq_reader_ready(
		    reader)) /* rounded up: a wait of 0 ms would spin for the last part of a millisecond */
		r = cq_control_wait(&reader->control, seen, (int)((ns + 999999) / 1000000));
	cq_control_wait_end(&reader->control);
	return r;
}

int cq_reader_wait(cq_reader *reader, int timeout_ms)
{
	uint64_t start, spent, slice, poll = POLL_NS_MIN;
	const uint64_t limit = timeout_ms < 0 ? UINT64_MAX : (uint64_t)timeout_ms * 1000000U;
	int r;

	if (cq_process_forked(reader->process))
		return -ECHILD;
	if (cq_reader_ready(reader))
		return 1;
	if (timeout_ms == 0)
		return 0;
	start = cq_monotonic_ns();
	heartbeat(reader);
	if (ready_soon(reader))
		return 1;
	for (;;) {
		/* a new control.meta may also change how to wait: each wait looks at least once */
		cq_reader_control(reader);
		spent = cq_monotonic_ns() - start;
		if (spent >= limit)
			return 0;
		slice = SLICE_NS;
		if (!reader->control.page || !reader->control.writable) {
			slice = poll;
			poll = poll * 2 < POLL_NS_MAX ? poll * 2 : POLL_NS_MAX;
		}
		if (slice > limit - spent)
			slice = limit - spent;
		r = doze(reader, slice);
		if (r < 0)
			return r;
		if (cq_reader_ready(reader))
			return 1;
		heartbeat(reader);
	}
}
