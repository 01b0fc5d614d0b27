/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flush.h - durability: group commit, sealed segments, the watermark
 *
 * One flush runs at a time.  A thread that needs a flush and finds none running runs one; the other threads
 * wait for its result.  A flush syncs, in this order, every older segment that may not be on stable
 * storage, the current segment, and the directory; then it stores the watermark; then it replies.
 *
 * Invariants
 *   A sealed segment keeps the descriptor that it was written through until it has been synced: the
 *   kernel reports a failed write-back once per descriptor.
 *   Only a flush (one at a time) takes segments off the list of unsynced ones.
 *   A failed sync is final: the kernel may have dropped the pages, so the writer is poisoned and
 *   every request, now and later, gets EIO.  (A flush that could not begin, for want of a descriptor
 *   to an older segment, is no failed sync: the requests that wait for it get its error, and the next
 *   flush tries again.)
 */
#ifndef CQ_FLUSH_H
#define CQ_FLUSH_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "chronq.h"
#include "files/wsegment.h"
#include "meta/watermark.h"

/* At most so many sealed segments stay open.  Past it the preparer syncs and closes some before it
 * prepares the next segment; otherwise they would use up the process's descriptors. */
#define CQ_SEALED_OPEN_MAX 256

struct cq_flush {
	pthread_mutex_t lock;
	pthread_cond_t done;
	/* under lock */
	bool running;
	bool covered;            /* a flush has covered what was there at open */
	uint64_t durable_seq;    /* records below it are durable, once covered */
	uint64_t unsynced_count; /* sealed segments that wait for a flush or are in it */
	bool some_deleted;       /* of the unsynced ones, since a flush looked at them */
	uint64_t count, requests, ns_total, ns_max;
	uint64_t within[CQ_SYNC_BUCKETS]; /* [i]: in CQ_SYNC_BUCKET_NS(i) at most */
	struct cq_sync_request *queue;    /* the flusher replies to them; newest first */
	/* sealed segments, in order; at every moment each is in one of these lists */
	struct cq_wsegment *unsynced, **unsynced_end; /* wait for a flush */
	struct cq_wsegment *flushing;                 /* the running flush has them */
	struct cq_wsegment *synced;                   /* to be finalized */
	/* stored under lock, loaded anywhere */
	_Atomic uint64_t open_count; /* sealed segments that are not closed yet */
	_Atomic bool
		wake_due; /* the flusher may sleep for longer than the unsynced ones may wait */
	/* of the flush that runs */
	struct cq_watermark durable;
	bool check_older;      /* segments of an earlier process may be unsynced: */
	uint32_t older_from;   /* ids from this one up to, not including, */
	uint32_t older_to;     /* this one */
	uint64_t names_synced; /* of prealloc.published */
};

/* Leaves `durable` to be opened. */
void cq_flush_init(cq_writer *writer, uint32_t older_from);
void cq_flush_fini(cq_writer *writer);

/* Returns when every record below seq is durable: 0; -EIO; or why the flush could not begin. */
int cq_flush_upto(cq_writer *writer, uint64_t seq);

/* Syncs sealed segments, without the current segment and without the writer lock: a roll may hold that
 * while it waits for the preparer, which calls this.  1: some need no sync any more; 0: none did, or all
 * are so young that they can wait. */
int cq_flush_sealed(cq_writer *writer);

/* Replies to requests, syncs sealed segments that are due, finalizes those that are synced.  Returns
 * milliseconds as a worker's step does; 0: did something, call again. */
int cq_flush_step(cq_writer *writer);

/* After the last call on the writer, its flusher having ended: syncs what is sealed, replies to the
 * requests, finalizes what is synced, until nothing is left. */
int cq_flush_drain(cq_writer *writer);

/* ---- sealed segments on their way from the roll to their sync and their end (sealed.c) ---- */

/* Roll, under the writer lock: this segment waits for its sync. */
void cq_sealed_add(cq_writer *writer, struct cq_wsegment *segment);

/* A segment has been deleted.  If it is a sealed one that is still open, it needs no sync, and its room on
 * the disk is free only when it is closed: so the flusher looks at once. */
void cq_sealed_deleted(cq_writer *writer);

/* Milliseconds until a sync of some is due; -1: none waits. */
int cq_sealed_sync_due(cq_writer *writer);

/* Finalizes a synced segment: writes its index, sets its times, closes it.  False if there is none.  For
 * any thread that holds no lock. */
bool cq_sealed_finalize_one(cq_writer *writer);

/* What a sealed segment holds that is not finalized yet; false if that is none of them (queue.h). */
bool cq_sealed_counts(cq_writer *writer, uint32_t id, struct cq_segment_counts *ret_counts);

/* For a flush.  It takes all unsynced segments, decides about each without a lock (classify), and sorts
 * them: those that it syncs, those that are so young that they can wait, and those that have been deleted,
 * which need no sync. */

/* Under the flush lock.  So many wait that none should any longer. */
bool cq_sealed_many(const struct cq_flush *flush);

/* Sets the disposition of each segment of the list; all: none waits.  Leaves the links alone, which
 * cq_sealed_counts() follows. */
void cq_sealed_classify(struct cq_wsegment *list, bool all);

/* Under the flush lock: moves each segment to where its disposition says.  Returns those to be synced, in
 * order.  *ret_dropped: some need no sync. */
struct cq_wsegment *cq_sealed_sort(struct cq_flush *flush, struct cq_wsegment *list,
                                   bool *ret_dropped);

/* Under the flush lock: appends a list to a list. */
void cq_sealed_append(struct cq_wsegment **list, struct cq_wsegment *more);

#endif
