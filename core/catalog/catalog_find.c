/* SPDX-License-Identifier: Apache-2.0 */
/*
 * catalog_find.c - finding out where segments begin in the stream; see catalog.h
 *
 * Segments that tell by a header where they begin are asked first.  One that does not tell is placed,
 * which may mean to walk many segments, only when no other segment can narrow the search down.
 */
#include "catalog/catalog.h"

#include <errno.h>

#include "catalog/queue.h"

/* ---- one segment ---- */

static int fail(cq_queue *queue, uint32_t id, int error)
{
	queue->catalog.failed = id;
	return error;
}

static int learn(cq_queue *queue, const struct cq_catalog_entry *entry)
{
	int r = cq_catalog_learn(&queue->catalog, entry);

	return r < 0 ? fail(queue, entry->id, r) : 0;
}

/* 1 with *ret_entry if the place of the segment is known, or the segment itself tells it (the catalogue
 * then remembers it); else 0. */
static int told(cq_queue *queue, uint32_t id, struct cq_catalog_entry *ret_entry)
{
	struct cq_catalog_entry entry;
	int r;

	if (cq_catalog_get(&queue->catalog, id, ret_entry))
		return 1;
	r = cq_catalog_ask(queue, id, &entry);
	if (r <= 0)
		return r < 0 ? fail(queue, id, r) : 0;
	r = learn(queue, &entry);
	if (r < 0)
		return r;
	*ret_entry = entry;
	return 1;
}

static void set_walk_count(struct cq_catalog_entry *entry, const struct cq_walk_count *w)
{
	entry->bytes = (uint32_t)w->bytes;
	entry->records = (uint32_t)w->records;
	entry->flags = CQ_ENTRY_COUNTED | (w->damaged ? CQ_ENTRY_DAMAGED : 0);
}

/* Counts a segment whose place is known. */
static int count(cq_queue *queue, struct cq_catalog_entry *entry)
{
	struct cq_catalog_entry asked;
	struct cq_walk_count w;
	int r;

	if (entry->flags & CQ_ENTRY_COUNTED)
		return 0;
	r = cq_catalog_ask(queue, entry->id, &asked);
	if (r > 0 && (asked.flags & CQ_ENTRY_COUNTED)) {
		entry->bytes = asked.bytes;
		entry->records = asked.records;
		entry->flags = asked.flags;
	} else if (r >= 0) {
		r = cq_catalog_walk(queue, entry->id, &w);
		if (r == 0)
			set_walk_count(entry, &w);
	}
	if (r >= 0)
		r = cq_catalog_learn(&queue->catalog, entry);
	return r < 0 ? fail(queue, entry->id, r) : 0;
}

/* ---- many ---- */

/* From a segment that is known up to segment `id`: each begins where the one before it ends. */
static int forward(cq_queue *queue, struct cq_catalog_entry entry, uint32_t id,
                   struct cq_catalog_entry *ret_entry)
{
	struct cq_catalog_entry next;
	int r = 0;

	while (r == 0 && entry.id != id) {
		r = count(queue, &entry);
		if (r == 0) {
			next = (struct cq_catalog_entry){ .base = cq_entry_end(&entry) };
			(void)cq_catalog_next(&queue->catalog, entry.id + 1, &next.id);
			r = learn(queue, &next);
			entry = next;
		}
	}
	if (r == 0)
		*ret_entry = entry;
	return r;
}

/* From a segment that is known back to segment `id`: each ends where the one behind it begins. */
static int backward(cq_queue *queue, struct cq_catalog_entry entry, uint32_t id,
                    struct cq_catalog_entry *ret_entry)
{
	struct cq_walk_count w;
	uint64_t end;
	int r = 0;

	while (r == 0 && entry.id != id) {
		end = entry.base;
		entry = (struct cq_catalog_entry){ .id = entry.id - 1 };
		r = cq_catalog_walk(queue, entry.id, &w);
		if (r < 0)
			return fail(queue, entry.id, r);
		set_walk_count(&entry, &w);
		if (end > cq_entry_end(&entry))
			entry.base = end - cq_entry_end(&entry);
		r = learn(queue, &entry);
	}
	*ret_entry = entry;
	return r;
}

/* The nearest segment at or before `id` that tells where it begins, if none is missing between: 1 with
 * *ret_entry, else 0. */
static int told_before(cq_queue *queue, uint32_t id, struct cq_catalog_entry *ret_entry)
{
	const uint32_t first = cq_catalog_run(&queue->catalog, id).first;
	int r;

	do
		r = told(queue, id, ret_entry);
	while (r == 0 && id-- > first);
	return r;
}

/* Whether any record of segment `id` tells where the segment begins; its header and its first record do
 * not.  1 with *ret_entry, else 0. */
static int told_by_record(cq_queue *queue, uint32_t id, struct cq_catalog_entry *ret_entry)
{
	struct cq_catalog_entry entry = { .id = id };
	struct cq_walk_count w;
	int r;

	r = cq_catalog_walk(queue, id, &w);
	if (r < 0 || !w.told)
		return r < 0 ? fail(queue, id, r) : 0;
	entry.base = w.base;
	r = learn(queue, &entry);
	if (r < 0)
		return r;
	*ret_entry = entry;
	return 1;
}

