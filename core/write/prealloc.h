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
 *   `expected` is the id that the next roll needs.  Only the writer changes it, under slot lock.
 *   A result is published only while its id is expected, that is one of the `depth` ids from
 *   `expected` on, and taken only if it is the very one: a stale one is unlinked if unpublished,
 *   left for a later open if published, never written.
 *   A roll never passes an id that is PUBLISHING: it waits for that one rename.  So no id appears
 *   in the directory after the writer has gone past it, and nothing that retention has deleted
 *   comes back.
 *   Whoever makes a file has a place for it (quota.h).  The worker's is kept in the slot, so that a
 *   roll that does not wait any longer can take it over.
 *   While a roll makes its segment itself the worker begins nothing: on a full disk the next one
 *   would take the room that this one needs.
 *   The slot lock is never held during a system call on a file.
 */
#ifndef CQ_PREALLOC_H
#define CQ_PREALLOC_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "chronq.h"
#include "files/wsegment.h"
#include "retention/quota.h"

enum cq_slot_state { CQ_SLOT_EMPTY, CQ_SLOT_PREPARING, CQ_SLOT_PUBLISHING, CQ_SLOT_READY };

struct cq_prealloc {
	int dirfd;              /* constant, the writer's */
	uint64_t segment_size;  /* constant */
	uint32_t depth;         /* constant: slots in use */
	struct cq_quota *quota; /* locks itself */

	_Atomic uint32_t expected;  /* stored under lock, loaded anywhere */
	bool look_first;            /* the worker's: there may be published spares */
	bool refused;               /* the worker's: its last step found no place for a file */
	_Atomic uint64_t published; /* names given since open; the flusher compares */

	pthread_mutex_t lock;
	pthread_cond_t changed;
	/* under lock */
	struct cq_slot {
		_Atomic enum cq_slot_state state; /* looked at without it by a roll that spins */
		uint32_t id;                      /* of what is in the slot or on its way there */
		bool placed;                 /* PREPARING, PUBLISHING: with a place for the file */
		struct cq_wsegment *segment; /* READY */
	} slots[CQ_SPARES_MAX];
	bool on_the_spot; /* a roll is making `expected` - 1 itself */
	int error;        /* why error_id could not be prepared, or made by a roll */
	uint32_t error_id;
	uint64_t made, stale, failed;
};

void cq_prealloc_init(struct cq_prealloc *prealloc, int dirfd, uint64_t segment_size,
                      uint32_t depth, uint32_t expected, struct cq_quota *quota);

/* Drops what is in the slots; the worker must have ended. */
void cq_prealloc_fini(struct cq_prealloc *prealloc);

/* Worker: prepares the lowest expected segment that is not there.  Returns 1 if it did something; 0
 * if there was nothing to do, or no place (`refused`); the error of a failed preparation. */
int cq_prealloc_step(struct cq_prealloc *prealloc);

/* What a roll gets. */
struct cq_taken {
	struct cq_wsegment *segment;
	bool waited; /* for the worker */
	bool placed; /* the caller has a place for a file of its own */
};

/*
 * Writer: takes segment `id`, waiting at most wait_ms for it, but not where nothing is on its way
 * and there is no place for it.
 *   1          here it is; id + 1 is expected next
 *   0          there is none.  placed: the caller makes it, then calls cq_prealloc_expect(); what
 *              the worker makes of it will be discarded.  Not placed: the limit is reached
 * `required`: the caller will not make it.  Then instead of 0 with a place
 *   -EAGAIN    it has not come in time
 *   an error   why the worker could not make it
 */
int cq_prealloc_take(struct cq_prealloc *prealloc, uint32_t id, uint32_t wait_ms, bool required,
                     struct cq_taken *ret_taken);

/* Writer: `id` is needed next.  error: 0, or why a roll could not make it; then the next roll does
 * not wait for it. */
void cq_prealloc_expect(struct cq_prealloc *prealloc, uint32_t id, int error);

/* Anybody: what has failed may succeed now, so it is worth waiting for the worker again. */
void cq_prealloc_retry(struct cq_prealloc *prealloc);

/* Writer: segment `id` is there or on its way, or there is a place for it. */
bool cq_prealloc_possible(struct cq_prealloc *prealloc, uint32_t id);

#endif
