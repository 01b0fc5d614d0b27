/* SPDX-License-Identifier: Apache-2.0 */
/* span.c - see span.h */
#include "shared/span.h"

#include <errno.h>
#include <stdlib.h>

/* Of a segment with records: 1 with *ret_times.  0: it has none, or is gone.  Another error: it cannot be read;
 * EAGAIN: it is not sealed, and `cheap` asks for what is known without reading all its records. */
static int times_of(cq_queue *queue, uint32_t id, bool cheap, struct cq_segment_times *ret_times)
{
	struct cq_segment_info info = CQ_SIZED(info);
	cq_segment *segment;
	int r;

	r = cq_segment_open(queue, id, &segment);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return r;
	r = cq_segment_info(segment, CQ_SEGMENT_HEADER, &info);
	if (r == 0 && !info.sealed && cheap)
		r = -EAGAIN;
	if (r == 0)
		r = cq_segment_times(segment, ret_times);
	cq_segment_close(segment);
	return r < 0 ? r : ret_times->records > 0;
}

int cli_first_since(cq_queue *queue, uint64_t since_ns, uint32_t *ret_id)
{
	struct cq_segment_times times;
	uint32_t *ids;
	size_t count;
	int r, found = 0;

	r = cq_queue_list(queue, &ids, &count);
	if (r < 0)
		return r;
	for (size_t i = 0; i < count && found == 0; i++) {
		r = times_of(queue, ids[i], true, &times);
		if (r < 0 || (r > 0 && times.highest_ns >= since_ns)) {
			*ret_id = ids[i];
			found = 1;
		}
	}
	free(ids);
	return found;
}

/* Moves the reader to the segment's first record, or before it. */
static int seek_segment(cq_queue *queue, cq_reader *reader, uint32_t id)
{
	struct cq_segment_info info = CQ_SIZED(info);
	struct cq_reader_stats stats = CQ_SIZED(stats);
	cq_segment *segment;
	int r;

	r = cq_segment_open(queue, id, &segment);
	if (r == 0) {
		r = cq_segment_info(segment, CQ_SEGMENT_HEADER, &info);
		cq_segment_close(segment);
	}
	if (r < 0 || !info.have_summary)
		return cq_reader_seek_oldest(reader);
	r = cq_reader_seek_seq(reader, info.first_seq);
	cq_reader_stats(reader, &stats);
	/* damage may hide it; and of chronicle-rs's numbers, which begin again at 0, the last run counts */
	if (r == -EIO || r == -EBADMSG || (r == 0 && stats.segment > id))
		r = cq_reader_seek_oldest(reader);
	return r;
}

int cli_seek_since(cq_queue *queue, cq_reader *reader, uint64_t since_ns)
{
	uint32_t id;
	int r;

	r = cli_first_since(queue, since_ns, &id);
	if (r == 0)
		return cq_reader_seek_oldest(reader);
	return r < 0 ? r : seek_segment(queue, reader, id);
}

uint32_t cli_last_until(cq_queue *queue, uint32_t segment, uint64_t until_ns)
{
	struct cq_segment_times times;
	uint32_t *ids, last = segment;
	size_t count;
	int r;

	if (cq_queue_list(queue, &ids, &count) < 0)
		return UINT32_MAX;
	for (size_t i = count; i > 0 && ids[i - 1] > segment && last == segment; i--) {
		r = times_of(queue, ids[i - 1], false, &times);
		if (r < 0 || (r > 0 && times.lowest_ns <= until_ns))
			last = ids[i - 1];
	}
	free(ids);
	return last;
}
