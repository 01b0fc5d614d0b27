/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bases_find.c - finding out where segments begin in the stream; see bases.h
 *
 * The order in which they are asked keeps what has to be walked small: one that does not tell is
 * placed only when no other can narrow the search down.
 */
#include "catalog/bases.h"

#include <errno.h>

/* ---- one segment ---- */

static int fail(struct cq_bases *b, uint32_t id, int error)
{
	b->failed = id;
	return error;
}

/* 1 with *ret_base if it is known, or tells by itself where it begins, and is known now; else 0. */
static int told(struct cq_bases *b, cq_queue *queue, uint32_t id, struct cq_base *ret_base)
{
	const struct cq_base *known = cq_bases_known(b, id);
	struct cq_base base;
	int r;

	if (known) {
		*ret_base = *known;
		return 1;
	}
	r = cq_bases_ask(queue, id, &base);
	if (r > 0) {
		r = cq_bases_learn(b, &base);
		if (r == 0) {
			*ret_base = base;
			return 1;
		}
	}
	return r < 0 ? fail(b, id, r) : 0;
}

/* Counts a segment whose place is known. */
static int count(struct cq_bases *b, cq_queue *queue, struct cq_base *base)
{
	struct cq_base asked;
	struct cq_base_count w;
	int r;

	if (base->flags & CQ_BASE_COUNTED)
		return 0;
	r = cq_bases_ask(queue, base->id, &asked);
	if (r > 0 && (asked.flags & CQ_BASE_COUNTED)) {
		base->bytes = asked.bytes;
		base->flags = asked.flags;
	} else if (r >= 0) {
		r = cq_bases_walk(queue, base->id, &w);
		if (r == 0) {
			base->bytes = w.bytes;
			base->flags = CQ_BASE_COUNTED | (w.damaged ? CQ_BASE_DAMAGED : 0);
		}
	}
	if (r >= 0)
		r = cq_bases_learn(b, base);
	return r < 0 ? fail(b, base->id, r) : 0;
}

/* ---- many ---- */

/* From a segment that is known on, each begins where the one before it ends, up to segment `id`. */
static int forward(struct cq_bases *b, cq_queue *queue, struct cq_base from, uint32_t id,
                   struct cq_base *ret_base)
{
	struct cq_base base = from;
	int r;

	while (base.id != id) {
		r = count(b, queue, &base);
		if (r < 0)
			return r;
		from = base;
		base = (struct cq_base){ .base = cq_base_end(&from) };
		if (!cq_bases_next(b, from.id + 1, &base.id)) /* GCOV_EXCL_BR_LINE: id is there */
			return fail(b, id, -ENOENT);
		r = cq_bases_learn(b, &base);
		if (r < 0)
			return fail(b, base.id, r);
	}
	*ret_base = base;
	return 0;
}

/* From a segment that is known back: each ends where the one behind it begins. */
static int backward(struct cq_bases *b, cq_queue *queue, struct cq_base from, uint32_t id,
                    struct cq_base *ret_base)
{
	struct cq_base base = from;
	struct cq_base_count w;
	uint64_t end;
	int r;

	while (base.id != id) {
		r = cq_bases_walk(queue, base.id - 1, &w);
		if (r < 0)
			return fail(b, base.id - 1, r);
		end = base.base;
		base = (struct cq_base){
			.id = base.id - 1,
			.flags = CQ_BASE_COUNTED | (w.damaged ? CQ_BASE_DAMAGED : 0),
			.bytes = w.bytes,
		};
		if (end > cq_base_end(&base))
			base.base = end - cq_base_end(&base);
		r = cq_bases_learn(b, &base);
		if (r < 0)
			return fail(b, base.id, r);
	}
	*ret_base = base;
	return 0;
}

/* The nearest segment at or before `id`, none missing between, that is told: 1 with *ret_base, else
 * 0. */
static int told_before(struct cq_bases *b, cq_queue *queue, uint32_t id, struct cq_base *ret_base)
{
	const uint32_t first = cq_bases_run(b, id)->first;
	int r;

	do
		r = told(b, queue, id, ret_base);
	while (r == 0 && id-- > first);
	return r;
}

/* The same by any of its records, of one that does not tell by its beginning. */
static int told_by_record(struct cq_bases *b, cq_queue *queue, uint32_t id,
                          struct cq_base *ret_base)
{
	struct cq_base base = { .id = id };
	struct cq_base_count w;
	int r;

	r = cq_bases_walk(queue, id, &w);
	if (r < 0 || !w.told)
		return r < 0 ? fail(b, id, r) : 0;
	base.base = w.base;
	r = cq_bases_learn(b, &base);
	if (r < 0)
		return fail(b, id, r);
	*ret_base = base;
	return 1;
}

/* A segment behind `id`, none missing between, that is told: by its beginning or, if it is the last
 * of them all, by any of its records, which may be `id` itself.  1 with *ret_base, else 0. */
