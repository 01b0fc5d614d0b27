/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seekseq.c - seek by sequence number
 *
 * The place is the record with the lowest number that is not below the one in question, and of
 * equal ones the last.  This library's numbers ascend, and each segment's header tells its first:
 * then the segment is found by bisection.  chronicle-rs begins anew at 0 whenever it opens a queue:
 * then all segments are looked at, the newest first, until the number itself is found.
 */
#include <errno.h>
#include <stdbool.h>

#include "catalog/locate.h"
#include "os/process.h"
#include "read/reader.h"
#include "read/seek.h"

/* 1 with the first number of a segment whose header tells it, else 0. */
static int told_first_seq(cq_reader *reader, uint32_t id, uint64_t *ret_seq)
{
	struct cq_segment_header summary;
	struct cq_mapped view;
	int r;

	r = cq_reader_mapped(reader, id, &view);
	if (r < 0)
		return r;
	r = cq_mapped_summary(&view, &summary);
	if (r > 0)
		*ret_seq = summary.first_seq;
	cq_mapped_close(&view);
	return r;
}

/* 1 with the last segment that begins at `seq` or before, by headers alone; 0 if they do not tell,
 * or are not in order. */
static int bisect_seq(cq_reader *reader, const struct cq_listing *l, uint64_t seq,
                      size_t *ret_index)
{
	uint64_t first_low, first_high, first;
	size_t low = 0, high = l->count - 1;
	int r;

	r = told_first_seq(reader, l->ids[low], &first_low);
	if (r > 0)
		r = told_first_seq(reader, l->ids[high], &first_high);
	if (r <= 0)
		return r;
	if (first_low > first_high)
		return 0;
	if (seq >= first_high)
		low = high;
	/* segment low begins at seq or before (or is the oldest), segment high after it */
	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;

		r = told_first_seq(reader, l->ids[middle], &first);
		if (r <= 0)
			return r;
		if (first < first_low || first > first_high)
			return 0;
		if (first <= seq) {
			low = middle;
			first_low = first;
		} else {
			high = middle;
			first_high = first;
		}
	}
	*ret_index = low;
	return 1;
}

struct seq_match {
	bool found;
	uint32_t id;
	uint64_t offset;
	uint64_t seq;
	uint64_t end; /* of the last listed segment, where its walk ended; 0: it is sealed */
};

static int match_seq(cq_reader *reader, const struct cq_listing *l, size_t index, uint64_t seq,
                     struct seq_match *match)
{
	struct cq_mapped view;
	uint64_t offset;
	int r;

	r = cq_reader_mapped(reader, l->ids[index], &view);
	if (r < 0)
		return r;
	r = cq_locate_seq(reader->queue->dirfd, &view, seq, &match->seq, &offset);
	if (r > 0) {
		match->found = true;
		match->id = l->ids[index];
		match->offset = offset;
	} else if (r == 0 && index == l->count - 1) {
		match->end = offset;
	}
	cq_mapped_close(&view);
	return r;
}

static int seek_seq(cq_reader *reader, const struct cq_listing *l, uint64_t seq, void *arg)
{
	struct seq_match match = { .seq = UINT64_MAX };
	size_t i;
	int r;

	(void)arg;
	r = bisect_seq(reader, l, seq, &i);
	if (r > 0) {
		/* the number may be one that is missing: then what follows is in a later segment */
		for (; i < l->count && !match.found && r >= 0; i++)
			r = match_seq(reader, l, i, seq, &match);
	} else if (r == 0) {
		/* an equal one in a later segment goes before one in an earlier */
		for (i = l->count; i-- > 0 && !(match.found && match.seq == seq) && r >= 0;)
			r = match_seq(reader, l, i, seq, &match);
	}
	if (r < 0)
		return r;
	if (match.found)
		return cq_seek_place(reader, match.id, match.offset);
	if (match.end > 0)
		return cq_seek_place(reader, l->ids[l->count - 1], match.end);
	return cq_seek_place_end(reader, l);
}

int cq_reader_seek_seq(cq_reader *reader, uint64_t seq)
{
	if (cq_process_forked(reader->process))
		return -ECHILD;
	return cq_seek_run(reader, seek_seq, seq, NULL);
}
