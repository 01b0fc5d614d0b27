/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check.h - what an opening writer does with what it finds
 *
 * cq_recover() first looks (nothing is changed), then decides, then acts.  Every act can be repeated:
 * killed anywhere, the next run comes to the same end.
 *
 *   The directory and the segments' headers are the truth; control.meta, index.meta and the indexes
 *   are hints.  Segments below the durable watermark are taken as they are; those from it on are
 *   read, as far as they hold records.  Without a watermark (a queue of chronicle-rs) sealed
 *   segments are taken as they are.
 *
 *   Active is the last segment that holds records and is not sealed.  A segment is left only when it
 *   is sealed; that the next file exists means nothing.  Where a later segment holds records all the
 *   same, and goes on where this one ends, this one gets the seal that the crash took away.
 *
 *   What survives is a prefix: behind the first record that is missing or damaged, everything is set
 *   aside, never deleted: bytes to NNNNNNNNN.q.broken, whole segments to NNNNNNNNN.q.corrupt.  If
 *   the watermark says that some of it was durable, that is a loss: nothing is changed, EBADMSG,
 *   unless the caller accepts it; the watermark then comes down to what is left.
 */
#ifndef CQ_CHECK_H
#define CQ_CHECK_H

#include <stdint.h>

#include "catalog/queue.h"
#include "chronq.h"
#include "files/wsegment.h"
#include "meta/lock.h"

struct cq_recovered {
	uint64_t segment_size;
	struct cq_wsegment *active; /* the caller's */
	uint64_t next_seq;
	uint64_t stream_end;
	uint64_t last_time;     /* of the newest record in the active segment; 0: none */
	uint32_t epoch;         /* for this writer: higher than any before */
	bool created;           /* there was nothing before */
	bool have_watermark;    /* there is a watermark */
	uint32_t oldest;        /* lowest published id */
	uint64_t segments;      /* published files */
	uint32_t unsynced_from; /* segments below it are on stable storage */
};

/*
 * Under the writer's lock.  Errors as cq_writer_open(); with EBADMSG, EINVAL and
 * EPROTONOSUPPORT nothing at all has been changed.  repairer (internal.h) is NULL for a writer that
 * opens.  A repair looks at more, tells what it finds, and ends with ECANCELED where nothing is done.
 */
struct cq_repairer;
int cq_recover(int dirfd, const struct cq_lock *lock, const struct cq_config *config,
               struct cq_repairer *repairer, struct cq_recovered *ret_recovered);

/* cq_verify() on an open queue; `at_rest`: no need to look for a writer, which takes some 20 ms. */
int cq_verify_queue(cq_queue *queue, bool at_rest, cq_finding_fn finding, void *arg,
                    struct cq_verify_result *ret_result);

#endif
