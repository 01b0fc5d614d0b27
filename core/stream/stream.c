/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream.c - the payload bytes of a queue, read at any position
 *
 * The way of a read: is the position before the end that is known (if not: look, ends.c)? Which
 * segment holds it (bases.h)? Take that (shelf.h) and read (payload.h), then the same for the one
 * behind it. While all of that is known already, no lock is held but for moments, and nothing is
 * allocated.
 *
 * A file that is deleted while it is read is noticed behind the copy, whatever the table says:
 * either its true bytes are given, or ENODATA.
 */
#include "stream/stream.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "catalog/queue.h"
#include "os/process.h"

int cq_stream_open(cq_queue *queue, cq_stream **ret_stream)
{
	struct cq_stream *s;

	if (cq_process_forked(queue->process))
		return -ECHILD;
	s = calloc(1, sizeof *s);
	if (!s)
		return -ENOMEM;
	s->process = queue->process;
	s->queue = queue;
	cq_shelf_init(&s->shelf, queue);
	cq_bases_init(&s->bases);
	pthread_mutex_init(&s->survey, NULL);
	*ret_stream = s;
	return 0;
}

void cq_stream_close(cq_stream *s)
{
	if (!s || cq_process_forked(s->process))
		return;
	cq_tail_fini(s);
	cq_shelf_fini(&s->shelf);
	cq_bases_fini(&s->bases);
	pthread_mutex_destroy(&s->survey);
	free(s);
}

int cq_stream_extent(cq_stream *s, uint64_t *ret_begin, uint64_t *ret_end)
{
	uint64_t begin;
	int r;

	if (cq_process_forked(s->process))
		return -ECHILD;
	r = cq_stream_look(s);
	if (r < 0)
		return r;
	begin = atomic_load(&s->begin);
	*ret_end = atomic_load(&s->end);
	*ret_begin = begin;
	return 0;
}

/* ---- which segment ---- */

/* As cq_bases_find(), until it is about segments that are there. */
static int find(struct cq_stream *s, uint64_t position, struct cq_base *ret_base)
{
	int r;

	if (cq_bases_lookup(&s->bases, position, ret_base))
		return 1;
	pthread_mutex_lock(&s->survey);
	do {
		r = cq_bases_find(&s->bases, s->queue, position, ret_base);
	} while (cq_stream_gone(r) && (r = cq_stream_lost(s, s->bases.failed)) == 0);
	pthread_mutex_unlock(&s->survey);
	return r;
}

/* The first segment there is from `id` on, placed and, unless it is the last, counted: 1, or 0. */
static int next_segment(struct cq_stream *s, uint32_t id, struct cq_base *ret_base)
{
	uint32_t next, last;
	int r = 0;

	pthread_mutex_lock(&s->survey);
	while (r == 0 && cq_bases_next(&s->bases, id, &next)) {
		(void)cq_bases_previous(&s->bases, UINT32_MAX, &last);
		if (next == last)
			r = cq_bases_place(&s->bases, s->queue, next, ret_base);
		else
			r = cq_bases_count(&s->bases, s->queue, next, ret_base);
		if (r == 0)
			r = 1;
		else if (cq_stream_gone(r))
			r = cq_stream_lost(s, s->bases.failed);
	}
	pthread_mutex_unlock(&s->survey);
	return r;
}

static int lost(struct cq_stream *s, uint32_t id)
{
	int r;

	pthread_mutex_lock(&s->survey);
	r = cq_stream_lost(s, id);
	pthread_mutex_unlock(&s->survey);
	return r;
}

/* Bytes of the segment that are in the stream: up to `end`, if it is the one that grows. */
static uint64_t bytes_before(const struct cq_base *base, uint64_t end)
{
	if (base->flags & CQ_BASE_COUNTED)
		return base->bytes;
	return end > base->base ? end - base->base : 0;
}

/* ---- reading ---- */

/* Takes the segment, reads, puts it back.  -ENOENT when it is not there any more. */
static ssize_t read_segment(struct cq_stream *s, uint32_t id, void *buffer, size_t length,
                            uint64_t position)
{
	struct cq_payload *payload;
	ssize_t n;
	int r;

	r = cq_shelf_take(&s->shelf, id, &payload);
	if (r < 0)
		return cq_stream_gone(r) ? -ENOENT : r;
	n = cq_payload_read(payload, buffer, length, position);
	/* not what it was: who reads again maps it again */
	if (n < 0 && (n == -ENOENT || cq_mapping_shortened(&payload->view.map)))
		cq_shelf_discard(&s->shelf, payload);
	cq_shelf_put(&s->shelf, payload);
	return n;
}

/* Within one segment; position < end. */
static ssize_t read_once(struct cq_stream *s, void *buffer, size_t length, uint64_t position,
                         uint64_t end)
{
	struct cq_base base;
	uint64_t at, bytes;
	ssize_t n;
	int r;

	r = find(s, position, &base);
	if (r <= 0)
		return r < 0 ? r : -ENODATA;
	if (position < base.base)
		return -ENODATA;
	bytes = bytes_before(&base, end);
	at = position - base.base;
	if (at >= bytes)
		return (base.flags & CQ_BASE_DAMAGED) ? -EIO : -ENODATA;
	if (length > bytes - at)
		length = (size_t)(bytes - at);
	n = read_segment(s, base.id, buffer, length, at);
	if (n == -ENOENT) {
		r = lost(s, base.id);
		return r < 0 ? r : -ENODATA;
	}
	return n == 0 ? -EIO : n; /* its records end before it said they would */
}

