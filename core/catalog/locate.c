/* SPDX-License-Identifier: Apache-2.0 */
/*
 * locate.c - where records are inside a segment
 *
 * An index file is believed only where the records that it names are as it says.
 */
#include "catalog/locate.h"

#include "files/index.h"
#include "os/fault.h"

/* ---- index ---- */

static bool entry_holds(const struct cq_mapped *mapped, const struct cq_index_entry *entry,
                        struct cq_record_header *ret_header)
{
	return cq_mapped_header(mapped, entry->offset, ret_header) == 1 &&
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
	default: /* GCOV_EXCL_BR_LINE: no other value */
		return h->seq <= value;
	}
}

/* The index is of all records, which have as many numbers, from the first one's on. */
static bool is_consecutive(const struct cq_mapped *mapped, const struct cq_index *index)
{
	const uint64_t min = index->header.min_seq, max = index->header.max_seq;
	struct cq_segment_header summary;

	return (index->header.flags & CQ_INDEX_PARTIAL) == 0 && cq_mapped_sealed(mapped) &&
	       cq_mapped_summary(mapped, &summary) && summary.first_seq == min &&
	       summary.records == max - min + 1;
}

uint64_t cq_locate_start(int dirfd, const struct cq_mapped *mapped, enum cq_key key, uint64_t value,
                         bool *ret_consecutive)
{
	uint64_t start = sizeof(struct cq_segment_header);
	struct cq_record_header h;
	struct cq_index index;
	uint64_t low = 0, high;

	if (ret_consecutive)
		*ret_consecutive = false;
	if (cq_index_read(dirfd, mapped->id, mapped->map.size, &index) < 0)
		return start;
	if (ret_consecutive)
		*ret_consecutive = is_consecutive(mapped, &index);
	high = index.header.entries;
	while (low < high) {
		uint64_t middle = low + (high - low) / 2;

		if (!entry_holds(mapped, &index.entries[middle], &h)) {
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
	cq_index_fini(&index);
	return start;
}

/* ---- sequence numbers ---- */

/* An index all of whose entries are right, which covers the whole segment. */
static bool index_holds(const struct cq_mapped *mapped, const struct cq_index *index)
{
	struct cq_walk walk = cq_walk_mapped(&mapped->map, sizeof(struct cq_segment_header));
	struct cq_record_at record;
	struct cq_record_header h;
	uint64_t i, behind = 0;

	if ((index->header.flags & CQ_INDEX_PARTIAL) != 0 || index->header.entries == 0 ||
	    cq_walk_next(&walk, &record) != 1 || index->entries[0].offset != record.offset)
		return false;
	for (i = 0; i < index->header.entries; i++)
		if (!entry_holds(mapped, &index->entries[i], &h))
			return false;
	/* the highest number can only be behind the last entry */
	walk = cq_walk_mapped(&mapped->map, index->entries[i - 1].offset);
	while (cq_walk_next(&walk, &record) == 1)
		if (record.header.seq < index->header.min_seq ||
		    record.header.seq > index->header.max_seq || ++behind > CQ_INDEX_STRIDE)
			return false;
	return true;
}

struct seq_plan {
	bool none;      /* the segment holds no number in question */
	uint64_t start; /* where to begin */
	bool ascending; /* the numbers ascend: the first that fits is the best */
};

static struct seq_plan plan_seq(int dirfd, const struct cq_mapped *mapped, uint64_t seq,
                                uint64_t best_seq)
{
	struct seq_plan plan = { .start = sizeof(struct cq_segment_header) };
	struct cq_index index;

	if (!cq_mapped_sealed(mapped) ||
	    cq_index_read(dirfd, mapped->id, mapped->map.size, &index) < 0)
		return plan;
	if (index_holds(mapped, &index)) {
		plan.none = index.header.max_seq < seq || index.header.min_seq >= best_seq;
		plan.ascending = is_consecutive(mapped, &index);
	}
	cq_index_fini(&index);
	if (plan.ascending && !plan.none)
		plan.start = cq_locate_start(dirfd, mapped, CQ_KEY_SEQ, seq, NULL);
	return plan;
}

int cq_locate_seq(int dirfd, const struct cq_mapped *mapped, uint64_t seq, uint64_t from,
                  uint64_t *best_seq, uint64_t *ret_offset)
{
	const struct seq_plan plan = plan_seq(dirfd, mapped, seq, *best_seq);
	struct cq_walk walk = cq_walk_mapped(&mapped->map, from > plan.start ? from : plan.start);
	uint64_t at = 0, best = *best_seq;
	struct cq_record_at record;
	bool found = false;
	int r;

	if (plan.none) {
		*ret_offset = 0;
		return 0;
	}
	while ((r = cq_walk_next(&walk, &record)) == 1) {
		const uint64_t there = record.header.seq;

		if (there >= seq && (there < best || (found && there == best))) {
			found = true;
			best = there;
			at = record.offset;
			if (plan.ascending)
				break;
		}
	}
	if (r == 0)
		r = cq_mapped_check_end(mapped, &walk);
	if (r < 0)
		return r;
	if (found)
		*best_seq = best;
	*ret_offset = found ? at : walk.offset;
	return found;
}

/* ---- positions ---- */

int cq_locate_byte(int dirfd, const struct cq_mapped *mapped, uint64_t target, uint64_t *position,
                   uint64_t *offset)
{
	struct cq_walk walk = cq_walk_mapped(
		&mapped->map, cq_locate_start(dirfd, mapped, CQ_KEY_STREAM, target, NULL));
	struct cq_record_at record;
	int r;

	while ((r = cq_walk_next(&walk, &record)) == 1) {
		if (record.header.ext == 1)
			*position = record.header.stream_offset;
		if (target < *position || target - *position < record.length)
			break;
		*position += record.length;
	}
	*offset = r == 1 ? record.offset : walk.offset;
	return r;
}

uint64_t cq_locate_landmark(const struct cq_control *control, const struct cq_mapped *mapped,
                            uint64_t seq)
{
	uint64_t landmarks[CQ_CONTROL_LANDMARKS], best = 0;
	struct cq_record_header h;

	if (!control->page || !cq_control_landmarks(control, mapped->id, landmarks))
		return 0;
	for (unsigned i = 0; i < CQ_CONTROL_LANDMARKS; i++) {
		const uint64_t offset = landmarks[i] >> 32;

		if (offset > best && offset % CQ_ALIGN == 0 &&
		    cq_mapped_header(mapped, offset, &h) == 1 && h.ext == 1 &&
		    h.type != CQ_TYPE_PAD &&
		    ((uint32_t)h.seq == (uint32_t)landmarks[i] ||
		     cq_planted("landmark_unchecked")) &&
		    h.seq <= seq)
			best = offset;
	}
	return best;
}

uint64_t cq_locate_end(const struct cq_mapped *mapped, uint64_t limit)
{
	struct cq_walk walk = cq_walk_mapped(&mapped->map, sizeof(struct cq_segment_header));
	struct cq_segment_header summary;
	struct cq_record_at record;
	struct cq_record_header h;

	if (limit > mapped->map.size)
		limit = mapped->map.size;
	else if (cq_mapped_header(mapped, limit, &h) == 1 && h.ext == 1)
		return limit; /* its own checksum says that a record begins there */
	else if (cq_mapped_sealed(mapped) && cq_mapped_summary(mapped, &summary) &&
	         summary.used == limit)
		return limit;
	while (cq_walk_step(&walk, &record) == 1)
		if (record.end > limit)
			return record.offset;
	return walk.offset;
}
