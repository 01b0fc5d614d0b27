/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verify_records.c - cq_verify(): the records of one segment, and what continues between them
 *
 * What continues from one record to the next (sequence numbers, stream offsets, epochs) is in struct
 * cq_order, over segments too.  It is forgotten where something unreadable or missing makes it unknown,
 * so that one fault gives one finding.
 *
 * All committed records are checked, whether or not a writer holds the lock, and whatever control.meta
 * says: a commit word is stored last and never changes, so a record that has one is whole or damaged,
 * while its writer lives and after it was killed.  A killed writer leaves bytes without a commit word
 * before them; only the rest of a run (write/run.c) may have records among them.  So readers, verification
 * and recovery agree on where the records end.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "check/internal.h"
#include "format/record.h"
#include "os/io.h"

#define BEHIND_SIZE 100

void cq_verify_forget_order(struct cq_verifier *v)
{
	v->order.known = false;
	v->order.exact = false;
	v->order.run_known = false;
}

bool cq_verify_all_zero(const void *bytes, size_t length)
{
	const uint8_t *p = bytes;

	for (size_t i = 0; i < length; i++)
		if (p[i] != 0)
			return false;
	return true;
}

/* The rest of the segment is unknown. */
static void give_up_segment(struct cq_verifier *v)
{
	v->unreadable = true;
	cq_verify_forget_order(v);
	cq_claims_skip(v, v->id);
}

void cq_verify_unreadable(struct cq_verifier *v, uint64_t offset, int error)
{
	if (!cq_verify_short_of_means(v, error))
		CQ_DAMAGE(v, offset, "cannot be read: %s", strerrordesc_np(-error));
	if (v->error == 0)
		v->error = error;
	give_up_segment(v);
}

/* ---- one record ---- */

void cq_verify_gap(struct cq_verifier *v, uint64_t seq)
{
	const uint64_t due = v->order.next_seq;

	if (!v->at_gap)
		return;
	v->at_gap = false;
	if (seq <= due)
		return;
	CQ_NOTE(v, 0,
	        "records %" PRIu64 " to %" PRIu64 " are missing before this segment: %" PRIu64, due,
	        seq - 1, seq - due);
	v->result.gaps++;
	v->result.gap_records += seq - due;
}

/* What continues from one record to the next. */
static void check_order(struct cq_verifier *v, const struct cq_record_at *record)
{
	const struct cq_record_header *h = &record->header;
	const struct cq_order due = v->order;
	unsigned faults;

	if (h->ext == 1) /* the segment's header does not say it */
		cq_verify_gap(v, h->seq);
	faults = cq_order_next(&v->order, h);

	if (faults & (CQ_ORDER_SEQ | CQ_ORDER_RUN))
		CQ_DAMAGE(v, record->offset,
		          "sequence number %" PRIu64 " where %" PRIu64 " should be", h->seq,
		          faults & CQ_ORDER_SEQ ? due.next_seq : due.run_seq);
	if (faults & CQ_ORDER_RESTART)
		CQ_NOTE(v, record->offset,
		        "sequence numbers start again at 0: chronicle-rs "
		        "opened the queue here");
	if (faults & CQ_ORDER_STREAM)
		CQ_DAMAGE(v, record->offset,
		          "stream offset %" PRIu64 " where %" PRIu64 " should be", h->stream_offset,
		          due.stream);
	if (faults & CQ_ORDER_EPOCH)
		CQ_DAMAGE(v, record->offset, "epoch %" PRIu32 " after %" PRIu32, h->epoch,
		          due.epoch);
}

static void check_reserved(struct cq_verifier *v, const struct cq_record_at *record)
{
	const struct cq_record_header *h = &record->header;
	/* (a record without our extension that has bytes in its place is unsound: record.h) */
	bool clean = h->flags == 0 && cq_verify_all_zero(h->reserved0, sizeof h->reserved0) &&
	             cq_verify_all_zero(h->reserved1, sizeof h->reserved1);

	if (!clean)
		CQ_DAMAGE(v, record->offset, "reserved bytes of the record header are not zero");
	if (h->version != (v->header.version == CQ_SEGMENT_VERSION ? CQ_RECORD_VERSION : 0))
		CQ_DAMAGE(v, record->offset, "record version %u in a segment of version %" PRIu32,
		          h->version, v->header.version);
}

/* The up to 63 bytes between the payload and the next record. */
static void check_padding(struct cq_verifier *v, const struct cq_record_at *record)
{
	const struct cq_window *scan = &v->window;
	uint64_t from = record->offset + sizeof record->header + record->length;
	size_t length = (size_t)(record->end - from);
	uint8_t copy[CQ_ALIGN];
	const uint8_t *bytes = copy;

	if (length == 0)
		return;
	if (from >= scan->start && record->end - scan->start <= scan->length)
		bytes = scan->bytes + (from - scan->start);
	else if (cq_segment_pread(v->segment, copy, length, from) < 0)
		return; /* the walk reads there next, and reports it */
	if (!cq_verify_all_zero(bytes, length))
		/* chronicle-rs does not clear what its killed append has left */
		cq_verify_report(v, record->header.ext == 1, v->id, from,
		                 "bytes between payload and next record are not zero");
}

static void check_record(struct cq_verifier *v, const struct cq_record_at *record)
{
	const struct cq_index_entry *misplaced = NULL;

	if (record->header.type == CQ_TYPE_PAD)
		return;
	check_order(v, record);
	check_reserved(v, record);
	check_padding(v, record);
	if (v->have_index)
		misplaced = cq_index_check_record(&v->index_check, record);
	if (misplaced)
		CQ_DAMAGE(v, misplaced->offset,
		          "the index has an entry that is not of a record here");
	cq_contents_add(&v->contents, record);
}

