/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tail_follower.c - where the stream ends of a queue that another process writes, or nobody
 *
 * The follower keeps the last segment in use mapped, and follows its records as they come.  It leaves
 * the segment by the rules of successor.c: it sees the seal, then loads the commit word once more.  It
 * goes from one segment to the next, so each begins where the one before it ended, or later, where
 * its own header says so.
 *
 * The catalogue ends with that segment: prepared ones are not listed.  The follower looks for names
 * that have vanished at the beginning of the catalogue and at its end; one between is noticed when it
 * is read.  It looks only when the directory's time has changed, or is so recent that it may hide a
 * later change.
 */
#include <errno.h>
#include <stdlib.h>

#include "catalog/queue.h"
#include "catalog/successor.h"
#include "files/dir.h"
#include "files/quarantine.h"
#include "format/record.h"
#include "os/clock.h"
#include "os/fault.h"
#include "os/io.h"
#include "stream/stream.h"

#define SETTLED_NS 1000000000ULL

/* ---- the directory ---- */

static int look_at_directory(struct cq_stream *s, bool *ret_changed)
{
	struct cq_tail_follower *t = &s->tail;
	uint64_t now = cq_realtime_ns(), then;
	struct stat st;
	int r;

	r = cq_io_stat(s->queue->dirfd, &st);
	if (r < 0)
		return r;
	*ret_changed = !t->settled || st.st_mtim.tv_sec != t->changed.tv_sec ||
	               st.st_mtim.tv_nsec != t->changed.tv_nsec;
	then = (uint64_t)st.st_mtim.tv_sec * 1000000000U + (uint64_t)st.st_mtim.tv_nsec;
	t->changed = st.st_mtim;
	t->settled = now > then && now - then > SETTLED_NS;
	return 0;
}

/* The file that is mapped is still the one of that name. */
static bool is_named(const struct cq_stream *s, const struct cq_mapped *mapped)
{
	struct stat open, named;
	char name[CQ_NAME_MAX];
	int r;

	cq_segment_name(name, mapped->id);
	r = cq_io_stat_at(s->queue->dirfd, name, &named);
	if (r < 0)
		return r != -ENOENT;
	return cq_io_stat(mapped->map.fd, &open) < 0 ||
	       (open.st_ino == named.st_ino &&
	        open.st_dev == named.st_dev); /* GCOV_EXCL_BR_LINE: same inode, other device */
}

void cq_tail_forget(struct cq_stream *s)
{
	struct cq_tail_follower *t = &s->tail;
	const uint32_t id = t->segment->mapped.id;

	cq_mapping_cache_discard(&s->cache, t->segment);
	cq_mapping_cache_put(&s->cache, t->segment);
	t->segment = NULL;
	t->empty = false;
	/* no byte, now or later, gets a position that another byte has had */
	if (s->queue->catalog.origin < atomic_load(&s->end))
		s->queue->catalog.origin = atomic_load(&s->end);
	cq_catalog_remove(&s->queue->catalog, id);
}

/* The oldest ones may have been deleted, the last one set aside. */
static void look_at_names(struct cq_stream *s)
{
	char name[CQ_NAME_MAX];
	uint32_t id, below = 0;
	struct stat st;

	while (cq_catalog_next(&s->queue->catalog, below, &id)) {
		cq_segment_name(name, id);
		if (cq_io_stat_at(s->queue->dirfd, name, &st) != -ENOENT)
			break;
		below = id + 1;
	}
	cq_catalog_drop_below(&s->queue->catalog, below);
	cq_mapping_cache_drop_below(&s->cache, below);
	if (s->tail.segment && !is_named(s, &s->tail.segment->mapped))
		cq_tail_forget(s);
}

/* ---- the last segment in use ---- */

/* Takes the last of these segments that is in use; if none is, the first that can be opened. */
static int take_last(struct cq_stream *s, const uint32_t *ids, size_t count, size_t *ret_index,
                     struct cq_segment_bytes **ret_segment)
{
	struct cq_segment_bytes *segment, *unused = NULL;
	int r, none = -ENOENT;

	for (size_t i = count; i-- > 0;) {
		r = cq_mapping_cache_take(&s->cache, ids[i], &segment);
		if (r == -EIO) /* cut short; or it cannot be read just now */
			none = r;
		if (cq_stream_gone(r) || r == -EIO)
			continue;
		if (unused)
			cq_mapping_cache_put(&s->cache, unused);
		if (r < 0)
			return r;
		unused = segment;
		*ret_index = i;
		if (!cq_successor_unused(&segment->mapped))
			break;
	}
	if (!unused)
		return none;
	*ret_segment = unused;
	return 0;
}

static int find_tail(struct cq_stream *s)
{
	struct cq_tail_follower *t = &s->tail;
	struct cq_segment_bytes *segment;
	struct cq_catalog_entry entry;
	size_t count, last;
	uint32_t *ids;
	uint64_t size;
	int r;

	/* first: a failure here must not be taken for one of a segment */
	r = cq_queue_segment_size(s->queue, &size);
	if (r < 0)
		return r;
	r = cq_dir_list(s->queue->dirfd, &ids, &count);
	if (r < 0)
		return r;
	r = take_last(s, ids, count, &last, &segment);
	if (r == 0)
		r = cq_catalog_list(&s->queue->catalog, ids, last + 1);
	free(ids);
	if (r < 0) {
		t->empty = r == -ENOENT;
		return r == -ENOENT || r == -EIO ? 0 : r;
	}
	while ((r = cq_catalog_place(s->queue, segment->mapped.id, &entry)) < 0) {
		if (!cq_stream_gone(r) || s->queue->catalog.failed == segment->mapped.id)
			break;
		cq_catalog_remove(&s->queue->catalog, s->queue->catalog.failed);
	}
	if (r < 0) {
		cq_mapping_cache_put(&s->cache, segment);
		return cq_stream_gone(r) ? 0 : r;
	}
	t->segment = segment;
	t->place = CQ_FIRST_RECORD;
	t->base = entry.base;
	t->ended = false;
	return 0;
}

