/* SPDX-License-Identifier: Apache-2.0 */
/*
 * prealloc.h - the slots through which the worker hands the next segments to the writer
 *
 *                cq_prealloc_step() in the worker              cq_prealloc_take() in a roll
 *   EMPTY -> PREPARING -> PUBLISHING -> READY ------------------------> EMPTY
 *                 \__________ stale or failed: EMPTY
 *
 * There are `depth` slots, one as a rule; segment `id` goes through slot id mod depth, which is
 * tagged with the id of what is in it.
 *
 * Invariants
 *   `expected` is the id that the next roll needs.  Only the writer changes it, under the slot lock.
 *   A result is published only while its id is expected, that is one of the `depth` ids from
 *   `expected` on, and taken only if it is the very one: a stale one is unlinked if unpublished, left
 *   for a later open if published, never written.
 *   A roll never passes an id that is PUBLISHING: it waits for that one rename.  So no id appears
 *   in the directory after the writer has gone past it, and nothing that retention has deleted comes
 *   back.
 *   The slot lock is never held during a system call on a file.
 */
#ifndef CQ_PREALLOC_H
#define CQ_PREALLOC_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "chronq.h"
#include "segment.h"

enum cq_slot_state { CQ_SLOT_EMPTY, CQ_SLOT_PREPARING, CQ_SLOT_PUBLISHING, CQ_SLOT_READY };

struct cq_prealloc {
	int dirfd;             /* constant, the writer's */
	uint64_t segment_size; /* constant */
	uint32_t depth;        /* constant: slots in use */

	_Atomic uint32_t expected; /* stored under lock, loaded anywhere */
	bool look_first;           /* the worker's: there may be published spares */
	_Atomic uint64_t published; /* names given since open; the flusher compares */

	pthread_mutex_t lock;
	pthread_cond_t changed;
	/* under lock */
	struct cq_slot {
		_Atomic enum cq_slot_state state; /* looked at without it by a roll that spins */
		uint32_t id;               /* of what is in the slot or on its way there */
		struct cq_active *segment; /* READY */
	} slots[CQ_SPARES_MAX];
	int error;                 /* why error_id could not be prepared */
	uint32_t error_id;
	uint64_t made, stale, failed;
};

int cq_prealloc_init(struct cq_prealloc *prealloc, int dirfd, uint64_t segment_size, uint32_t depth,
                     uint32_t expected);

/* Drops what is in the slots; the worker must have ended. */
void cq_prealloc_fini(struct cq_prealloc *prealloc);

/* Worker: prepares the lowest expected segment that is not there.  Returns 1 if it did something, 0 if
 * there was nothing to do, the error of a failed preparation. */
int cq_prealloc_step(struct cq_prealloc *prealloc);

/*
 * Writer: takes segment `id`, waiting at most wait_ms for it.  Returns 1 with it, or 0: there is
 * none, and whatever the worker makes of this id will be discarded.  Either way id + 1 is expected
 * next.
 */
int cq_prealloc_take(struct cq_prealloc *prealloc, uint32_t id, uint32_t wait_ms,
                     struct cq_active **ret_segment, bool *ret_waited);

/* Writer: `id` is needed next after all (making it on the spot failed). */
void cq_prealloc_expect(struct cq_prealloc *prealloc, uint32_t id);

#endif