/* ---- the records of one segment ---- */

/* Sets `text`, the end of a finding's text, to how many sound records are behind this place: a writer that
 * opens the queue gives them up.  1; 0: there are none; or an error. */
static int describe_behind(struct cq_verifier *v, uint64_t offset, char text[BEHIND_SIZE],
                           struct cq_behind *ret_found)
{
	struct cq_behind_from from = cq_behind_start(&v->order, offset);
	struct cq_behind found = { .records = 0 };
	uint64_t first;
	int r;

	r = cq_behind_count(cq_segment_fd(v->segment), v->window.size, &from, NULL, &found, &first);
	if (r < 0)
		(void)cq_verify_short_of_means(v, r);
	if (found.records == 1)
		(void)snprintf(text, BEHIND_SIZE, "; 1 sound record, %" PRIu64 ", is behind it",
		               found.first_seq);
	else if (found.records > 1)
		(void)snprintf(text, BEHIND_SIZE,
		               "; %" PRIu64 " sound records, %" PRIu64 " to %" PRIu64
		               ", are behind it",
		               found.records, found.first_seq, found.last_seq);
	else
		text[0] = '\0';
	*ret_found = found;
	return r < 0 ? r : found.records > 0;
}

/* Only the payload is damaged: the header says where the next record is. */
static void step_over(struct cq_verifier *v, const struct cq_record_at *record, const char *behind)
{
	CQ_DAMAGE(v, record->offset, "payload of record %" PRIu64 " does not match its checksum%s",
	          record->header.seq, behind);
	check_record(v, record);
	v->walk.offset = record->end;
}

/* There is no sound record here.  True: the walk goes on at walk.offset. */
static bool unsound(struct cq_verifier *v, const struct cq_record_at *record)
{
	uint64_t offset = v->walk.offset;
	struct cq_behind found;
	char text[BEHIND_SIZE] = "";

	/* a writer that has opened the queue since may be setting it aside */
	if (!v->sealed && cq_verify_writer_came(v, v->id, offset))
		return false;
	if (!v->behind_reported)
		(void)describe_behind(v, offset, text, &found);
	v->behind_reported = true;
	if (v->walk.state == CQ_RECORD_PAYLOAD) {
		step_over(v, record, text);
		return true;
	}
	CQ_DAMAGE(v, offset, "%s: the rest of the segment cannot be read%s",
	          v->walk.state == CQ_RECORD_BOUNDS
	                  ? "a record length that leads out of the segment"
	                  : "a damaged record header",
	          text);
	give_up_segment(v);
	return false;
}

/* In an unsealed segment, from `at` on, there is residue of a killed writer, or records are missing. */
static void judge_residue(struct cq_verifier *v, uint64_t end, uint64_t at)
{
	struct cq_behind found = { .records = 0 };
	struct cq_record_header h = { 0 };
	char text[BEHIND_SIZE];
	bool unfinished;
	uint64_t before;
	int r;

	/* a writer at work may have appended records since; it never leaves a place out.  If it is
	 * storing a run, the next look finds more of that. */
	do {
		before = found.records;
		r = describe_behind(v, end, text, &found);
		if (r > 0)
			r = (int)cq_segment_pread(v->segment, &h, sizeof h, end);
		unfinished = r > 0 && cq_behind_is_unfinished(&found, &h, end, v->window.size);
	} while (r > 0 && v->live && h.commit == 0 && !unfinished && found.records != before);
	if (r < 0)
		cq_verify_unreadable(v, end, r);
	else if (r > 0 && h.commit == 0 && !unfinished && !cq_verify_writer_came(v, v->id, at))
		CQ_DAMAGE(
			v, at,
			"there are records here, behind the last one: those between are missing%s",
			text);
	else if (!cq_verify_moving(v, v->id, at))
		CQ_NOTE(v, at, "bytes behind the last record, as a killed writer leaves them");
}

/* Behind the last record. */
static void check_residue(struct cq_verifier *v)
{
	uint64_t end = v->walk.offset, at;
	int r;

	/* not while a writer is at work: its prepared pages would be written to the disk */
	if (!v->live)
		cq_io_drop_clean(v->window.fd, end);
	r = cq_window_residue(&v->window, end, &at);
	if (r < 0)
		cq_verify_unreadable(v, end, r);
	if (r < 0 || at == v->window.size)
		return;
	if (v->sealed)
		/* chronicle-rs seals segments that hold what its killed append has left */
		cq_verify_report(v, v->header.ext != 0, v->id, at,
		                 "bytes behind the last record are not zero");
	else
		judge_residue(v, end, at);
}

void cq_verify_records(struct cq_verifier *v)
{
	struct cq_record_at record;
	bool go_on = true;
	int r;

	while (go_on) {
		uint64_t offset = v->walk.offset;

		cq_claims_pass(v, v->id, offset);
		r = cq_walk_step(&v->walk, &record);
		/* The read of the commit word may have caught the record half stored: it is whole by now. */
		if (v->walk.state != CQ_RECORD_OK && !v->sealed)
			r = cq_walk_step(&v->walk, &record);
		if (r > 0) {
			check_record(v, &record);
			continue;
		}
		go_on = v->walk.state != CQ_RECORD_OK && unsound(v, &record);
		if (r == 0)
			check_residue(v);
		else if (v->walk.state == CQ_RECORD_OK)
			cq_verify_unreadable(v, offset, r);
	}
}
