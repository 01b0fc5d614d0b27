/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plan_repair.c - a repair judges what an opening writer trusts; see check.h
 *
 * That is: the segments below the watermark and, without one, all sealed segments.  They were durable, so
 * what is missing of them is a loss.  A segment that does not hold all of its records is set aside whole:
 * then all holes in the queue are between segments, where readers report them and go on.
 */
#include "check/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "files/dir.h"
#include "files/index.h"
#include "files/quarantine.h"
#include "files/trust.h"
#include "format/record.h"
#include "messages/log.h"
#include "os/io.h"

/* A repair makes no more placeholders than these: each is a file. */
#define PLACEHOLDERS_MAX 10000U

/* Does the next segment go on where this one ends?  Unknown counts as yes. */
static bool goes_on(const struct cq_recovery *v, const struct cq_candidate *c)
{
	const struct cq_candidate *next = c + 1;
	uint64_t end, first;

	if (next == v->candidates + v->candidate_count || next->id != c->id + 1)
		return true;
	return !cq_inspect_end_seq(c, &end) || !cq_inspect_first_seq(next, &first) || first == end;
}

/* All records that the segment ever held are there. */
static bool is_whole(const struct cq_recovery *v, const struct cq_candidate *c)
{
	if (c->contents.damaged)
		return false;
	if (c->kind == CQ_KIND_SEALED && cq_segment_ext_valid(&c->header))
		return cq_inspect_summary_agrees(c);
	/* nobody seals an empty segment */
	return c->contents.tail > sizeof(struct cq_segment_header) && goes_on(v, c);
}

/* The segment is going to be written to. */
static int check_writable(const struct cq_recovery *v, const struct cq_candidate *c)
{
	char name[CQ_NAME_MAX];
	int fd, r;

	cq_segment_name(name, c->id);
	r = cq_trust_to_write(v->dirfd, name, v->config);
	if (r == 0)
		r = cq_io_open(v->dirfd, name, O_RDWR, &fd);
	if (r == 0)
		close(fd);
	return r;
}

/* Decides about a segment that holds all of its records. */
static int judge_whole(struct cq_recovery *v, struct cq_candidate *c)
{
	const bool sealed = c->kind == CQ_KIND_SEALED;
	int fd, r;

	if (sealed && c->header.ext == 0)
		return 0; /* chronicle-rs seals segments with residue behind their records */
	r = cq_segment_open_named(v->dirfd, c->id, &fd);
	if (r < 0)
		return r;
	r = cq_quarantine_first_residue(fd, v->segment_size, c->contents.tail, &c->residue);
	close(fd);
	if (r < 0)
		return r;
	if (c->residue < v->segment_size || (sealed && !cq_segment_ext_valid(&c->header)))
		c->act = CQ_ACT_CUT_AND_SEAL;
	else if (!sealed)
		c->act = CQ_ACT_SEAL;
	return c->act == CQ_ACT_KEEP ? 0 : check_writable(v, c);
}

static int judge_trusted(struct cq_recovery *v, struct cq_candidate *c)
{
	/* a roll leaves no empty segment behind: the records of one are gone */
	if (cq_kind_is_sound(c->kind) && c->kind != CQ_KIND_FRESH && is_whole(v, c))
		return judge_whole(v, c);
	c->act = CQ_ACT_SET_ASIDE;
	c->lost = true;
	return 0;
}

static int judge_segment(struct cq_recovery *v, struct cq_candidate *c)
{
	if (c->trusted)
		return judge_trusted(v, c);
	if (c->act == CQ_ACT_KEEP && c->kind == CQ_KIND_SEALED)
		return judge_whole(v, c);
	c->lost = !v->have_watermark && c->act == CQ_ACT_SET_ASIDE && !cq_kind_is_sound(c->kind) &&
	          c->kind != CQ_KIND_UNWRITTEN;
	/* without a watermark, plan.c does not compare the numbers of segments */
	if (!v->have_watermark && (c->act == CQ_ACT_SEAL || c->act == CQ_ACT_CUT_AND_SEAL) &&
	    !goes_on(v, c)) {
		c->act = CQ_ACT_SET_ASIDE;
		c->lost = true;
	}
	return 0;
}

