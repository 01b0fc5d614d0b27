/* SPDX-License-Identifier: Apache-2.0 */
/*
 * info.c - what cq_queue_info() says of a whole queue
 *
 * Everything is read from the files at the time of the call, and nothing is changed.  A writer may be at work:
 * each part is right at some moment of the call, and none of the numbers is ever ahead of the queue.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "catalog/locate.h"
#include "catalog/mapped.h"
#include "catalog/queue.h"
#include "catalog/successor.h"
#include "messages/sized.h"
#include "meta/identity.h"
#include "meta/watermark.h"
#include "os/process.h"

/* A number, and the position in the stream that goes with it. */
struct border {
	uint64_t seq, stream;
};

/* An identity that is not settled may get lost yet. */
static void identify(const cq_queue *queue, struct cq_queue_info *info)
{
	struct cq_identity identity;

	if (cq_identity_read(queue->dirfd, &identity) < 0 || !identity.settled)
		return;
	info->have_identity = true;
	info->replica = !cq_identity_is_none(identity.source);
	memcpy(info->identity, identity.id, sizeof identity.id);
	memcpy(info->source, identity.source, sizeof identity.source);
}

/* Where a segment begins: 1; 0: it does not say, and holds no record; -ENODATA: its first record is
 * chronicle-rs's, so nothing says it. */
static int begin_of(const struct cq_mapped *mapped, struct border *ret_begin)
{
	struct cq_walk walk = cq_walk_mapped(&mapped->map, sizeof(struct cq_segment_header));
	struct cq_segment_header summary;
	struct cq_record_at record;
	int r;

	if (cq_mapped_summary(mapped, &summary)) {
		*ret_begin = (struct border){ summary.first_seq, summary.stream_base };
		return 1;
	}
	r = cq_walk_next(&walk, &record);
	if (r <= 0)
		return r;
	if (record.header.ext != 1)
		return -ENODATA;
	*ret_begin = (struct border){ record.header.seq, record.header.stream_offset };
	return 1;
}

/* Where it ends, or has come to; results as begin_of(). */
static int end_of(const cq_queue *queue, const struct cq_control *control,
                  const struct cq_mapped *mapped, struct border *ret_end)
{
	struct cq_segment_header summary;
	struct cq_record_at record = { .offset = 0 };
	uint64_t from, landmark;
	struct cq_walk walk;
	int r;

	if (cq_mapped_sealed(mapped) && cq_mapped_summary(mapped, &summary)) {
		*ret_end = (struct border){ summary.first_seq + summary.records,
			                    summary.stream_base + summary.payload_bytes };
		return 1;
	}
	from = cq_locate_start(queue->dirfd, mapped, CQ_KEY_SEQ, UINT64_MAX, NULL);
	landmark = cq_locate_landmark(control, mapped, UINT64_MAX);
	walk = cq_walk_mapped(&mapped->map, landmark > from ? landmark : from);
	while ((r = cq_walk_next(&walk, &record)) == 1)
		;
	if (r < 0)
		return r;
	if (record.offset == 0)
		return begin_of(mapped, ret_end);
	if (record.header.ext != 1)
		return -ENODATA;
	*ret_end = (struct border){ record.header.seq + 1,
		                    record.header.stream_offset + record.length };
	return 1;
}

/* The first of the ids, from the newest on if `back`, that tells its border. */
static int find(cq_queue *queue, const uint32_t *ids, size_t count, bool back, struct border *ret)
{
	struct cq_control control = { .map = CQ_MAPPING_NONE };
	struct cq_mapped mapped;
	int r = 0;

	if (back)
		cq_successor_control(&control, queue->dirfd, false);

	for (size_t i = 0; i < count && r == 0; i++) {
		r = cq_mapped_of(queue, ids[back ? count - 1 - i : i], &mapped);
		if (r == -ENOENT ||
		    r == -EAGAIN) { /* deleted meanwhile; or a power cut took its header */
			r = 0;
			continue;
		}
		if (r < 0)
			break;
		r = back ? end_of(queue, &control, &mapped, ret) : begin_of(&mapped, ret);
		cq_mapped_close(&mapped);
	}
	if (control.page)
		cq_control_close(&control);
	return r;
}

static void find_bounds(cq_queue *queue, const uint32_t *ids, size_t count,
                        struct cq_queue_info *info)
{
	struct border begin, end;

	/* the beginning first, so that it is not ahead of the end */
	if (find(queue, ids, count, false, &begin) <= 0 || find(queue, ids, count, true, &end) <= 0)
		return;
	info->have_bounds = true;
	info->first_seq = begin.seq;
	info->next_seq = end.seq;
	info->stream_begin = begin.stream;
	info->stream_end = end.stream;
}

int cq_queue_info(cq_queue *queue, struct cq_queue_info *ret_info)
{
	struct cq_queue_info info = CQ_SIZED(info);
	struct cq_watermark_state durable;
	uint32_t *ids;
	size_t count;
	int r;

	if (cq_process_forked(queue->process))
		return -ECHILD;
	r = cq_sized_check(ret_info);
	if (r < 0)
		return r;
	/* before the listing, so that `current` is not ahead of `newest` */
	(void)cq_queue_position(queue, &info);
	r = cq_queue_segment_size(queue, &info.segment_size);
	if (r < 0)
		return r;
	/* before the records, so that it is not ahead of them */
	info.have_durable = cq_watermark_read(queue->dirfd, &durable) == 0 && durable.found;
	if (info.have_durable)
		info.durable_seq = durable.slot.seq;
	r = cq_queue_list(queue, &ids, &count);
	if (r < 0)
		return r;
	info.segments = count;
	if (count > 0) {
		info.oldest = ids[0];
		info.newest = ids[count - 1];
	}
	identify(queue, &info);
	/* for a caller that does not know these members this would be work for nothing */
	if (ret_info->size > offsetof(struct cq_queue_info, have_bounds))
		find_bounds(queue, ids, count, &info);
	free(ids);
	cq_sized_give(ret_info, &info, sizeof info);
	return 0;
}
