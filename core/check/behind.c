/* SPDX-License-Identifier: Apache-2.0 */
/*
 * behind.c - committed records behind the end of the queue, which a recovery gives up; see internal.h
 *
 * A killed writer leaves no records behind the end, but for those of a run that was not committed yet: it
 * stores a record's or a run's first commit word last, and one after the other.  A power cut may leave any,
 * because pages come to the disk in any order.  So after a power cut, records above the watermark that are
 * given up are no loss.  They are a loss
 *
 *   when the machine has not been rebooted since the writer was at work (control.meta has the id of the
 *   boot): the page cache shows all that was stored, and a record that is gone was acknowledged and is
 *   damaged;
 *   when a slot of durable.meta is damaged: the watermark that it held is not known.
 *
 * The bytes that are read for it are those that would be set aside.
 */
#include "check/internal.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "files/quarantine.h"
#include "format/place.h"
#include "format/record.h"
#include "format/window.h"
#include "os/fault.h"
#include "os/io.h"

/* Can this record have been appended behind those that come before from->offset? */
static bool follows(void *arg, const struct cq_record_header *h, uint64_t offset)
{
	const struct cq_behind_from *from = arg;
	uint64_t gap = offset - from->offset, records, bytes;

	if (h->epoch < from->epoch || h->seq < from->seq)
		return false;
	if (!from->placed || gap == 0)
		return true;
	/* the missing records fit between them: this one is not in the payload of one of those */
	records = h->seq - from->seq;
	bytes = h->stream_offset - from->stream;
	return records > 0 && records <= gap / sizeof *h && h->stream_offset >= from->stream &&
	       bytes <= gap - records * sizeof *h;
}

/* Does the record begin where the one before it ended, as the next one of the same writer? */
static bool continues(const struct cq_behind_from *from, const struct cq_record_at *record)
{
	const struct cq_record_header *h = &record->header;

	return from->placed && record->offset == from->offset && h->seq == from->seq &&
	       h->epoch == from->epoch && h->stream_offset == from->stream;
}

struct cq_behind_from cq_behind_start(const struct cq_order *order, uint64_t offset)
{
	return (struct cq_behind_from){
		.offset = offset,
		.seq = order->known ? order->next_seq : 0,
		.epoch = order->epoch,
		.placed = order->known,
		.stream = order->stream,
	};
}

int cq_behind_count(int fd, uint64_t size, struct cq_behind_from *from, struct cq_meter *meter,
                    struct cq_behind *behind, uint64_t *ret_first)
{
	struct cq_record_at record;
	struct cq_window scan;
	uint64_t at = 0;
	int r;

	r = cq_window_init(&scan, fd, size);
	if (r < 0)
		return r;
	scan.meter = meter;
	r = cq_window_residue(&scan, from->offset, &at);
	if (r == 0)
		*ret_first = at;
	at -= at % CQ_ALIGN;
	while (r == 0 && (r = cq_window_find(&scan, at, follows, from, &record)) > 0) {
		const struct cq_record_header *h = &record.header;

		if (behind->records == 0) {
			behind->first_seq = h->seq;
			behind->first = record;
			behind->one_run = true;
		}
		behind->one_run = behind->one_run && h->time_ns == behind->first.header.time_ns &&
		                  (behind->records == 0 || continues(from, &record));
		behind->last_seq = h->seq;
		behind->records++;
		*from = (struct cq_behind_from){
			.offset = record.end,
			.seq = h->seq + 1,
			.epoch = h->epoch,
			.placed = true,
			.stream = h->stream_offset + record.length,
		};
		at = record.end;
		r = 0;
	}
	cq_window_fini(&scan);
	from->placed = false;
	return r;
}

bool cq_behind_is_unfinished(const struct cq_behind *behind, const struct cq_record_header *end,
                             uint64_t offset, uint64_t size)
{
	const struct cq_record_header *next = &behind->first.header;
	const uint64_t length = next->stream_offset - end->stream_offset;

	if (behind->records == 0 || !behind->one_run || end->commit != 0 || end->ext != 1)
		return false;
	if (end->seq + 1 != next->seq || end->epoch != next->epoch || end->time_ns != next->time_ns)
		return false;
	return length < size && offset + cq_record_span(length) == behind->first.offset &&
	       cq_record_check_header(end, (uint32_t)length + 1, offset, size) == CQ_RECORD_OK;
}

/*
 * No record was committed at this place or behind it: on the same boot, control.meta's position is where
 * the last record ends, or one record before that.  What looks like a record there is payload.  (A killed
 * append leaves such bytes, and chronicle-rs does not clear what is behind its records: its next record
 * covers only the beginning of a payload that it has given up.)
 */
static bool is_behind_all(const struct cq_recovery *v, uint32_t segment, uint64_t offset)
{
	return v->same_boot && v->have_position &&
	       cq_place_compare(v->position.segment, v->position.offset, segment, offset,
	                        v->segment_size) <= 0;
}

/* Notes a record that was committed at the end of the queue, in this segment, and is damaged.  A sound one
 * there is older: of an earlier writer, for example.  No writer leaves a commit word alone. */
