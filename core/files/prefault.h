/* SPDX-License-Identifier: Apache-2.0 */
/*
 * prefault.h - makes the pages ahead of the writer present, from the preparer's thread
 *
 * Never takes the writer lock: a roll may hold it while it waits for this very thread.  The prefault lock
 * is held for a few loads and stores only.  While a segment's pages are touched, its `mapping_users` is
 * above 0, and the flusher does not unmap it.
 *
 * Invariant: all pages below `populated` of a segment have been touched, or the writer has gone past
 * them.  So a tail is used only with the segment that it is a place in: the writer changes the segment
 * together with the tail under the lock, and stores a new tail only for the current segment.
 */
#ifndef CQ_PREFAULT_H
#define CQ_PREFAULT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "files/wsegment.h"

struct cq_prefault {
	_Atomic uint64_t wanted_at; /* the writer wakes the preparer at this offset */
	pthread_mutex_t lock;
	struct cq_wsegment *segment; /* under lock: the current one */
	_Atomic uint64_t tail;       /* in that segment, when cq_prefault_due() was true last */
};

void cq_prefault_init(struct cq_prefault *prefault, struct cq_wsegment *current);
void cq_prefault_fini(struct cq_prefault *prefault);

/* Writer: this is the current segment now. */
void cq_prefault_follow(struct cq_prefault *prefault, struct cq_wsegment *current);

/* Writer, per append: true if the preparer has to be woken. */
static inline bool cq_prefault_due(struct cq_prefault *prefault, uint64_t tail)
{
	if (tail < atomic_load_explicit(&prefault->wanted_at, memory_order_relaxed))
		return false;
	atomic_store_explicit(&prefault->tail, tail, memory_order_relaxed);
	atomic_store_explicit(&prefault->wanted_at, UINT64_MAX, memory_order_relaxed);
	return true;
}

/* Preparer: touches the next window if the writer has come near it. */
void cq_prefault_step(struct cq_prefault *prefault);

#endif
