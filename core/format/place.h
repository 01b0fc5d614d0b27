/* SPDX-License-Identifier: Apache-2.0 */
/*
 * place.h - places in the queue, {segment, offset}, and which of two comes first
 *
 * The end of a full segment N, {N, segment size}, and the beginning of the next one, {N + 1, 64}, are
 * one place: there is nothing between them.  All comparisons of places are made here.
 */
#ifndef CQ_PLACE_H
#define CQ_PLACE_H

#include <stdint.h>

#include "format/format.h"

/* Turns the end of a full segment into the beginning of the next one.  size: of a segment; 0: unknown,
 * and the place stays as it is. */
static inline void cq_place_level(uint64_t *segment, uint64_t *offset, uint64_t size)
{
	if (size == 0 || *offset != size)
		return;
	*segment += 1;
	*offset = sizeof(struct cq_segment_header);
}

/* Below 0: the first place comes before the other; 0: they are one place; above 0: it comes behind. */
static inline int cq_place_compare(uint64_t segment, uint64_t offset, uint64_t other_segment,
                                   uint64_t other_offset, uint64_t size)
{
	cq_place_level(&segment, &offset, size);
	cq_place_level(&other_segment, &other_offset, size);
	if (segment != other_segment)
		return segment < other_segment ? -1 : 1;
	return (offset > other_offset) - (offset < other_offset);
}

#endif
