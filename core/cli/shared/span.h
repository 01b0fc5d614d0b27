/* SPDX-License-Identifier: Apache-2.0 */
/*
 * span.h - which segments of a queue may hold records of a span of time
 *
 * The clock may have been set back while the queue was written.  Then times do not ascend, and
 * cq_reader_seek_time(), which looks at a few segments only, may pass over records.  These functions ask each
 * segment for its lowest and highest time, which its index has.
 */
#ifndef CHRONQ_SPAN_H
#define CHRONQ_SPAN_H

#include <chronq.h>
#include <stdbool.h>

/* The oldest segment that may hold a record of since_ns or later: one whose times say so, or do not say; or one that
 * is not sealed.  1 with *ret_id; 0: there is none. */
int cli_first_since(cq_queue *queue, uint64_t since_ns, uint32_t *ret_id);

/* Moves the reader before all records of since_ns or later, at the beginning of a segment. */
int cli_seek_since(cq_queue *queue, cq_reader *reader, uint64_t since_ns);

/* The newest segment that may hold a record of until_ns or before, from `segment` on, which may. */
uint32_t cli_last_until(cq_queue *queue, uint32_t segment, uint64_t until_ns);

#endif
