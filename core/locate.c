/* SPDX-License-Identifier: Apache-2.0 */
/*
 * locate.c - where things are inside a segment, and where segments are in the stream
 *
 * What this library wrote says where it is: a segment's header its base and first sequence number,
 * a record's its stream offset.  What chronicle-rs wrote is walked, and what that gave is kept in
 * the reader.  An index file is believed as far as the records that it names bear it out.
 */
#include "locate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "record.h"
#include "seekindex.h"

int cq_locate_record(const struct cq_view *view, uint64_t *offset,
                     struct cq_record_header *ret_header)
{
	int r;

	for (;;) {
		r = cq_view_header(view, *offset, ret_header);
		if (r <= 0 || ret_header->type != CQ_TYPE_PAD)
			return r;
		*offset = cq_locate_behind(*offset, ret_header);
	}
}

/* ---- index ---- */

static bool entry_holds(const struct cq_view *view, const struct cq_index_entry *entry,
                        struct cq_record_header *ret_header)
{
	return cq_view_header(view, entry->offset, ret_header) == 1 &&
	       ret_header->type != CQ_TYPE_PAD && ret_header->seq == entry->seq &&
	       ret_header->time_ns == entry->time_ns;
}

/* Whether to walk from this record on, or from an earlier one. */
static bool begins_before(const struct cq_record_header *h, enum cq_key key, uint64_t value)
{
	switch (key) {
	case CQ_KEY_TIME:
		return h->time_ns < value;
	case CQ_KEY_STREAM:
		return h->ext == 1 && h->stream_offset <= value;
	case CQ_KEY_SEQ:
	default:
		return h->seq <= value;
	}
}

uint64_t cq_locate_start(const cq_reader *reader, const struct cq_view *view, enum cq_key key,
                         uint64_t value)
{
	uint64_t start = sizeof(struct cq_segment_header);
	struct cq_record_header h;
	struct cq_seekindex index;
	uint64_t low = 0, high;

	if (cq_seekindex_read(reader->queue->dirfd, view->id, view->map.size, &index) < 0)
		return start;
	high = index.header.entries;
	while (low < high) {
		uint64_t middle = low + (high - low) / 2;

		if (!entry_holds(view, &index.entries[middle], &h)) {
			start = sizeof(struct cq_segment_header);
			break;
		}
		if (begins_before(&h, key, value)) {
			start = index.entries[middle].offset;
			low = middle + 1;
		} else {
			high = middle;
		}
	}
	cq_seekindex_fini(&index);
	return start;
}

/* ---- sequence numbers ---- */

/* An index all of whose entries are right, which covers the whole segment. */
static bool index_holds(const struct cq_view *view, const struct cq_seekindex *index)
{
	struct cq_record_header h;
	uint64_t offset = sizeof(struct cq_segment_header), behind = 0;
	uint64_t i;

	if ((index->header.flags & CQ_INDEX_PARTIAL) != 0 || index->header.entries == 0 ||
	    cq_locate_record(view, &offset, &h) != 1 || index->entries[0].offset != offset)
		return false;
	for (i = 0; i < index->header.entries; i++)
		if (!entry_holds(view, &index->entries[i], &h))
			return false;
	/* the stretch that the last entry begins is all that its highest number may hide in */
	offset = index->entries[i - 1].offset;
	while (cq_locate_record(view, &offset, &h) == 1) {
		if (h.seq < index->header.min_seq || h.seq > index->header.max_seq ||
		    ++behind > CQ_INDEX_STRIDE)
			return false;
		offset = cq_locate_behind(offset, &h);
	}
	return true;
}

struct seq_plan {
	bool none;      /* no number in question is in there */
	uint64_t start; /* where to begin */
	bool ascending; /* one after another: the first that fits is the best */
};

static struct seq_plan plan_seq(const cq_reader *reader, const struct cq_view *view, uint64_t seq,
                                uint64_t best_seq)
{
	struct seq_plan plan = { .start = sizeof(struct cq_segment_header) };
	struct cq_segment_header summary;
	struct cq_seekindex index;
	uint64_t min, max;

	if (!cq_view_sealed(view) ||
	    cq_seekindex_read(reader->queue->dirfd, view->id, view->map.size, &index) < 0)
		return plan;
	min = index.header.min_seq;
	max = index.header.max_seq;
	if (index_holds(view, &index)) {
		plan.none = max < seq || min >= best_seq;
		plan.ascending = cq_view_summary(view, &summary) && summary.first_seq == min &&
		                 summary.records == max - min + 1;
	}
	cq_seekindex_fini(&index);
	if (plan.ascending && !plan.none)
		plan.start = cq_locate_start(reader, view, CQ_KEY_SEQ, seq);
	return plan;
}

