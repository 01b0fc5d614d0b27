/* SPDX-License-Identifier: Apache-2.0 */
/* walk.c - the iterator over the records of a segment; see walk.h */
#include "format/walk.h"

#include <errno.h>

#include "os/fault.h"

int cq_walk_step_in_file(struct cq_walk *walk, struct cq_record_at *ret_record)
{
	int r;

	walk->state = CQ_RECORD_OK;
	r = cq_window_record(walk->window, walk->offset, ret_record, &walk->state);
	if (r > 0)
		walk->offset = ret_record->end;
	return r;
}

/* The first load has found no record. */
int cq_walk_look_again(struct cq_walk *walk, struct cq_record_header *header)
{
	const struct cq_mapping *map = walk->map;

	if (cq_record_fits(map->size, walk->offset) && cq_mapping_shortened(map))
		return -EIO;
	walk->sealed = (cq_segment_flags_load(map->base) & CQ_SEALED) != 0;
	if (!walk->sealed || cq_planted("walk_no_second_look"))
		return 0;
	return cq_record_load(map->base, map->size, walk->offset, header, &walk->state);
}