static int told_behind(struct cq_bases *b, cq_queue *queue, uint32_t id, struct cq_base *ret_base)
{
	const uint32_t last = cq_bases_run(b, id)->last;
	int r = 0;

	while (r == 0 && id++ < last)
		r = told(b, queue, id, ret_base);
	return r == 0 ? told_by_record(b, queue, last, ret_base) : r;
}

/* Segment `id` does not tell where it begins.  The nearest one before those that are missing is placed
 * as if it had been asked for itself: so the order of asking does not matter. */
static int deduce(struct cq_bases *b, cq_queue *queue, uint32_t id, struct cq_base *ret_base)
{
	uint32_t at = cq_bases_run(b, id)->first;
	struct cq_base base;
	int r = 0;

	if (at < id)
		r = told_before(b, queue, id - 1, &base);
	if (r > 0)
		return forward(b, queue, base, id, ret_base);
	if (r == 0)
		r = told_behind(b, queue, id, &base);
	if (r > 0)
		return backward(b, queue, base, id, ret_base);
	while (r == 0 && at > 0 && cq_bases_previous(b, at - 1, &at)) {
		r = told_before(b, queue, at, &base);
		if (r == 0)
			r = told_by_record(b, queue, at, &base);
		at = cq_bases_run(b, at)->first;
	}
	if (r == 0) { /* the oldest */
		base = (struct cq_base){ .id = at, .base = b->origin };
		r = cq_bases_learn(b, &base);
		if (r < 0)
			return fail(b, at, r);
	}
	return r < 0 ? r : forward(b, queue, base, id, ret_base);
}

int cq_bases_place(struct cq_bases *b, cq_queue *queue, uint32_t id, struct cq_base *ret_base)
{
	int r = told(b, queue, id, ret_base);

	if (r == 0)
		return deduce(b, queue, id, ret_base);
	return r < 0 ? r : 0;
}

int cq_bases_count(struct cq_bases *b, cq_queue *queue, uint32_t id, struct cq_base *ret_base)
{
	struct cq_base base;
	int r;

	r = cq_bases_place(b, queue, id, &base);
	if (r == 0)
		r = count(b, queue, &base);
	if (r == 0)
		*ret_base = base;
	return r;
}

/* ---- the segment that holds a position ---- */

/* An id in the middle of those from `from` to `to`. */
static bool middle(const struct cq_bases *b, int64_t from, int64_t to, uint32_t *ret_id)
{
	uint32_t at;

	if (from > to)
		return false;
	at = (uint32_t)(from + (to - from) / 2);
	if (cq_bases_next(b, at, ret_id) && *ret_id <= to)
		return true;
	return cq_bases_previous(b, at, ret_id) && *ret_id >= from;
}

/* Narrows the ids down between two that are known, until the segment is found or nothing is left
 * between. One that does not tell is placed only when no other one behind it is left to ask. */
static int narrow(struct cq_bases *b, cq_queue *queue, uint64_t position)
{
	const struct cq_base *before, *behind;
	bool untold = false;
	uint32_t id, at = 0;
	struct cq_base base;
	int64_t from, to;
	int r;

	cq_bases_around(b, position, &before, &behind);
	from = before ? (int64_t)before->id + 1 : 0;
	to = behind ? (int64_t)behind->id - 1 : CQ_SEGMENT_ID_MAX;
	if (before && (before->flags & CQ_BASE_COUNTED) && position < cq_base_end(before))
		return 0;
	for (;;) {
		if (middle(b, untold ? (int64_t)at + 1 : from, to, &id)) {
			r = told(b, queue, id, &base);
			if (r == 0) {
				untold = true;
				at = id;
				continue;
			}
		} else if (untold) {
			r = cq_bases_place(b, queue, at, &base);
			untold = false;
		} else {
			return 0;
		}
		if (r < 0)
			return r;
		if (base.base > position) {
			to = (int64_t)base.id - 1;
		} else if ((base.flags & CQ_BASE_COUNTED) && position < cq_base_end(&base)) {
			return 0;
		} else {
			from = (int64_t)base.id + 1;
			untold = false;
		}
	}
}

int cq_bases_find(struct cq_bases *b, cq_queue *queue, uint64_t position, struct cq_base *ret_base)
{
	const struct cq_base *before, *behind;
	uint32_t first;
	int r;

	if (!cq_bases_next(b, 0, &first))
		return 0;
	r = narrow(b, queue, position);
	if (r < 0)
		return r;
	cq_bases_around(b, position, &before, &behind);
	if (!before)
		r = cq_bases_place(b, queue, first, ret_base);
	else if (before->id == b->runs[b->run_count - 1].last)
		*ret_base = *before;
	else
		r = cq_bases_count(b, queue, before->id, ret_base);
	return r < 0 ? r : 1;
}
