/* SPDX-License-Identifier: Apache-2.0 */
/* sealed.c - see sealed.h */
#include "archive/sealed.h"

#include <errno.h>
#include <stdlib.h>

int cli_sealed_next(cq_queue *queue, uint32_t id, uint32_t *ret_next)
{
	uint32_t *ids;
	size_t count;
	int r;

	r = cq_queue_list(queue, &ids, &count);
	if (r < 0)
		return r;
	r = -ENOENT;
	for (size_t i = 0; i < count && r < 0; i++) {
		if (ids[i] > id) {
			*ret_next = ids[i];
			r = 0;
		}
	}
	free(ids);
	return r;
}

int cli_sealed_look(cq_queue *queue, uint32_t id)
{
	cq_segment *segment;
	int r;

	r = cq_segment_open(queue, id, &segment);
	if (r == 0)
		cq_segment_close(segment);
	return r;
}

int cli_sealed_inspect(cq_queue *queue, uint32_t id, struct cq_segment_info *ret_info)
{
	cq_segment *segment;
	int r;

	r = cq_segment_open(queue, id, &segment);
	if (r < 0)
		return r;
	r = cq_segment_info(segment, CQ_SEGMENT_HEADER, ret_info);
	if (r == 0 && ret_info->sealed && !ret_info->have_content)
		r = cq_segment_info(segment, CQ_SEGMENT_CONTENT, ret_info);
	cq_segment_close(segment);
	return r;
}

bool cli_sealed_is_left(cq_queue *queue, uint32_t id)
{
	struct cq_queue_info now = CQ_SIZED(now);
	uint32_t oldest, newest;

	if (cq_queue_position(queue, &now) == 0)
		return now.current > id;
	return cq_queue_ends(queue, &oldest, &newest) == 0 && newest > id;
}

int cli_sealed_is_unsynced(cq_queue *queue, const struct cq_segment_info *segment)
{
	struct cq_queue_info info = CQ_SIZED(info);
	int r;

	if (segment->records == 0 || !segment->have_summary)
		return 0;
	r = cq_queue_wait_durable(queue, segment->last_seq + 1, 0, NULL);
	if (r != 0)
		return r < 0 ? r : 0;
	r = cq_queue_info(queue, &info);
	return r < 0 ? r : info.have_durable;
}
