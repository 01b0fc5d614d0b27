/* SPDX-License-Identifier: Apache-2.0 */
/*
 * numbers.c - whether record numbers name records
 *
 * chronicle-rs counts from 0 at each open of its writer, and a seek by number leads to the last run: the records of
 * earlier ones would be passed over.  All others count on.  So what chronicle-rs wrote is counted.  A segment of this
 * library says in its header what it holds, unless chronicle-rs has written to it.
 */
#include <errno.h>
#include <stdlib.h>

#include "ship/source.h"

/* *next: behind the highest number so far.  -ENOENT: it was deleted. */
static int check_segment(cq_queue *queue, uint32_t id, uint64_t *next)
{
	struct cq_segment_info info = CQ_SIZED(info);
	cq_segment *segment;
	int r;

	r = cq_segment_open(queue, id, &segment);
	if (r < 0)
		return r == -EBADMSG ? 0 : r; /* a reader reports the damage when it comes there */
	r = cq_segment_info(segment, CQ_SEGMENT_HEADER, &info);
	if (r == 0 && !info.have_content)
		r = cq_segment_info(segment, CQ_SEGMENT_RECORDS, &info);
	cq_segment_close(segment);
	if (r < 0)
		return r == -EIO ? 0 : r;
	if (info.records == 0)
		return 0;
	if (info.first_seq < *next || info.last_seq - info.first_seq != info.records - 1)
		return info.damaged ? 0 : -EILSEQ;
	*next = info.last_seq + 1;
	return 0;
}

int source_check_numbers(cq_queue *queue, uint32_t *ret_segment)
{
	uint64_t next = 0;
	uint32_t *ids;
	size_t count;
	int r;

	r = cq_queue_list(queue, &ids, &count);
	if (r < 0)
		return r;
	for (size_t i = 0; r == 0 && i < count; i++) {
		r = check_segment(queue, ids[i], &next);
		if (r == -ENOENT)
			r = 0;
		if (r == -EILSEQ)
			*ret_segment = ids[i];
	}
	free(ids);
	return r;
}
