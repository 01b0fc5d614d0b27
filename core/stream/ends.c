/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ends.c - where the stream begins and ends, and which segments it is made of
 *
 * While this process is the queue's writer, that tells both ends without a look at any file.  Else
 * the records are followed (tail.c).
 */
#include <errno.h>
#include <stdlib.h>

#include "catalog/queue.h"
#include "files/dir.h"
#include "stream/stream.h"

int cq_stream_begin(struct cq_stream *s)
{
	const uint64_t end = atomic_load(&s->end);
	struct cq_base base = { .base = end };
	uint32_t oldest;
	int r = 0;

	while (cq_bases_next(&s->bases, 0, &oldest)) {
		r = cq_bases_place(&s->bases, s->queue, oldest, &base);
		if (!cq_stream_gone(r))
			break;
		r = cq_bases_remove(&s->bases, s->bases.failed);
		if (r < 0)
			break;
	}
	if (r < 0)
		return r;
	cq_stream_raise(&s->begin, base.base < end ? base.base : end);
	return 0;
}

int cq_stream_lost(struct cq_stream *s, uint32_t id)
{
	int r;

	if (s->tail.payload && s->tail.payload->view.id == id)
		r = cq_tail_forget(s);
	else
		r = cq_bases_remove(&s->bases, id);
	return r < 0 ? r : cq_stream_begin(s);
}

/* ---- of this process's writer ---- */

static int list(struct cq_stream *s, uint32_t active)
{
	uint32_t *ids;
	size_t count;
	int r;

	r = cq_dir_list(s->queue->dirfd, &ids, &count);
	if (r < 0)
		return r;
	while (count > 0 && ids[count - 1] > active) /* prepared ones */
		count--;
	r = cq_bases_list(&s->bases, ids, count);
	free(ids);
	return r;
}

/* Makes the table what the writer says.  Another thread may have heard later news already. */
static int agree(struct cq_stream *s, const struct cq_queue_bounds *live)
{
	struct cq_base base;
	uint32_t last;
	int r = 0;

	if (atomic_load(&s->active) == 0)
		r = list(s, live->active);
	else if (!cq_bases_previous(&s->bases, UINT32_MAX, &last))
		r = cq_bases_add(&s->bases, live->oldest, live->active);
	else if (last < live->active)
		r = cq_bases_add(&s->bases, last + 1, live->active);
	if (r < 0)
		return r;
	/* now, as long as its writer knows it */
	r = cq_bases_place(&s->bases, s->queue, live->active, &base);
	if (r < 0 && !cq_stream_gone(r)) /* GCOV_EXCL_BR_LINE: the writer tells, not a file */
		return r;
	cq_stream_raise(&s->end, live->stream_end);
	cq_bases_drop_below(&s->bases, live->oldest);
	cq_shelf_drop_below(&s->shelf, live->oldest);
	r = cq_stream_begin(s);
	if (r < 0)
		return r;
	cq_stream_raise(&s->oldest, (uint64_t)live->oldest + 1);
	cq_stream_raise(&s->active, (uint64_t)live->active + 1);
	return 0;
}

static int look_at_writer(struct cq_stream *s)
{
	struct cq_queue_bounds live;
	int r = 0;

	s->queue->live_queue(s->queue->live_arg, &live);
	if (live.oldest > live.active) /* GCOV_EXCL_BR_LINE: told a moment later */
		live.oldest = live.active;
	if (live.active >= atomic_load(&s->active) || live.oldest >= atomic_load(&s->oldest)) {
		pthread_mutex_lock(&s->survey);
		r = agree(s, &live);
		pthread_mutex_unlock(&s->survey);
	}
	if (r == 0)
		cq_stream_raise(&s->end, live.stream_end);
	return r;
}

int cq_stream_look(struct cq_stream *s)
{
	int r;

	if (s->queue->live_queue)
		return look_at_writer(s);
	pthread_mutex_lock(&s->survey);
	r = cq_tail_look(s);
	if (r == 0)
		r = cq_stream_begin(s);
	pthread_mutex_unlock(&s->survey);
	return r;
}
