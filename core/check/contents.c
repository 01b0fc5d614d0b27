/* SPDX-License-Identifier: Apache-2.0 */
/* contents.c - what a segment holds, found by reading all of it; see contents.h */
#include "check/contents.h"

#include <errno.h>

#include "format/walk.h"
#include "format/window.h"

/* What the next record of this library has to look like. */
struct expectation {
	bool seq_known;
	uint64_t seq;
	uint32_t epoch;
};

static bool follows(struct expectation *e, const struct cq_record_header *h)
{
	if (h->ext != 1) {
		e->seq_known = false;
		return true;
	}
	if ((e->seq_known && h->seq != e->seq) || h->epoch < e->epoch)
		return false;
	e->seq_known = true;
	e->seq = h->seq + 1;
	e->epoch = h->epoch;
	return true;
}

static void add(struct cq_segment_scan *s, const struct cq_record_at *record,
                struct cq_wsegment *count)
{
	const struct cq_record_header *h = &record->header;
	/* one that chronicle-rs cannot have counted up to is no number to go on from */
	const uint64_t seq = h->seq < CQ_COUNT_MAX ? h->seq : 0;

	if (s->records == 0) {
		s->first_seq = h->seq;
		s->max_seq = seq;
		if (count)
			count->first_seq = h->seq;
	}
	if (seq > s->max_seq)
		s->max_seq = seq;
	if (h->ext == 1) {
		s->anchored = true;
		s->stream_end = h->stream_offset;
		if (h->epoch > s->epoch)
			s->epoch = h->epoch;
	}
	if (s->anchored)
		s->stream_end += record->length;
	s->last_time = h->time_ns;
	s->records++;
	s->payload_bytes += record->length;
	if (count)
		cq_wsegment_count(count, record->offset, h->seq, h->time_ns, record->length);
}

int cq_segment_scan_file(int fd, uint64_t size, const struct cq_segment_header *header,
                         struct cq_wsegment *count, struct cq_meter *meter,
                         struct cq_segment_scan *ret_survey)
{
	struct cq_segment_scan s = { .records = 0 };
	struct expectation expectation = { .seq_known = cq_segment_ext_valid(header),
		                           .seq = header->first_seq };
	struct cq_record_at record;
	struct cq_window scan;
	struct cq_walk walk;
	int r;

	r = cq_window_init(&scan, fd, size);
	if (r < 0)
		return r;
	scan.meter = meter;
	walk = cq_walk_file(&scan);
	while ((r = cq_walk_next(&walk, &record)) > 0 && follows(&expectation, &record.header))
		add(&s, &record, count);
	cq_window_fini(&scan);
	s.tail = r > 0 ? record.offset : walk.offset;
	s.damaged = r > 0 || walk.state != CQ_RECORD_OK;
	if (r < 0 && !s.damaged)
		return r;
	if (count)
		count->used = s.tail;
	*ret_survey = s;
	return 0;
}