static int check_end(struct cq_recovery *v, const struct cq_candidate *c, int fd)
{
	static const uint8_t none[sizeof(struct cq_record_header)];
	struct cq_record_header h;
	ssize_t n;

	/* its summary counts more */
	if (c->kind == CQ_KIND_SEALED && cq_segment_ext_valid(&c->header) &&
	    c->header.records > c->contents.records)
		v->end_damaged = true;
	if (!c->contents.damaged || v->end_damaged || is_behind_all(v, c->id, c->contents.tail))
		return 0;
	n = cq_io_pread(fd, &h, sizeof h, c->contents.tail);
	if (n < 0)
		return (int)n;
	if (n < (ssize_t)sizeof h || h.commit == 0 ||
	    memcmp((const uint8_t *)&h + sizeof h.commit, none, sizeof h - sizeof h.commit) == 0)
		return 0;
	v->end_damaged = cq_record_check_header(&h, h.commit, c->contents.tail, v->segment_size) !=
	                         CQ_RECORD_OK ||
	                 h.ext != 1 || (h.epoch >= c->contents.order.epoch && h.seq >= v->end_seq);
	return 0;
}

/* Sets *from to where records that are given up may be in this segment.  False: nowhere. */
static bool find_start(const struct cq_candidate *c, struct cq_behind_from *from)
{
	const struct cq_behind_from before = *from;

	if (c->act == CQ_ACT_SET_ASIDE || (c->kind == CQ_KIND_FRESH && c->act == CQ_ACT_KEEP)) {
		struct cq_order order = { .epoch = before.epoch };

		if (c->act == CQ_ACT_KEEP)
			cq_order_begin(&order, &c->header);
		*from = cq_behind_start(&order, sizeof c->header);
		if (!order.known)
			from->seq = before.seq;
		return true;
	}
	*from = cq_behind_start(&c->contents.order, c->contents.tail);
	if (from->epoch < before.epoch)
		from->epoch = before.epoch;
	if (!c->contents.order.known && c->contents.records == 0)
		from->seq = before.seq;
	/* the summary of a sealed segment says that it has no more records */
	return c->act != CQ_ACT_KEEP &&
	       !(c->kind == CQ_KIND_SEALED && cq_segment_ext_valid(&c->header) &&
	         cq_inspect_summary_agrees(c));
}

static int count_in(struct cq_recovery *v, struct cq_candidate *c, struct cq_behind_from *from)
{
	const bool aside = c->act == CQ_ACT_SET_ASIDE;
	/* the caller was promised a walk over this segment, and plan.c did without it */
	struct cq_meter *meter =
		aside && !c->scanned && (c->kind == CQ_KIND_OPEN || c->kind == CQ_KIND_SEALED)
			? &v->meter
			: NULL;
	const uint64_t before = v->behind.records;
	uint64_t size = c->size < v->segment_size ? c->size : v->segment_size, first;
	bool none_behind;
	int fd, r;

	if (!find_start(c, from) || c->kind == CQ_KIND_NO_FILE)
		return 0;
	size -= size % CQ_ALIGN;
	none_behind = is_behind_all(v, c->id, from->offset);
	r = cq_segment_open_named(v->dirfd, c->id, &fd);
	if (r < 0)
		return r;
	if (c->contents.damaged || c->kind == CQ_KIND_SEALED)
		r = check_end(v, c, fd);
	if (r == 0 && size >= CQ_FORMAT_SIZE_MIN) {
		if (!aside) /* as in cq_quarantine_first_residue() */
			cq_io_drop_clean(fd, from->offset);
		r = none_behind ? cq_quarantine_first_residue(fd, size, from->offset, &first)
		                : cq_behind_count(fd, size, from, meter, &v->behind, &first);
		if (r == 0 && size == v->segment_size)
			c->residue = first;
	}
	c->sound_behind = v->behind.records > before;
	if (meter)
		cq_meter_next(meter);
	close(fd);
	/* a segment that is set aside may be unreadable: its loss is counted already */
	return r == -EIO && aside ? 0 : r;
}

int cq_behind_count_all(struct cq_recovery *v)
{
	struct cq_behind_from from = { .offset = 0 };
	int r = 0;

	for (size_t i = v->trusted; r == 0 && i < v->candidate_count; i++) {
		struct cq_candidate *c = &v->candidates[i];

		if (!c->lost && !c->trusted)
			r = count_in(v, c, &from);
	}
	return r;
}

bool cq_behind_is_loss(const struct cq_recovery *v)
{
	return (v->behind.records > 0 || v->end_damaged) &&
	       (v->same_boot || v->damaged_slots != 0) && !cq_planted("committed_given_up");
}

void cq_behind_lost_numbers(const struct cq_recovery *v, uint64_t *ret_first, uint64_t *ret_last)
{
	const struct cq_behind *b = &v->behind;
	uint64_t first = b->first_seq;

	if (v->end_seq_known && (b->records == 0 || v->end_seq < first))
		first = v->end_seq;
	else if (b->records == 0)
		first = UINT64_MAX;
	*ret_first = first;
	*ret_last = b->records > 0 ? b->last_seq : first;
}
