/* SPDX-License-Identifier: Apache-2.0 */
/*
 * successor.h - when a segment has been left, and which one comes next
 *
 * For those who follow a writer of another process.  That the successor's file exists says nothing:
 * it is published long before it is used.
 */
#ifndef CQ_SUCCESSOR_H
#define CQ_SUCCESSOR_H

#include <stdbool.h>
#include <stdint.h>

#include "catalog/mapped.h"
#include "chronq.h"
#include "meta/control.h"

/* Maps control.meta if that has not been done (page is NULL), or again if it has been replaced. */
void cq_successor_control(struct cq_control *control, int dirfd, bool writable);

/* The segment that the writer is in, as far as control.meta tells; else 0. */
uint32_t cq_successor_current(const struct cq_control *control);

/* Lowest published id from `from` on: -ENOENT when there is none. */
int cq_successor_next(int dirfd, uint32_t from, uint32_t *ret_id);

/*
 * The writer has left this segment: nothing will be added to it.  A record may have come before it
 * was left and after the caller had looked for one: look once more.
 */
bool cq_successor_left(cq_queue *queue, const struct cq_control *control,
                       const struct cq_mapped *mapped);

/* A segment of which it is so is the end of the queue, or behind it: no record, no seal. */
bool cq_successor_unused(const struct cq_mapped *mapped);

#endif
