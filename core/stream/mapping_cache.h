/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mapping_cache.h - the last few segments that were read, mapped
 *
 * A caller that takes a segment may use it until the caller puts it back, also when the cache has
 * dropped it meanwhile; the last user unmaps it.  Segments are opened and closed with no lock held:
 * for large ones that takes milliseconds.
 */
#ifndef CQ_MAPPING_CACHE_H
#define CQ_MAPPING_CACHE_H

#include <pthread.h>
#include <stdint.h>

#include "chronq.h"
#include "stream/segment_bytes.h"

#define CQ_MAPPING_CACHE_SLOTS 16

struct cq_mapping_cache {
	cq_queue *queue;
	pthread_mutex_t lock; /* the following, and `users` and `used` of what was taken here */
	struct cq_segment_bytes
		*slots[CQ_MAPPING_CACHE_SLOTS]; /* the cache is one of their users; no id twice */
	uint64_t takings;
};

void cq_mapping_cache_init(struct cq_mapping_cache *cache, cq_queue *queue);
/* All segments that were taken have been put back. */
void cq_mapping_cache_fini(struct cq_mapping_cache *cache);

/* Takes a segment, opening it if it is not there.  Errors as cq_mapped_open(). */
int cq_mapping_cache_take(struct cq_mapping_cache *cache, uint32_t id,
                          struct cq_segment_bytes **ret_segment);
void cq_mapping_cache_put(struct cq_mapping_cache *cache, struct cq_segment_bytes *segment);

/* Drops this segment: its file is not what it was.  The next caller that takes it opens it again. */
void cq_mapping_cache_discard(struct cq_mapping_cache *cache,
                              const struct cq_segment_bytes *segment);

/* Drops all segments below id: a deleted file takes space for as long as it is mapped. */
void cq_mapping_cache_drop_below(struct cq_mapping_cache *cache, uint32_t id);

#endif
