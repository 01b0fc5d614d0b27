/* SPDX-License-Identifier: Apache-2.0 */
/* plan.c - what is to be done; see internal.h */
#include "check/internal.h"

#include <errno.h>

#include "files/dir.h"
#include "files/quarantine.h"
#include "files/trust.h"
#include "format/place.h"
#include "format/record.h"
#include "messages/log.h"
#include "os/fault.h"

/* Does this segment begin where the one before it ended?  Unknown counts as yes. */
static bool connects(const struct cq_recovery *v, const struct cq_candidate *c)
{
	uint64_t first;

	return !v->end_seq_known || !cq_inspect_first_seq(c, &first) || first == v->end_seq;
}

static void end_at(struct cq_recovery *v, const struct cq_candidate *c, uint64_t tail)
{
	v->active_id = c->id;
	v->tail = tail;
	if (c->contents.records > 0) {
		v->end_seq = c->contents.max_seq + 1;
		v->end_seq_known = c->contents.has_stream_offset;
	} else if (cq_inspect_is_placeholder(c)) {
		v->end_seq_known = false; /* how much is missing, what follows tells */
	} else if (cq_segment_ext_valid(&c->header)) {
		v->end_seq = c->header.first_seq;
		v->end_seq_known = true;
	}
	/* It may hold chronicle-rs's records alone, or none, and say nothing of itself: ours that came
	 * behind are lost, and so those in the next segment do not follow. */
	if (!v->end_seq_known && v->have_watermark && c->id == v->watermark.segment &&
	    tail == v->watermark.offset && !cq_inspect_is_placeholder(c)) {
		v->end_seq = v->watermark.seq;
		v->end_seq_known = true;
	}
}

/* By the watermark, records that were durable have been in this segment and are not. */
static bool lacks_durable(const struct cq_recovery *v, const struct cq_candidate *c)
{
	if (!v->have_watermark || c->id > v->watermark.segment)
		return false;
	/* it says itself that it is whole, which nothing else knows better */
	if (c->kind == CQ_KIND_SEALED && cq_segment_ext_valid(&c->header) &&
	    cq_inspect_summary_agrees(c) && !cq_inspect_is_placeholder(c))
		return false;
	if (c->id == v->watermark.segment)
		return c->contents.tail < v->watermark.offset;
	return c->contents.damaged || (v->end_seq_known && v->end_seq < v->watermark.seq);
}

/* A segment with records, or what may have been one, before or at the last such. */
static int decide_one(struct cq_recovery *v, struct cq_candidate *c, bool last)
{
	bool lost; /* something that was durable */
	int r;

	if (!cq_kind_is_sound(c->kind)) {
		c->act = CQ_ACT_SET_ASIDE;
		v->hole = true;
		v->active_id = c->id;
		v->tail = sizeof(struct cq_segment_header);
		return 0;
	}
	if (c->kind == CQ_KIND_SEALED && !v->have_watermark) { /* taken as it is */
		v->active_id = c->id + 1;
		v->tail = sizeof(struct cq_segment_header);
		v->end_seq_known = false;
		return 0;
	}
	r = cq_inspect_contents(v, c, &v->meter);
	if (r < 0)
		return r;
	if (v->have_watermark && !connects(v, c)) {
		c->act = CQ_ACT_SET_ASIDE;
		v->hole = true;
		return 0;
	}
	end_at(v, c, c->contents.tail);
	lost = lacks_durable(v, c);
	if (c->kind == CQ_KIND_SEALED && cq_inspect_summary_agrees(c) && !lost) {
		/* a recovery may have been killed while it wrote a new summary */
		c->act = c->header.ext != 0 && !cq_segment_ext_valid(&c->header) ? CQ_ACT_SEAL
		                                                                 : CQ_ACT_KEEP;
	} else if (c->kind == CQ_KIND_SEALED) {
		c->act = CQ_ACT_CUT_AND_SEAL;
		v->hole = true;
	} else if (last && (lost || !v->have_watermark || c->id >= v->watermark.segment)) {
		c->act = CQ_ACT_CONTINUE;
		return 0;
	} else {
		c->act = c->contents.damaged || lost ? CQ_ACT_CUT_AND_SEAL : CQ_ACT_SEAL;
		v->hole |= v->have_watermark && c->act == CQ_ACT_CUT_AND_SEAL;
	}
	/* What a sealed segment says of its end is as good as the successor's beginning. */
	if (c->act != CQ_ACT_CUT_AND_SEAL) {
		v->active_id = c->id + 1;
		v->tail = sizeof(struct cq_segment_header);
	}
	return 0;
}

