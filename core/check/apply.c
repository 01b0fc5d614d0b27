/* SPDX-License-Identifier: Apache-2.0 */
/* apply.c - does what is planned; see check.h */
#include "check/internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "check/check.h"
#include "files/index.h"
#include "files/quarantine.h"
#include "format/record.h"
#include "messages/log.h"
#include "messages/room.h"
#include "os/fault.h"
#include "os/io.h"

static int set_aside(struct cq_recovery *v, const struct cq_candidate *c)
{
	char aside[CQ_NAME_MAX];
	int r;

	r = cq_quarantine_segment(v->dirfd, c->id, aside);
	if (r == 0)
		cq_log(v->config, CQ_WARNING, "segment %09u set aside as %s: %s", c->id, aside,
		       cq_plan_why_aside(c));
	return r;
}

/* Removes what is behind the records. */
static int clear_tail(struct cq_recovery *v, const struct cq_candidate *c)
{
	uint64_t bytes;
	int r;

	if (c->residue >= v->segment_size)
		return 0;
	r = cq_quarantine_tail(v->dirfd, c->segment, c->residue > 0 ? c->residue : c->contents.tail,
	                       &bytes);
	if (r < 0 || bytes == 0)
		return r;
	cq_log(v->config, CQ_NOTICE,
	       "segment %09u: what %s behind offset %" PRIu64 " is now in " CQ_SEGMENT_BROKEN,
	       c->id, c->contents.damaged || c->sound_behind ? "was" : "an unfinished write left",
	       c->contents.tail, c->id);
	return 0;
}

/* An index that chronicle-rs left for an unsealed segment may lack records: it is removed. */
static int seal(struct cq_recovery *v, struct cq_candidate *c)
{
	uint64_t end_seq;
	int r = 0;

	if (!c->segment)
		r = cq_inspect_contents(v, c, NULL);
	if (r == 0)
		r = cq_quarantine_drop_index(v->dirfd, c->id);
	if (r == 0)
		r = clear_tail(v, c);
	if (r == 0)
		r = cq_number_segment(v, c, &end_seq);
	if (r < 0)
		return r;
	cq_point("recover.numbered");
	cq_wsegment_seal(c->segment);
	cq_point("recover.sealed");
	r = cq_io_sync_data(c->segment->map.fd);
	cq_point("recover.seal_synced");
	if (v->active_id == c->id)
		v->active_id++; /* it was cut: the queue goes on in the next one */
	return r;
}

/* Prepares the segment to go on in. */
static int prepare_current(struct cq_recovery *v, struct cq_candidate *c)
{
	int r = cq_quarantine_drop_index(v->dirfd, c->id);

	return r < 0 ? r : clear_tail(v, c);
}

/* A skip (write/roll.c) has begun this empty segment, in which the queue continues: its header alone has the numbers
 * behind the gap. */
static bool is_behind_gap(const struct cq_recovery *v, const struct cq_candidate *c,
                          const struct cq_segment_header *h)
{
	struct cq_candidate before = { .id = c->id - 1 };

	return c->id > 0 && c->id == cq_plan_current(v) && cq_segment_ext_valid(h) &&
	       cq_inspect_segment(v, &before) == 0 && cq_inspect_is_placeholder(&before) &&
	       h->first_seq >= before.header.first_seq &&
	       h->stream_base >= before.header.stream_base && !cq_planted("gap_forgotten");
}

/* Clears a spare whose later bytes came to the disk before a power cut, or whose header has numbers
 * already: it would continue records that are lost. */
static int clear_spare(struct cq_recovery *v, struct cq_candidate *c)
{
	static const uint8_t none[sizeof c->header - offsetof(struct cq_segment_header, ext)];
	struct cq_segment_header *h;
	int r;

	if (cq_planted("spare_not_cleared"))
		return 0;
	r = cq_wsegment_open(v->dirfd, c->id, v->segment_size, &c->segment);
	if (r < 0)
		return r;
	c->contents.tail = sizeof c->header;
	h = cq_wsegment_header(c->segment);
	r = clear_tail(v, c);
	/* where all segments before it are deleted, only it says which numbers were given */
	if (r == 0 && memcmp(&h->ext, none, sizeof none) != 0 &&
	    !(c->id == v->ids[0] && cq_segment_ext_valid(h)) && !is_behind_gap(v, c, h)) {
		memset(&h->ext, 0, sizeof none);
		r = cq_io_sync_data(c->segment->map.fd);
	}
	cq_wsegment_free(c->segment);
	c->segment = NULL;
	return r;
}

static int make_placeholders(struct cq_recovery *v, const struct cq_gap *gap)
{
	uint64_t seq, base;
	int r = 0;

	for (uint32_t id = gap->first; r == 0 && id <= gap->last; id++) {
		r = cq_number_at(v, id, &seq, &base);
		if (r == 0) /* the lost segment's index may be left */
			r = cq_quarantine_drop_index(v->dirfd, id);
		if (r == 0)
			r = cq_placeholder_publish(v->dirfd, id, v->segment_size, seq, base);
	}
	return r;
}

