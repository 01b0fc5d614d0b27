/* SPDX-License-Identifier: Apache-2.0 */
/*
 * known.c - what a queue handle remembers of sealed segments; see known.h
 *
 * A sorted table in chunks: segments come in ascending order mostly, which leaves all chunks full but
 * the last.  In any other order they are half full at least, but for a few.
 */
#include "catalog/known.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK 128U

struct cq_known_chunk {
	size_t count;
	struct cq_known_segment segments[CHUNK];
};

void cq_known_init(struct cq_known *known)
{
	*known = (struct cq_known){ .chunks = NULL };
	pthread_mutex_init(&known->lock, NULL);
}

void cq_known_fini(struct cq_known *known)
{
	for (size_t i = 0; i < known->count; i++)
		free(known->chunks[i]);
	free(known->chunks);
	pthread_mutex_destroy(&known->lock);
}

/* ---- the table; all under the lock ---- */

struct place {
	size_t chunk; /* the last one that begins at or before the id; the first if none does */
	size_t at;    /* in it: the first segment that is not below the id, or its end */
	bool found;
};

static struct place find(const struct cq_known *known, uint32_t id)
{
	struct place place = { 0 };
	size_t low = 0, high = known->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (known->chunks[middle]->segments[0].id <= id)
			low = middle + 1;
		else
			high = middle;
	}
	if (known->count == 0)
		return place;
	place.chunk = low > 0 ? low - 1 : 0;
	low = 0;
	high = known->chunks[place.chunk]->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (known->chunks[place.chunk]->segments[middle].id < id)
			low = middle + 1;
		else
			high = middle;
	}
	place.at = low;
	place.found = low < known->chunks[place.chunk]->count &&
	              known->chunks[place.chunk]->segments[low].id == id;
	return place;
}

static void remove_chunk(struct cq_known *known, size_t i)
{
	free(known->chunks[i]);
	known->count--;
	memmove(known->chunks + i, known->chunks + i + 1,
	        (known->count - i) * sizeof(struct cq_known_chunk *));
}

static void remove_at(struct cq_known *known, struct place place)
{
	struct cq_known_chunk *chunk = known->chunks[place.chunk];

	chunk->count--;
	memmove(chunk->segments + place.at, chunk->segments + place.at + 1,
	        (chunk->count - place.at) * sizeof chunk->segments[0]);
	if (chunk->count == 0)
		remove_chunk(known, place.chunk);
}

/* An empty chunk as the i-th, to be filled at once; NULL: no memory. */
static struct cq_known_chunk *add_chunk(struct cq_known *known, size_t i)
{
	struct cq_known_chunk *chunk;

	if (known->count == known->capacity) {
		size_t capacity = known->capacity > 0 ? known->capacity * 2 : 16;
		struct cq_known_chunk **chunks = realloc(known->chunks, capacity * sizeof *chunks);

		if (!chunks)
			return NULL;
		known->chunks = chunks;
		known->capacity = capacity;
	}
	chunk = malloc(sizeof *chunk);
	if (!chunk)
		return NULL;
	chunk->count = 0;
	memmove(known->chunks + i + 1, known->chunks + i,
	        (known->count - i) * sizeof(struct cq_known_chunk *));
	known->chunks[i] = chunk;
	known->count++;
	return chunk;
}

static void drop_below(struct cq_known *known, uint32_t oldest)
{
	size_t gone = 0;

	while (gone < known->count) {
		const struct cq_known_chunk *chunk = known->chunks[gone];

		if (chunk->segments[chunk->count - 1].id >= oldest)
			break;
		free(known->chunks[gone++]);
	}
	if (gone == 0)
		return;
	known->count -= gone;
	memmove(known->chunks, known->chunks + gone,
	        known->count * sizeof(struct cq_known_chunk *));
}

