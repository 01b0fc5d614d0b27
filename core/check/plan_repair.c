/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plan_repair.c - a repair judges what an opening writer takes on trust; see internal.h
 *
 * That is: the segments below the watermark and, without one, all that are sealed.  They were durable,
 * so what is missing of them is a loss.  A segment that does not hold all of its records is set aside
 * whole: what is left in the queue then has its holes between segments, where readers are told of
 * them and go on.
 */
#include "check/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "files/dir.h"
#include "files/index.h"
#include "files/quarantine.h"
#include "files/trust.h"
#include "format/record.h"
#include "messages/log.h"
#include "os/fault.h"
#include "os/io.h"

/* More than these are not stood in for: each is a file. */
#define STAND_INS_MAX 10000U

/* Counts what it holds, without opening it for writing: there may be many. */
static int read_one(struct cq_recovery *v, struct cq_candidate *c)
{
	char name[CQ_NAME_MAX];
	int fd, r;

	cq_segment_name(name, c->id);
	r = cq_io_open(v->dirfd, name, O_RDONLY, &fd);
	if (r < 0)
		return r;
	r = cq_segment_scan_file(fd, v->segment_size, &c->header, NULL, &v->meter, &c->survey);
	close(fd);
	cq_meter_next(&v->meter);
	if (r == -EIO) { /* what cannot be read is damaged, too */
		c->kind = CQ_KIND_BAD;
		return 0;
	}
	c->surveyed = r == 0;
	if (r == 0 && c->survey.epoch > v->epoch)
		v->epoch = c->survey.epoch;
	return r;
}

bool cq_recover_first_seq(const struct cq_candidate *c, uint64_t *ret_seq)
{
	if (cq_segment_ext_valid(&c->header)) {
		*ret_seq = c->header.first_seq;
		return true;
	}
	*ret_seq = c->survey.first_seq;
	return c->surveyed && c->survey.records > 0 && c->survey.anchored;
}

bool cq_recover_end_seq(const struct cq_candidate *c, uint64_t *ret_seq)
{
	if (!c->surveyed || cq_recover_is_stand_in(c))
		return false;
	if (c->survey.records == 0) {
		*ret_seq = c->header.first_seq;
		return cq_segment_ext_valid(&c->header);
	}
	*ret_seq = c->survey.max_seq + 1;
	return c->survey.anchored;
}

/* Does the next segment go on where this one ends?  Unknown counts as yes. */
static bool goes_on(const struct cq_recovery *v, const struct cq_candidate *c)
{
	const struct cq_candidate *next = c + 1;
	uint64_t end, first;

	if (next == v->candidates + v->candidate_count || next->id != c->id + 1)
		return true;
	return !cq_recover_end_seq(c, &end) || !cq_recover_first_seq(next, &first) || first == end;
}

/* All records that it ever held are there. */
static bool is_whole(const struct cq_recovery *v, const struct cq_candidate *c)
{
	if (c->survey.damaged)
		return false;
	if (c->kind == CQ_KIND_SEALED && cq_segment_ext_valid(&c->header))
		return cq_recover_summary_agrees(c);
	/* nobody seals one that nothing was ever put into */
	return c->survey.tail > sizeof(struct cq_segment_header) && goes_on(v, c);
}

static int has_residue(const struct cq_recovery *v, const struct cq_candidate *c, bool *ret_residue)
{
	char name[CQ_NAME_MAX];
	uint64_t first;
	int fd, r;

	cq_segment_name(name, c->id);
	r = cq_io_open(v->dirfd, name, O_RDONLY, &fd);
	if (r < 0)
		return r;
	r = cq_quarantine_first_residue(fd, v->segment_size, c->survey.tail, &first);
	close(fd);
	if (r == 0)
		*ret_residue = first < v->segment_size;
	return r;
}

static int judge_trusted(struct cq_recovery *v, struct cq_candidate *c)
{
	const bool sealed = c->kind == CQ_KIND_SEALED;
	char name[CQ_NAME_MAX];
	bool residue = false;
	int fd, r;

	/* a roll leaves no empty segment behind: what was in one is gone */
	if (c->kind == CQ_KIND_BAD || c->kind == CQ_KIND_UNWRITTEN || c->kind == CQ_KIND_FRESH ||
	    !is_whole(v, c)) {
		c->act = CQ_ACT_SET_ASIDE;
		c->lost = true;
		return 0;
	}
	if (sealed && c->header.ext == 0)
		return 0; /* chronicle-rs seals over what it has left behind the tail */
	r = has_residue(v, c, &residue);
	if (r < 0)
		return r;
	if (residue || (sealed && !cq_segment_ext_valid(&c->header)))
		c->act = CQ_ACT_CUT_AND_SEAL;
	else if (!sealed)
		c->act = CQ_ACT_SEAL;
	else
		return 0;
	cq_segment_name(name, c->id);
	r = cq_trust_named(v->dirfd, name, v->config);
	if (r == 0)
		r = cq_io_open(v->dirfd, name, O_RDWR, &fd);
	if (r == 0)
		close(fd);
	return r;
}

