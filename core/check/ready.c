/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ready.c - what would stop recovery half way is found before it begins; see internal.h
 *
 * Invariant: an open, or a repair, that is refused for what is there has changed nothing.  What fails
 * later is a call that failed (EIO, ENOSPC, a kill), and then the next one goes on with the rest.
 */
#include "check/internal.h"

#include <errno.h>

#include "files/dir.h"
#include "files/quarantine.h"
#include "files/trust.h"
#include "messages/log.h"

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
		tail = c->survey.tail;
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

int cq_recover_ready(struct cq_recovery *v)
{
	int r = 0;

	if (cq_recover_current(v) > CQ_SEGMENT_ID_MAX) {
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
