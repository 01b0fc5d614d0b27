/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seek.c - a reader goes somewhere else
 *
 * Each seek lists the segments once, finds the one in question, and looks inside it.  If retention deletes
 * one of them meanwhile (ENOENT), the seek starts again.  A seek to the end lists them only if control.meta
 * cannot tell where that is.  The reader moves only when the place is found.
 *
 * The writer may append meanwhile.  A seek that finds nothing ends where its walk reached the end of the
 * last listed segment, and does not walk there again: so the reader still gets what was appended
 * behind that place, in this segment or in others.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "catalog/locate.h"
#include "catalog/successor.h"
#include "files/dir.h"
#include "os/process.h"
#include "read/reader.h"

#define TRIES 1000 /* each is one segment that was deleted during the seek */

/* The segments up to the newest that holds a record or is sealed: those behind it are spares. */
struct listing {
	uint32_t *ids;
	size_t count;
};

/* Places the reader, or returns -ENOENT when a segment is not there any more. */
typedef int (*seek_fn)(cq_reader *reader, const struct listing *listing, uint64_t target,
                       void *arg);

static const uint64_t beginning = sizeof(struct cq_segment_header);

static int is_spare(cq_reader *reader, uint32_t id)
{
	struct cq_mapped mapped;
	int r;

	r = cq_reader_mapped(reader, id, &mapped);
	if (r == -EAGAIN)
		return 1;
	if (r < 0)
		return r;
	r = cq_successor_unused(&mapped);
	cq_mapped_close(&mapped);
	return r;
}

/* -ENOENT means only: list again.  If there is no segment, the count is 0. */
static int list(cq_reader *reader, struct listing *ret_listing)
{
	struct listing l;
	int r;

	r = cq_dir_list(reader->queue->dirfd, &l.ids, &l.count);
	if (r < 0)
		return r;
	/* if nothing was written yet, the first segment stays in the list */
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

static int place(cq_reader *reader, uint32_t id, uint64_t offset)
{
	struct cq_mapped mapped;
	int r;

	r = cq_reader_mapped(reader, id, &mapped);
	if (r < 0)
		return r;
	cq_reader_place(reader, &mapped, offset);
	return 0;
}

static int run(cq_reader *reader, seek_fn seek, uint64_t target, void *arg)
{
	struct listing l;
	int r = -ENOENT;

	for (int i = 0; i < TRIES && r == -ENOENT; i++) {
		r = list(reader, &l);
		if (r < 0)
			continue;
		if (l.count == 0)
			cq_reader_unplace(reader);
		else
			r = seek(reader, &l, target, arg);
		/* a segment without a header between others: the place may be in it */
		if (r == -EAGAIN && l.count > 1)
			r = -EBADMSG;
		free(l.ids);
	}
	if (r != -EAGAIN)
		return r;
	/* the only segment has lost its header: nothing to read */
	cq_reader_unplace(reader);
	return 0;
}

/* ---- ends ---- */

/*
 * Where the queue ends, without a listing: the segment that control.meta names, if it has no seal and
 * only spares follow it.  control.meta may be wrong: so this is false in all other cases.
 */
static bool end_by_control(cq_reader *reader, uint32_t *ret_id)
{
	struct cq_mapped mapped;
	bool open;
	int r;

	cq_reader_control(reader);
	if (!reader->control.page)
		return false;
	*ret_id = cq_successor_current(&reader->control);
	if (cq_reader_mapped(reader, *ret_id, &mapped) < 0)
		return false;
	open = !cq_mapped_sealed(&mapped);
	cq_mapped_close(&mapped);
	for (uint32_t id = *ret_id + 1; open && id <= CQ_SEGMENT_ID_MAX; id++) {
		r = is_spare(reader, id);
		if (r != 1)
			return r == -ENOENT;
	}
	return false;
}

static int place_end(cq_reader *reader, const struct listing *l, uint64_t target, void *arg)
{
	struct cq_segment_header summary;
	struct cq_record_at record;
	struct cq_mapped mapped;
	struct cq_walk walk;
	uint64_t landmark;
	int r;

	(void)target;
	(void)arg;
	r = cq_reader_mapped(reader, l->ids[l->count - 1], &mapped);
	if (r < 0)
		return r;
	landmark = cq_locate_landmark(&reader->control, &mapped, UINT64_MAX);
	walk = cq_walk_mapped(&mapped.map, landmark > 0 ? landmark : beginning);
	if (cq_mapped_sealed(&mapped) && cq_mapped_summary(&mapped, &summary) &&
	    summary.used >= beginning && summary.used <= mapped.map.size &&
	    summary.used % CQ_ALIGN == 0)
		walk.offset = summary.used;
	else /* a record that the second look finds was appended since */
		while ((r = cq_walk_next(&walk, &record)) == 1 && !walk.sealed)
			;
	if (r < 0) {
		cq_mapped_close(&mapped);
		return r;
	}
	cq_reader_place(reader, &mapped, r == 1 ? record.offset : walk.offset);
	if (reader->offset == beginning)
		cq_reader_expect(reader);
	return 0;
}

int cq_reader_seek_end(cq_reader *reader)
{
	uint32_t id;
	const struct listing end = { &id, 1 };

	if (cq_process_forked(reader->process))
		return -ECHILD;
	if (end_by_control(reader, &id) && place_end(reader, &end, 0, NULL) == 0)
		return 0;
	return run(reader, place_end, 0, NULL);
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
		r = place(reader, id, beginning);
	} while (r == -ENOENT);
	/* cq_reader_next() reports what is wrong with the first segment */
	if (r == -ENOENT || r == -EAGAIN || r == -EBADMSG || r == -EIO) {
		cq_reader_unplace(reader);
		r = 0;
	}
	return r;
}

