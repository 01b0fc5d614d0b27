/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream.c - the payload bytes of a queue, read at any position
 *
 * A read takes these steps: is the position before the known end (if not, refresh: bounds.c)?  Which
 * segment holds it (catalog.h)?  Take that segment's mapping (mapping_cache.h) and read
 * (segment_bytes.h), then do the same for the segment behind it.  While all of that is known already,
 * each lock is held only for an access to memory, and nothing is allocated.
 *
 * A file that is deleted while it is read is noticed behind the copy, whatever the catalogue says:
 * the read gives the file's true bytes, or ENODATA.
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
	cq_mapping_cache_init(&s->cache, queue);
	pthread_mutex_lock(&queue->catalog.refresh);
	queue->catalog.streams++;
	pthread_mutex_unlock(&queue->catalog.refresh);
	*ret_stream = s;
	return 0;
}

void cq_stream_close(cq_stream *s)
{
	if (!s || cq_process_forked(s->process))
		return;
	cq_tail_fini(s);
	cq_mapping_cache_fini(&s->cache);
	pthread_mutex_lock(&s->queue->catalog.refresh);
	if (--s->queue->catalog.streams == 0)
		cq_catalog_forget_all(&s->queue->catalog);
	pthread_mutex_unlock(&s->queue->catalog.refresh);
	free(s);
}

int cq_stream_extent(cq_stream *s, uint64_t *ret_begin, uint64_t *ret_end)
{
	uint64_t begin;
	int r;

	if (cq_process_forked(s->process))
		return -ECHILD;
	r = cq_stream_refresh(s);
	if (r < 0)
		return r;
	begin = atomic_load(&s->begin);
	*ret_end = atomic_load(&s->end);
	*ret_begin = begin;
	return 0;
}

/* ---- which segment ---- */

/* As cq_catalog_find(), again while it meets segments that are gone. */
static int find(struct cq_stream *s, uint64_t position, struct cq_catalog_entry *ret_entry)
{
	int r;

	if (cq_catalog_lookup(&s->queue->catalog, position, ret_entry))
		return 1;
	pthread_mutex_lock(&s->queue->catalog.refresh);
	do {
		r = cq_catalog_find(s->queue, position, ret_entry);
	} while (cq_stream_gone(r) && (r = cq_stream_lost(s, s->queue->catalog.failed)) == 0);
	pthread_mutex_unlock(&s->queue->catalog.refresh);
	return r;
}

int cq_stream_next_segment(struct cq_stream *s, uint32_t id, struct cq_catalog_entry *ret_entry)
{
	uint32_t next, last;
	int r = 0;

	pthread_mutex_lock(&s->queue->catalog.refresh);
	while (r == 0 && cq_catalog_next(&s->queue->catalog, id, &next)) {
		(void)cq_catalog_previous(&s->queue->catalog, UINT32_MAX, &last);
		if (next == last)
			r = cq_catalog_place(s->queue, next, ret_entry);
		else
			r = cq_catalog_count(s->queue, next, ret_entry);
		if (r == 0)
			r = 1;
		else if (cq_stream_gone(r))
			r = cq_stream_lost(s, s->queue->catalog.failed);
	}
	pthread_mutex_unlock(&s->queue->catalog.refresh);
	return r;
}

static int lost(struct cq_stream *s, uint32_t id)
{
	int r;

	pthread_mutex_lock(&s->queue->catalog.refresh);
	r = cq_stream_lost(s, id);
	pthread_mutex_unlock(&s->queue->catalog.refresh);
	return r;
}

/* Bytes of the segment that are in the stream: up to `end`, if the segment still grows. */
static uint64_t bytes_before(const struct cq_catalog_entry *entry, uint64_t end)
{
	if (entry->flags & CQ_ENTRY_COUNTED)
		return entry->bytes;
	return end > entry->base ? end - entry->base : 0;
}

/* ---- reading ---- */

int cq_stream_take(struct cq_stream *s, uint32_t id, struct cq_segment_bytes **ret_segment)
{
	int r = cq_mapping_cache_take(&s->cache, id, ret_segment);

	return cq_stream_gone(r) ? -ENOENT : r;
}

void cq_stream_put(struct cq_stream *s, struct cq_segment_bytes *segment, ssize_t n)
{
	if (n < 0 && (n == -ENOENT || cq_mapping_shortened(&segment->mapped.map)))
		cq_mapping_cache_discard(&s->cache, segment);
	cq_mapping_cache_put(&s->cache, segment);
}

/* Reads from a segment by its mapping.  -ENOENT: the segment is gone. */
static ssize_t read_segment(struct cq_stream *s, uint32_t id, void *buffer, size_t length,
                            uint64_t position)
{
	struct cq_segment_bytes *segment;
	ssize_t n;
	int r;

	r = cq_stream_take(s, id, &segment);
	if (r < 0)
		return r;
	n = cq_segment_bytes_read(segment, buffer, length, position);
	cq_stream_put(s, segment, n);
	return n;
}

