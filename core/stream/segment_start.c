/* SPDX-License-Identifier: Apache-2.0 */
/*
 * segment_start.c - where a read begins to walk; see segment_start.h
 *
 * Invariant: offset, position and number of a known record belong together.  A walk counts them on from the
 * first record.  A record that the index names has them in its own header, whose checksum covers them; its
 * number is told by its sequence number, where those of the segment are consecutive.
 */
#include "stream/segment_start.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "catalog/locate.h"
#include "catalog/queue.h"
#include "format/record.h"

/* An index costs a few system calls: it is read if the way to a byte may be this much of the file, and at
 * least so many payload bytes; if the way to a record leads past one that the index names. */
#define INDEX_FAR (512ULL << 10)
#define INDEX_BYTES 4096U

int cq_segment_bytes_open(cq_queue *queue, uint32_t id, struct cq_segment_bytes **ret_segment)
{
	struct cq_segment_bytes *p = calloc(1, sizeof *p);
	int r;

	if (!p)
		return -ENOMEM;
	r = cq_mapped_of(queue, id, &p->mapped);
	if (r < 0) {
		free(p);
		return r;
	}
	p->queue = queue;
	pthread_mutex_init(&p->lock, NULL);
	for (unsigned i = 0; i < CQ_READ_CURSORS; i++)
		p->cursors[i].place = CQ_FIRST_RECORD;
	*ret_segment = p;
	return 0;
}

void cq_segment_bytes_close(struct cq_segment_bytes *p)
{
	if (!p)
		return;
	cq_mapped_close(&p->mapped);
	pthread_mutex_destroy(&p->lock);
	free(p->sparse);
	free(p);
}

/* ---- sparse entries ---- */

static uint64_t value_of(const struct cq_record_start *place, enum cq_start_by by)
{
	return by == CQ_BY_NUMBER ? place->number : place->position;
}

static struct cq_record_start start_of(const struct cq_sparse_entry *entry)
{
	return (struct cq_record_start){ entry->offset, entry->position, entry->number };
}