ssize_t cq_stream_pread(cq_stream *s, void *buffer, size_t length, uint64_t position)
{
	uint64_t end = atomic_load(&s->end);
	size_t done = 0;
	ssize_t n = 0;

	if (cq_process_forked(s->process))
		return -ECHILD;
	if (position >= end || length > end - position) {
		int r = cq_stream_look(s);

		if (r < 0 && position >= end)
			return r;
		end = atomic_load(&s->end);
	}
	if (position >= end)
		return 0;
	if (length > end - position)
		length = (size_t)(end - position);
	if (length > SSIZE_MAX) /* GCOV_EXCL_BR_LINE: the end is below 2^63 */
		length = SSIZE_MAX;
	while (done < length) {
		n = read_once(s, (uint8_t *)buffer + done, length - done, position + done, end);
		if (n < 0)
			break;
		done += (size_t)n;
	}
	return done > 0 ? (ssize_t)done : n;
}

/* ---- data and holes ---- */

/* Its file is there, readable or not: 1. */
static int is_there(struct cq_stream *s, uint32_t id)
{
	struct cq_payload *payload;
	int r;

	r = cq_shelf_take(&s->shelf, id, &payload);
	if (r == 0)
		cq_shelf_put(&s->shelf, payload);
	else if (r != -EIO)
		return cq_stream_gone(r) ? 0 : r;
	return 1;
}

int cq_stream_next_data(cq_stream *s, uint64_t position, uint64_t *ret_position)
{
	struct cq_base base;
	uint64_t begin, end;
	int r;

	if (cq_process_forked(s->process))
		return -ECHILD;
	r = cq_stream_extent(s, &begin, &end);
	if (r < 0)
		return r;
	if (position < begin)
		position = begin;
	while (position < end) {
		r = find(s, position, &base);
		if (r <= 0)
			break;
		if (position < base.base) {
			position = base.base;
		} else if (position - base.base < bytes_before(&base, end) ||
		           (base.flags & CQ_BASE_DAMAGED)) {
			r = is_there(s, base.id);
			if (r > 0) {
				*ret_position = position;
				return 0;
			}
			if (r == 0)
				r = lost(s, base.id);
			if (r < 0)
				break;
		} else {
			r = next_segment(s, base.id + 1, &base);
			if (r <= 0 ||
			    base.base <= position) /* GCOV_EXCL_BR_LINE: changed a moment ago */
				break;
			position = base.base;
		}
	}
	if (r < 0)
		return r;
	*ret_position = end;
	return 0;
}

/* The last id of those from `id` on without a gap; *ret_more: there are others behind that. */
static uint32_t run_end(struct cq_stream *s, uint32_t id, bool *ret_more)
{
	const struct cq_id_run *run;
	uint32_t last = id, above;

	pthread_mutex_lock(&s->survey);
	run = cq_bases_run(&s->bases, id);
	if (run && run->first <= id) /* GCOV_EXCL_BR_LINE: deleted a moment ago */
		last = run->last;
	*ret_more = cq_bases_next(&s->bases, last + 1, &above);
	pthread_mutex_unlock(&s->survey);
	return last;
}

/* Bytes are missing where ids are. */
int cq_stream_next_hole(cq_stream *s, uint64_t position, uint64_t *ret_position)
{
	uint64_t begin, end, hole;
	struct cq_base base;
	uint32_t last;
	bool more;
	int r;

	if (cq_process_forked(s->process))
		return -ECHILD;
	r = cq_stream_extent(s, &begin, &end);
	if (r < 0)
		return r;
	r = find(s, position, &base);
	while (r > 0) {
		last = run_end(s, base.id, &more);
		if (!more)
			break;
		r = next_segment(s, last, &base);
		if (r > 0 && base.id != last) { /* it went meanwhile */
			r = find(s, position, &base);
			continue;
		}
		hole = cq_base_end(&base);
		if (r > 0)
			r = next_segment(s, last + 1, &base);
		if (r > 0 && hole > position && base.base > hole) {
			*ret_position = hole;
			return 0;
		}
	}
	if (r < 0)
		return r;
	*ret_position = end;
	return 0;
}

/* ---- one segment ---- */

/* A segment that is not in the table: prepared, and not in use yet. */
static int prepared(struct cq_stream *s, uint32_t id, struct cq_span *ret_span)
{
	uint64_t size, expected;
	int fd, r;

	r = cq_queue_segment_size(s->queue, &expected);
	if (r < 0)
		return r;
	r = cq_segment_open_file(s->queue->dirfd, id, &fd, &size);
	if (r < 0)
		return r;
	close(fd);
	if (size != expected)
		return -EBADMSG;
	*ret_span = (struct cq_span){ .begin = atomic_load(&s->end) };
	return 0;
}

int cq_stream_segment(cq_stream *s, uint32_t id, struct cq_span *ret_span)
{
	struct cq_base base;
	uint64_t end;
	int r;

	if (cq_process_forked(s->process))
		return -ECHILD;
	r = cq_stream_look(s);
	if (r < 0)
		return r;
	end = atomic_load(&s->end);
	r = next_segment(s, id, &base);
	if (r < 0)
		return r;
	if (r == 0)
		return prepared(s, id, ret_span);
	if (base.id != id)
		return -ENOENT;
	if (base.flags & CQ_BASE_DAMAGED)
		return -EIO;
	*ret_span = (struct cq_span){
		.begin = base.base,
		.bytes = bytes_before(&base, end),
		.sealed = (base.flags & CQ_BASE_COUNTED) != 0,
	};
	return 0;
}

ssize_t cq_stream_segment_pread(cq_stream *s, uint32_t id, void *buffer, size_t length,
                                uint64_t position)
{
	if (cq_process_forked(s->process))
		return -ECHILD;
	if (length > SSIZE_MAX)
		length = SSIZE_MAX;
	return read_segment(s, id, buffer, length, position);
}
