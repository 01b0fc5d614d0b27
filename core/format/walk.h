/* SPDX-License-Identifier: Apache-2.0 */
/*
 * walk.h - the iterator over the records of a segment
 *
 * A walk goes over a mapped segment, or over its file by pread (window.h).  Both stop at the same places,
 * and differ in one thing: a walk over the file checks each payload; one over a mapping does not, because
 * its callers check the payload that they return.
 *
 * The segment's writer may run meanwhile.  A record counts once its commit word is set.  A sealed segment
 * gets no more records, but may have got some between the load of the commit word and that of the seal: so
 * a walk over a mapping that finds the seal loads the commit word again, and a walk over a file reads it
 * again in a fresh copy.  At the end of an unsealed segment, successor.h decides whether to go to the next.
 *
 * cq_reader_next() has its own step, by cq_record_load(): it checks payload and numbering before it moves.
 */
#ifndef CQ_WALK_H
#define CQ_WALK_H

#include <stdbool.h>
#include <stdint.h>

#include "format/record.h"
#include "format/window.h"
#include "os/mapping.h"

struct cq_walk {
	uint64_t offset;            /* of the next record, or where the walk stopped */
	enum cq_record_state state; /* of the record there */
	bool sealed;                /* the walk ended in a sealed segment (mapped only) */
	const struct cq_mapping *map;
	struct cq_window *window; /* where there is no map */
};

/* Over a mapped segment, from the record at this offset on. */
static inline struct cq_walk cq_walk_mapped(const struct cq_mapping *map, uint64_t offset)
{
	return (struct cq_walk){ .offset = offset, .map = map };
}

/* Over a segment's file, from its first record on. */
static inline struct cq_walk cq_walk_file(struct cq_window *window)
{
	return (struct cq_walk){ .offset = sizeof(struct cq_segment_header), .window = window };
}

/* Parts of cq_walk_step(). */
int cq_walk_step_in_file(struct cq_walk *walk, struct cq_record_at *ret_record);
int cq_walk_look_again(struct cq_walk *walk, struct cq_record_header *header);

/*
 * The next record, PAD included: 1, and the walk is behind it.  0 at the end: a zero commit word, or no
 * room for a record.  Else the walk stays where it is:
 *   -EIO        there is a damaged record, and walk->state says how (for CQ_RECORD_PAYLOAD see
 *               cq_window_record()); with CQ_RECORD_OK: the file was cut short or cannot be read
 *   -ENOMEM, -ECANCELED  as cq_window_record()
 */
static inline int cq_walk_step(struct cq_walk *walk, struct cq_record_at *ret_record)
{
	struct cq_record_header *h = &ret_record->header;
	int r;

	if (!walk->map)
		return cq_walk_step_in_file(walk, ret_record);
	r = cq_record_load(walk->map->base, walk->map->size, walk->offset, h, &walk->state);
	if (r == 0)
		r = cq_walk_look_again(walk, h);
	if (r > 0) {
		cq_record_place(ret_record, walk->offset);
		walk->offset = ret_record->end;
	}
	return r;
}

/* The same, passing over PAD. */
static inline int cq_walk_next(struct cq_walk *walk, struct cq_record_at *ret_record)
{
	int r;

	do
		r = cq_walk_step(walk, ret_record);
	while (r > 0 && ret_record->header.type == CQ_TYPE_PAD);
	return r;
}

#endif
