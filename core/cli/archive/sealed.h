/* SPDX-License-Identifier: Apache-2.0 */
/* sealed.h - which segments of a queue nothing will change any more */
#ifndef CHRONQ_SEALED_H
#define CHRONQ_SEALED_H

#include <chronq.h>
#include <stdbool.h>

/* The first segment behind this one.  ENOENT: there is none. */
int cli_sealed_next(cq_queue *queue, uint32_t id, uint32_t *ret_next);

/* The file of this segment can be read as one: 0.  Errors as cq_segment_open(). */
int cli_sealed_look(cq_queue *queue, uint32_t id);

/* What the header of a segment says, and of a sealed one without a summary (of chronicle-rs) what its records say. */
int cli_sealed_inspect(cq_queue *queue, uint32_t id, struct cq_segment_info *ret_info);

/* The writer has come to a later segment than this one. */
bool cli_sealed_is_left(cq_queue *queue, uint32_t id);

/* A power cut could take records from this sealed segment: 1.  0: no; or the queue does not tell, as one that
 * no writer of this library has opened. */
int cli_sealed_is_unsynced(cq_queue *queue, const struct cq_segment_info *segment);

#endif