static int judge(struct cq_recovery *v, struct cq_candidate *c, bool trusted)
{
	if (trusted)
		return judge_trusted(v, c);
	c->lost = !v->marked && c->act == CQ_ACT_SET_ASIDE && c->kind == CQ_KIND_BAD;
	/* without a watermark, nobody has looked whether the records go on */
	if (!v->marked && (c->act == CQ_ACT_SEAL || c->act == CQ_ACT_CUT_AND_SEAL) &&
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
	if (*count > STAND_INS_MAX) {
		cq_log(v->config, CQ_ERROR,
		       "more than %u segments are missing, %09u to %09u among them", STAND_INS_MAX,
		       first, last);
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
	const uint32_t current = cq_recover_current(v);
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

static bool same_entries(const struct cq_index *a, const struct cq_index *b, uint64_t count)
{
	return memcmp(a->entries, b->entries, count * sizeof *a->entries) == 0;
}

/* The index is of what the segment holds, or held when it was written. */
static bool index_fits(const struct cq_index *index, const struct cq_index *right, bool sealed)
{
	const struct cq_index_header *h = &index->header, *now = &right->header;

	if (h->flags & CQ_INDEX_PARTIAL) /* begins in the middle: chronicle-rs's own */
		return true;
	if (h->entries > now->entries || !same_entries(index, right, h->entries))
		return false;
	if (!sealed)
		return h->max_seq <= now->max_seq && h->max_time_ns <= now->max_time_ns;
	return h->entries == now->entries && h->min_seq == now->min_seq &&
	       h->max_seq == now->max_seq && h->min_time_ns == now->min_time_ns &&
	       h->max_time_ns == now->max_time_ns;
}

/* Builds the right index of a segment. */
static int build_index(const struct cq_recovery *v, uint32_t id, struct cq_meter *meter,
                       struct cq_index *ret_index)
{
	char name[CQ_NAME_MAX];
	int fd, r;

	cq_segment_name(name, id);
	r = cq_io_open(v->dirfd, name, O_RDONLY, &fd);
	if (r < 0)
		return r;
	r = cq_index_build(fd, id, v->segment_size, meter, ret_index);
	close(fd);
	return r;
}

static int check_index(struct cq_recovery *v, struct cq_candidate *c, bool sealed)
{
	struct cq_index index, right;
	char name[CQ_NAME_MAX];
	int r;

	r = cq_index_read(v->dirfd, c->id, v->segment_size, &index);
	if (r == -ENOENT) {
		c->index = sealed && cq_segment_ext_valid(&c->header) && c->survey.records > 0;
		return 0;
	}
	if (r == -EBADMSG || r == -ELOOP) {
		c->index = true;
		cq_index_name(name, c->id);
		return cq_trust_no_directory(v->dirfd, name, v->config);
	}
	if (r < 0)
		return r;
	r = build_index(v, c->id, &v->meter, &right);
	if (r == 0) {
		c->index = !index_fits(&index, &right, sealed);
		cq_index_fini(&right);
	} else if (r == -EBADMSG) { /* cut, and the index with it */
		c->index = true;
		r = 0;
	}
	cq_index_fini(&index);
	return r;
}

int cq_recover_check_indexes(struct cq_recovery *v)
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
			c->index = c->survey.records > 0;
			break;
		case CQ_ACT_SET_ASIDE:
			break;
		}
		cq_meter_next(&v->meter);
	}
	return r;
}

int cq_recover_build_indexes(struct cq_recovery *v)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < v->candidate_count; i++) {
		const struct cq_candidate *c = &v->candidates[i];
		struct cq_index index;

		if (!c->index)
			continue;
		if (!cq_recover_stays_sealed(c)) {
			r = cq_quarantine_drop_index(v->dirfd, c->id);
			continue;
		}
		/* one segment's time, and steps have been done: not told */
		r = build_index(v, c->id, NULL, &index);
		if (r == 0) {
			r = cq_index_write(v->dirfd, &index);
			cq_index_fini(&index);
		}
		cq_point("repair.index_written");
	}
	return r;
}

int cq_recover_audit(struct cq_recovery *v)
{
	bool *trusted;
	int r = 0;

	trusted = calloc(v->candidate_count + 1, sizeof *trusted);
	if (!trusted)
		return -ENOMEM;
	for (size_t i = 0; r == 0 && i < v->candidate_count; i++) {
		struct cq_candidate *c = &v->candidates[i];

		trusted[i] = cq_recover_is_trusted(v, c);
		if (trusted[i] && c->kind != CQ_KIND_BAD && c->kind != CQ_KIND_UNWRITTEN)
			r = read_one(v, c);
	}
	for (size_t i = 0; r == 0 && i < v->candidate_count; i++) {
		r = judge(v, &v->candidates[i], trusted[i]);
		v->given_up |= v->candidates[i].lost;
	}
	free(trusted);
	if (r == 0)
		r = find_gaps(v);
	v->given_up |= v->gap_count > 0;
	return r == 0 ? cq_recover_check_indexes(v) : r;
}