/* ---- following ---- */

/* Goes to the end of a sealed segment at once, if its summary says where the records end. */
static bool jump(struct cq_tail_follower *t)
{
	const struct cq_mapped *mapped = &t->segment->mapped;
	struct cq_segment_header summary;

	if (!cq_mapped_sealed(mapped) || !cq_mapped_summary(mapped, &summary) ||
	    summary.payload_bytes > mapped->map.size || summary.used < t->place.offset ||
	    summary.used > mapped->map.size || summary.used % CQ_ALIGN != 0)
		return false;
	t->place = (struct cq_record_start){ summary.used, summary.payload_bytes, summary.records };
	return true;
}

/* The last segment has been left: what it holds will not change. */
static int count(struct cq_stream *s, bool damaged, uint64_t *ret_end)
{
	struct cq_tail_follower *t = &s->tail;
	const struct cq_catalog_entry entry = {
		.id = t->segment->mapped.id,
		.flags = CQ_ENTRY_COUNTED | (damaged ? CQ_ENTRY_DAMAGED : 0),
		.base = t->base,
		.bytes = (uint32_t)t->place.position,
		.records = (uint32_t)t->place.number,
	};
	int r;

	r = cq_catalog_learn(&s->queue->catalog, &entry);
	if (r == 0) {
		*ret_end = cq_entry_end(&entry);
		cq_stream_raise(&s->end, *ret_end);
	}
	return r;
}

static bool is_placeholder(const struct cq_mapped *mapped)
{
	struct cq_segment_header summary;

	return cq_mapped_summary(mapped, &summary) && cq_placeholder_is(&summary);
}

/* Goes on to segment `id` if it is known where that begins: 1, else 0.  end: of the one before. */
static int enter(struct cq_stream *s, uint32_t id, uint64_t end)
{
	struct cq_tail_follower *t = &s->tail;
	const uint32_t from = t->segment->mapped.id;
	struct cq_segment_bytes *segment;
	struct cq_catalog_entry entry;
	int r;

	r = cq_mapping_cache_take(&s->cache, id, &segment);
	if (r < 0)
		return cq_stream_gone(r) || r == -EIO ? 0 : r;
	r = cq_catalog_ask(s->queue, id, &entry);
	/* segments are missing: once this one has a record, that may tell how much they held.  Behind a placeholder
	 * its writer is about to tell. */
	if (r == 0 && (id != from + 1 || is_placeholder(&t->segment->mapped)) &&
	    cq_successor_unused(&segment->mapped))
		goto put;
	if (r < 0) {
		r = cq_stream_gone(r) ? 0 : r;
		goto put;
	}
	if (r == 0 || entry.base < end)
		entry.base = end;
	entry = (struct cq_catalog_entry){ .id = id, .base = entry.base };
	r = cq_catalog_add(&s->queue->catalog, id, id);
	if (r == 0)
		r = cq_catalog_learn(&s->queue->catalog, &entry);
	if (r < 0)
		goto put;
	cq_mapping_cache_put(&s->cache, t->segment);
	t->segment = segment;
	t->place = CQ_FIRST_RECORD;
	t->base = entry.base;
	return 1;
put:
	cq_mapping_cache_put(&s->cache, segment);
	return r;
}

static int follow(struct cq_stream *s)
{
	struct cq_tail_follower *t = &s->tail;
	struct cq_record_header h;
	uint64_t end = 0;
	uint32_t next;
	int r;

	do {
		const struct cq_mapped *mapped = &t->segment->mapped;
		bool damaged;

		t->ended = false;
		damaged = !jump(t) && cq_segment_bytes_follow(t->segment, &t->place) < 0;
		cq_stream_raise(&s->end, t->base + t->place.position);
		cq_point("tail.followed");
		if (!cq_successor_left(s->queue, &t->control, mapped))
			return 0;
		/* a record may have come after the look and before the writer left */
		if (!damaged && !cq_planted("tail_no_second_look") &&
		    cq_mapped_header(mapped, t->place.offset, &h) == 1) {
			r = 1;
			continue;
		}
		r = count(s, damaged, &end);
		if (r < 0)
			return r;
		r = cq_successor_next(s->queue->dirfd, mapped->id + 1, &next);
		if (r == -ENOENT) {
			t->ended = true;
			return 0;
		}
		if (r == 0)
			r = enter(s, next, end);
	} while (r > 0);
	return r;
}

int cq_tail_follow(struct cq_stream *s)
{
	struct cq_tail_follower *t = &s->tail;
	bool changed;
	int r;

	r = look_at_directory(s, &changed);
	if (r == 0 && changed) {
		cq_successor_control(&t->control, s->queue->dirfd, false);
		look_at_names(s);
	}
	if (r == 0 && !t->segment && (changed || !t->empty))
		r = find_tail(s);
	if (r == 0 && t->segment && (changed || !t->ended))
		r = follow(s);
	if (r < 0)
		t->settled = false; /* look again */
	return r;
}

void cq_tail_fini(struct cq_stream *s)
{
	if (s->tail.segment)
		cq_mapping_cache_put(&s->cache, s->tail.segment);
	if (s->tail.control.page)
		cq_control_close(&s->tail.control);
}
