/* SPDX-License-Identifier: Apache-2.0 */
/*
 * follow.c - a reader at the end of what it sees: from one segment to the next
 *
 * The race with the writer: the writer appends its last record, stores SEALED, and appends to the
 * successor.  A reader that finds the commit word zero, and then SEALED set, may have looked before the
 * last record was there.  So the reader loads the commit word once more after it has seen SEALED
 * (acquire), and only if the word is still zero then is that the end.  A segment that its writer could
 * not seal ends when control.meta says that the writer is further on: the same holds for that.
 *
 * successor.c has the rules for leaving a segment.
 */
#include "read/reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "catalog/successor.h"
#include "files/quarantine.h"
#include "os/fault.h"
#include "os/process.h"

void cq_reader_control(cq_reader *reader)
{
	cq_successor_control(&reader->control, reader->queue->dirfd, !reader->passive);
}

int cq_reader_mapped(cq_reader *reader, uint32_t id, struct cq_mapped *ret_mapped)
{
	return cq_mapped_of(reader->queue, id, ret_mapped);
}

/* Lowest published id from `from` on. */
static int next_id(const cq_reader *reader, uint32_t from, uint32_t *ret_id)
{
	return cq_successor_next(reader->queue->dirfd, from, ret_id);
}

/* Counts the records that are missing before the segment at whose beginning the reader is now. */
static void count_missing_records(cq_reader *reader)
{
	struct cq_segment_header summary;
	struct cq_record_header h;
	uint64_t first;

	if (reader->seq_state == CQ_SEQ_UNKNOWN)
		return;
	/* if nothing tells the number yet, the next record will */
	reader->seq_state = CQ_SEQ_GAP;
	if (cq_mapped_summary(&reader->mapped, &summary))
		first = summary.first_seq;
	else if (cq_mapped_header(&reader->mapped, reader->offset, &h) == 1 && h.ext == 1 &&
	         h.type != CQ_TYPE_PAD)
		first = h.seq;
	else
		return;
	if (first > reader->next_seq)
		reader->stats.gap_records += first - reader->next_seq;
	reader->next_seq = first;
}

void cq_reader_expect(cq_reader *reader)
{
	struct cq_segment_header summary;

	if (reader->seq_state != CQ_SEQ_UNKNOWN || !cq_mapped_summary(&reader->mapped, &summary))
		return;
	reader->seq_state = CQ_SEQ_BOUNDARY;
	reader->next_seq = summary.first_seq;
}

/*
 * Moves to the beginning of the first segment from `from` on.  Returns 1; 0 when there is none
 * (yet) that can be read; -ENODATA, having moved, when it is not `from` itself.
 */
static int enter(cq_reader *reader, uint32_t from)
{
	const enum cq_seq_state state = reader->seq_state;
	struct cq_mapped mapped;
	uint32_t id = 0;
	int r;

	do {
		r = next_id(reader, from, &id);
		if (r < 0)
			return r == -ENOENT ? 0 : r;
		r = cq_reader_mapped(reader, id, &mapped);
		/* ENOENT: retention was faster */
	} while (r == -ENOENT);
	if (r == -EAGAIN) /* without a header; is that where the writer is, or has been? */
		return cq_successor_current(&reader->control) > id ? -EBADMSG : 0;
	if (r < 0)
		return r;
	cq_reader_place(reader, &mapped, sizeof(struct cq_segment_header));
	reader->seq_state = state == CQ_SEQ_NEXT ? CQ_SEQ_BOUNDARY : state;
	if (id == from) {
		cq_reader_expect(reader);
		return 1;
	}
	reader->stats.gaps++;
	reader->stats.gap_segments += id - from;
	count_missing_records(reader);
	return -ENODATA;
}

