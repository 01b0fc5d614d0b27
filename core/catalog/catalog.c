/* SPDX-License-Identifier: Apache-2.0 */
/*
 * catalog.c - the segment catalogue: the listed ids, and the entries; see catalog.h
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
	uint64_t placed;                        /* bit N: is_placed(&entries[N]) */
	struct cq_catalog_entry entries[CHUNK]; /* by id; flags 0: there is no entry */
};

void cq_catalog_init(struct cq_catalog *c)
{
	*c = (struct cq_catalog){ .id_count = 0 };
	pthread_mutex_init(&c->refresh, NULL);
	pthread_mutex_init(&c->lock, NULL);
}

void cq_catalog_fini(struct cq_catalog *c)
{
	for (size_t i = 0; i < c->chunk_count; i++)
		free(c->chunks[i]);
	free(c->chunks);
	free(c->ids);
	pthread_mutex_destroy(&c->lock);
	pthread_mutex_destroy(&c->refresh);
}

/* ---- ids ---- */

/* Index of the listed id, or of the first one above it. */
static size_t id_index(const struct cq_catalog *c, uint32_t id)
{
	size_t low = 0, high = c->id_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (c->ids[middle] < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool is_listed(const struct cq_catalog *c, uint32_t id)
{
	const size_t i = id_index(c, id);

	return i < c->id_count && c->ids[i] == id;
}

bool cq_catalog_next(const struct cq_catalog *c, uint32_t from, uint32_t *ret_id)
{
	const size_t i = id_index(c, from);

	if (i == c->id_count)
		return false;
	*ret_id = c->ids[i];
	return true;
}

bool cq_catalog_previous(const struct cq_catalog *c, uint32_t to, uint32_t *ret_id)
{
	const size_t i = id_index(c, to) + is_listed(c, to);

	if (i == 0)
		return false;
	*ret_id = c->ids[i - 1];
	return true;
}

struct cq_id_run cq_catalog_run(const struct cq_catalog *c, uint32_t id)
{
	const size_t at = id_index(c, id);
	struct cq_id_run run = { id, id };

	for (size_t i = at; i > 0 && c->ids[i - 1] + 1 == run.first; i--)
		run.first--;
	for (size_t i = at + 1; i < c->id_count && c->ids[i] == run.last + 1; i++)
		run.last++;
	return run;
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

static bool is_placed(const struct cq_catalog_entry *entry)
{
	return (entry->flags & CQ_ENTRY_PLACED) && (entry->flags & CQ_ENTRY_LISTED);
}

/* After a change of an entry's flags. */
static void note_placed(struct cq_catalog_chunk *chunk, const struct cq_catalog_entry *entry)
{
	const uint64_t bit = UINT64_C(1) << (entry - chunk->entries);

	chunk->placed = is_placed(entry) ? chunk->placed | bit : chunk->placed & ~bit;
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
	if (from == to)
		return;
	for (size_t i = from; i < to; i++)
		free(c->chunks[i]);
	c->chunk_count -= to - from;
	memmove(c->chunks + from, c->chunks + to, (c->chunk_count - from) * sizeof(void *));
}

/* The entry of a segment in its chunk, which may be empty yet. */
static struct cq_catalog_entry *begin_entry(const struct cq_catalog *c,
                                            struct cq_catalog_chunk *chunk, uint32_t id)
{
	struct cq_catalog_entry *entry = &chunk->entries[id % CHUNK];

	entry->id = id;
	if (entry->flags == 0 && is_listed(c, id))
		entry->flags = CQ_ENTRY_LISTED;
	return entry;
}

/* The entry of a segment, made where there is none: the caller completes it.  NULL: no memory. */
static struct cq_catalog_entry *make_entry(struct cq_catalog *c, uint32_t id, uint32_t oldest)
{
	struct cq_catalog_chunk *chunk;
	size_t i = chunk_index(c, id / CHUNK);

	if (i < c->chunk_count && c->chunks[i]->number == id / CHUNK)
		return begin_entry(c, c->chunks[i], id);
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
	return begin_entry(c, chunk, id);
}

static void remove_entry(struct cq_catalog *c, uint32_t id)
{
	const size_t i = chunk_index(c, id / CHUNK);
	struct cq_catalog_entry *entry = find_entry(c, id);

	if (!entry)
		return;
	entry->flags = 0;
	note_placed(c->chunks[i], entry);
	for (size_t k = 0; k < CHUNK; k++)
		if (c->chunks[i]->entries[k].flags != 0)
			return;
	remove_chunks(c, i, i + 1);
}

/* ---- places in the stream ---- */

/* The first placed segment of a chunk; NULL if there is none. */
static const struct cq_catalog_entry *first_placed(const struct cq_catalog *c, size_t chunk)
{
	const uint64_t placed = c->chunks[chunk]->placed;

	return placed != 0 ? &c->chunks[chunk]->entries[__builtin_ctzll(placed)] : NULL;
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
                        struct cq_neighbours *ret_around)
{
	struct cq_neighbours around = { .have_before = false };
	const size_t behind = chunk_behind(c, position);

	for (size_t i = behind; i-- > 0 && !around.have_before;) {
		uint64_t left = c->chunks[i]->placed;

		for (; left != 0 && !around.have_behind; left &= left - 1) {
			const struct cq_catalog_entry *entry =
				&c->chunks[i]->entries[__builtin_ctzll(left)];

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

void cq_catalog_around(struct cq_catalog *c, uint64_t position, struct cq_neighbours *ret_around)
{
	pthread_mutex_lock(&c->lock);
	find_around(c, position, ret_around);
	pthread_mutex_unlock(&c->lock);
}

bool cq_catalog_lookup(struct cq_catalog *c, uint64_t position, struct cq_catalog_entry *ret_entry)
{
	struct cq_neighbours around;
	bool found = false;
	size_t next;

	pthread_mutex_lock(&c->lock);
	find_around(c, position, &around);
	if (around.have_before) {
		next = id_index(c, around.before.id) + 1;
		if (next == c->id_count)
			found = true;
		else if (around.before.flags & CQ_ENTRY_COUNTED)
			found = position < cq_entry_end(&around.before) ||
			        (around.have_behind && c->ids[next] == around.behind.id);
	}
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
	entry->records = from->records;
	entry->flags = (entry->flags & ~COUNT_FLAGS) | (from->flags & COUNT_FLAGS);
}

int cq_catalog_learn(struct cq_catalog *c, const struct cq_catalog_entry *from)
{
	struct cq_catalog_entry *entry;
	int r = 0;

	pthread_mutex_lock(&c->lock);
	entry = make_entry(c, from->id, 0);
	if (entry) {
		entry->base = from->base;
		entry->flags |= CQ_ENTRY_PLACED;
		note_placed(c->chunks[chunk_index(c, from->id / CHUNK)], entry);
		set_count(entry, from);
	} else {
		r = -ENOMEM;
	}
	pthread_mutex_unlock(&c->lock);
	return r;
}

/* ---- files ---- */

/* What is known of a listed segment's place in the stream stays, with its count. */
static void forget_file(struct cq_catalog *c, struct cq_catalog_entry *entry)
{
	entry->flags &= ~CQ_ENTRY_SEALED;
	if (!is_placed(entry))
		remove_entry(c, entry->id);
}

bool cq_catalog_get_sealed(struct cq_catalog *c, uint32_t id, struct cq_file_id file,
                           struct cq_catalog_entry *ret_entry)
{
	struct cq_catalog_entry *entry;
	bool found;

	pthread_mutex_lock(&c->lock);
	entry = find_entry(c, id);
	found = entry && (entry->flags & CQ_ENTRY_SEALED) && cq_same_file(entry->file, file);
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
		if ((entry->flags & CQ_ENTRY_SEALED) && !cq_same_file(entry->file, from->file))
			entry->flags &= ~COUNT_FLAGS;
		if ((entry->flags & CQ_ENTRY_LISTED) && !(entry->flags & CQ_ENTRY_PLACED)) {
			entry->base = from->base;
			entry->flags |= from->flags & CQ_ENTRY_PLACED;
			note_placed(c->chunks[chunk_index(c, from->id / CHUNK)], entry);
		}
		set_count(entry, from);
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

/* Forgets those segments of a chunk that are not listed, or were not when they were learned.  False:
 * nothing is left in it. */
static bool sweep(const struct cq_catalog *c, struct cq_catalog_chunk *chunk)
{
	bool left = false;

	for (size_t k = 0; k < CHUNK; k++) {
		struct cq_catalog_entry *entry = &chunk->entries[k];

		if (!(entry->flags & CQ_ENTRY_LISTED) || !is_listed(c, entry->id))
			entry->flags = 0;
		note_placed(chunk, entry);
		left = left || entry->flags != 0;
	}
	return left;
}

int cq_catalog_list(struct cq_catalog *c, const uint32_t *ids, size_t count)
{
	uint32_t *copy = malloc((count + 1) * sizeof *copy), *old;
	size_t kept = 0;

	if (!copy)
		return -ENOMEM;
	if (count > 0)
		memcpy(copy, ids, count * sizeof *copy);
	pthread_mutex_lock(&c->lock);
	old = c->ids;
	c->ids = copy;
	c->id_count = count;
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
	uint32_t *ids;
	int r = -ENOMEM;

	pthread_mutex_lock(&c->lock);
	ids = realloc(c->ids, (c->id_count + last - first + 1) * sizeof *ids);
	if (!ids)
		goto unlock;
	c->ids = ids;
	for (uint32_t id = first; id <= last; id++) {
		if (is_listed(c, id)) /* another stream has added it */
			continue;
		ids[c->id_count++] = id;
		remove_entry(c, id);
	}
	r = 0;
unlock:
	pthread_mutex_unlock(&c->lock);
	return r;
}

/* Removes the ids from index `from` up to, not including, `to`. */
static void remove_ids(struct cq_catalog *c, size_t from, size_t to)
{
	if (from == to)
		return;
	c->id_count -= to - from;
	memmove(c->ids + from, c->ids + to, (c->id_count - from) * sizeof *c->ids);
}

void cq_catalog_remove(struct cq_catalog *c, uint32_t id)
{
	pthread_mutex_lock(&c->lock);
	if (is_listed(c, id))
		remove_ids(c, id_index(c, id), id_index(c, id) + 1);
	remove_entry(c, id);
	pthread_mutex_unlock(&c->lock);
}

void cq_catalog_drop_below(struct cq_catalog *c, uint32_t id)
{
	pthread_mutex_lock(&c->lock);
	remove_ids(c, 0, id_index(c, id));
	remove_chunks(c, 0, chunk_index(c, id / CHUNK));
	if (c->chunk_count > 0 && !sweep(c, c->chunks[0]))
		remove_chunks(c, 0, 1);
	pthread_mutex_unlock(&c->lock);
}

void cq_catalog_forget_all(struct cq_catalog *c)
{
	cq_catalog_drop_below(c, UINT32_MAX);
	c->origin = 0;
}
