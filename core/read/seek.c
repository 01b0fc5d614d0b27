/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seek.c - a reader goes somewhere else
 *
 * Each seek lists the segments once, finds the one in question, and looks inside it.  Retention may
 * delete segments meanwhile: then one of them is not there any more (ENOENT) and all begins anew.
 * The reader moves only when the place is found.
 *
 * The writer may append meanwhile.  A seek that finds nothing ends where its walk came to the end of the
 * last listed segment, and never walks there a second time: what was appended behind that place, in
 * this segment or in others, is still to be read.
 */
#include <errno.h>
#include <stdlib.h>

#include "catalog/locate.h"
#include "catalog/successor.h"
#include "files/dir.h"
#include "format/place.h"
#include "os/process.h"
#include "read/reader.h"
#include "read/seek.h"

#define TRIES 1000 /* each means that a segment went while we looked */

static const uint64_t beginning = sizeof(struct cq_segment_header);

static int is_spare(cq_reader *reader, uint32_t id)
{
	struct cq_mapped view;
	int r;

	r = cq_reader_mapped(reader, id, &view);
	if (r == -EAGAIN)
		return 1;
	if (r < 0)
		return r;
	r = cq_successor_unused(&view);
	cq_mapped_close(&view);
	return r;
}

/* -ENOENT with no other meaning than: look again.  No segment at all is a count of 0. */
static int list(cq_reader *reader, struct cq_listing *ret_listing)
{
	struct cq_listing l;
	int r;

	r = cq_dir_list(reader->queue->dirfd, &l.ids, &l.count);
	if (r < 0)
		return r;
	/* of a queue in which nothing was written yet the first segment stays */
	while (l.count > 1) {
		r = is_spare(reader, l.ids[l.count - 1]);
		if (r < 0) {
			free(l.ids);
			return r;
		}
		if (r == 0)
			break;
		l.count--;
	}
	*ret_listing = l;
	return 0;
}

int cq_seek_place(cq_reader *reader, uint32_t id, uint64_t offset)
{
	struct cq_mapped view;
	int r;

	r = cq_reader_mapped(reader, id, &view);
	if (r < 0)
		return r;
	cq_reader_place(reader, &view, offset);
	return 0;
}

int cq_seek_run(cq_reader *reader, cq_seek_fn seek, uint64_t target, void *arg)
{
	struct cq_listing l;
	int r = -ENOENT;

	for (int i = 0; i < TRIES && r == -ENOENT; i++) {
		r = list(reader, &l);
		if (r < 0)
			continue;
		if (l.count == 0)
			cq_reader_unplace(reader);
		else
			r = seek(reader, &l, target, arg);
		/* one between others: what would be found behind it is not known */
		if (r == -EAGAIN && l.count > 1)
			r = -EBADMSG;
		free(l.ids);
	}
	if (r != -EAGAIN)
		return r;
	/* nothing but a segment that lost its header: nothing to read */
	cq_reader_unplace(reader);
	return 0;
}

/* ---- ends ---- */

int cq_seek_place_end(cq_reader *reader, const struct cq_listing *l)
{
	struct cq_segment_header summary;
	struct cq_record_at record;
	struct cq_mapped view;
	struct cq_walk walk;
	int r;

	r = cq_reader_mapped(reader, l->ids[l->count - 1], &view);
	if (r < 0)
		return r;
	walk = cq_walk_mapped(&view.map, beginning);
	if (cq_mapped_sealed(&view) && cq_mapped_summary(&view, &summary) &&
	    summary.used >= beginning && summary.used <= view.map.size &&
	    summary.used % CQ_ALIGN == 0)
		walk.offset = summary.used;
	else /* a record that a second look has found has come since */
		while ((r = cq_walk_next(&walk, &record)) == 1 && !walk.sealed)
			;
	if (r < 0) {
		cq_mapped_close(&view);
		return r;
	}
	cq_reader_place(reader, &view, r == 1 ? record.offset : walk.offset);
	return 0;
}

static int seek_end(cq_reader *reader, const struct cq_listing *l, uint64_t target, void *arg)
{
	(void)target;
	(void)arg;
	return cq_seek_place_end(reader, l);
}

int cq_reader_seek_end(cq_reader *reader)
{
	if (cq_process_forked(reader->process))
		return -ECHILD;
	return cq_seek_run(reader, seek_end, 0, NULL);
}

