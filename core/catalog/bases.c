/* SPDX-License-Identifier: Apache-2.0 */
/* bases.c - the table of segments and their places in the stream; see bases.h */
#include "catalog/bases.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void cq_bases_init(struct cq_bases *bases)
{
	*bases = (struct cq_bases){ .run_count = 0 };
	pthread_mutex_init(&bases->lock, NULL);
}

void cq_bases_fini(struct cq_bases *bases)
{
	free(bases->runs);
	free(bases->known);
	pthread_mutex_destroy(&bases->lock);
}

/* ---- ids ---- */

/* Index of the run that holds id, or of the first one above it. */
static size_t run_index(const struct cq_bases *b, uint32_t id)
{
	size_t low = 0, high = b->run_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (b->runs[middle].last < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const struct cq_id_run *cq_bases_run(const struct cq_bases *b, uint32_t id)
{
	size_t i = run_index(b, id);

	return i < b->run_count ? &b->runs[i] : NULL;
}

bool cq_bases_next(const struct cq_bases *b, uint32_t from, uint32_t *ret_id)
{
	const struct cq_id_run *run = cq_bases_run(b, from);

	if (!run)
		return false;
	*ret_id = run->first > from ? run->first : from;
	return true;
}

bool cq_bases_previous(const struct cq_bases *b, uint32_t to, uint32_t *ret_id)
{
	size_t i = run_index(b, to);

	if (i < b->run_count && b->runs[i].first <= to) {
		*ret_id = to;
		return true;
	}
	if (i == 0)
		return false;
	*ret_id = b->runs[i - 1].last;
	return true;
}

static bool is_listed(const struct cq_bases *b, uint32_t id)
{
	const struct cq_id_run *run = cq_bases_run(b, id);

	return run && run->first <= id;
}

/* ---- what is known ---- */

/* Index of the known segment `id`, or of the first one above it. */
static size_t known_index(const struct cq_bases *b, uint32_t id)
{
	size_t low = b->known_head, high = b->known_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (b->known[middle].id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const struct cq_base *cq_bases_known(const struct cq_bases *b, uint32_t id)
{
	size_t i = known_index(b, id);

	return i < b->known_count && b->known[i].id == id ? &b->known[i] : NULL;
}

/* Index of the first known segment that begins behind `position`. */
static size_t behind_index(const struct cq_bases *b, uint64_t position)
{
	size_t low = b->known_head, high = b->known_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (b->known[middle].base <= position)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

void cq_bases_around(const struct cq_bases *b, uint64_t position, const struct cq_base **ret_before,
                     const struct cq_base **ret_behind)
{
	size_t i = behind_index(b, position);

	*ret_before = i > b->known_head ? &b->known[i - 1] : NULL;
	*ret_behind = i < b->known_count ? &b->known[i] : NULL;
}

/* Room for one more. */
static int grow(struct cq_bases *b)
{
	const size_t in_use = b->known_count - b->known_head;
	struct cq_base *known;
	size_t capacity;

	if (b->known_count < b->known_capacity)
		return 0;
	if (b->known_head > in_use / 4) { /* the oldest were dropped: no need to grow */
		memmove(b->known, b->known + b->known_head, in_use * sizeof *b->known);
		b->known_head = 0;
		b->known_count = in_use;
		return 0;
	}
	capacity = b->known_capacity + b->known_capacity / 4 + 16;
	known = realloc(b->known, capacity * sizeof *known);
	if (!known)
		return -ENOMEM;
	b->known = known;
	b->known_capacity = capacity;
	return 0;
}

int cq_bases_learn(struct cq_bases *b, const struct cq_base *base)
{
	size_t i;
	int r = 0;

	pthread_mutex_lock(&b->lock);
	i = known_index(b, base->id);
	if (i == b->known_count || b->known[i].id != base->id) {
		r = grow(b);
		if (r < 0)
			goto unlock;
		i = known_index(b, base->id);
		memmove(b->known + i + 1, b->known + i, (b->known_count - i) * sizeof *b->known);
		b->known_count++;
	}
	b->known[i] = *base;
unlock:
	pthread_mutex_unlock(&b->lock);
	return r;
}

bool cq_bases_lookup(struct cq_bases *b, uint64_t position, struct cq_base *ret_base)
{
	const struct cq_base *before, *behind;
	bool found = false;
	uint32_t next;

	pthread_mutex_lock(&b->lock);
	cq_bases_around(b, position, &before, &behind);
	if (b->run_count == 0) /* what is known may be a segment whose name has gone */
		found = false;
	else if (before && before->id == b->runs[b->run_count - 1].last)
		found = true;
	else if (before && (before->flags & CQ_BASE_COUNTED))
		found = position < cq_base_end(before) ||
		        (behind && cq_bases_next(b, before->id + 1, &next) && next == behind->id);
	if (found)
		*ret_base = *before;
	pthread_mutex_unlock(&b->lock);
	return found;
}

/* ---- changes of what is there ---- */

static int make_runs(const uint32_t *ids, size_t count, struct cq_id_run **ret_runs,
                     size_t *ret_count)
{
	struct cq_id_run *runs;
	size_t n = 0, last = 0;

	for (size_t i = 0; i < count; i++)
		n += i == 0 || ids[i] != ids[i - 1] + 1;
	runs = malloc((n > 0 ? n : 1) * sizeof *runs);
	if (!runs)
		return -ENOMEM;
	*ret_count = n;
	for (size_t i = 0; i < count; i++) {
		if (i == 0 || ids[i] != ids[i - 1] + 1) {
			last = i == 0 ? 0 : last + 1;
			runs[last].first = ids[i];
		}
		runs[last].last = ids[i];
	}
	*ret_runs = runs;
	return 0;
}

int cq_bases_list(struct cq_bases *b, const uint32_t *ids, size_t count)
{
	struct cq_id_run *runs, *old;
	size_t run_count, kept;
	int r;

	r = make_runs(ids, count, &runs, &run_count);
	if (r < 0)
		return r;
	pthread_mutex_lock(&b->lock);
	old = b->runs;
	b->runs = runs;
	b->run_count = run_count;
	kept = b->known_head;
	for (size_t i = b->known_head; i < b->known_count; i++)
		if (is_listed(b, b->known[i].id))
			b->known[kept++] = b->known[i];
	b->known_count = kept;
	pthread_mutex_unlock(&b->lock);
	free(old);
	return 0;
}

int cq_bases_add(struct cq_bases *b, uint32_t first, uint32_t last)
{
	struct cq_id_run *runs = NULL, *old = NULL;
	int r = 0;

	pthread_mutex_lock(&b->lock);
	if (b->run_count > 0 && b->runs[b->run_count - 1].last + 1 == first) {
		b->runs[b->run_count - 1].last = last;
	} else {
		runs = malloc((b->run_count + 1) * sizeof *runs);
		if (runs) {
			if (b->run_count > 0)
				memcpy(runs, b->runs, b->run_count * sizeof *runs);
			runs[b->run_count++] = (struct cq_id_run){ first, last };
			old = b->runs;
			b->runs = runs;
		} else {
			r = -ENOMEM;
		}
	}
	pthread_mutex_unlock(&b->lock);
	free(old);
	return r;
}

/* Takes an id out of run i. */
static int split_run(struct cq_bases *b, size_t i, uint32_t id)
{
	struct cq_id_run *run = &b->runs[i], *runs;

	if (run->first == run->last) {
		memmove(run, run + 1, (b->run_count - i - 1) * sizeof *run);
		b->run_count--;
	} else if (run->first == id) {
		run->first++;
	} else if (run->last == id) {
		run->last--;
	} else {
		runs = realloc(b->runs, (b->run_count + 1) * sizeof *runs);
		if (!runs)
			return -ENOMEM;
		b->runs = runs;
		memmove(runs + i + 1, runs + i, (b->run_count - i) * sizeof *runs);
		b->run_count++;
		runs[i].last = id - 1;
		runs[i + 1].first = id + 1;
	}
	return 0;
}

int cq_bases_remove(struct cq_bases *b, uint32_t id)
{
	size_t i;
	int r = 0;

	pthread_mutex_lock(&b->lock);
	if (is_listed(b, id))
		r = split_run(b, run_index(b, id), id);
	i = known_index(b, id);
	if (r == 0 && i < b->known_count && b->known[i].id == id) {
		memmove(b->known + i, b->known + i + 1,
		        (b->known_count - i - 1) * sizeof *b->known);
		b->known_count--;
	}
	pthread_mutex_unlock(&b->lock);
	return r;
}

void cq_bases_drop_below(struct cq_bases *b, uint32_t id)
{
	size_t i;

	pthread_mutex_lock(&b->lock);
	i = run_index(b, id);
	if (i > 0) {
		memmove(b->runs, b->runs + i, (b->run_count - i) * sizeof *b->runs);
		b->run_count -= i;
	}
	if (b->run_count > 0 && b->runs[0].first < id)
		b->runs[0].first = id;
	b->known_head = known_index(b, id);
	pthread_mutex_unlock(&b->lock);
}
