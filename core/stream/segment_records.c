/* SPDX-License-Identifier: Apache-2.0 */
/*
 * segment_records.c - the records of one segment, by number, without their payloads; see segment_records.h
 *
 * Invariant: what is said of a record comes from a header that was found sound on the way from a known
 * record, so record N is the Nth of the segment, however it was reached.
 */
#include "stream/segment_records.h"

#include "format/walk.h"

/* Where a record begins in the stream is counted, as cq_stream_pread() counts: chronicle-rs's records do
 * not say it. */
static struct cq_record_info info_of(const struct cq_record_at *record, uint64_t stream_offset)
{
	return (struct cq_record_info){
		.seq = record->header.seq,
		.time_ns = record->header.time_ns,
		.stream_offset = stream_offset,
		.length = (uint32_t)record->length,
		.type = record->header.type,
	};
}

ssize_t cq_segment_records_read(struct cq_segment_bytes *p, uint64_t base, uint64_t number,
                                struct cq_record_info *records, size_t count)
{
	const struct cq_segment_start start = cq_segment_start_find(p, CQ_BY_NUMBER, number);
	struct cq_record_start place = start.cursor.place;
	struct cq_walk walk = cq_walk_mapped(&p->mapped.map, place.offset);
	struct cq_record_at record;
	size_t done = 0;
	int r = 0, there;

	while (done < count && (r = cq_walk_next(&walk, &record)) > 0) {
		if (place.number >= number)
			records[done++] = info_of(&record, base + place.position);
		cq_record_start_pass(p, &place, &record);
	}
	if (r == 0 && done < count)
		r = cq_mapped_check_end(&p->mapped, &walk);
	if (done > 0) {
		const struct cq_read_cursor cursor = { .place = place };

		cq_segment_start_keep(p, &start, &cursor);
	}
	there = cq_mapped_still_there(&p->mapped);
	if (there < 0)
		return there;
	return done > 0 ? (ssize_t)done : r;
}