/* There was no segment when the reader was placed, or not the one that it had committed. */
static int enter_first(cq_reader *reader)
{
	const uint32_t from = reader->exact ? reader->segment : 0;
	uint32_t id = 0;
	int r;

	if (reader->exact && reader->offset > sizeof(struct cq_segment_header)) {
		r = cq_reader_place_committed(reader, from, reader->offset);
		if (r == 0)
			return 1;
		if (r != -ENOENT && r != -EAGAIN && r != -EBADMSG)
			return r;
	}
	r = next_id(reader, from, &id);
	if (r == 0)
		return enter(reader, reader->exact ? from : id);
	if (r == -ENOENT && from != 0)
		r = next_id(reader, 0, &id);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	/* All segments are older: somebody has made a new queue here. */
	r = enter(reader, id);
	if (r != 1)
		return r;
	reader->stats.gaps++;
	return -ENODATA;
}

static bool left(cq_reader *reader)
{
	return cq_successor_left(reader->queue, &reader->control, &reader->mapped);
}

int cq_reader_follow(cq_reader *reader)
{
	const bool full = !cq_record_fits(reader->size, reader->offset);

	if (!reader->base)
		return enter_first(reader);
	if (!full) {
		if (!left(reader))
			return 0;
		cq_point("reader.left_seen");
		if (cq_reader_has_record(reader) && !cq_planted("reader_no_second_look"))
			return 1;
	}
	if (cq_mapped_ends_early(&reader->mapped, reader->offset))
		return -EIO;
	if (full && cq_successor_none(reader->queue, &reader->control, &reader->mapped))
		return 0;
	return enter(reader, reader->segment + 1);
}

int cq_reader_skip_record(cq_reader *reader, struct cq_record *ret_record)
{
	const uint64_t offset = reader->offset;
	enum cq_record_state state;
	struct cq_record_header h;
	const uint8_t *at;
	uint64_t length;

	if (cq_process_forked(reader->process))
		return -ECHILD;
	if (!reader->base || reader->pending != 0 || !left(reader) ||
	    cq_record_load(reader->base, reader->size, offset, &h, &state) <= 0)
		return 0;
	if (h.ext != 1)
		return 0; /* its header has no checksum: the length may be what is wrong */
	at = reader->base + offset;
	length = (uint64_t)h.commit - 1;
	if (h.type == CQ_TYPE_PAD || cq_crc32(0, at + sizeof h, length) == h.payload_crc)
		return 0; /* it is not this that is wrong */
	reader->offset = offset + cq_record_span(length);
	if (reader->seq_state == CQ_SEQ_UNKNOWN || h.seq == reader->next_seq) {
		reader->seq_state = CQ_SEQ_NEXT;
		reader->next_seq = h.seq + 1;
	} else {
		reader->next_seq++; /* the record behind it shows how many are missing */
	}
	if (ret_record)
		*ret_record = (struct cq_record){
			.seq = h.seq,
			.time_ns = h.time_ns,
			.length = length,
			.type = h.type,
			.have_stream = true,
			.epoch = h.epoch,
			.stream_offset = h.stream_offset,
			.segment = reader->segment,
			.offset = offset,
		};
	return 1;
}

int cq_reader_skip_segment(cq_reader *reader)
{
	const enum cq_seq_state state = reader->seq_state;
	/* the reader is in a segment, or before one in which it has committed */
	const bool placed = reader->base || reader->exact;
	uint32_t from = placed ? reader->segment + 1 : 0, id = 0;
	uint32_t wanted = reader->base ? from : reader->segment;
	struct cq_mapped mapped;
	int r;

	if (cq_process_forked(reader->process))
		return -ECHILD;
	if (reader->base && !left(reader))
		return 0;
	for (;; from = id + 1) {
		r = next_id(reader, from, &id);
		if (r < 0)
			return r == -ENOENT ? 0 : r;
		r = cq_reader_mapped(reader, id, &mapped);
		if (r == 0)
			break;
		if (r != -ENOENT && r != -EAGAIN && r != -EBADMSG && r != -EIO)
			return r;
	}
	if (!placed)
		wanted = id;
	cq_reader_place(reader, &mapped, sizeof(struct cq_segment_header));
	reader->stats.gap_segments += id - wanted;
	reader->seq_state = state;
	count_missing_records(reader);
	return 1;
}