/* ---- by sequence number ----
 *
 * The place is the record with the lowest number that is not below the one in question; of equal
 * numbers the last.  This library's numbers ascend, and each segment's header tells its first one: so
 * bisection finds the segment.  chronicle-rs begins again at 0 whenever it opens a queue: then the seek
 * looks at all segments, the newest first, until it finds the number itself.
 */

/* 1 with the first number of a segment whose header tells it, else 0. */
static int told_first_seq(cq_reader *reader, uint32_t id, uint64_t *ret_seq)
{
	struct cq_segment_header summary;
	struct cq_mapped mapped;
	int r;

	r = cq_reader_mapped(reader, id, &mapped);
	if (r < 0)
		return r;
	r = cq_mapped_summary(&mapped, &summary);
	if (r > 0)
		*ret_seq = summary.first_seq;
	cq_mapped_close(&mapped);
	return r;
}

/* 1 with the last segment that begins at `seq` or before, by headers alone; 0 if they do not tell,
 * or are not in order. */
static int bisect_seq(cq_reader *reader, const struct listing *l, uint64_t seq, size_t *ret_index)
{
	uint64_t first_low, first_high, first;
	size_t low = 0, high = l->count - 1;
	int r;

	r = told_first_seq(reader, l->ids[low], &first_low);
	if (r > 0)
		r = told_first_seq(reader, l->ids[high], &first_high);
	if (r <= 0)
		return r;
	if (first_low > first_high)
		return 0;
	if (seq >= first_high)
		low = high;
	/* segment low begins at seq or before (or is the oldest), segment high after it */
	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;

		r = told_first_seq(reader, l->ids[middle], &first);
		if (r <= 0)
			return r;
		if (first < first_low || first > first_high)
			return 0;
		if (first <= seq) {
			low = middle;
			first_low = first;
		} else {
			high = middle;
			first_high = first;
		}
	}
	*ret_index = low;
	return 1;
}

struct seq_match {
	bool found;
	uint32_t id;
	uint64_t offset;
	uint64_t seq;
	uint64_t end; /* of the last listed segment, where its walk ended; 0: it is sealed */
};

static int match_seq(cq_reader *reader, const struct listing *l, size_t index, uint64_t seq,
                     struct seq_match *match)
{
	struct cq_mapped mapped;
	uint64_t offset;
	int r;

	r = cq_reader_mapped(reader, l->ids[index], &mapped);
	if (r < 0)
		return r;
	r = cq_locate_seq(reader->queue->dirfd, &mapped, seq,
	                  cq_landmarks_before(reader, &mapped, seq), &match->seq, &offset);
	if (r > 0) {
		match->found = true;
		match->id = l->ids[index];
		match->offset = offset;
	} else if (r == 0 && index == l->count - 1) {
		match->end = offset;
	}
	cq_mapped_close(&mapped);
	return r;
}

