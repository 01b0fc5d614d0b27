/* SPDX-License-Identifier: Apache-2.0 */
/*
 * segment_bytes.c - the payloads of one segment; see segment_bytes.h
 *
 * Invariant: a byte is given only from a record whose header was found sound on the way from a known
 * record, and whose payload's checksum was found right by this read or an earlier one.
 */
#include "stream/segment_bytes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "catalog/locate.h"
#include "catalog/queue.h"
#include "format/put.h"
#include "format/record.h"
#include "format/walk.h"
#include "os/io.h"

#define SPARSE_SHIFT 14 /* 16 KiB of file */

/* An index costs a few system calls: it is read if the way to walk may be this much of the file, and at
 * least so many payload bytes. */
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

/* Index of the first sparse entry behind `position`. */
static size_t sparse_behind(const struct cq_segment_bytes *p, uint64_t position)
{
	size_t low = 0, high = p->sparse_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (p->sparse[middle].position <= position)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool same_stretch(uint64_t a, uint64_t b)
{
	return a >> SPARSE_SHIFT == b >> SPARSE_SHIFT;
}

/* Without memory for the entry, a later read walks the way again. */
static void add_sparse_entry(struct cq_segment_bytes *p, const struct cq_record_start *place)
{
	struct cq_sparse_entry *sparse;
	size_t i;

	pthread_mutex_lock(&p->lock);
	i = sparse_behind(p, place->position);
	while (i > 0 && p->sparse[i - 1].offset > place->offset)
		i--; /* records without a byte have the same position */
	if ((i > 0 && same_stretch(p->sparse[i - 1].offset, place->offset)) ||
	    (i < p->sparse_count && same_stretch(p->sparse[i].offset, place->offset)))
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
	p->sparse[i] =
		(struct cq_sparse_entry){ (uint32_t)place->offset, (uint32_t)place->position };
	p->sparse_count++;
unlock:
	pthread_mutex_unlock(&p->lock);
}

/* Moves behind a record. */
static inline void advance(struct cq_segment_bytes *p, struct cq_record_start *place,
                           const struct cq_record_at *record)
{
	const uint64_t from = place->offset;

	place->offset = record->end;
	place->position += record->length;
	if (!same_stretch(from, place->offset) && place->offset < p->mapped.map.size)
		add_sparse_entry(p, place);
}

/* ---- where to begin ---- */

struct start {
	struct cq_read_cursor cursor;
	unsigned slot; /* which cursor that is; CQ_READ_CURSORS: none */
	uint64_t next; /* offset of the first sparse entry behind the position */
};

static struct start best_start(struct cq_segment_bytes *p, uint64_t position)
{
	struct start s = { .cursor.place = CQ_FIRST_RECORD, .slot = CQ_READ_CURSORS };
	size_t i;

	pthread_mutex_lock(&p->lock);
	i = sparse_behind(p, position);
	s.next = i < p->sparse_count ? p->sparse[i].offset : p->mapped.map.size;
	if (i > 0)
		s.cursor.place = (struct cq_record_start){ p->sparse[i - 1].offset,
			                                   p->sparse[i - 1].position };
	for (unsigned k = 0; k < CQ_READ_CURSORS; k++) {
		const struct cq_read_cursor *cursor = &p->cursors[k];

		if (cursor->place.position <= position &&
		    cursor->place.offset >= s.cursor.place.offset) {
			s.cursor = *cursor;
			s.slot = k;
		}
	}
	pthread_mutex_unlock(&p->lock);
	return s;
}

/* The way from the start to the position is long: the index may shorten it. */
static void ask_index(struct cq_segment_bytes *p, struct start *s, uint64_t position)
{
	struct cq_segment_header summary;
	struct cq_record_header h;
	struct cq_record_start place;

	if (!cq_mapped_sealed(&p->mapped) || !cq_mapped_summary(&p->mapped, &summary) ||
	    summary.records <= CQ_INDEX_STRIDE || summary.payload_bytes > p->mapped.map.size ||
	    position > summary.payload_bytes)
		return;
	place.offset = cq_locate_start(p->queue->dirfd, &p->mapped, CQ_KEY_STREAM,
	                               summary.stream_base + position);
	if (place.offset <= s->cursor.place.offset ||
	    cq_mapped_header(&p->mapped, place.offset, &h) !=
	            1 ||  /* GCOV_EXCL_BR_LINE: found sound */
	    h.ext != 1 || /* GCOV_EXCL_BR_LINE: found with it */
	    h.stream_offset < summary.stream_base ||
	    h.stream_offset - summary.stream_base > position) /* GCOV_EXCL_BR_LINE: not behind */
		return;
	place.position = h.stream_offset - summary.stream_base;
	add_sparse_entry(p, &place);
	*s = (struct start){ .cursor.place = place, .slot = CQ_READ_CURSORS };
}

/* The record there holds the byte at `position`. */
static bool holds(const struct cq_segment_bytes *p, const struct cq_record_start *place,
                  uint64_t position)
{
	struct cq_walk walk = cq_walk_mapped(&p->mapped.map, place->offset);
	struct cq_record_at record;

	return cq_walk_next(&walk, &record) == 1 && position - place->position < record.length;
}

static struct start find_start(struct cq_segment_bytes *p, uint64_t position)
{
	struct start s = best_start(p, position);

	if (position - s.cursor.place.position >= INDEX_BYTES &&
	    s.next - s.cursor.place.offset >= INDEX_FAR && !holds(p, &s.cursor.place, position))
		ask_index(p, &s, position);
	return s;
}

/* A read ended here.  Replaces the cursor at which it began, if that is still there. */
static void set_cursor(struct cq_segment_bytes *p, const struct start *from,
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

/* ---- reading ---- */

/* Copies `n` bytes of a record's payload from byte `skip` on, and checks the whole payload unless
 * `checked`. */
static inline int give(const struct cq_mapped *mapped, const struct cq_record_at *record,
                       uint64_t skip, uint8_t *to, uint64_t n, bool checked)
{
	const uint8_t *from = mapped->map.base + record->offset + sizeof record->header;
	const uint64_t length = record->length;
	uint32_t crc = 0;

	if (checked) {
		memcpy(to, from + skip, n);
		return 0;
	}
	if (n == length)
		return cq_put_payload(to, from, n) == record->header.payload_crc ? 0 : -EIO;
	if (skip > 0)
		crc = cq_crc32(crc, from, skip);
	crc = cq_crc32_copy(crc, to, from + skip, n);
	if (skip + n < length)
		crc = cq_crc32(crc, from + skip + n, length - skip - n);
	return crc == record->header.payload_crc ? 0 : -EIO;
}

/*
 * The bytes of the records that come next are on their way while this one is summed and copied.  The
 * processor's own reading ahead ends with each page, so small records would wait for memory most of the
 * time.  An address that is not mapped yet does no harm.
 */
#define AHEAD 2048U
#define AHEAD_MOST 512U /* of a record: the processor reads on in a longer one */

static inline void read_ahead(const struct cq_mapped *mapped, const struct cq_record_at *record)
{
	const uint64_t span = record->end - record->offset;
	const uint64_t n = span < AHEAD_MOST ? span : AHEAD_MOST;

	if (record->offset + AHEAD + AHEAD_MOST > mapped->map.size)
		return;
	for (uint64_t at = 0; at < n; at += 64)
		__builtin_prefetch(mapped->map.base + record->offset + AHEAD + at);
}

/* Reads from the cursor on, and moves it to where the read ended.  0 or an error; *ret_done is set in
 * both cases. */
static int read_records(struct cq_segment_bytes *p, struct cq_read_cursor *cursor, uint8_t *to,
                        size_t length, uint64_t position, size_t *ret_done)
{
	const struct cq_mapped *mapped = &p->mapped;
	struct cq_record_start place = cursor->place;
	struct cq_walk walk = cq_walk_mapped(&mapped->map, place.offset);
	bool checked = cursor->checked;
	struct cq_record_at record;
	size_t done = 0;
	int r = 1;

	while (done < length && (r = cq_walk_next(&walk, &record)) > 0) {
		uint64_t skip, n;

		read_ahead(mapped, &record);
		if (position < place.position + record.length) {
			skip = position - place.position;
			n = record.length - skip < length - done ? record.length - skip
			                                         : length - done;
			r = give(mapped, &record, skip, to + done, n, checked);
			if (r < 0)
				break;
			done += n;
			position += n;
			if (skip + n < record.length) {
				checked = true;
				break;
			}
		}
		checked = false;
		advance(p, &place, &record);
	}
	if (r == 0 && done < length)
		r = cq_mapped_check_end(mapped, &walk);
	*cursor = (struct cq_read_cursor){ place, checked };
	*ret_done = done;
	return r < 0 ? r : 0;
}

/* 0: the file is there and whole, so what was read is right. */
static int still_there(const struct cq_mapped *mapped)
{
	struct stat st;
	int r;

	r = cq_io_stat(mapped->map.fd, &st);
	if (r < 0)
		return r;
	if (st.st_nlink == 0)
		return -ENOENT;
	return cq_mapping_cut(&mapped->map) || (uint64_t)st.st_size < mapped->map.size ? -EIO : 0;
}

ssize_t cq_segment_bytes_read(struct cq_segment_bytes *p, void *buffer, size_t length,
                              uint64_t position)
{
	const struct start start = find_start(p, position);
	struct cq_read_cursor cursor = start.cursor;
	size_t done = 0;
	int r, there;

	r = read_records(p, &cursor, buffer, length, position, &done);
	if (done > 0)
		set_cursor(p, &start, &cursor);
	there = still_there(&p->mapped);
	if (there < 0)
		return there;
	return done > 0 ? (ssize_t)done : r;
}

int cq_segment_bytes_follow(struct cq_segment_bytes *p, struct cq_record_start *place)
{
	struct cq_walk walk = cq_walk_mapped(&p->mapped.map, place->offset);
	struct cq_record_at record;
	int r;

	while ((r = cq_walk_next(&walk, &record)) == 1)
		advance(p, place, &record);
	place->offset = walk.offset;
	return r;
}