int cq_reader_seek_oldest(cq_reader *reader)
{
	uint32_t id;
	int r;

	if (cq_process_forked(reader->process))
		return -ECHILD;
	do {
		r = cq_dir_next(reader->queue->dirfd, 0, &id);
		if (r == -ENOENT)
			break;
		if (r < 0)
			return r;
		r = cq_seek_place(reader, id, beginning);
	} while (r == -ENOENT);
	/* what is wrong with the first segment is for cq_reader_next() to report */
	if (r == -ENOENT || r == -EAGAIN || r == -EBADMSG || r == -EIO) {
		cq_reader_unplace(reader);
		r = 0;
	}
	return r;
}

/* The end of the last record that ends at `limit` at the latest. */
static uint64_t settle(const struct cq_mapped *view, uint64_t limit)
{
	struct cq_walk walk = cq_walk_mapped(&view->map, beginning);
	struct cq_segment_header summary;
	struct cq_record_at record;
	struct cq_record_header h;

	if (limit > view->map.size)
		limit = view->map.size;
	else if (cq_mapped_header(view, limit, &h) == 1 && h.ext == 1)
		return limit; /* its own checksum says that a record begins there */
	else if (cq_mapped_sealed(view) && cq_mapped_summary(view, &summary) &&
	         summary.used == limit)
		return limit;
	while (cq_walk_step(&walk, &record) == 1)
		if (record.end > limit)
			return record.offset;
	return walk.offset;
}

int cq_seek_place_committed(cq_reader *reader, uint32_t segment, uint64_t offset)
{
	struct cq_segment_header summary;
	struct cq_mapped view;
	int r;

	r = cq_reader_mapped(reader, segment, &view);
	if (r < 0)
		return r;
	/* A position behind the last record is one whose records a power cut took: waiting there
	 * would miss what is written in their place.  Offset 0: from the beginning. */
	cq_reader_place(reader, &view, offset < beginning ? beginning : settle(&view, offset));
	/* what a stand-in there stands for is told as missing */
	if (reader->offset == beginning && cq_mapped_summary(&reader->view, &summary)) {
		reader->seq_state = CQ_SEQ_BOUNDARY;
		reader->next_seq = summary.first_seq;
	}
	return 0;
}

int cq_reader_resume(cq_reader *reader, uint32_t segment, uint64_t offset)
{
	uint64_t id = segment, size;
	int r;

	r = cq_seek_place_committed(reader, segment, offset);
	/* all of a full segment was read: then it may be deleted, and none is missing */
	if (r == -ENOENT && cq_queue_segment_size(reader->queue, &size) == 0) {
		cq_place_level(&id, &offset, size);
		if (id != segment && id <= CQ_SEGMENT_ID_MAX) {
			segment = (uint32_t)id;
			r = cq_seek_place_committed(reader, segment, offset);
		}
	}
	if (r == -ENOENT || r == -EAGAIN || r == -EBADMSG || r == -EIO) {
		cq_reader_unplace(reader);
		reader->segment = segment;
		reader->exact = true;
		/* what cannot be read now can perhaps be read later, and not a second time */
		if (r == -EIO && offset > beginning)
			reader->offset = offset;
		r = 0;
	}
	return r;
}

/* ---- by time ---- */

/* 1 if segment `index` begins with a record from before that time. */
static int begins_before(cq_reader *reader, const struct cq_listing *l, size_t index,
                         uint64_t time_ns)
{
	struct cq_record_at first;
	struct cq_mapped view;
	struct cq_walk walk;
	int r = 0;

	/* a segment without a record begins when the next one does */
	for (; index < l->count && r == 0; index++) {
		r = cq_reader_mapped(reader, l->ids[index], &view);
		if (r < 0)
			return r;
		walk = cq_walk_mapped(&view.map, beginning);
		r = cq_walk_next(&walk, &first);
		cq_mapped_close(&view);
	}
	return r > 0 ? first.header.time_ns < time_ns : r;
}