int cq_locate_seq(const cq_reader *reader, const struct cq_view *view, uint64_t seq,
                  uint64_t *best_seq, uint64_t *best_offset)
{
	const struct seq_plan plan = plan_seq(reader, view, seq, *best_seq);
	uint64_t offset = plan.start, at = 0, best = *best_seq;
	struct cq_record_header h;
	bool found = false;
	int r;

	if (plan.none)
		return 0;
	while ((r = cq_locate_record(view, &offset, &h)) == 1) {
		if (h.seq >= seq && (h.seq < best || (found && h.seq == best))) {
			found = true;
			best = h.seq;
			at = offset;
			if (plan.ascending)
				break;
		}
		offset = cq_locate_behind(offset, &h);
	}
	if (r < 0)
		return r;
	if (found) {
		*best_seq = best;
		*best_offset = at;
	}
	return found;
}

/* ---- stream offsets ---- */

static struct cq_stream_base *cached(const cq_reader *reader, uint32_t id)
{
	size_t low = 0, high = reader->base_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (reader->bases[middle].id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low < reader->base_count && reader->bases[low].id == id ? &reader->bases[low] : NULL;
}

/* Without memory to remember it, it is found again when needed. */
static void remember(cq_reader *reader, struct cq_stream_base base)
{
	struct cq_stream_base *grown;
	size_t i = reader->base_count;

	if (cached(reader, base.id))
		return;
	grown = realloc(reader->bases, (reader->base_count + 1) * sizeof *grown);
	if (!grown)
		return;
	reader->bases = grown;
	for (; i > 0 && grown[i - 1].id > base.id; i--)
		grown[i] = grown[i - 1];
	grown[i] = base;
	reader->base_count++;
}

/* The base as the segment itself tells it: in its header, or through its first record. */
static bool own_base(const struct cq_view *view, uint64_t *ret_base)
{
	uint64_t offset = sizeof(struct cq_segment_header);
	struct cq_segment_header summary;
	struct cq_record_header h;

	if (cq_view_summary(view, &summary)) {
		*ret_base = summary.stream_base;
		return true;
	}
	if (cq_locate_record(view, &offset, &h) != 1 || h.ext != 1)
		return false;
	*ret_base = h.stream_offset;
	return true;
}

/*
 * Payload bytes in a segment.  *base comes in as what the segments before it make it, and goes out
 * as what the first record of ours in it says.
 */
static int measure(const struct cq_view *view, uint64_t *base, uint64_t *ret_bytes)
{
	uint64_t offset = sizeof(struct cq_segment_header), bytes = 0;
	struct cq_segment_header summary;
	struct cq_record_header h;
	bool told = false;
	int r;

	if (cq_view_sealed(view) && cq_view_summary(view, &summary)) {
		*base = summary.stream_base;
		*ret_bytes = summary.payload_bytes;
		return 0;
	}
	while ((r = cq_locate_record(view, &offset, &h)) == 1) {
		if (h.ext == 1 && !told && h.stream_offset >= bytes) {
			*base = h.stream_offset - bytes;
			told = true;
		}
		bytes += (uint64_t)h.commit - 1;
		offset = cq_locate_behind(offset, &h);
	}
	if (r < 0)
		return r;
	*ret_bytes = bytes;
	return 0;
}

static int known_base(cq_reader *reader, uint32_t id, uint64_t *ret_base)
{
	const struct cq_stream_base *hit = cached(reader, id);
	struct cq_view view;
	int r;

	if (hit) {
		*ret_base = hit->base;
		return 1;
	}
	r = cq_reader_view(reader, id, &view);
	if (r < 0)
		return r;
	r = own_base(&view, ret_base);
	cq_view_close(&view);
	return r;
}

/* Base of a segment and bytes in it, given what the segments before make its base. */
static int measure_id(cq_reader *reader, uint32_t id, uint64_t base, uint64_t *ret_base,
                      uint64_t *ret_bytes)
{
	const struct cq_stream_base *hit = cached(reader, id);
	struct cq_view view;
	uint64_t bytes = 0;
	bool sealed;
	int r;

	if (hit) {
		*ret_base = hit->base;
		*ret_bytes = hit->bytes;
		return 0;
	}
	r = cq_reader_view(reader, id, &view);
	if (r < 0)
		return r;
	sealed = cq_view_sealed(&view); /* before the walk, which then misses nothing */
	r = measure(&view, &base, &bytes);
	if (r == 0 && sealed)
		remember(reader, (struct cq_stream_base){ id, base, bytes });
	cq_view_close(&view);
	if (r < 0)
		return r;
	*ret_base = base;
	*ret_bytes = bytes;
	return 0;
}

int cq_locate_base(cq_reader *reader, const uint32_t *ids, size_t index, uint64_t *ret_base)
{
	uint64_t base = 0, bytes;
	size_t from = index;
	int r;

	for (;; from--) {
		r = known_base(reader, ids[from], &base);
		if (r < 0)
			return r;
		if (r > 0 || from == 0)
			break;
	}
	if (r == 0) {
		/* the oldest segment there is: at 0, unless a record of ours is further on in it */
		r = measure_id(reader, ids[0], 0, &base, &bytes);
		if (r < 0)
			return r;
	}
	for (; from < index; from++) {
		r = measure_id(reader, ids[from], base, &base, &bytes);
		if (r < 0)
			return r;
		base += bytes;
	}
	*ret_base = base;
	return 0;
}
