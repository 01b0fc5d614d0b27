/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control.h - control.meta: geometry, the writer's position, the notification word
 *
 * One writer stores; readers of any process map it.  Position is {current_segment, write_offset}
 * under a sequence lock that only a roll takes; an append is a release store of write_offset.
 */
#ifndef CQ_CONTROL_H
#define CQ_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include "format/format.h"
#include "os/mapping.h"

struct cq_control {
	struct cq_mapping map;
	struct cq_control_page *page;
	bool writable;
	/* the writer's: wake-ups since the last one that woke a reader (control.c) */
	struct {
		bool any; /* there were some; all found the same two counts: */
		uint64_t arrivals;
		uint32_t waiters;
		uint64_t since_ns; /* time of the first of them, CLOCK_MONOTONIC */
		bool stale; /* the waiters that are counted are stale: their processes died */
		bool owed;  /* since the last wake-up one was omitted for that reason; atomic */
	} idle;
};

struct cq_position {
	uint32_t segment;
	uint64_t offset;
};

/* Maps it; -ENOENT, or -EBADMSG if it is not (yet) a complete control block.  writable false maps
 * read-only; true falls back to read-only where this process may not write (see ->writable). */
int cq_control_open(struct cq_control *ret_control, int dirfd, bool writable);

/* Writer: opens, repairs in place or creates it, then sets geometry, epoch and position. */
int cq_control_establish(struct cq_control *ret_control, int dirfd, uint64_t segment_size,
                         uint64_t epoch, struct cq_position position);

void cq_control_close(struct cq_control *control);

/* A consistent position; -EAGAIN when the sequence lock stays odd (its writer died in a roll). */
int cq_control_position(const struct cq_control *control, struct cq_position *ret_position);

/* Writer: the position after a roll. */
void cq_control_move(struct cq_control *control, struct cq_position position);

/* Writer: the position after an append, and the sign of life. */
static inline void cq_control_advance(struct cq_control *control, uint64_t offset, uint64_t now_ns)
{
	__atomic_store_n(&control->page->write_offset, offset, __ATOMIC_RELEASE);
	__atomic_store_n(&control->page->heartbeat_ns, now_ns, __ATOMIC_RELAXED);
}

/*
 * Landmarks: where the segment that is being written has its records 4096 K, K = 1, 2, ..., counted from 0.  The place of
 * record 4096 K is in the slot of the lowest bit that is set in K, so there are the more of them the nearer they are to
 * the end: the nearest one before a record that is D records before the end is at most some 4 D + 8192 records before
 * it.
 *
 * Invariant: a landmark is stored after its record is committed.  A reader believes it only while a record of this
 * library with that number is there, and only in the boot in which it was stored: a power cut may keep it, and the
 * record, and take a page before the record.  Readers behind such a hole would miss what is written there next.
 */
#define CQ_LANDMARK_STRIDE 4096U

/* Writer: the record that has so many before it in its segment, where that is a multiple of the stride. */
static inline void cq_control_landmark(struct cq_control *control, uint64_t before, uint64_t seq,
                                       uint64_t offset)
{
	const unsigned bit = (unsigned)__builtin_ctzll(before / CQ_LANDMARK_STRIDE);
	const unsigned slot = bit < CQ_CONTROL_LANDMARKS ? bit : CQ_CONTROL_LANDMARKS - 1;

	__atomic_store_n(&control->page->landmarks[slot], offset << 32 | (uint32_t)seq,
	                 __ATOMIC_RELEASE);
}

/* Reader: those of this segment, in any order; false: there are none now, or they are of an earlier boot. */
bool cq_control_landmarks(const struct cq_control *control, uint32_t segment,
                          uint64_t ret_landmarks[CQ_CONTROL_LANDMARKS]);

/* The rest of cq_control_notify() if `waiters` is not 0. */
void cq_control_wake(struct cq_control *control, uint32_t waiters, uint64_t arrivals);

/* Writer: notifies readers of everything new, once.  A system call only if a reader waits. */
static inline void cq_control_notify(struct cq_control *control)
{
	const uint64_t arrivals = __atomic_load_n(&control->page->arrivals, __ATOMIC_ACQUIRE);
	uint32_t waiters;

	__atomic_fetch_add(&control->page->notify_seq, 1, __ATOMIC_SEQ_CST);
	waiters = __atomic_load_n(&control->page->waiters, __ATOMIC_SEQ_CST);
	if (waiters == 0)
		control->idle.any = false;
	else
		cq_control_wake(control, waiters, arrivals);
}

/* Writer: a notification in two halves, between which the caller makes a full barrier: a waiting reader sees
 * the new number, or the second half sees the reader.  If either returns true, cq_control_notify() is to be
 * called. */
static inline bool cq_control_count(struct cq_control *control)
{
	uint32_t *seq = &control->page->notify_seq;

	__atomic_store_n(seq, __atomic_load_n(seq, __ATOMIC_RELAXED) + 1, __ATOMIC_RELEASE);
	return control->idle.any;
}

static inline bool cq_control_awaited(const struct cq_control *control)
{
	return __atomic_load_n(&control->page->waiters, __ATOMIC_SEQ_CST) != 0;
}

/* Reader: wakes all readers that wait, which look and sleep again. */
void cq_control_wake_readers(const struct cq_control *control);

/* Writer: makes up for the wake-ups that cq_control_notify() has omitted.  To be called about once a second,
 * and at the end, under the same lock. */
void cq_control_wake_owed(struct cq_control *control);

/* Any thread, without that lock: there is something to make up for. */
bool cq_control_owes_wake(const struct cq_control *control);

/* Writer, after each flush: wakes all that wait for the watermark.  Any thread. */
void cq_control_flushed(struct cq_control *control);

/* How many flushes there were, to be loaded before the watermark is read; and sleeping until there is another one
 * after these, for timeout_ms at most.  -EINTR: a signal came.  The mapping may be read-only. */
uint32_t cq_control_flushes(const struct cq_control *control);
int cq_control_wait_flush(struct cq_control *control, uint32_t seen, int timeout_ms);

/*
 * Reader: waits for a notification after `seen`, at most timeout_ms.  The caller calls, in this order,
 * cq_control_wait_begin(), looks for data, cq_control_wait(), cq_control_wait_end().
 */
uint32_t cq_control_wait_begin(struct cq_control *control);
int cq_control_wait(struct cq_control *control, uint32_t seen, int timeout_ms);
void cq_control_wait_end(struct cq_control *control);

#endif
