/* SPDX-License-Identifier: Apache-2.0 */
/* mapping_cache.c - the last few segments that were read, mapped; see mapping_cache.h */
#include "stream/mapping_cache.h"

#include <errno.h>

void cq_mapping_cache_init(struct cq_mapping_cache *cache, cq_queue *queue)
{
	*cache = (struct cq_mapping_cache){ .queue = queue };
	pthread_mutex_init(&cache->lock, NULL);
}

void cq_mapping_cache_fini(struct cq_mapping_cache *cache)
{
	for (unsigned i = 0; i < CQ_MAPPING_CACHE_SLOTS; i++)
		cq_segment_bytes_close(cache->slots[i]);
	pthread_mutex_destroy(&cache->lock);
}

/* Under the lock: one user less.  Returns the segment if that was the last user: the caller closes
 * it. */
static struct cq_segment_bytes *release(struct cq_segment_bytes *segment)
{
	return segment && --segment->users == 0 ? segment : NULL;
}

/* Under the lock: takes a segment that the cache has, else NULL. */
static struct cq_segment_bytes *take_here(struct cq_mapping_cache *cache, uint32_t id)
{
	for (unsigned i = 0; i < CQ_MAPPING_CACHE_SLOTS; i++) {
		struct cq_segment_bytes *p = cache->slots[i];

		if (p && p->mapped.id == id) {
			p->users++;
			p->used = ++cache->takings;
			return p;
		}
	}
	return NULL;
}

/* Under the lock: a free slot, or the one whose segment was taken longest ago. */
static unsigned choose_slot(const struct cq_mapping_cache *cache)
{
	unsigned chosen = 0;

	for (unsigned i = 0; i < CQ_MAPPING_CACHE_SLOTS; i++) {
		if (!cache->slots[i])
			return i;
		if (cache->slots[i]->used < cache->slots[chosen]->used)
			chosen = i;
	}
	return chosen;
}

int cq_mapping_cache_take(struct cq_mapping_cache *cache, uint32_t id,
                          struct cq_segment_bytes **ret_segment)
{
	struct cq_segment_bytes *segment, *unused = NULL, *opened;
	unsigned slot;
	int r;

	pthread_mutex_lock(&cache->lock);
	segment = take_here(cache, id);
	pthread_mutex_unlock(&cache->lock);
	if (!segment) {
		r = cq_segment_bytes_open(cache->queue, id, &opened);
		if (r < 0)
			return r;
		pthread_mutex_lock(&cache->lock);
		segment = take_here(cache, id);
		if (segment) { /* another thread was faster */
			unused = opened;
		} else {
			segment = opened;
			segment->users = 2; /* the caller and the cache */
			segment->used = ++cache->takings;
			slot = choose_slot(cache);
			unused = release(cache->slots[slot]);
			cache->slots[slot] = segment;
		}
		pthread_mutex_unlock(&cache->lock);
		cq_segment_bytes_close(unused);
	}
	*ret_segment = segment;
	return 0;
}

void cq_mapping_cache_put(struct cq_mapping_cache *cache, struct cq_segment_bytes *segment)
{
	struct cq_segment_bytes *unused;

	pthread_mutex_lock(&cache->lock);
	unused = release(segment);
	pthread_mutex_unlock(&cache->lock);
	cq_segment_bytes_close(unused);
}

void cq_mapping_cache_discard(struct cq_mapping_cache *cache,
                              const struct cq_segment_bytes *segment)
{
	struct cq_segment_bytes *unused = NULL;

	pthread_mutex_lock(&cache->lock);
	for (unsigned i = 0; i < CQ_MAPPING_CACHE_SLOTS; i++) {
		if (cache->slots[i] == segment) {
			unused = release(cache->slots[i]);
			cache->slots[i] = NULL;
		}
	}
	pthread_mutex_unlock(&cache->lock);
	cq_segment_bytes_close(unused);
}

void cq_mapping_cache_drop_below(struct cq_mapping_cache *cache, uint32_t id)
{
	struct cq_segment_bytes *unused[CQ_MAPPING_CACHE_SLOTS];
	unsigned count = 0;

	pthread_mutex_lock(&cache->lock);
	for (unsigned i = 0; i < CQ_MAPPING_CACHE_SLOTS; i++) {
		if (cache->slots[i] && cache->slots[i]->mapped.id < id) {
			unused[count++] = release(cache->slots[i]);
			cache->slots[i] = NULL;
		}
	}
	pthread_mutex_unlock(&cache->lock);
	while (count-- > 0)
		cq_segment_bytes_close(unused[count]);
}