/* Last segment that begins before that time; the oldest where none does. */
static int bisect(cq_reader *reader, const struct cq_listing *l, uint64_t time_ns,
                  size_t *ret_index)
{
	size_t low = 0, high = l->count;
	int r;

	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;

		r = begins_before(reader, l, middle, time_ns);
		if (r < 0)
			return r;
		if (r > 0)
			low = middle;
		else
			high = middle;
	}
	*ret_index = low;
	return 0;
}

static int seek_time(cq_reader *reader, const struct cq_listing *l, uint64_t time_ns, void *arg)
{
	struct cq_record_at record;
	struct cq_mapped view;
	struct cq_walk walk;
	size_t i;
	int r;

	(void)arg;
	r = bisect(reader, l, time_ns, &i);
	if (r < 0)
		return r;
	for (;; i++) {
		r = cq_reader_mapped(reader, l->ids[i], &view);
		if (r < 0)
			return r;
		walk = cq_walk_mapped(&view.map, cq_locate_start(reader->queue->dirfd, &view,
		                                                 CQ_KEY_TIME, time_ns));
		while ((r = cq_walk_next(&walk, &record)) == 1 && record.header.time_ns < time_ns)
			;
		if (r == 0)
			r = cq_mapped_check_end(&view, &walk);
		if (r == 1 || (r == 0 && i == l->count - 1)) {
			cq_reader_place(reader, &view, r == 1 ? record.offset : walk.offset);
			return 0;
		}
		cq_mapped_close(&view);
		if (r < 0)
			return r;
	}
}

int cq_reader_seek_time(cq_reader *reader, uint64_t time_ns)
{
	if (cq_process_forked(reader->process))
		return -ECHILD;
	return cq_seek_run(reader, seek_time, time_ns, NULL);
}

/* ---- by stream offset ---- */

/*
 * Finds the record of this segment that holds byte `target`, or that begins behind it.  position
 * is where the segment begins in the stream.  1 with *offset at it and *position where its payload
 * begins, 0 when the segment ends before it.
 */
static int find_byte(cq_reader *reader, const struct cq_mapped *view, uint64_t target,
                     uint64_t *position, uint64_t *offset)
{
	struct cq_walk walk = cq_walk_mapped(
		&view->map, cq_locate_start(reader->queue->dirfd, view, CQ_KEY_STREAM, target));
	struct cq_record_at record;
	int r;

	while ((r = cq_walk_next(&walk, &record)) == 1) {
		if (record.header.ext == 1)
			*position = record.header.stream_offset;
		if (target < *position || target - *position < record.length)
			break;
		*position += record.length;
	}
	*offset = r == 1 ? record.offset : walk.offset;
	return r;
}

static int seek_stream(cq_reader *reader, const struct cq_listing *l, uint64_t target, void *arg)
{
	struct cq_catalog *catalog = &reader->queue->catalog;
	struct cq_catalog_entry entry;
	uint64_t position, offset;
	struct cq_mapped view;
	uint32_t next;
	bool trimmed;
	int r;

	/* the reader has opened the queue handle, and is the only one that uses it */
	r = cq_catalog_list(catalog, l->ids, l->count);
	if (r == 0)
		r = cq_catalog_find(reader->queue, target, &entry);
	if (r < 0)
		return r;
	trimmed = target < entry.base;
	for (;;) {
		r = cq_reader_mapped(reader, entry.id, &view);
		if (r < 0)
			return r;
		position = entry.base;
		r = find_byte(reader, &view, target, &position, &offset);
		if (r > 0) {
			cq_reader_place(reader, &view, offset);
			*(uint64_t *)arg = position <= target ? target - position : 0;
			/* the byte was before the first there is, or in a segment that is missing */
			return position <= target ? 0 : -ENODATA;
		}
		if (r == 0 && !cq_catalog_next(catalog, entry.id + 1, &next)) {
			cq_reader_place(reader, &view, offset);
			return trimmed ? -ENODATA : 0;
		}
		cq_mapped_close(&view);
		if (r == 0)
			r = cq_catalog_place(reader->queue, next, &entry);
		if (r < 0)
			return r;
	}
}

int cq_reader_seek_stream(cq_reader *reader, uint64_t offset, uint64_t *ret_skip)
{
	uint64_t skip = 0;
	int r;

	if (cq_process_forked(reader->process))
		return -ECHILD;
	r = cq_seek_run(reader, seek_stream, offset, &skip);
	if (r == 0)
		*ret_skip = skip;
	return r;
}
