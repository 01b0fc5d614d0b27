/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bounds.c - where the stream begins and ends, and which segments it consists of
 *
 * While this process is the queue's writer, it asks the writer and looks at no file.  For a queue of
 * another process it follows the records (tail_follower.c).
 */
#include <errno.h>
#include <stdlib.h>

#include "catalog/queue.h"
#include "files/dir.h"
#include "os/process.h"
#include "stream/stream.h"

int cq_stream_find_begin(struct cq_stream *s)
{
	struct cq_catalog *catalog = &s->queue->catalog;
	const uint64_t end = atomic_load(&s->end);
	struct cq_catalog_entry first = { .base = end };
	uint32_t oldest;
	int r = 0;

	while (cq_catalog_next(catalog, 0, &oldest)) {
		r = cq_catalog_place(s->queue, oldest, &first);
		if (!cq_stream_gone(r))
			break;
		cq_catalog_remove(catalog, catalog->failed);
		r = 0;
	}
	if (r < 0)
		return r;
	cq_stream_raise(&s->begin, first.base < end ? first.base : end);
	return 0;
}

int cq_stream_lost(struct cq_stream *s, uint32_t id)
{
	if (s->tail.segment && s->tail.segment->mapped.id == id)
		cq_tail_forget(s);
	else
		cq_catalog_remove(&s->queue->catalog, id);
	return cq_stream_find_begin(s);
}

/* ---- of this process's writer ---- */

static struct cq_queue_bounds ask_writer(const cq_queue *queue)
{
	struct cq_queue_bounds bounds;

	queue->bounds(queue->writer, &bounds);
	if (bounds.oldest > bounds.active) /* GCOV_EXCL_BR_LINE: between two changes */
		bounds.oldest = bounds.active;
	return bounds;
}

static int list(cq_queue *queue, uint32_t active)
{
	uint32_t *ids;
	size_t count;
	int r;

	r = cq_dir_list(queue->dirfd, &ids, &count);
	if (r < 0)
		return r;
	while (count > 0 && ids[count - 1] > active) /* prepared ones */
		count--;
	r = cq_catalog_list(&queue->catalog, ids, count);
	free(ids);
	return r;
}

/* The ids of so many rolls are added without a look at the directory.  More of them at once are rather a gap
 * there, which may be of millions of ids: a listing has only those that there are. */
#define MOST_ADDED 1000

/* Makes the catalogue, and then the bounds, what the writer says now.  Under `refresh`. */
static int agree(struct cq_stream *s)
{
	const struct cq_queue_bounds bounds = ask_writer(s->queue);
	struct cq_catalog *catalog = &s->queue->catalog;
	struct cq_catalog_entry entry;
	uint32_t last;
	int r = 0;

	if (atomic_load(&s->active) == 0 || !cq_catalog_previous(catalog, UINT32_MAX, &last) ||
	    (last < bounds.active && bounds.active - last > MOST_ADDED))
		r = list(s->queue, bounds.active);
	else if (last < bounds.active)
		r = cq_catalog_add(catalog, last + 1, bounds.active);
	if (r < 0)
		return r;
	/* now, while the writer tells where it begins */
	r = cq_catalog_place(s->queue, bounds.active, &entry);
	if (r < 0 && !cq_stream_gone(r)) /* GCOV_EXCL_BR_LINE: the writer tells, not a file */
		return r;
	cq_stream_raise(&s->end, bounds.stream_end);
	cq_catalog_drop_below(catalog, bounds.oldest);
	cq_mapping_cache_drop_below(&s->cache, bounds.oldest);
	r = cq_stream_find_begin(s);
	if (r < 0)
		return r;
	cq_stream_raise(&s->oldest, (uint64_t)bounds.oldest + 1);
	cq_stream_raise(&s->active, (uint64_t)bounds.active + 1);
	return 0;
}

static int refresh_from_writer(struct cq_stream *s)
{
	const struct cq_queue_bounds bounds = ask_writer(s->queue);
	int r = 0;

	if (bounds.active >= atomic_load(&s->active) || bounds.oldest >= atomic_load(&s->oldest)) {
		pthread_mutex_lock(&s->queue->catalog.refresh);
		r = agree(s);
		pthread_mutex_unlock(&s->queue->catalog.refresh);
	}
	if (r == 0)
		cq_stream_raise(&s->end, bounds.stream_end);
	return r;
}

/* `oldest` is raised after `begin`: loaded the other way round, `begin` belongs to it or is newer. */
int cq_stream_extent_now(cq_stream *s, uint64_t *ret_begin, uint64_t *ret_end)
{
	struct cq_queue_bounds bounds;
	struct cq_catalog_entry first;
	uint64_t oldest, begin;
	int r = 0;

	if (cq_process_forked(s->process))
		return -ECHILD;
	if (!s->queue->bounds)
		return -EAGAIN;
	oldest = atomic_load(&s->oldest);
	bounds = ask_writer(s->queue);
	begin = atomic_load(&s->begin);
	if (bounds.oldest >= oldest) {
		if (!cq_catalog_get(&s->queue->catalog, bounds.oldest, &first))
			r = 1;
		else if (first.base > begin)
			begin = first.base < bounds.stream_end ? first.base : bounds.stream_end;
	}
	*ret_begin = begin;
	*ret_end = bounds.stream_end;
	return r;
}

int cq_stream_refresh(struct cq_stream *s)
{
	int r;

	if (s->queue->bounds)
		return refresh_from_writer(s);
	pthread_mutex_lock(&s->queue->catalog.refresh);
	r = cq_tail_follow(s);
	if (r == 0)
		r = cq_stream_find_begin(s);
	pthread_mutex_unlock(&s->queue->catalog.refresh);
	return r;
}