static int seek_seq(cq_reader *reader, const struct listing *l, uint64_t seq, void *arg)
{
	struct seq_match match = { .seq = UINT64_MAX };
	size_t i;
	int r;

	(void)arg;
	r = bisect_seq(reader, l, seq, &i);
	if (r > 0) {
		/* if the number is missing, the next higher one may be in a later segment */
		for (; i < l->count && !match.found && r >= 0; i++)
			r = match_seq(reader, l, i, seq, &match);
	} else if (r == 0) {
		/* of equal numbers the one in the latest segment counts */
		for (i = l->count; i-- > 0 && !(match.found && match.seq == seq) && r >= 0;)
			r = match_seq(reader, l, i, seq, &match);
	}
	if (r < 0)
		return r;
	if (match.found)
		return place(reader, match.id, match.offset);
	if (match.end > 0)
		return place(reader, l->ids[l->count - 1], match.end);
	return place_end(reader, l, 0, NULL);
}

int cq_reader_seek_seq(cq_reader *reader, uint64_t seq)
{
	if (cq_process_forked(reader->process))
		return -ECHILD;
	return run(reader, seek_seq, seq, NULL);
}

/* ---- by time ---- */

/* 1 if segment `index` begins with a record from before that time. */
static int begins_before(cq_reader *reader, const struct listing *l, size_t index, uint64_t time_ns)
{
	struct cq_record_at first;
	struct cq_mapped mapped;
	struct cq_walk walk;
	int r = 0;

	/* a segment without a record begins when the next one does */
	for (; index < l->count && r == 0; index++) {
		r = cq_reader_mapped(reader, l->ids[index], &mapped);
		if (r < 0)
			return r;
		walk = cq_walk_mapped(&mapped.map, beginning);
		r = cq_walk_next(&walk, &first);
		cq_mapped_close(&mapped);
	}
	return r > 0 ? first.header.time_ns < time_ns : r;
}

/* Last segment that begins before that time; the oldest where none does. */
static int bisect(cq_reader *reader, const struct listing *l, uint64_t time_ns, size_t *ret_index)
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

static int seek_time(cq_reader *reader, const struct listing *l, uint64_t time_ns, void *arg)
{
	struct cq_record_at record;
	struct cq_mapped mapped;
	struct cq_walk walk;
	size_t i;
	int r;

	(void)arg;
	r = bisect(reader, l, time_ns, &i);
	if (r < 0)
		return r;
	for (;; i++) {
		r = cq_reader_mapped(reader, l->ids[i], &mapped);
		if (r < 0)
			return r;
		walk = cq_walk_mapped(&mapped.map, cq_locate_start(reader->queue->dirfd, &mapped,
		                                                   CQ_KEY_TIME, time_ns, NULL));
		while ((r = cq_walk_next(&walk, &record)) == 1 && record.header.time_ns < time_ns)
			;
		if (r == 0)
			r = cq_mapped_check_end(&mapped, &walk);
		if (r == 1 || (r == 0 && i == l->count - 1)) {
			cq_reader_place(reader, &mapped, r == 1 ? record.offset : walk.offset);
			return 0;
		}
		cq_mapped_close(&mapped);
		if (r < 0)
			return r;
	}
}

int cq_reader_seek_time(cq_reader *reader, uint64_t time_ns)
{
	if (cq_process_forked(reader->process))
		return -ECHILD;
	return run(reader, seek_time, time_ns, NULL);
}

/* ---- by stream offset ---- */

static int seek_stream(cq_reader *reader, const struct listing *l, uint64_t target, void *arg)
{
	struct cq_catalog *catalog = &reader->queue->catalog;
	struct cq_catalog_entry entry;
	uint64_t position, offset;
	struct cq_mapped mapped;
	uint32_t next;
	bool trimmed;
	int r;

	/* no `refresh` lock: only this reader uses its queue handle */
	r = cq_catalog_list(catalog, l->ids, l->count);
	if (r == 0)
		r = cq_catalog_find(reader->queue, target, &entry);
	if (r < 0)
		return r;
	trimmed = target < entry.base;
	for (;;) {
		r = cq_reader_mapped(reader, entry.id, &mapped);
		if (r < 0)
			return r;
		position = entry.base;
		r = cq_locate_byte(reader->queue->dirfd, &mapped, target, &position, &offset);
		if (r > 0) {
			cq_reader_place(reader, &mapped, offset);
			*(uint64_t *)arg = position <= target ? target - position : 0;
			/* the byte is before the first there is, or in a segment that is missing */
			return position <= target ? 0 : -ENODATA;
		}
		if (r == 0 && !cq_catalog_next(catalog, entry.id + 1, &next)) {
			cq_reader_place(reader, &mapped, offset);
			return trimmed ? -ENODATA : 0;
		}
		cq_mapped_close(&mapped);
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
	r = run(reader, seek_stream, offset, &skip);
	if (r == 0)
		*ret_skip = skip;
	return r;
}
