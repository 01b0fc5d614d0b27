/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sealed.h - inside of the flush (flush.h): the sealed segments on their way from the roll to their
 * sync
 *
 * A flush takes them all, looks at each without a lock (cq_sealed_classify), and sorts them
 * (cq_sealed_split): those that it syncs, those that are so young that they can wait, and those
 * that have been deleted, which need no sync.
 */
#ifndef CQ_SEALED_H
#define CQ_SEALED_H

#include <stdbool.h>

#include "chronq.h"
#include "write/flush.h"
#include "files/segment.h"

/* So many more than last time are worth a look whether they have been deleted. */
#define CQ_SEALED_LOOK 32

/* Says of each segment of the list what is to become of it; all: none waits.  Touches no link:
 * cq_flush_live() walks them. */
void cq_sealed_classify(struct cq_active *list, bool all);

/* Under the flush lock.  So many wait that none should any longer. */
bool cq_sealed_many(const struct cq_flush *flush);

/* Under the flush lock: each segment to where its fate leads it.  Returns those to be synced, in
 * order. *ret_dropped: some need no sync. */
struct cq_active *cq_sealed_split(struct cq_flush *flush, struct cq_active *list,
                                  bool *ret_dropped);

/* Under the flush lock: appends a list to a list. */
void cq_sealed_append(struct cq_active **list, struct cq_active *more);

/* Milliseconds until some are due; -1: there are none. */
int cq_sealed_due(cq_writer *writer);

#endif
