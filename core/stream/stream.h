/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream.h - inside of cq_stream: shared by stream.c, ends.c and tail.c
 *
 * Locks: survey > those of bases, shelf and payload, which are taken one at a time, for a moment
 * each. Nobody holds survey while bytes are read; it is held while the directory, headers or
 * records are looked at to find out where something is.  Asking this process's writer takes the
 * writer lock under it; the writer knows nothing of streams.
 *
 * Invariant: `end` is raised only when the table of segments goes that far, and `begin` after
 * `end`. So whoever loads `begin` first, then `end`, then looks a position before that up, finds
 * it.
 */
#ifndef CQ_STREAM_H
#define CQ_STREAM_H

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "catalog/bases.h"
#include "chronq.h"
#include "meta/control.h"
#include "stream/payload.h"
#include "stream/shelf.h"

/* Where the records end, in a queue that this process does not write. */
struct cq_tail {
	struct cq_control control;  /* page NULL: not there (yet); a hint */
	struct cq_payload *payload; /* the last segment in use; NULL: not found (yet) */
	uint64_t base;              /* where that begins in the stream */
	struct cq_place place;      /* how far its records were followed */
	bool ended;                 /* it has been left, and no segment came after it */
	bool empty;                 /* no segment could be the last in use */
	bool settled;               /* the directory's time was old when it was last looked at: */
	struct timespec changed;    /* as long as it stays so, no name has come or gone */
};

struct cq_stream {
	uint64_t process; /* that opened it (os/process.h) */
	cq_queue *queue;
	struct cq_shelf shelf;
	_Atomic uint64_t begin, end; /* they only grow */

	/* of this process's writer: what the table agrees with; ids + 1 */
	_Atomic uint64_t oldest, active;

	pthread_mutex_t survey; /* who may change the following */
	struct cq_bases bases;  /* the segments in use: the last one is the writer's */
	struct cq_tail tail;
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

/* Brings the table and both ends up to date. */
int cq_stream_look(struct cq_stream *stream);

/* All of the following under survey. */

/* Finds the beginning again, when the oldest segment may be another. */
int cq_stream_begin(struct cq_stream *stream);

/* This segment turned out to be gone. */
int cq_stream_lost(struct cq_stream *stream, uint32_t id);

/* As cq_stream_look(), of a queue that this process does not write; but for `begin`. */
int cq_tail_look(struct cq_stream *stream);

/* The last segment in use is gone. */
int cq_tail_forget(struct cq_stream *stream);

void cq_tail_fini(struct cq_stream *stream);

#endif