uint32_t cq_plan_current(const struct cq_recovery *v)
{
	uint32_t id = v->active_id;

	for (size_t i = 0; i < v->candidate_count; i++) {
		const struct cq_candidate *c = &v->candidates[i];

		if ((c->act == CQ_ACT_SEAL || c->act == CQ_ACT_CUT_AND_SEAL) && c->id == id)
			id++;
	}
	return id;
}

bool cq_plan_stays_sealed(const struct cq_candidate *c)
{
	return c->act == CQ_ACT_SEAL || c->act == CQ_ACT_CUT_AND_SEAL ||
	       (c->act == CQ_ACT_KEEP && c->kind == CQ_KIND_SEALED);
}

uint64_t cq_plan_offset(const struct cq_recovery *v)
{
	for (size_t i = 0; i < v->candidate_count; i++)
		if (v->candidates[i].act == CQ_ACT_CONTINUE)
			return v->candidates[i].contents.tail;
	return sizeof(struct cq_segment_header);
}

/* The next segments to be written follow the current one without a gap.  A power cut may have left
 * the name of a later one alone: a gap that would stay. */
static void set_spares_aside(struct cq_recovery *v)
{
	const uint32_t current = cq_plan_current(v);
	uint64_t next = (uint64_t)current + 1;

	for (size_t i = 0; i < v->candidate_count; i++) {
		struct cq_candidate *c = &v->candidates[i];

		if (c->id <= current || c->act == CQ_ACT_SET_ASIDE)
			continue;
		/* by now they are all fresh: asked, so that no mistake elsewhere takes records */
		if (c->kind == CQ_KIND_FRESH && c->id != next) /* GCOV_EXCL_BR_LINE: a safeguard */
			c->act = CQ_ACT_SET_ASIDE;
		else
			next = (uint64_t)c->id + 1;
	}
}

int cq_plan(struct cq_recovery *v)
{
	struct cq_candidate *const candidates = v->candidates + v->trusted;
	const size_t count = v->candidate_count - v->trusted;
	size_t end = count; /* behind the last segment that is or was in use */
	int r;

	for (; end > 0; end--) {
		struct cq_candidate *spare = &candidates[end - 1];

		/* an unwritten one is a spare of which only the name arrived */
		if (spare->kind == CQ_KIND_UNWRITTEN)
			spare->act = CQ_ACT_SET_ASIDE;
		else if (spare->kind != CQ_KIND_FRESH || cq_planted("advance_because_next_exists"))
			break;
	}
	/* with segments there, a mark behind the last that there can be is right (inspect.c) */
	v->active_id =
		v->have_watermark && (v->watermark.segment <= CQ_SEGMENT_ID_MAX || v->count > 0)
			? (uint32_t)v->watermark.segment
		: v->count > 0 ? v->ids[0]
			       : 0;
	v->tail = sizeof(struct cq_segment_header);
	/* segments just below the watermark are gone, and the one that it names: the oldest go first,
	 * so this is no retention */
	if (v->have_watermark && count < v->count &&
	    (count == 0 || candidates[0].id > v->active_id) &&
	    v->ids[v->count - count - 1] + 1 < v->active_id)
		v->active_id = v->ids[v->count - count - 1] + 1;
	if (count > 0 && candidates[0].id > v->active_id) {
		if (count < v->count) { /* retention takes the oldest first */
			v->hole = true;
		} else { /* it took what the watermark last named */
			v->active_id = candidates[0].id;
			v->have_watermark = end > 0;
		}
	}
	for (size_t i = 0; i < end; i++) {
		struct cq_candidate *c = &candidates[i];

		if (v->have_watermark && i > 0 && c->id != candidates[i - 1].id + 1)
			v->hole = true;
		if (v->hole && v->have_watermark) {
			if (c->kind != CQ_KIND_FRESH)
				c->act = CQ_ACT_SET_ASIDE;
			continue;
		}
		r = decide_one(v, c, i + 1 == end);
		if (r < 0)
			return r;
	}
	set_spares_aside(v);
	return 0;
}

