/* SPDX-License-Identifier: Apache-2.0 */
/*
 * successor.h - when a segment has been left, and which one comes next
 *
 * For callers that follow a writer of another process.  The existence of the successor's file does not
 * count: the file is published long before it is used.
 */
#ifndef CQ_SUCCESSOR_H
#define CQ_SUCCESSOR_H

#include <stdbool.h>
#include <stdint.h>

#include "catalog/mapped.h"
#include "chronq.h"
#include "meta/control.h"

/* Maps control.meta if it is not mapped yet (page is NULL), or again if it has been replaced. */
void cq_successor_control(struct cq_control *control, int dirfd, bool writable);

/* The segment that the writer is in, by control.meta; 0 if that is not mapped. */
uint32_t cq_successor_current(const struct cq_control *control);

/* Lowest published id from `from` on: -ENOENT when there is none. */
int cq_successor_next(int dirfd, uint32_t from, uint32_t *ret_id);

/*
 * True: the writer has left this segment and will add nothing to it.  A record may have come after the
 * caller had looked for one and before the writer left: the caller looks once more.
 */
bool cq_successor_left(cq_queue *queue, const struct cq_control *control,
                       const struct cq_mapped *mapped);

/*
 * True: the segment has no seal, control.meta says that the writer is in it, and no file has the next id.
 * So nothing follows it, and the directory need not be listed.  (The writer seals a segment before it
 * moves the position.  A later file behind a missing id is none of the queue: recovery sets it aside.)
 */
bool cq_successor_none(const cq_queue *queue, const struct cq_control *control,
                       const struct cq_mapped *mapped);

/* The segment has no record and no seal: it is the end of the queue, or behind it. */
bool cq_successor_unused(const struct cq_mapped *mapped);

#endif