/* An index is a hint: a wrong one is rebuilt. */
static int build_indexes(struct cq_recovery *v)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < v->candidate_count; i++) {
		const struct cq_candidate *c = &v->candidates[i];
		struct cq_index index;
		int fd;

		if (!c->index_wrong)
			continue;
		if (!cq_plan_stays_sealed(c)) {
			r = cq_quarantine_drop_index(v->dirfd, c->id);
			continue;
		}
		r = cq_segment_open_named(v->dirfd, c->id, &fd);
		if (r < 0)
			return r;
		/* no meter: files have been changed, so the caller can end nothing */
		r = cq_index_build(fd, c->id, v->segment_size, NULL, &index);
		close(fd);
		if (r == 0) {
			r = cq_index_write(v->dirfd, &index);
			cq_index_fini(&index);
		}
		cq_point("repair.index_written");
	}
	return r;
}

/*
 * Seals from the oldest segment to the newest, and sets aside from the newest to the oldest: wherever this
 * is cut off, the rest has the hole that it had, and the next recovery plans the same.
 */
static int apply_to_all(struct cq_recovery *v)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < v->candidate_count; i++) {
		struct cq_candidate *c = &v->candidates[i];

		if (c->act == CQ_ACT_SEAL || c->act == CQ_ACT_CUT_AND_SEAL)
			r = seal(v, c);
		else if (c->act == CQ_ACT_CONTINUE)
			r = prepare_current(v, c);
		else if (c->act == CQ_ACT_KEEP && c->kind == CQ_KIND_FRESH)
			r = clear_spare(v, c);
	}
	for (size_t i = v->candidate_count; r == 0 && i-- > 0;)
		if (v->candidates[i].act == CQ_ACT_SET_ASIDE)
			r = set_aside(v, &v->candidates[i]);
	for (size_t i = 0; r == 0 && i < v->gap_count; i++)
		r = make_placeholders(v, &v->gaps[i]);
	if (r == 0 && v->repair)
		r = build_indexes(v);
	return r;
}

static uint64_t count_segments(const struct cq_recovery *v)
{
	uint64_t n = v->count;

	for (size_t i = 0; i < v->candidate_count; i++)
		n -= v->candidates[i].act == CQ_ACT_SET_ASIDE;
	for (size_t i = 0; i < v->gap_count; i++)
		n += (uint64_t)v->gaps[i].last - v->gaps[i].first + 1;
	return n;
}

/* Opens, or makes, an empty segment to go on in. */
static int open_fresh(struct cq_recovery *v, struct cq_candidate *fresh)
{
	int r;

	fresh->id = v->active_id;
	if (v->config->begin_seq > 0)
		r = cq_wsegment_create_first(v->dirfd, fresh->id, v->segment_size,
		                             v->config->begin_seq, v->config->begin_stream,
		                             &fresh->segment);
	else
		r = cq_wsegment_open_or_create(v->dirfd, fresh->id, v->segment_size,
		                               &fresh->segment);
	if (r < 0) {
		if (cq_room_lacks(r))
			cq_room_log(v->config, CQ_ERROR, "no segment to write to", r, v->dirfd,
			            v->segment_size);
		return r;
	}
	fresh->header = *cq_wsegment_header(fresh->segment);
	fresh->contents.tail = sizeof(struct cq_segment_header);
	/* older records may be behind a first page that never came to the disk */
	r = cq_wsegment_is_fresh(fresh->segment) ? prepare_current(v, fresh) : -EBADMSG;
	cq_point("recover.fresh");
	return r;
}

int cq_apply(struct cq_recovery *v, struct cq_recover_result *out)
{
	struct cq_candidate fresh = { .kind = CQ_KIND_FRESH, .act = CQ_ACT_CONTINUE };
	struct cq_candidate *current = NULL;
	uint64_t end_seq;
	int r;

	r = apply_to_all(v);
	if (r < 0)
		return r;
	cq_point("recover.repaired");
	out->segments = count_segments(v);
	for (size_t i = 0; i < v->candidate_count; i++)
		if (v->candidates[i].act == CQ_ACT_CONTINUE)
			current = &v->candidates[i];
	if (!current) {
		r = open_fresh(v, &fresh);
		current = &fresh;
	}
	if (r == 0)
		r = cq_number_segment(v, current, &end_seq);
	if (r < 0) {
		cq_wsegment_free(fresh.segment);
		return r;
	}
	out->segments += fresh.segment && fresh.segment->populated > 0; /* made, not opened */
	out->active = current->segment;
	current->segment = NULL;
	out->next_seq = end_seq;
	out->stream_end = out->active->stream_base + out->active->payload_bytes;
	out->last_time = current->contents.last_time;
	return 0;
}
