/* SPDX-License-Identifier: Apache-2.0 */
/*
 * catalog.c - the segment catalogue: runs of ids, and the entries; see catalog.h
 *
 * Entries are kept in chunks of 64 consecutive ids, and the chunks in ascending order.  So it does
 * not matter in which order segments are asked about, and 100,000 entries take 4.9 MB.
 */
#include "catalog/catalog.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK 64U

struct cq_catalog_chunk {
	uint32_t number;                        /* the first id, divided by CHUNK */
	struct cq_catalog_entry entries[CHUNK]; /* by id; flags 0: there is no entry */
};

void cq_catalog_init(struct cq_catalog *c)
{
	*c = (struct cq_catalog){ .run_count = 0 };
	pthread_mutex_init(&c->refresh, NULL);
	pthread_mutex_init(&c->lock, NULL);
}

void cq_catalog_fini(struct cq_catalog *c)
{
	for (size_t i = 0; i < c->chunk_count; i++)
		free(c->chunks[i]);
	free(c->chunks);
	free(c->runs);
	pthread_mutex_destroy(&c->lock);
	pthread_mutex_destroy(&c->refresh);
}

/* ---- ids ---- */

/* Index of the run that holds id, or of the first one above it. */
static size_t run_index(const struct cq_catalog *c, uint32_t id)
{
	size_t low = 0, high = c->run_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (c->runs[middle].last < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const struct cq_id_run *cq_catalog_run(const struct cq_catalog *c, uint32_t id)
{
	size_t i = run_index(c, id);

	return i < c->run_count ? &c->runs[i] : NULL;
}

bool cq_catalog_next(const struct cq_catalog *c, uint32_t from, uint32_t *ret_id)
{
	const struct cq_id_run *run = cq_catalog_run(c, from);

	if (!run)
		return false;
	*ret_id = run->first > from ? run->first : from;
	return true;
}

bool cq_catalog_previous(const struct cq_catalog *c, uint32_t to, uint32_t *ret_id)
{
	size_t i = run_index(c, to);

	if (i < c->run_count && c->runs[i].first <= to) {
		*ret_id = to;
		return true;
	}
	if (i == 0)
		return false;
	*ret_id = c->runs[i - 1].last;
	return true;
}

static bool is_listed(const struct cq_catalog *c, uint32_t id)
{
	const struct cq_id_run *run = cq_catalog_run(c, id);

	return run && run->first <= id;
}

/* ---- entries: all under the lock ---- */

/* Index of the chunk that has this number, or of the first one above it. */
static size_t chunk_index(const struct cq_catalog *c, uint32_t number)
{
	size_t low = 0, high = c->chunk_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (c->chunks[middle]->number < number)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* NULL: there is no entry. */
static struct cq_catalog_entry *find_entry(const struct cq_catalog *c, uint32_t id)
{
	const size_t i = chunk_index(c, id / CHUNK);
	struct cq_catalog_entry *entry;

	if (i == c->chunk_count || c->chunks[i]->number != id / CHUNK)
		return NULL;
	entry = &c->chunks[i]->entries[id % CHUNK];
	return entry->flags != 0 ? entry : NULL;
}

static void remove_chunks(struct cq_catalog *c, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++)
		free(c->chunks[i]);
	c->chunk_count -= to - from;
	memmove(c->chunks + from, c->chunks + to, (c->chunk_count - from) * sizeof(void *));
}

/* The place of an entry, made where there is none: the caller sets its flags.  NULL: no memory. */
static struct cq_catalog_entry *make_entry(struct cq_catalog *c, uint32_t id, uint32_t oldest)
{
	struct cq_catalog_chunk *chunk;
	size_t i = chunk_index(c, id / CHUNK);

	if (i < c->chunk_count && c->chunks[i]->number == id / CHUNK)
		return &c->chunks[i]->entries[id % CHUNK];
	remove_chunks(c, 0, chunk_index(c, oldest / CHUNK));
	i = chunk_index(c, id / CHUNK);
	if (c->chunk_count == c->chunk_capacity) {
		const size_t capacity = c->chunk_capacity * 2 + 16;
		struct cq_catalog_chunk **chunks = realloc(c->chunks, capacity * sizeof *chunks);

		if (!chunks)
			return NULL;
		c->chunks = chunks;
		c->chunk_capacity = capacity;
	}
	chunk = calloc(1, sizeof *chunk);
	if (!chunk)
		return NULL;
	chunk->number = id / CHUNK;
	memmove(c->chunks + i + 1, c->chunks + i, (c->chunk_count - i) * sizeof(void *));
	c->chunks[i] = chunk;
	c->chunk_count++;
	return &chunk->entries[id % CHUNK];
}

static void remove_entry(struct cq_catalog *c, uint32_t id)
{
	const size_t i = chunk_index(c, id / CHUNK);
	struct cq_catalog_entry *entry = find_entry(c, id);

	if (!entry)
		return;
	entry->flags = 0;
	for (size_t k = 0; k < CHUNK; k++)
		if (c->chunks[i]->entries[k].flags != 0)
			return;
	remove_chunks(c, i, i + 1);
}

/* ---- places in the stream ---- */

static bool is_placed(const struct cq_catalog *c, const struct cq_catalog_entry *entry)
{
	return (entry->flags & CQ_ENTRY_PLACED) && is_listed(c, entry->id);
}

/* The first placed segment of a chunk; NULL if there is none. */
static const struct cq_catalog_entry *first_placed(const struct cq_catalog *c, size_t chunk)
{
	for (size_t k = 0; k < CHUNK; k++)
		if (is_placed(c, &c->chunks[chunk]->entries[k]))
			return &c->chunks[chunk]->entries[k];
	return NULL;
}

/* Index behind the last chunk whose first placed segment begins at `position` or before. */
static size_t chunk_behind(const struct cq_catalog *c, uint64_t position)
{
	size_t low = 0, high = c->chunk_count;

	while (low < high) {
		const size_t middle = low + (high - low) / 2;
		const struct cq_catalog_entry *first = first_placed(c, middle);
		size_t at = middle;

		/* few chunks have none: those in which all segments are chronicle-rs's */
		while (!first && at > low)
			first = first_placed(c, --at);
		if (first && first->base > position)
			high = at;
		else
			low = middle + 1;
	}
	return low;
}

static void find_around(const struct cq_catalog *c, uint64_t position,
                        struct cq_catalog_around *ret_around)
{
	struct cq_catalog_around around = { .have_before = false };
	const size_t behind = chunk_behind(c, position);

	for (size_t i = behind; i-- > 0 && !around.have_before;) {
		for (size_t k = 0; k < CHUNK && !around.have_behind; k++) {
			const struct cq_catalog_entry *entry = &c->chunks[i]->entries[k];

			if (!is_placed(c, entry))
				continue;
			if (entry->base <= position) {
				around.have_before = true;
				around.before = *entry;
			} else {
				around.have_behind = true;
				around.behind = *entry;
			}
		}
	}
	for (size_t i = behind; i < c->chunk_count && !around.have_behind; i++) {
		const struct cq_catalog_entry *entry = first_placed(c, i);

		if (entry) {
			around.have_behind = true;
			around.behind = *entry;
		}
	}
	*ret_around = around;
}

void cq_catalog_around(struct cq_catalog *c, uint64_t position,
                       struct cq_catalog_around *ret_around)
{
	pthread_mutex_lock(&c->lock);
	find_around(c, position, ret_around);
	pthread_mutex_unlock(&c->lock);
}

bool cq_catalog_lookup(struct cq_catalog *c, uint64_t position, struct cq_catalog_entry *ret_entry)
{
	struct cq_catalog_around around;
	bool found = false;
	uint32_t next;

	pthread_mutex_lock(&c->lock);
	find_around(c, position, &around);
	if (!around.have_before)
		found = false;
	else if (around.before.id == c->runs[c->run_count - 1].last)
		found = true;
	else if (around.before.flags & CQ_ENTRY_COUNTED)
		found = position < cq_entry_end(&around.before) ||
		        (around.have_behind && cq_catalog_next(c, around.before.id + 1, &next) &&
		         next == around.behind.id);
	if (found)
		*ret_entry = around.before;
	pthread_mutex_unlock(&c->lock);
	return found;
}

bool cq_catalog_get(struct cq_catalog *c, uint32_t id, struct cq_catalog_entry *ret_entry)
{
	const struct cq_catalog_entry *entry;
	bool found;

	pthread_mutex_lock(&c->lock);
	entry = find_entry(c, id);
	found = entry && (entry->flags & CQ_ENTRY_PLACED);
	if (found)
		*ret_entry = *entry;
	pthread_mutex_unlock(&c->lock);
	return found;
}

#define COUNT_FLAGS (CQ_ENTRY_COUNTED | CQ_ENTRY_DAMAGED)

/* A count that is known stays when the new entry has none. */
static void set_count(struct cq_catalog_entry *entry, const struct cq_catalog_entry *from)
{
	if (!(from->flags & CQ_ENTRY_COUNTED))
		return;
	entry->bytes = from->bytes;
	entry->flags = (entry->flags & ~COUNT_FLAGS) | (from->flags & COUNT_FLAGS);
}

int cq_catalog_learn(struct cq_catalog *c, const struct cq_catalog_entry *from)
{
	struct cq_catalog_entry *entry;
	int r = 0;

	pthread_mutex_lock(&c->lock);
	entry = make_entry(c, from->id, 0);
	if (entry) {
		entry->id = from->id;
		entry->base = from->base;
		entry->flags |= CQ_ENTRY_PLACED;
		set_count(entry, from);
	} else {
		r = -ENOMEM;
	}
	pthread_mutex_unlock(&c->lock);
	return r;
}

/* ---- files ---- */

static bool same_file(struct cq_file_id a, struct cq_file_id b)
{
	return a.inode == b.inode && a.modified_ns == b.modified_ns && a.changed_ns == b.changed_ns;
}

/* What is known of the segment's place in the stream stays, with its count. */
static void forget_file(struct cq_catalog *c, struct cq_catalog_entry *entry)
{
	entry->flags &= ~CQ_ENTRY_SEALED;
	if (!(entry->flags & CQ_ENTRY_PLACED))
		remove_entry(c, entry->id);
}

bool cq_catalog_get_sealed(struct cq_catalog *c, uint32_t id, struct cq_file_id file,
                           struct cq_catalog_entry *ret_entry)
{
	struct cq_catalog_entry *entry;
	bool found;

	pthread_mutex_lock(&c->lock);
	entry = find_entry(c, id);
	found = entry && (entry->flags & CQ_ENTRY_SEALED) && same_file(entry->file, file);
	if (found)
		*ret_entry = *entry;
	else if (entry)
		forget_file(c, entry);
	pthread_mutex_unlock(&c->lock);
	return found;
}

void cq_catalog_learn_sealed(struct cq_catalog *c, const struct cq_catalog_entry *from,
                             uint32_t oldest)
{
	struct cq_catalog_entry *entry;

	pthread_mutex_lock(&c->lock);
	entry = make_entry(c, from->id, oldest);
	if (entry) {
		if ((entry->flags & CQ_ENTRY_SEALED) && !same_file(entry->file, from->file))
			entry->flags &= ~COUNT_FLAGS;
		if (!(entry->flags & CQ_ENTRY_PLACED)) {
			entry->base = from->base;
			entry->flags |= from->flags & CQ_ENTRY_PLACED;
		}
		set_count(entry, from);
		entry->id = from->id;
		entry->file = from->file;
		entry->flags |= CQ_ENTRY_SEALED;
	}
	pthread_mutex_unlock(&c->lock);
}

void cq_catalog_forget_file(struct cq_catalog *c, uint32_t id)
{
	struct cq_catalog_entry *entry;

	pthread_mutex_lock(&c->lock);
	entry = find_entry(c, id);
	if (entry)
		forget_file(c, entry);
	pthread_mutex_unlock(&c->lock);
}

/* ---- which segments there are ---- */

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

/* Forgets those segments of a chunk that are not listed.  False: nothing is left in it. */
static bool sweep(const struct cq_catalog *c, struct cq_catalog_chunk *chunk)
{
	bool left = false;

	for (size_t k = 0; k < CHUNK; k++) {
		struct cq_catalog_entry *entry = &chunk->entries[k];

		if (!is_listed(c, entry->id))
			entry->flags = 0;
		left = left || entry->flags != 0;
	}
	return left;
}

int cq_catalog_list(struct cq_catalog *c, const uint32_t *ids, size_t count)
{
	struct cq_id_run *runs, *old;
	size_t run_count, kept = 0;
	int r;

	r = make_runs(ids, count, &runs, &run_count);
	if (r < 0)
		return r;
	pthread_mutex_lock(&c->lock);
	old = c->runs;
	c->runs = runs;
	c->run_count = run_count;
	for (size_t i = 0; i < c->chunk_count; i++) {
		if (sweep(c, c->chunks[i]))
			c->chunks[kept++] = c->chunks[i];
		else
			free(c->chunks[i]);
	}
	c->chunk_count = kept;
	pthread_mutex_unlock(&c->lock);
	free(old);
	return 0;
}

int cq_catalog_add(struct cq_catalog *c, uint32_t first, uint32_t last)
{
	struct cq_id_run *runs;
	int r = 0;

	pthread_mutex_lock(&c->lock);
	if (c->run_count > 0 && c->runs[c->run_count - 1].last >= first - 1) {
		if (c->runs[c->run_count - 1].last < last) /* else another stream has added it */
			c->runs[c->run_count - 1].last = last;
	} else {
		runs = realloc(c->runs, (c->run_count + 1) * sizeof *runs);
		if (runs) {
			runs[c->run_count++] = (struct cq_id_run){ first, last };
			c->runs = runs;
		} else {
			r = -ENOMEM;
		}
	}
	pthread_mutex_unlock(&c->lock);
	return r;
}

/* Removes an id from run i. */
static int split_run(struct cq_catalog *c, size_t i, uint32_t id)
{
	struct cq_id_run *run = &c->runs[i], *runs;

	if (run->first == run->last) {
		memmove(run, run + 1, (c->run_count - i - 1) * sizeof *run);
		c->run_count--;
	} else if (run->first == id) {
		run->first++;
	} else if (run->last == id) {
		run->last--;
	} else {
		runs = realloc(c->runs, (c->run_count + 1) * sizeof *runs);
		if (!runs)
			return -ENOMEM;
		c->runs = runs;
		memmove(runs + i + 1, runs + i, (c->run_count - i) * sizeof *runs);
		c->run_count++;
		runs[i].last = id - 1;
		runs[i + 1].first = id + 1;
	}
	return 0;
}

int cq_catalog_remove(struct cq_catalog *c, uint32_t id)
{
	int r = 0;

	pthread_mutex_lock(&c->lock);
	if (is_listed(c, id))
		r = split_run(c, run_index(c, id), id);
	if (r == 0)
		remove_entry(c, id);
	pthread_mutex_unlock(&c->lock);
	return r;
}

void cq_catalog_drop_below(struct cq_catalog *c, uint32_t id)
{
	size_t i;

	pthread_mutex_lock(&c->lock);
	i = run_index(c, id);
	c->run_count -= i;
	memmove(c->runs, c->runs + i, c->run_count * sizeof *c->runs);
	if (c->run_count > 0 && c->runs[0].first < id)
		c->runs[0].first = id;
	remove_chunks(c, 0, chunk_index(c, id / CHUNK));
	if (c->chunk_count > 0 && !sweep(c, c->chunks[0]))
		remove_chunks(c, 0, 1);
	pthread_mutex_unlock(&c->lock);
}

/* ---- contents ---- */

bool cq_catalog_get_content(struct cq_catalog *c, uint32_t id, struct cq_file_id file,
                            struct cq_segment_info *ret_content)
{
	bool found = false;

	pthread_mutex_lock(&c->lock);
	for (size_t i = 0; i < CQ_CATALOG_CONTENTS && !found; i++) {
		struct cq_catalog_content *one = &c->contents[i];

		if (one->asked == 0 || one->id != id || !same_file(one->file, file))
			continue;
		one->asked = ++c->questions;
		*ret_content = one->content;
		found = true;
	}
	pthread_mutex_unlock(&c->lock);
	return found;
}

void cq_catalog_put_content(struct cq_catalog *c, uint32_t id, struct cq_file_id file,
                            const struct cq_segment_info *content)
{
	struct cq_catalog_content *to = &c->contents[0];

	pthread_mutex_lock(&c->lock);
	for (size_t i = 0; i < CQ_CATALOG_CONTENTS; i++) {
		struct cq_catalog_content *one = &c->contents[i];

		if (one->asked != 0 && one->id == id) {
			to = one;
			break;
		}
		if (one->asked < to->asked)
			to = one;
	}
	*to = (struct cq_catalog_content){
		.file = file, .asked = ++c->questions, .id = id, .content = *content
	};
	pthread_mutex_unlock(&c->lock);
}
