/* SPDX-License-Identifier: Apache-2.0 */
/*
 * commit.c - a named reader commits a position
 *
 * Invariant: a commit stores the reader's position, or a place before it: never one that it has not reached.
 * Invariant: a commit goes to the file that has the reader's name and that this handle has locked, or fails.
 * So it neither brings back a reader that was deleted, nor moves one that was made in its place.
 *
 * A record with a certain number is looked for from the last such commit on, so a sequence of commits walks
 * over each record once.
 */
#include <errno.h>

#include "format/place.h"
#include "meta/reader_lock.h"
#include "os/clock.h"
#include "os/fault.h"
#include "os/process.h"
#include "read/reader.h"

int cq_reader_store(cq_reader *reader, uint32_t segment, uint64_t offset)
{
	struct cq_reader_file committed = reader->committed;
	int r;

	r = cq_reader_lock_check(reader->queue->dirfd, reader->name, reader->committed_fd);
	if (r < 0 && !cq_planted("commit_to_deleted"))
		return r;
	committed.segment = segment;
	committed.offset = offset;
	committed.heartbeat_ns = cq_realtime_ns();
	r = cq_reader_file_write(reader->committed_fd, &committed);
	if (r < 0)
		return r;
	reader->committed = committed;
	reader->have_committed = true;
	return 0;
}

int cq_reader_commit(cq_reader *reader)
{
	if (cq_process_forked(reader->process))
		return -ECHILD;
	if (reader->name[0] == '\0')
		return -EINVAL;
	return cq_reader_store(reader, reader->segment, reader->offset);
}

/* Looks for the record from the last such commit on, up to the reader's segment.  1 with the place behind the
 * record; 0: not found so. */
static int find_ahead(cq_reader *reader, uint64_t seq, struct cq_reader_place *ret_place)
{
	struct cq_reader_place at = reader->behind;
	struct cq_record_at record;
	struct cq_mapped mapped;
	struct cq_walk walk;
	int r;

	if (!at.known || seq + 1 < at.seq)
		return 0;
	if (seq + 1 == at.seq) {
		*ret_place = at;
		return 1;
	}
	for (; at.segment <= reader->segment;
	     at.segment++, at.offset = sizeof(struct cq_segment_header)) {
		r = cq_reader_mapped(reader, at.segment, &mapped);
		if (r < 0)
			return 0;
		walk = cq_walk_mapped(&mapped.map, at.offset);
		while ((r = cq_walk_next(&walk, &record)) == 1 && record.header.seq < seq)
			;
		cq_mapped_close(&mapped);
		if (r == 1 && record.header.seq == seq) {
			at.offset = record.end;
			*ret_place = at;
			return 1;
		}
		if (r != 0)
			return 0;
	}
	return 0;
}

/* All records were deleted, this one among them: the queue continues in an empty segment, with a higher number. */
static bool was_last(const cq_reader *scout, uint64_t seq)
{
	struct cq_segment_header summary;

	return scout->base && scout->offset == sizeof summary &&
	       cq_mapped_summary(&scout->mapped, &summary) && seq < summary.first_seq;
}

/* Looks for the record as a seek does: the place behind it or, if it is missing, before the next one.  If there is no
 * next one either, the reader's own place, which is before that. */
static int find_by_seek(cq_reader *reader, uint64_t seq, struct cq_reader_place *ret_place)
{
	struct cq_record_header h;
	struct cq_reader scout;
	int r;

	cq_reader_scout(&scout, reader->queue);
	r = cq_reader_seek_seq(&scout, seq);
	if (r == 0)
		r = scout.base ? cq_mapped_header(&scout.mapped, scout.offset, &h) : 0;
	if (r > 0) {
		ret_place->segment = scout.segment;
		ret_place->offset = scout.offset;
		if (h.seq == seq)
			ret_place->offset += cq_record_span((uint64_t)h.commit - 1);
	} else if (r == 0 && was_last(&scout, seq)) {
		r = 1;
	}
	cq_reader_scout_end(&scout);
	return r == 0 ? -ERANGE : r;
}

int cq_reader_commit_seq(cq_reader *reader, uint64_t seq)
{
	struct cq_reader_place place = { .known = true };
	uint64_t size = 0;
	int r;

	if (cq_process_forked(reader->process))
		return -ECHILD;
	if (reader->name[0] == '\0')
		return -EINVAL;
	if (seq == UINT64_MAX)
		return -ERANGE;
	if (reader->seq_state == CQ_SEQ_NEXT && seq >= reader->next_seq)
		return -ERANGE;
	place.segment = reader->segment;
	place.offset = reader->offset;
	r = reader->seq_state == CQ_SEQ_NEXT && seq + 1 == reader->next_seq;
	if (r == 0)
		r = find_ahead(reader, seq, &place);
	if (r == 0)
		r = find_by_seek(reader, seq, &place);
	if (r < 0)
		return r;
	r = cq_queue_segment_size(reader->queue, &size);
	if (r < 0)
		return r;
	if (cq_place_compare(place.segment, place.offset, reader->segment, reader->offset, size) >
	    0)
		return -ERANGE;
	r = cq_reader_store(reader, place.segment, place.offset);
	if (r < 0)
		return r;
	place.seq = seq + 1;
	reader->behind = place;
	return 0;
}
