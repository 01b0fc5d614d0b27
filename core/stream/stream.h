/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream.h - inside of cq_stream: shared by stream.c, records.c, bounds.c and tail_follower.c
 *
 * Locks: the catalogue's `refresh` (catalog.h), then those of the catalogue, the mapping cache and the
 * segments' bytes, which are taken one at a time, for an access to memory each.  No thread holds
 * `refresh` while it reads bytes.  A thread that asks this process's writer takes the writer lock
 * under `refresh`; the writer knows nothing of streams.
 *
 * Invariant: `end` is raised only when the catalogue goes that far, and `begin` after `end`.  So a
 * thread that loads `begin` first, then `end`, then looks up a position before that, finds it.
 */
#ifndef CQ_STREAM_H
#define CQ_STREAM_H

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "catalog/queue.h"
#include "chronq.h"
#include "meta/control.h"
#include "stream/mapping_cache.h"
#include "stream/segment_bytes.h"

/* Where the records end, in a queue that this process does not write. */
struct cq_tail_follower {
	struct cq_control control;        /* page NULL: not there (yet); a hint */
	struct cq_segment_bytes *segment; /* the last one in use; NULL: not found (yet) */
	uint64_t base;                    /* where that begins in the stream */
	struct cq_record_start place;     /* how far its records were followed */
	bool ended;                       /* it has been left, and no segment came after it */
	bool empty;                       /* no segment could be the last in use */
	bool settled;            /* the directory's time was old when it was last looked at: */
	struct timespec changed; /* while the time stays the same, no name has come or gone */
};

struct cq_stream {
	uint64_t process; /* that opened it (os/process.h) */
	cq_queue *queue;
	struct cq_mapping_cache cache;
	_Atomic uint64_t begin, end; /* they only grow */

	/* of this process's writer: what the catalogue agrees with; ids + 1 */
	_Atomic uint64_t oldest, active;

	struct cq_tail_follower tail; /* under `refresh` */
};

/* The segment is gone, or its name leads to something else. */
static inline bool cq_stream_gone(int error)
{
	return error == -ENOENT || error == -EBADMSG || error == -EAGAIN;
}

static inline void cq_stream_raise(_Atomic uint64_t *number, uint64_t to)
{
	uint64_t from = atomic_load(number);

	while (from < to && /* another thread may raise it right here */
	       !atomic_compare_exchange_weak(number, &from, to)) /* GCOV_EXCL_BR_LINE: raised */
		;
}

/* Brings the catalogue and both bounds up to date. */
int cq_stream_refresh(struct cq_stream *stream);

/* The first segment there is from `id` on, placed and, unless it is the last, counted: 1, or 0. */
int cq_stream_next_segment(struct cq_stream *stream, uint32_t id,
                           struct cq_catalog_entry *ret_entry);

/* A published segment that is not listed, as one that is prepared and not in use yet: 0. */
int cq_stream_check_prepared(struct cq_stream *stream, uint32_t id);

/* Takes a segment's mapping.  ENOENT: the segment is gone. */
int cq_stream_take(struct cq_stream *stream, uint32_t id, struct cq_segment_bytes **ret_segment);
/* Puts it back, after a read that gave `n`.  If the file is not what it was, the next caller that takes it
 * maps it again. */
void cq_stream_put(struct cq_stream *stream, struct cq_segment_bytes *segment, ssize_t n);

/* ---- the caller of these holds `refresh` ---- */

/* Finds the beginning again, when the oldest segment may be another. */
int cq_stream_find_begin(struct cq_stream *stream);

/* This segment turned out to be gone. */
int cq_stream_lost(struct cq_stream *stream, uint32_t id);

/* As cq_stream_refresh(), of a queue that this process does not write; but for `begin`. */
int cq_tail_follow(struct cq_stream *stream);

/* The last segment in use is gone. */
void cq_tail_forget(struct cq_stream *stream);

void cq_tail_fini(struct cq_stream *stream);

#endif
