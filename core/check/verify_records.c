/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verify_records.c - cq_verify(): the records of one segment, and what continues between them
 *
 * What has to go on from one record to the next (sequence numbers, stream offsets, epochs) is
 * carried along in struct cq_verify_order, over segments too, and let go of wherever something
 * unreadable or missing makes it unknowable, so that one fault gives one finding.
 *
 * Everything that is committed is looked at, whoever has the lock and whatever control.meta says: a commit
 * word is stored last and never changes, so a record that has one is whole, or damaged, also while its
 * writer lives, and also when its writer was killed.  What a killed writer leaves is bytes without a
 * commit word before them.  So readers, verification and recovery agree on where the records end.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "check/internal.h"
#include "format/record.h"
#include "os/io.h"

#define BEYOND_SIZE 100

void cq_verify_lose_track(struct cq_verify_walk *w)
{
	w->order.anchored = false;
	w->order.exact = false;
	w->order.in_run = false;
	w->order.in_stream = false;
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
static void give_up_segment(struct cq_verify_walk *w)
{
	w->broken = true;
	cq_verify_lose_track(w);
	cq_verify_excuse(&w->v, w->id);
}

void cq_verify_unreadable(struct cq_verify_walk *w, uint64_t offset, int error)
{
	if (!cq_verify_short_of_means(&w->v, error))
		CQ_DAMAGE(w, offset, "cannot be read: %s", strerrordesc_np(-error));
	if (w->v.error == 0)
		w->v.error = error;
	give_up_segment(w);
}

/* ---- one record ---- */

static void check_seq(struct cq_verify_walk *w, const struct cq_record_at *record)
{
	struct cq_verify_order *order = &w->order;
	uint64_t seq = record->header.seq;

	order->exact = record->header.ext == 1;
	if (record->header.ext == 1) {
		if (order->anchored ? seq != order->next_seq : seq < order->next_seq)
			CQ_DAMAGE(w, record->offset,
			          "sequence number %" PRIu64 " where %" PRIu64 " should be", seq,
			          order->next_seq);
		order->anchored = true;
	} else if (order->in_run && seq == 0 && order->run_seq != 0) {
		CQ_NOTE(w, record->offset,
		        "sequence numbers start again at 0: chronicle-rs "
		        "opened the queue here");
	} else if (order->in_run && seq != order->run_seq) {
		CQ_DAMAGE(w, record->offset,
		          "sequence number %" PRIu64 " where %" PRIu64 " should be", seq,
		          order->run_seq);
		order->in_run = false;
		return;
	}
	order->in_run = true;
	order->run_seq = seq + 1;
	/* what this library counted is the truth from here on, so that one fault is told once */
	if (record->header.ext == 1 || order->next_seq <= seq)
		order->next_seq = seq + 1;
}

static void check_extension(struct cq_verify_walk *w, const struct cq_record_at *record)
{
	const struct cq_record_header *h = &record->header;
	struct cq_verify_order *order = &w->order;

	if (order->in_stream && h->stream_offset != order->stream)
		CQ_DAMAGE(w, record->offset,
		          "stream offset %" PRIu64 " where %" PRIu64 " should be", h->stream_offset,
		          order->stream);
	order->stream = h->stream_offset;
	order->in_stream = true;
	if (h->epoch < order->epoch)
		CQ_DAMAGE(w, record->offset, "epoch %" PRIu32 " after %" PRIu32, h->epoch,
		          order->epoch);
	order->epoch = h->epoch;
}

static void check_reserved(struct cq_verify_walk *w, const struct cq_record_at *record)
{
	const struct cq_record_header *h = &record->header;
	/* without an extension of ours a record that has anything in its place is no sound one */
	bool clean = h->flags == 0 && cq_verify_all_zero(h->reserved0, sizeof h->reserved0) &&
	             cq_verify_all_zero(h->reserved1, sizeof h->reserved1);

	if (!clean)
		CQ_DAMAGE(w, record->offset, "reserved bytes of the record header are not zero");
	if (h->version != (w->header.version == CQ_SEGMENT_VERSION ? CQ_RECORD_VERSION : 0))
		CQ_DAMAGE(w, record->offset, "record version %u in a segment of version %" PRIu32,
		          h->version, w->header.version);
}

/* The up to 63 bytes between payload and next record. */
static void check_padding(struct cq_verify_walk *w, const struct cq_record_at *record)
{
	const struct cq_window *scan = &w->scan;
	uint64_t from = record->offset + sizeof record->header + record->length;
	size_t length = (size_t)(record->end - from);
	uint8_t copy[CQ_ALIGN];
	const uint8_t *bytes = copy;

	if (length == 0)
		return;
	if (from >= scan->window_start && record->end - scan->window_start <= scan->window_length)
		bytes = scan->window + (from - scan->window_start);
	else if (cq_segment_pread(w->segment, copy, length, from) < 0)
		return; /* the scan comes by there next, and reports it */
	if (!cq_verify_all_zero(bytes, length))
		/* chronicle-rs does not clear what a killed append of its own has left */
		cq_verify_report(&w->v, record->header.ext == 1, w->id, from,
		                 "bytes between payload and next record are not zero");
}

static void check_index_entry(struct cq_verify_walk *w, const struct cq_record_at *record)
{
	const struct cq_index_entry *entry;

	if (!w->have_index || w->index_next >= w->index.header.entries)
		return;
	entry = &w->index.entries[w->index_next];
	if (entry->offset > record->offset)
		return;
	w->index_next++;
	if (entry->offset != record->offset || entry->seq != record->header.seq ||
	    entry->time_ns != record->header.time_ns)
		CQ_DAMAGE(w, entry->offset, "the index has an entry that is not of a record here");
}

static void check_record(struct cq_verify_walk *w, const struct cq_record_at *record)
{
	const struct cq_record_header *h = &record->header;

	if (h->type == CQ_TYPE_PAD)
		return;
	check_seq(w, record);
	check_reserved(w, record);
	if (h->ext == 1)
		check_extension(w, record);
	check_padding(w, record);
	check_index_entry(w, record);
	w->order.stream += record->length;

	if (w->records == 0 || h->seq < w->min_seq)
		w->min_seq = h->seq;
	if (w->records == 0 || h->seq > w->max_seq)
		w->max_seq = h->seq;
	if (w->records == 0 || h->time_ns < w->min_time)
		w->min_time = h->time_ns;
	if (w->records == 0 || h->time_ns > w->max_time)
		w->max_time = h->time_ns;
	w->records++;
	w->payload_bytes += record->length;
}

/* ---- the records of one segment ---- */

/* How many sound records stand behind this place, as the end of a finding's text: a writer that opens
 * gives them up.  1; 0: none; or an error. */
static int tell_beyond(struct cq_verify_walk *w, uint64_t offset, char text[BEYOND_SIZE])
{
	const struct cq_verify_order *order = &w->order;
	struct cq_beyond_from from = {
		.offset = offset,
		.seq = order->anchored ? order->next_seq : 0,
		.epoch = order->epoch,
		.placed = order->anchored && order->in_stream,
		.stream = order->stream,
	};
	struct cq_beyond found = { .records = 0 };
	uint64_t first;
	int r;

	r = cq_beyond_add(cq_segment_fd(w->segment), w->scan.size, &from, NULL, &found, &first);
	if (r < 0)
		(void)cq_verify_short_of_means(&w->v, r);
	if (found.records == 1)
		(void)snprintf(text, BEYOND_SIZE, "; 1 sound record, %" PRIu64 ", stands behind it",
		               found.first_seq);
	else if (found.records > 1)
		(void)snprintf(text, BEYOND_SIZE,
		               "; %" PRIu64 " sound records, %" PRIu64 " to %" PRIu64
		               ", stand behind it",
		               found.records, found.first_seq, found.last_seq);
	else
		text[0] = '\0';
	return r < 0 ? r : found.records > 0;
}

/* The payload alone is damaged: its header says where the next record is. */
static void step_over(struct cq_verify_walk *w, const struct cq_record_at *record,
                      const char *beyond)
{
	CQ_DAMAGE(w, record->offset, "payload of record %" PRIu64 " does not match its checksum%s",
	          record->header.seq, beyond);
	check_record(w, record);
	w->walk.offset = record->end;
}

/* What stands here is no sound record.  True: go on at walk.offset. */
static bool unsound(struct cq_verify_walk *w, const struct cq_record_at *record)
{
	uint64_t offset = w->walk.offset;
	char text[BEYOND_SIZE] = "";

	/* the recovery of a writer that has come since may be setting it aside */
	if (!w->sealed && cq_verify_came(&w->v, w->id, offset))
		return false;
	if (!w->told)
		(void)tell_beyond(w, offset, text);
	w->told = true;
	if (w->walk.state == CQ_RECORD_PAYLOAD) {
		step_over(w, record, text);
		return true;
	}
	CQ_DAMAGE(w, offset, "%s: the rest of the segment cannot be read%s",
	          w->walk.state == CQ_RECORD_BOUNDS
	                  ? "a record length that leads out of the segment"
	                  : "a damaged record header",
	          text);
	give_up_segment(w);
	return false;
}

/* Of an unsealed segment, from `at` on: what a killed writer has left, or what is left of records. */
static void judge_residue(struct cq_verify_walk *w, uint64_t end, uint64_t at)
{
	struct cq_record_header h = { 0 };
	char text[BEYOND_SIZE];
	int r = tell_beyond(w, end, text);

	/* a writer at work appends on and on; it never leaves a place out */
	if (r > 0 && w->v.live)
		r = (int)cq_segment_pread(w->segment, &h, sizeof h, end);
	if (r < 0)
		cq_verify_unreadable(w, end, r);
	else if (r > 0 && h.commit == 0 && !cq_verify_came(&w->v, w->id, at))
		CQ_DAMAGE(w, at,
		          "records stand here, behind the last one: those between are missing%s",
		          text);
	else if (!cq_verify_moving(&w->v, w->id, at))
		CQ_NOTE(w, at, "bytes behind the last record, as a killed writer leaves them");
}

/* Behind the last record. */
static void check_residue(struct cq_verify_walk *w)
{
	uint64_t end = w->walk.offset, at;
	int r;

	/* not under a writer, whose prepared pages would be written back */
	if (!w->v.live)
		cq_io_drop_clean(w->scan.fd, end);
	r = cq_window_residue(&w->scan, end, &at);
	if (r < 0)
		cq_verify_unreadable(w, end, r);
	if (r < 0 || at == w->scan.size)
		return;
	if (w->sealed)
		/* chronicle-rs seals over what a killed append of its own has left */
		cq_verify_report(&w->v, w->header.ext != 0, w->id, at,
		                 "bytes behind the last record are not zero");
	else
		judge_residue(w, end, at);
}

void cq_verify_records(struct cq_verify_walk *w)
{
	struct cq_record_at record;
	bool go_on = true;
	int r;

	while (go_on) {
		uint64_t offset = w->walk.offset;

		cq_verify_pass(&w->v, &w->order, w->id, offset);
		r = cq_walk_step(&w->walk, &record);
		/* read in one piece with its commit word it may be half stored, but not any more */
		if (w->walk.state != CQ_RECORD_OK && !w->sealed)
			r = cq_walk_step(&w->walk, &record);
		if (r > 0) {
			check_record(w, &record);
			continue;
		}
		go_on = w->walk.state != CQ_RECORD_OK && unsound(w, &record);
		if (r == 0)
			check_residue(w);
		else if (w->walk.state == CQ_RECORD_OK)
			cq_verify_unreadable(w, offset, r);
	}
}