/* The nearest segment behind `id` that tells where it begins, if none is missing between.  The last
 * segment before a gap, which may be `id` itself, may also tell by any of its records.  1 with
 * *ret_entry, else 0. */
static int told_behind(cq_queue *queue, uint32_t id, struct cq_catalog_entry *ret_entry)
{
	const uint32_t last = cq_catalog_run(&queue->catalog, id).last;
	int r = 0;

	while (r == 0 && id++ < last)
		r = told(queue, id, ret_entry);
	return r == 0 ? told_by_record(queue, last, ret_entry) : r;
}

/* Segment `id` does not tell where it begins.  If no segment around it tells either, the nearest one
 * before a gap is placed in the same way as if the caller had asked for that one: so the order of
 * questions does not matter. */
static int deduce(cq_queue *queue, uint32_t id, struct cq_catalog_entry *ret_entry)
{
	uint32_t at = cq_catalog_run(&queue->catalog, id).first;
	struct cq_catalog_entry entry;
	int r = 0;

	if (at < id)
		r = told_before(queue, id - 1, &entry);
	if (r > 0)
		return forward(queue, entry, id, ret_entry);
	if (r == 0)
		r = told_behind(queue, id, &entry);
	if (r > 0)
		return backward(queue, entry, id, ret_entry);
	while (r == 0 && at > 0 && cq_catalog_previous(&queue->catalog, at - 1, &at)) {
		r = told_before(queue, at, &entry);
		if (r == 0)
			r = told_by_record(queue, at, &entry);
		at = cq_catalog_run(&queue->catalog, at).first;
	}
	if (r == 0) { /* back to the oldest */
		entry = (struct cq_catalog_entry){ .id = at, .base = queue->catalog.origin };
		r = learn(queue, &entry);
	}
	return r < 0 ? r : forward(queue, entry, id, ret_entry);
}

int cq_catalog_place(cq_queue *queue, uint32_t id, struct cq_catalog_entry *ret_entry)
{
	int r = told(queue, id, ret_entry);

	if (r == 0)
		return deduce(queue, id, ret_entry);
	return r < 0 ? r : 0;
}

int cq_catalog_count(cq_queue *queue, uint32_t id, struct cq_catalog_entry *ret_entry)
{
	struct cq_catalog_entry entry;
	int r;

	r = cq_catalog_place(queue, id, &entry);
	if (r == 0)
		r = count(queue, &entry);
	if (r == 0)
		*ret_entry = entry;
	return r;
}

/* ---- the segment that holds a position ---- */

/* An id in the middle of those from `from` to `to`. */
static bool middle(const cq_queue *queue, int64_t from, int64_t to, uint32_t *ret_id)
{
	uint32_t at;

	if (from > to)
		return false;
	at = (uint32_t)(from + (to - from) / 2);
	if (cq_catalog_next(&queue->catalog, at, ret_id) && *ret_id <= to)
		return true;
	return cq_catalog_previous(&queue->catalog, at, ret_id) && *ret_id >= from;
}

/* Bisects the ids between two segments that are known, until the segment is found or none is left
 * between.  A segment that does not tell is placed only when none behind it is left to ask. */
static int narrow(cq_queue *queue, uint64_t position)
{
	struct cq_neighbours known;
	bool untold = false;
	uint32_t id, at = 0;
	struct cq_catalog_entry entry;
	int64_t from, to;
	int r;

	cq_catalog_around(&queue->catalog, position, &known);
	from = known.have_before ? (int64_t)known.before.id + 1 : 0;
	to = known.have_behind ? (int64_t)known.behind.id - 1 : CQ_SEGMENT_ID_MAX;
	if (known.have_before && (known.before.flags & CQ_ENTRY_COUNTED) &&
	    position < cq_entry_end(&known.before))
		return 0;
	for (;;) {
		if (middle(queue, untold ? (int64_t)at + 1 : from, to, &id)) {
			r = told(queue, id, &entry);
			if (r == 0) {
				untold = true;
				at = id;
				continue;
			}
		} else if (untold) {
			r = cq_catalog_place(queue, at, &entry);
			untold = false;
		} else {
			return 0;
		}
		if (r < 0)
			return r;
		if (entry.base > position) {
			to = (int64_t)entry.id - 1;
		} else if ((entry.flags & CQ_ENTRY_COUNTED) && position < cq_entry_end(&entry)) {
			return 0;
		} else {
			from = (int64_t)entry.id + 1;
			untold = false;
		}
	}
}

int cq_catalog_find(cq_queue *queue, uint64_t position, struct cq_catalog_entry *ret_entry)
{
	struct cq_neighbours known;
	uint32_t first, last;
	int r;

	if (!cq_catalog_next(&queue->catalog, 0, &first))
		return 0;
	r = narrow(queue, position);
	if (r < 0)
		return r;
	cq_catalog_around(&queue->catalog, position, &known);
	(void)cq_catalog_previous(&queue->catalog, UINT32_MAX, &last);
	if (!known.have_before)
		r = cq_catalog_place(queue, first, ret_entry);
	else if (known.before.id == last)
		*ret_entry = known.before;
	else
		r = cq_catalog_count(queue, known.before.id, ret_entry);
	return r < 0 ? r : 1;
}
