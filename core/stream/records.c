/* SPDX-License-Identifier: Apache-2.0 */
/*
 * records.c - the records of one segment: how many there are, and what is known of each but its payload
 *
 * Invariant: in a sealed segment there is something to say of each record that was counted, or an error.  A
 * file made of that, of which the kernel knows the size, never ends early.
 */
#include <errno.h>
#include <limits.h>

#include "catalog/queue.h"
#include "os/process.h"
#include "stream/segment_records.h"
#include "stream/stream.h"

/* ---- how many ---- */

/* Of the last segment in use, which nobody has counted. */
static int count_growing(struct cq_stream *s, uint32_t id, uint64_t *ret_records)
{
	struct cq_segment_counts counts;
	struct cq_catalog_entry entry;
	int r = 0;

	if (cq_queue_writer_counts(s->queue, id, &counts)) {
		*ret_records = counts.records;
		return 0;
	}
	pthread_mutex_lock(&s->queue->catalog.refresh);
	/* else its writer has left it a moment ago */
	if (s->tail.segment &&                  /* GCOV_EXCL_BR_LINE: a moment ago */
	    s->tail.segment->mapped.id == id) { /* GCOV_EXCL_BR_LINE: the same */
		*ret_records = s->tail.place.number;
	} else {
		r = cq_catalog_count(s->queue, id, &entry);
		if (r == 0) /* GCOV_EXCL_BR_LINE: it was there a moment ago */
			*ret_records = entry.records;
	}
	pthread_mutex_unlock(&s->queue->catalog.refresh);
	return cq_stream_gone(r) ? -ENOENT : r; /* GCOV_EXCL_BR_LINE: the same */
}

int cq_stream_segment_records(cq_stream *s, uint32_t id, uint64_t *ret_records)
{
	struct cq_catalog_entry entry;
	int r;

	if (cq_process_forked(s->process))
		return -ECHILD;
	r = cq_stream_refresh(s);
	if (r == 0)
		r = cq_stream_next_segment(s, id, &entry);
	if (r < 0)
		return r;
	if (r == 0) {
		r = cq_stream_check_prepared(s, id);
		if (r == 0)
			*ret_records = 0;
		return r;
	}
	if (entry.id != id)
		return -ENOENT;
	if (entry.flags & CQ_ENTRY_DAMAGED)
		return -EIO;
	if (!(entry.flags & CQ_ENTRY_COUNTED))
		return count_growing(s, id, ret_records);
	*ret_records = entry.records;
	return 0;
}

/* ---- each ---- */

/* Where the segment begins in the stream, counted if nothing will be added to it: 1.  0: it is prepared and
 * not in use yet. */
static int place(struct cq_stream *s, uint32_t id, struct cq_catalog_entry *ret_entry)
{
	int r;

	if (cq_catalog_get(&s->queue->catalog, id, ret_entry))
		return 1;
	r = cq_stream_refresh(s);
	if (r == 0)
		r = cq_stream_next_segment(s, id, ret_entry);
	if (r > 0 && ret_entry->id == id)
		return 1;
	/* not listed: behind a gap, maybe, that keeps the stream from going on */
	return r < 0 ? r : cq_catalog_ask(s->queue, id, ret_entry);
}

ssize_t cq_stream_segment_read_records(cq_stream *s, uint32_t id, uint64_t number,
                                       struct cq_record_info *records, size_t count)
{
	struct cq_segment_bytes *segment;
	struct cq_catalog_entry entry;
	ssize_t n;
	int r;

	if (cq_process_forked(s->process))
		return -ECHILD;
	if (count > SSIZE_MAX) /* GCOV_EXCL_BR_LINE: more than memory has */
		count = SSIZE_MAX;
	r = place(s, id, &entry);
	if (r <= 0)
		return cq_stream_gone(r) ? -ENOENT : r;
	r = cq_stream_take(s, id, &segment);
	if (r < 0)
		return r;
	n = cq_segment_records_read(segment, entry.base, number, records, count);
	if (n == 0 && (entry.flags & CQ_ENTRY_COUNTED) && number < entry.records && count > 0)
		n = -EIO; /* the records end before the count */
	cq_stream_put(s, segment, n);
	return n;
}