/* Makes room at a place in a full chunk, which may move it. */
static bool make_room(struct cq_known *known, struct place *place)
{
	struct cq_known_chunk *full = known->chunks[place->chunk], *more;
	const size_t next = place->chunk + 1, half = CHUNK / 2;

	if (place->at == CHUNK) { /* between this one and the next */
		if ((next == known->count || known->chunks[next]->count == CHUNK) &&
		    !add_chunk(known, next))
			return false;
		*place = (struct place){ .chunk = next };
		return true;
	}
	more = add_chunk(known, next);
	if (!more)
		return false;
	memcpy(more->segments, full->segments + half, (CHUNK - half) * sizeof full->segments[0]);
	more->count = CHUNK - half;
	full->count = half;
	if (place->at > half)
		*place = (struct place){ .chunk = next, .at = place->at - half };
	return true;
}

static void insert(struct cq_known *known, const struct cq_known_segment *segment, uint32_t oldest)
{
	struct place place = find(known, segment->id);
	struct cq_known_chunk *chunk;

	if (known->count == 0 || known->chunks[place.chunk]->count == CHUNK) {
		drop_below(known, oldest);
		place = find(known, segment->id);
	}
	if (known->count == 0) {
		if (!add_chunk(known, 0))
			return;
	} else if (known->chunks[place.chunk]->count == CHUNK && !make_room(known, &place)) {
		return;
	}
	chunk = known->chunks[place.chunk];
	memmove(chunk->segments + place.at + 1, chunk->segments + place.at,
	        (chunk->count - place.at) * sizeof chunk->segments[0]);
	chunk->segments[place.at] = *segment;
	chunk->count++;
}

/* ---- segments ---- */

static bool same_file(struct cq_file_id a, struct cq_file_id b)
{
	return a.inode == b.inode && a.modified_ns == b.modified_ns && a.changed_ns == b.changed_ns;
}

bool cq_known_get(struct cq_known *known, uint32_t id, struct cq_file_id file,
                  struct cq_known_segment *ret_segment)
{
	const struct cq_known_segment *segment;
	struct place place;
	bool found = false;

	pthread_mutex_lock(&known->lock);
	place = find(known, id);
	if (place.found) {
		segment = &known->chunks[place.chunk]->segments[place.at];
		found = same_file(segment->file, file);
		if (found)
			*ret_segment = *segment;
		else
			remove_at(known, place);
	}
	pthread_mutex_unlock(&known->lock);
	return found;
}

void cq_known_put(struct cq_known *known, const struct cq_known_segment *segment, uint32_t oldest)
{
	struct cq_known_segment *there;
	struct place place;

	pthread_mutex_lock(&known->lock);
	place = find(known, segment->id);
	if (place.found) {
		there = &known->chunks[place.chunk]->segments[place.at];
		/* somebody may have counted its payload meanwhile */
		if (segment->have_payload || !same_file(there->file, segment->file))
			*there = *segment;
	} else {
		insert(known, segment, oldest);
	}
	pthread_mutex_unlock(&known->lock);
}

void cq_known_forget(struct cq_known *known, uint32_t id)
{
	struct place place;

	pthread_mutex_lock(&known->lock);
	place = find(known, id);
	if (place.found)
		remove_at(known, place);
	pthread_mutex_unlock(&known->lock);
}

/* ---- contents ---- */

bool cq_known_get_content(struct cq_known *known, uint32_t id, struct cq_file_id file,
                          struct cq_segment_content *ret_content)
{
	bool found = false;

	pthread_mutex_lock(&known->lock);
	for (size_t i = 0; i < CQ_KNOWN_CONTENTS && !found; i++) {
		struct cq_known_content *c = &known->contents[i];

		if (c->asked == 0 || c->id != id || !same_file(c->file, file))
			continue;
		c->asked = ++known->questions;
		*ret_content = c->content;
		found = true;
	}
	pthread_mutex_unlock(&known->lock);
	return found;
}

void cq_known_put_content(struct cq_known *known, uint32_t id, struct cq_file_id file,
                          const struct cq_segment_content *content)
{
	struct cq_known_content *to = &known->contents[0];

	pthread_mutex_lock(&known->lock);
	for (size_t i = 0; i < CQ_KNOWN_CONTENTS; i++) {
		struct cq_known_content *c = &known->contents[i];

		if (c->asked != 0 && c->id == id) {
			to = c;
			break;
		}
		if (c->asked < to->asked)
			to = c;
	}
	*to = (struct cq_known_content){
		.file = file, .asked = ++known->questions, .id = id, .content = *content
	};
	pthread_mutex_unlock(&known->lock);
}
