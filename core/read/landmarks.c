/* SPDX-License-Identifier: Apache-2.0 */
/*
 * landmarks.c - where a seek by number may begin in a segment that has no index yet
 *
 * The segment that is being written has no index, so a seek walks over its records from the first one on: tens of
 * milliseconds in a large one.  A reader that goes on from where it is, or goes back a little, need not: it begins
 * at its own place, or at one of the places of earlier batch reads, of which it keeps some.
 *
 * Such a place is believed only while a record of this library with the remembered number is there: its header has
 * a checksum.  This library gives each record a higher number than all before it, so no record before the place
 * has a number that is sought behind it, also where chronicle-rs wrote a part of the segment.
 */
#include "catalog/locate.h"
#include "read/reader.h"

#define STRIDE 4096U

/* Makes room: every second one stays. */
static void thin_out(struct cq_landmarks *l)
{
	for (unsigned i = 0; i < CQ_LANDMARKS / 2; i++)
		l->at[i] = l->at[2 * i];
	l->count = CQ_LANDMARKS / 2;
	l->stride *= 2;
}

void cq_landmarks_note(cq_reader *reader, const struct cq_record *record)
{
	struct cq_landmarks *l = &reader->landmarks;

	if (!record->have_stream)
		return;
	if (l->count == 0 || l->segment != record->segment) {
		l->segment = record->segment;
		l->count = 0;
		l->stride = STRIDE;
	} else if (record->seq < l->at[l->count - 1].seq + l->stride) {
		return;
	}
	if (l->count == CQ_LANDMARKS)
		thin_out(l);
	l->at[l->count].seq = record->seq;
	l->at[l->count++].offset = record->offset;
}

/* A record of this library is there, with a number up to `seq`. */
static bool leads_to(const struct cq_mapped *mapped, uint64_t offset, uint64_t seq,
                     uint64_t *ret_seq)
{
	struct cq_record_header h;

	if (offset < sizeof(struct cq_segment_header) ||
	    cq_mapped_header(mapped, offset, &h) != 1 || h.ext != 1 || h.type == CQ_TYPE_PAD)
		return false;
	*ret_seq = h.seq;
	return h.seq <= seq;
}

uint64_t cq_landmarks_before(const cq_reader *reader, const struct cq_mapped *mapped, uint64_t seq)
{
	const struct cq_landmarks *l = &reader->landmarks;
	uint64_t there, best = 0;

	if (l->segment == mapped->id)
		for (unsigned i = l->count; i-- > 0 && best == 0;)
			if (l->at[i].seq <= seq && leads_to(mapped, l->at[i].offset, seq, &there) &&
			    there == l->at[i].seq)
				best = l->at[i].offset;
	if (reader->base && reader->segment == mapped->id && reader->offset > best &&
	    leads_to(mapped, reader->offset, seq, &there))
		best = reader->offset;
	there = cq_locate_landmark(&reader->control, mapped, seq);
	return there > best ? there : best;
}