/* Within one segment; position < end. */
static ssize_t read_once(struct cq_stream *s, void *buffer, size_t length, uint64_t position,
                         uint64_t end)
{
	struct cq_catalog_entry entry;
	uint64_t at, bytes;
	ssize_t n;
	int r;

	r = find(s, position, &entry);
	if (r <= 0)
		return r < 0 ? r : -ENODATA;
	if (position < entry.base)
		return -ENODATA;
	bytes = bytes_before(&entry, end);
	at = position - entry.base;
	if (at >= bytes)
		return (entry.flags & CQ_ENTRY_DAMAGED) ? -EIO : -ENODATA;
	if (length > bytes - at)
		length = (size_t)(bytes - at);
	n = read_segment(s, entry.id, buffer, length, at);
	if (n == -ENOENT) {
		r = lost(s, entry.id);
		return r < 0 ? r : -ENODATA;
	}
	return n == 0 ? -EIO : n; /* the records end before the count */
}

ssize_t cq_stream_pread(cq_stream *s, void *buffer, size_t length, uint64_t position)
{
	uint64_t end = atomic_load(&s->end);
	size_t done = 0;
	ssize_t n = 0;

	if (cq_process_forked(s->process))
		return -ECHILD;
	if (position >= end || length > end - position) {
		int r = cq_stream_refresh(s);

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

/* 1: the file is there, readable or not; 0: it is gone. */
static int is_there(struct cq_stream *s, uint32_t id)
{
	struct cq_segment_bytes *segment;
	int r;

	r = cq_mapping_cache_take(&s->cache, id, &segment);
	if (r == 0)
		cq_mapping_cache_put(&s->cache, segment);
	else if (r != -EIO)
		return cq_stream_gone(r) ? 0 : r;
	return 1;
}

int cq_stream_next_data(cq_stream *s, uint64_t position, uint64_t *ret_position)
{
	struct cq_catalog_entry entry;
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
		r = find(s, position, &entry);
		if (r <= 0)
			break;
		if (position < entry.base) {
			position = entry.base;
		} else if (position - entry.base < bytes_before(&entry, end) ||
		           (entry.flags & CQ_ENTRY_DAMAGED)) {
			r = is_there(s, entry.id);
			if (r > 0) {
				*ret_position = position;
				return 0;
			}
			if (r == 0)
				r = lost(s, entry.id);
			if (r < 0)
				break;
		} else {
			r = cq_stream_next_segment(s, entry.id + 1, &entry);
			if (r <= 0 ||
			    entry.base <= position) /* GCOV_EXCL_BR_LINE: changed a moment ago */
				break;
			position = entry.base;
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
	uint32_t last, above;

	pthread_mutex_lock(&s->queue->catalog.refresh);
	last = cq_catalog_run(&s->queue->catalog, id).last;
	*ret_more = cq_catalog_next(&s->queue->catalog, last + 1, &above);
	pthread_mutex_unlock(&s->queue->catalog.refresh);
	return last;
}

/* A hole is where ids are missing. */
int cq_stream_next_hole(cq_stream *s, uint64_t position, uint64_t *ret_position)
{
	uint64_t begin, end, hole;
	struct cq_catalog_entry entry;
	uint32_t last;
	bool more;
	int r;

	if (cq_process_forked(s->process))
		return -ECHILD;
	r = cq_stream_extent(s, &begin, &end);
	if (r < 0)
		return r;
	r = find(s, position, &entry);
	while (r > 0) {
		last = run_end(s, entry.id, &more);
		if (!more)
			break;
		r = cq_stream_next_segment(s, last, &entry);
		if (r > 0 && entry.id != last) { /* it was deleted meanwhile */
			r = find(s, position, &entry);
			continue;
		}
		hole = cq_entry_end(&entry);
		if (r > 0)
			r = cq_stream_next_segment(s, last + 1, &entry);
		if (r > 0 && hole > position && entry.base > hole) {
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

int cq_stream_check_prepared(struct cq_stream *s, uint32_t id)
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
	return size == expected ? 0 : -EBADMSG;
}

int cq_stream_segment(cq_stream *s, uint32_t id, struct cq_span *ret_span)
{
	struct cq_catalog_entry entry;
	uint64_t end;
	int r;

	if (cq_process_forked(s->process))
		return -ECHILD;
	r = cq_stream_refresh(s);
	if (r < 0)
		return r;
	end = atomic_load(&s->end);
	r = cq_stream_next_segment(s, id, &entry);
	if (r < 0)
		return r;
	if (r == 0) {
		r = cq_stream_check_prepared(s, id);
		if (r == 0)
			*ret_span = (struct cq_span){ .begin = atomic_load(&s->end) };
		return r;
	}
	if (entry.id != id)
		return -ENOENT;
	if (entry.flags & CQ_ENTRY_DAMAGED)
		return -EIO;
	*ret_span = (struct cq_span){
		.begin = entry.base,
		.bytes = bytes_before(&entry, end),
		.sealed = (entry.flags & CQ_ENTRY_COUNTED) != 0,
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