static int add_gap(struct cq_recovery *v, uint32_t first, uint32_t last, uint64_t *count)
{
	struct cq_gap *more;

	*count += (uint64_t)last - first + 1;
	if (*count > PLACEHOLDERS_MAX) {
		cq_log(v->config, CQ_ERROR,
		       "more than %u segments are missing, %09u to %09u among them",
		       PLACEHOLDERS_MAX, first, last);
		return -EFBIG;
	}
	more = realloc(v->gaps, (v->gap_count + 1) * sizeof *more);
	if (!more)
		return -ENOMEM;
	v->gaps = more;
	v->gaps[v->gap_count++] = (struct cq_gap){ first, last };
	return 0;
}

static int find_gaps(struct cq_recovery *v)
{
	const uint32_t current = cq_plan_current(v);
	uint64_t count = 0;
	uint32_t next = 0; /* id behind the last segment that stays */
	bool any = false;
	int r = 0;

	for (size_t i = 0; r == 0 && i < v->candidate_count; i++) {
		const struct cq_candidate *c = &v->candidates[i];

		if (c->act == CQ_ACT_SET_ASIDE || c->id > current)
			continue;
		if (any && c->id > next)
			r = add_gap(v, next, c->id - 1, &count);
		any = true;
		next = c->id + 1;
	}
	if (r == 0 && any && current > next)
		r = add_gap(v, next, current - 1, &count);
	return r;
}

/* ---- indexes ---- */

static int check_index(struct cq_recovery *v, struct cq_candidate *c, bool sealed)
{
	struct cq_index index;
	char name[CQ_NAME_MAX];
	bool fits = true;
	int fd, r;

	r = cq_index_read(v->dirfd, c->id, v->segment_size, &index);
	if (r == -ENOENT) {
		c->index_wrong =
			sealed && cq_segment_ext_valid(&c->header) && c->contents.records > 0;
		return 0;
	}
	if (r == -EBADMSG || r == -ELOOP) {
		c->index_wrong = true;
		cq_index_name(name, c->id);
		return cq_trust_no_directory(v->dirfd, name, v->config);
	}
	if (r < 0)
		return r;
	r = cq_segment_open_named(v->dirfd, c->id, &fd);
	if (r == 0) {
		r = cq_index_fits(&index, fd, sealed, &v->meter, &fits);
		close(fd);
	}
	c->index_wrong = !fits;
	cq_index_fini(&index);
	return r;
}

static int check_all_indexes(struct cq_recovery *v)
{
	int r = 0;

	cq_meter_begin(&v->meter, CQ_PHASE_INDEXES, v->candidate_count, v->segment_size);
	for (size_t i = 0; r == 0 && i < v->candidate_count; i++) {
		struct cq_candidate *c = &v->candidates[i];

		switch (c->act) { /* GCOV_EXCL_BR_LINE: no other value */
		case CQ_ACT_KEEP:
			r = check_index(v, c, c->kind == CQ_KIND_SEALED);
			break;
		case CQ_ACT_CONTINUE:
			r = check_index(v, c, false);
			break;
		case CQ_ACT_SEAL:
		case CQ_ACT_CUT_AND_SEAL:
			c->index_wrong = c->contents.records > 0;
			break;
		case CQ_ACT_SET_ASIDE:
			break;
		}
		cq_meter_next(&v->meter);
	}
	return r;
}

int cq_plan_repair(struct cq_recovery *v)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < v->candidate_count; i++)
		if (v->candidates[i].trusted && cq_kind_is_sound(v->candidates[i].kind))
			r = cq_inspect_read(v, &v->candidates[i]);
	for (size_t i = 0; r == 0 && i < v->candidate_count; i++) {
		r = judge_segment(v, &v->candidates[i]);
		v->durable_lost |= v->candidates[i].lost;
	}
	if (r == 0)
		r = find_gaps(v);
	v->durable_lost |= v->gap_count > 0;
	return r == 0 ? check_all_indexes(v) : r;
}
