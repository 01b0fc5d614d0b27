/* SPDX-License-Identifier: Apache-2.0 */
/*
 * prealloc.h - the slots through which the preparer hands the next segments to the writer
 *
 *                cq_prealloc_step() in the preparer            cq_prealloc_take() in a roll
 *   EMPTY -> PREPARING -> PUBLISHING -> READY ------------------------> EMPTY
 *                 \__________ stale or failed: EMPTY
 *
 * There are `depth` slots, usually one.  Segment `id` goes through slot id mod depth, which says the id of
 * the segment in it.
 *
 * Invariants
 *   `expected` is the id that the next roll needs.  Only the writer changes it, under the slot lock.
 *   A segment is published only while its id is expected, which is one of the `depth` ids from `expected`
 *   on, and taken only if its id is the very one.  A stale segment is never written: its file is unlinked
 *   before it is published, and left for a later open after that.
 *   A roll never passes an id that is PUBLISHING: the roll waits for that one rename.  So no id appears
 *   in the directory after the writer has gone past it, and nothing that retention has deleted
 *   comes back.
 *   A thread reserves a file before it makes one (quota.h).  The preparer keeps its reservation in the
 *   slot, so that a roll that stops waiting can take the reservation over.
 *   While a roll makes its segment itself, the preparer begins nothing: on a full disk the preparer's
 *   segment would take the room that the roll's segment needs.
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
	bool refused;               /* the preparer's: its last step could not reserve a file */
	bool look_first;            /* the preparer's: the next segment may be published already */
	_Atomic uint64_t published; /* final names given since open; the flusher compares */

	pthread_mutex_t lock;
	pthread_cond_t changed;
	/* under lock */
	struct cq_slot {
		_Atomic enum cq_slot_state state; /* a roll that spins reads it without the lock */
		uint32_t id;                      /* of what is in the slot or on its way there */
		bool reserved;                    /* PREPARING, PUBLISHING: the preparer's file */
		struct cq_wsegment *segment;      /* READY */
	} slots[CQ_SPARES_MAX];
	bool fallback_running; /* a roll is making segment `expected` - 1 itself */
	int error;             /* why error_id could not be prepared, or made by a roll */
	uint32_t error_id;
	uint64_t made, stale, failed;
};

void cq_prealloc_init(struct cq_prealloc *prealloc, int dirfd, uint64_t segment_size,
                      uint32_t depth, uint32_t expected, struct cq_quota *quota);

/* Drops what is in the slots; the preparer must have ended. */
void cq_prealloc_fini(struct cq_prealloc *prealloc);

/* Preparer: prepares the lowest expected segment that is missing.  Returns 1 if it did something; 0
 * if there was nothing to do, or no file to reserve (`refused`); the error of a failed preparation. */
int cq_prealloc_step(struct cq_prealloc *prealloc);

/* Preparer: all expected segments are ready.  The next work comes with a roll. */
bool cq_prealloc_complete(struct cq_prealloc *prealloc);

/* What a roll gets. */
struct cq_taken {
	struct cq_wsegment *segment;
	bool waited;   /* for the preparer */
	bool reserved; /* the caller has a reservation for a file of its own */
};

/*
 * Writer: takes segment `id`.  Waits at most wait_ms for it, and not at all where the preparer is not at
 * work on it and no file can be reserved.
 *   1          here it is; id + 1 is expected next
 *   0          there is none.  reserved: the caller makes it, then calls cq_prealloc_expect(); what
 *              the preparer makes of it is discarded.  Not reserved: the limit is reached
 * `required`: the caller will not make it.  Then instead of 0 with a reservation
 *   -EAGAIN    it has not come in time
 *   an error   why the preparer could not make it
 */
int cq_prealloc_take(struct cq_prealloc *prealloc, uint32_t id, uint32_t wait_ms, bool required,
                     struct cq_taken *ret_taken);

/* Writer: `id` is needed next.  error: 0, or why a roll could not make it; then the next roll does
 * not wait for it. */
void cq_prealloc_expect(struct cq_prealloc *prealloc, uint32_t id, int error);

/* Any thread: what has failed may succeed now, so it is worth waiting for the preparer again. */
void cq_prealloc_retry(struct cq_prealloc *prealloc);

/* Writer: segment `id` is there or on its way, or a file can be reserved for it. */
bool cq_prealloc_possible(struct cq_prealloc *prealloc, uint32_t id);

#endif