/* Index of the first sparse entry behind `value`. */
static size_t sparse_behind(const struct cq_segment_bytes *p, enum cq_start_by by, uint64_t value)
{
	size_t low = 0, high = p->sparse_count;

	while (low < high) {
		const size_t middle = low + (high - low) / 2;
		const struct cq_record_start place = start_of(&p->sparse[middle]);

		if (value_of(&place, by) <= value)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

void cq_sparse_entry_add(struct cq_segment_bytes *p, const struct cq_record_start *place)
{
	struct cq_sparse_entry *sparse;
	size_t i;

	pthread_mutex_lock(&p->lock);
	i = sparse_behind(p, CQ_BY_NUMBER, place->number); /* positions may be the same */
	if ((i > 0 && cq_same_stretch(p->sparse[i - 1].offset, place->offset)) ||
	    (i < p->sparse_count && cq_same_stretch(p->sparse[i].offset, place->offset)))
		goto unlock;
	if (p->sparse_count == p->sparse_capacity) {
		size_t capacity = p->sparse_capacity + p->sparse_capacity / 2 + 16;

		sparse = realloc(p->sparse, capacity * sizeof *sparse);
		if (!sparse)
			goto unlock;
		p->sparse = sparse;
		p->sparse_capacity = capacity;
	}
	memmove(p->sparse + i + 1, p->sparse + i, (p->sparse_count - i) * sizeof *p->sparse);
	p->sparse[i] = (struct cq_sparse_entry){ (uint32_t)place->offset, (uint32_t)place->position,
		                                 (uint32_t)place->number };
	p->sparse_count++;
unlock:
	pthread_mutex_unlock(&p->lock);
}

/* ---- where to begin ---- */

static struct cq_segment_start best_start(struct cq_segment_bytes *p, enum cq_start_by by,
                                          uint64_t value)
{
	struct cq_segment_start s = { .cursor.place = CQ_FIRST_RECORD, .slot = CQ_READ_CURSORS };
	size_t i;

	pthread_mutex_lock(&p->lock);
	i = sparse_behind(p, by, value);
	s.next = i < p->sparse_count ? p->sparse[i].offset : p->mapped.map.size;
	if (i > 0)
		s.cursor.place = start_of(&p->sparse[i - 1]);
	for (unsigned k = 0; k < CQ_READ_CURSORS; k++) {
		const struct cq_read_cursor *cursor = &p->cursors[k];

		if (value_of(&cursor->place, by) <= value &&
		    cursor->place.offset >= s.cursor.place.offset) {
			s.cursor = *cursor;
			s.slot = k;
		}
	}
	pthread_mutex_unlock(&p->lock);
	return s;
}

/* The way from the start to the value is long: the index may shorten it. */
static void ask_index(struct cq_segment_bytes *p, struct cq_segment_start *s, enum cq_start_by by,
                      uint64_t value)
{
	struct cq_segment_header summary;
	struct cq_record_header h;
	struct cq_record_start place;
	bool consecutive;
	int r;

	if (!cq_mapped_sealed(&p->mapped) || !cq_mapped_summary(&p->mapped, &summary) ||
	    summary.records <= CQ_INDEX_STRIDE || summary.payload_bytes > p->mapped.map.size ||
	    value > (by == CQ_BY_NUMBER ? summary.records : summary.payload_bytes))
		return;
	if (by == CQ_BY_NUMBER)
		place.offset = cq_locate_start(p->queue->dirfd, &p->mapped, CQ_KEY_SEQ,
		                               summary.first_seq + value, &consecutive);
	else
		place.offset = cq_locate_start(p->queue->dirfd, &p->mapped, CQ_KEY_STREAM,
		                               summary.stream_base + value, &consecutive);
	if (!consecutive || place.offset <= s->cursor.place.offset)
		return;
	r = cq_mapped_header(&p->mapped, place.offset, &h);
	if (r != 1 ||     /* GCOV_EXCL_BR_LINE: found sound */
	    h.ext != 1 || /* GCOV_EXCL_BR_LINE: found with it */
	    h.stream_offset <
	            summary.stream_base || /* GCOV_EXCL_BR_LINE: the first is the lowest */
	    h.seq < summary.first_seq)     /* GCOV_EXCL_BR_LINE: the same */
		return;
	place.position = h.stream_offset - summary.stream_base;
	place.number = h.seq - summary.first_seq;
	if (value_of(&place, by) > value) /* GCOV_EXCL_BR_LINE: not behind */
		return;
	cq_sparse_entry_add(p, &place);
	*s = (struct cq_segment_start){ .cursor.place = place, .slot = CQ_READ_CURSORS };
}

/* The record there holds the byte at `position`. */
static bool holds(const struct cq_segment_bytes *p, const struct cq_record_start *place,
                  uint64_t position)
{
	struct cq_walk walk = cq_walk_mapped(&p->mapped.map, place->offset);
	struct cq_record_at record;

	return cq_walk_next(&walk, &record) == 1 && position - place->position < record.length;
}

/* Whether the index may name a record between the start and the value. */
static bool is_far(const struct cq_segment_bytes *p, const struct cq_segment_start *s,
                   enum cq_start_by by, uint64_t value)
{
	const struct cq_record_start *place = &s->cursor.place;

	if (by == CQ_BY_NUMBER) /* also past a damaged record that is near */
		return value / CQ_INDEX_STRIDE > place->number / CQ_INDEX_STRIDE;
	return s->next - place->offset >= INDEX_FAR && value - place->position >= INDEX_BYTES &&
	       !holds(p, place, value);
}

struct cq_segment_start cq_segment_start_find(struct cq_segment_bytes *p, enum cq_start_by by,
                                              uint64_t value)
{
	struct cq_segment_start s = best_start(p, by, value);

	if (is_far(p, &s, by, value))
		ask_index(p, &s, by, value);
	return s;
}

void cq_segment_start_keep(struct cq_segment_bytes *p, const struct cq_segment_start *from,
                           const struct cq_read_cursor *cursor)
{
	unsigned slot = from->slot;

	pthread_mutex_lock(&p->lock);
	if (slot == CQ_READ_CURSORS || p->cursors[slot].place.offset != from->cursor.place.offset) {
		slot = p->next_cursor;
		p->next_cursor = (slot + 1) % CQ_READ_CURSORS;
	}
	p->cursors[slot] = *cursor;
	pthread_mutex_unlock(&p->lock);
}