bool cq_plan_is_loss(const struct cq_recovery *v)
{
	if (!v->have_watermark)
		return v->watermark_ahead;
	return cq_place_compare(v->active_id, v->tail, v->watermark.segment, v->watermark.offset,
	                        v->segment_size) < 0;
}

const char *cq_plan_why_aside(const struct cq_candidate *c)
{
	if (!cq_kind_is_sound(c->kind))
		return "it is not a sound segment";
	if (c->kind == CQ_KIND_FRESH)
		return "segments before it are missing";
	return c->lost ? "it does not hold all of its records" : "records before it are missing";
}

/* ---- what would stop it half way ----
 *
 * Invariant: an open, or a repair, that is refused for what is there has changed nothing.  What fails
 * later is a call that failed (EIO, ENOSPC, a kill), and then the next one goes on with the rest.
 */

/* Something is kept of each crash.  Where nobody ever looks at it, that has an end (repair.h). */
#define TOO_MUCH "nothing more can be set aside: move "

/* What is to be set aside, or cut, finds a name. */
static int check_names(const struct cq_recovery *v, const struct cq_candidate *c)
{
	uint64_t tail = sizeof c->header;
	int r;

	if (c->act == CQ_ACT_SET_ASIDE) {
		r = cq_quarantine_may_take_segment(v->dirfd, c->id);
		if (r == -EEXIST)
			cq_log(v->config, CQ_ERROR, TOO_MUCH CQ_SEGMENT_CORRUPT "* away", c->id);
		return r;
	}
	if (c->residue >= v->segment_size || (c->act == CQ_ACT_KEEP && c->kind != CQ_KIND_FRESH))
		return 0;
	if (c->act != CQ_ACT_KEEP)
		tail = c->contents.tail;
	if (c->residue > 0)
		tail = c->residue;
	r = cq_quarantine_may_cut(v->dirfd, c->id, v->segment_size, tail);
	if (r == -EEXIST)
		cq_log(v->config, CQ_ERROR, TOO_MUCH CQ_SEGMENT_BROKEN "* away", c->id);
	return r;
}

/* Where a repair may have to write an index, or to remove one, no directory has its name. */
static int check_index(const struct cq_recovery *v, uint32_t id)
{
	char name[CQ_NAME_MAX];

	cq_index_name(name, id);
	return cq_trust_no_directory(v->dirfd, name, v->config);
}

static int check_indexes(const struct cq_recovery *v)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < v->candidate_count; i++)
		r = check_index(v, v->candidates[i].id);
	for (size_t i = 0; i < v->gap_count; i++)
		for (uint32_t id = v->gaps[i].first; r == 0 && id <= v->gaps[i].last; id++)
			r = check_index(v, id);
	return r;
}

int cq_plan_check(struct cq_recovery *v)
{
	int r = 0;

	if (cq_plan_current(v) > CQ_SEGMENT_ID_MAX) {
		cq_log(v->config, CQ_ERROR,
		       "the segment ids are used up: " CQ_SEGMENT_NAME
		       " is sealed, and there can be none behind it",
		       CQ_SEGMENT_ID_MAX);
		return -EOVERFLOW;
	}
	for (size_t i = 0; r == 0 && i < v->candidate_count; i++)
		r = check_names(v, &v->candidates[i]);
	return r == 0 && v->repairer ? check_indexes(v) : r;
}
