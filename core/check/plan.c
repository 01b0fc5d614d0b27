/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plan.c - what an opening writer does with what it finds; see check.h
 *
 *   The directory and the segments' headers are the truth; control.meta, index.meta and the indexes
 *   are hints.  Segments below the watermark are trusted; those from it on are read, as far as they hold
 *   records.  Without a watermark (a queue of chronicle-rs) sealed segments are trusted.
 *
 *   The active segment is the last one that holds records and is not sealed.  Where a later segment holds
 *   records all the same, and begins where this one ends, this one gets the seal that the crash took away.
 *   That the next file exists means nothing.
 *
 *   The records that survive are a prefix: everything behind the first record that is missing or damaged
 *   is set aside, never deleted: bytes to NNNNNNNNN.q.broken, whole segments to NNNNNNNNN.q.corrupt.  If
 *   the watermark says that some of it was durable, that is a loss: nothing is changed, EBADMSG, unless
 *   the caller accepts it; the watermark then comes down to what is left.
 */
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

/* The queue ends where the records of this segment end, unless more is found. */
static void end_in(struct cq_recovery *v, const struct cq_candidate *c)
{
	v->active_id = c->id;
	v->tail = c->contents.tail;
	if (c->contents.records > 0 || cq_segment_ext_valid(&c->header))
		v->end_seq_known = cq_inspect_end_seq(c, &v->end_seq);
	/* A segment with records of chronicle-rs alone, or with none, may have no number: then the
	 * watermark at its end has it.  Were it not used, records that are lost here would be no gap. */
	if (!v->end_seq_known && v->have_watermark && c->id == v->watermark.segment &&
	    v->tail == v->watermark.offset && !cq_inspect_is_placeholder(c)) {
		v->end_seq = v->watermark.seq;
		v->end_seq_known = true;
	}
}

/* By the watermark, this segment held durable records that are not there any more. */
static bool lacks_durable(const struct cq_recovery *v, const struct cq_candidate *c)
{
	if (!v->have_watermark || c->id > v->watermark.segment)
		return false;
	/* its own summary is the best witness */
	if (c->kind == CQ_KIND_SEALED && cq_segment_ext_valid(&c->header) &&
	    cq_inspect_summary_agrees(c) && !cq_inspect_is_placeholder(c))
		return false;
	if (c->id == v->watermark.segment)
		return c->contents.tail < v->watermark.offset;
	return c->contents.damaged || (v->end_seq_known && v->end_seq < v->watermark.seq);
}

/* Decides about a segment that is in use, or may have been, up to the last one of these. */
static int plan_one(struct cq_recovery *v, struct cq_candidate *c, bool last)
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
	if (c->kind == CQ_KIND_SEALED && !v->have_watermark) { /* trusted */
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
	end_in(v, c);
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
	/* the end of a sealed segment and the beginning of the next one are one place */
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

/* Spares follow the current segment without a gap.  A power cut may have kept the name of one from the
 * disk and not that of a later one: the gap would stay. */
static void set_spares_aside(struct cq_recovery *v)
{
	const uint32_t current = cq_plan_current(v);
	uint64_t next = (uint64_t)current + 1;

	for (size_t i = 0; i < v->candidate_count; i++) {
		struct cq_candidate *c = &v->candidates[i];

		if (c->id <= current || c->act == CQ_ACT_SET_ASIDE)
			continue;
		/* all are fresh by now; the check keeps a mistake elsewhere from taking records */
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

		/* an unwritten one is a spare of which only the name came to the disk */
		if (spare->kind == CQ_KIND_UNWRITTEN)
			spare->act = CQ_ACT_SET_ASIDE;
		else if (spare->kind != CQ_KIND_FRESH || cq_planted("advance_because_next_exists"))
			break;
	}
	/* where segments exist, a watermark behind the last possible id is right (inspect.c) */
	v->active_id =
		v->have_watermark && (v->watermark.segment <= CQ_SEGMENT_ID_MAX || v->count > 0)
			? (uint32_t)v->watermark.segment
		: v->count > 0             ? v->ids[0]
		: v->config->begin_seq > 0 ? 1 /* as if segment 0 had been deleted */
					   : 0;
	v->tail = sizeof(struct cq_segment_header);
	/* The segment that the watermark names is gone, and segments just below it, while older ones
	 * exist: retention did not do that, because it takes the oldest first. */
	if (v->have_watermark && count < v->count &&
	    (count == 0 || candidates[0].id > v->active_id) &&
	    v->ids[v->count - count - 1] + 1 < v->active_id)
		v->active_id = v->ids[v->count - count - 1] + 1;
	if (count > 0 && candidates[0].id > v->active_id) {
		if (count < v->count) { /* older ones exist: no retention, either */
			v->hole = true;
		} else { /* retention took what the watermark names */
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
		r = plan_one(v, c, i + 1 == end);
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

/* ---- what would stop the plan half way ----
 *
 * Invariant: an open or a repair that is refused because of what is there has changed nothing.  Later only
 * a failing call (EIO, ENOSPC) or a kill stops it, and then the next run does the rest.
 */

/* Each crash may leave something that is set aside.  Where nobody takes it away, the names run out. */
#define TOO_MUCH "nothing more can be set aside: move "

/* There is a name for what is to be set aside or cut. */
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

/* No directory has the name of an index that a repair may have to write or to remove. */
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

/* The numbering (number.c) goes below the candidates: no candidate has a number at or before the first one
 * that needs it. */
static bool needs_numbers_below(const struct cq_recovery *v)
{
	for (size_t i = 0; i < v->candidate_count; i++) {
		const struct cq_candidate *c = &v->candidates[i];

		if (c->act == CQ_ACT_SET_ASIDE ||
		    (c->act == CQ_ACT_KEEP && c->kind == CQ_KIND_FRESH))
			continue; /* has no number then */
		if (cq_segment_ext_valid(&c->header))
			return false;
		if (c->act != CQ_ACT_KEEP)
			return true;
	}
	return true; /* for the segment to continue in */
}

/* What the numbering reads below the candidates can be read, and is of no later version of the format. */
static int check_below(const struct cq_recovery *v)
{
	size_t below = needs_numbers_below(v) ? v->count - v->candidate_count : 0;

	while (below-- > 0) {
		struct cq_candidate c = { .id = v->ids[below] };
		int r = cq_inspect_segment(v, &c);

		if (r < 0 && r != -ENOENT)
			return r;
		if (r == 0 && cq_kind_is_sound(c.kind) && cq_segment_ext_valid(&c.header))
			break;
	}
	return 0;
}

int cq_plan_check(struct cq_recovery *v)
{
	int r = check_below(v);

	if (cq_plan_current(v) > CQ_SEGMENT_ID_MAX) {
		cq_log(v->config, CQ_ERROR,
		       "the segment ids are used up: " CQ_SEGMENT_NAME
		       " is sealed, and there can be none behind it",
		       CQ_SEGMENT_ID_MAX);
		return -EOVERFLOW;
	}
	for (size_t i = 0; r == 0 && i < v->candidate_count; i++)
		r = check_names(v, &v->candidates[i]);
	return r == 0 && v->repair ? check_indexes(v) : r;
}
