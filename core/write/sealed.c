/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sealed.c - the sealed segments on their way from the roll to their sync and their end; see flush.h
 *
 * A synced segment is finalized: it gets its index and its last modification time, and is unmapped and
 * closed.  From the seal on, the time that the segment shows is that of its last record: cq_sealed_counts()
 * says so first, the file itself afterwards.  So a segment leaves the lists only after its file says so.
 */
#include "write/flush.h"

#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "catalog/queue.h"
#include "files/index.h"
#include "messages/log.h"
#include "os/clock.h"
#include "os/fault.h"
#include "os/io.h"
#include "write/writer.h"

/* Without a request, a sealed segment is synced when it is this old, or when this many wait: rolls
 * come in bursts that share a sync, and a segment that is deleted meanwhile needs none. */
#define DELAY_MS 50
#define MANY 128

void cq_sealed_add(cq_writer *w, struct cq_wsegment *segment)
{
	struct cq_flush *f = &w->flush;

	segment->sealed_ms = cq_boottime_ms();
	pthread_mutex_lock(&f->lock);
	*f->unsynced_end = segment;
	f->unsynced_end = &segment->next;
	f->unsynced_count++;
	atomic_fetch_add(&f->open_count, 1);
	if (f->unsynced == segment || cq_sealed_many(f))
		atomic_store(&f->wake_due, true);
	pthread_mutex_unlock(&f->lock);
}

void cq_sealed_deleted(cq_writer *w)
{
	struct cq_flush *f = &w->flush;

	pthread_mutex_lock(&f->lock);
	f->some_deleted = true;
	pthread_mutex_unlock(&f->lock);
	cq_worker_kick(&w->flusher);
}

int cq_sealed_sync_due(cq_writer *w)
{
	struct cq_flush *f = &w->flush;
	uint64_t waited;
	int due = -1;

	pthread_mutex_lock(&f->lock);
	if (f->unsynced) {
		waited = cq_boottime_ms() - f->unsynced->sealed_ms;
		due = waited < DELAY_MS ? (int)(DELAY_MS - waited) : 0;
		if (f->some_deleted || cq_sealed_many(f))
			due = 0;
	}
	pthread_mutex_unlock(&f->lock);
	return due;
}

bool cq_sealed_many(const struct cq_flush *f)
{
	return f->unsynced_count >= MANY;
}

void cq_sealed_classify(struct cq_wsegment *list, bool all)
{
	const uint64_t now = cq_boottime_ms();

	for (struct cq_wsegment *s = list; s; s = s->next) {
		if (cq_wsegment_is_deleted(s))
			s->disposition = CQ_DISPOSITION_DROP;
		else if (!all && now - s->sealed_ms < DELAY_MS)
			s->disposition = CQ_DISPOSITION_WAIT;
		else
			s->disposition = CQ_DISPOSITION_SYNC;
	}
}

void cq_sealed_append(struct cq_wsegment **list, struct cq_wsegment *more)
{
	while (*list)
		list = &(*list)->next;
	*list = more;
}

struct cq_wsegment *cq_sealed_sort(struct cq_flush *f, struct cq_wsegment *list, bool *ret_dropped)
{
	struct cq_wsegment *lists[CQ_DISPOSITIONS], **ends[CQ_DISPOSITIONS];

	for (int i = 0; i < CQ_DISPOSITIONS; i++)
		ends[i] = &lists[i];
	for (; list; list = list->next) {
		*ends[list->disposition] = list;
		ends[list->disposition] = &list->next;
		f->unsynced_count -= list->disposition == CQ_DISPOSITION_DROP;
	}
	for (int i = 0; i < CQ_DISPOSITIONS; i++)
		*ends[i] = NULL;
	if (lists[CQ_DISPOSITION_WAIT]) { /* ahead of those that were sealed since */
		*ends[CQ_DISPOSITION_WAIT] = f->unsynced;
		if (!f->unsynced)
			f->unsynced_end = ends[CQ_DISPOSITION_WAIT];
		f->unsynced = lists[CQ_DISPOSITION_WAIT];
	}
	cq_sealed_append(&f->synced, lists[CQ_DISPOSITION_DROP]);
	*ret_dropped = lists[CQ_DISPOSITION_DROP] != NULL;
	return lists[CQ_DISPOSITION_SYNC];
}

/* ---- the end of a sealed segment ---- */

/* A placeholder needs no blocks behind its first one. */
#define RELEASED_FROM 4096U

static void write_index(cq_writer *w, const struct cq_wsegment *s)
{
	struct cq_index index = {
		.header = {
			.magic = CQ_INDEX_MAGIC,
			.version = CQ_INDEX_VERSION,
			.header_length = sizeof index.header,
			.segment = s->id,
			.segment_size = s->map.size,
			.data_offset = sizeof(struct cq_segment_header),
			.stride = CQ_INDEX_STRIDE,
			.min_seq = s->first_seq,
			.max_seq = s->last_seq,
			.min_time_ns = s->min_time,
			.max_time_ns = s->max_time,
			.entries = s->index_count,
		},
		.entries = s->index,
	};
	int r;

	if (s->records == 0)
		return;
	if (s->discontiguous) { /* chronicle-rs may have left an index of the part that it wrote */
		(void)cq_index_remove(w->dirfd, s->id);
		return;
	}
	r = cq_index_write(w->dirfd, &index);
	if (r < 0)
		cq_log(&w->config, CQ_WARNING, "index of segment %09u not written: %s", s->id,
		       strerrordesc_np(-r));
}

/* The last changes to a segment's files; from then on its times stay as they are. */
static void finalize(cq_writer *w, const struct cq_wsegment *s)
{
	const struct timespec times[2] = {
		{ .tv_nsec = UTIME_OMIT },
		{ .tv_sec = (time_t)(s->last_time / 1000000000U),
		  .tv_nsec = (long)(s->last_time % 1000000000U) },
	};

	if (cq_wsegment_is_deleted(s) || atomic_load(&w->ousted))
		return;
	cq_point("close.before_index");
	write_index(w, s);
	cq_point("close.index");
	if (cq_wsegment_is_placeholder(s) && s->map.size > RELEASED_FROM)
		cq_io_release(s->map.fd, RELEASED_FROM, s->map.size);
	if (s->last_time > 0)
		(void)cq_io_set_times(s->map.fd, times);
	cq_point("close.times");
	/* A deletion removes the index before and after the segment (retire.c).  So an index that comes
	 * too late for that is found here. */
	if (cq_wsegment_is_deleted(s))
		(void)cq_index_remove(w->dirfd, s->id);
}

/* Under the flush lock: the first that no other thread finalizes and no prefault uses. */
static struct cq_wsegment *take_synced(struct cq_flush *f)
{
	struct cq_wsegment *s = f->synced;

	while (s && (s->finalizing || __atomic_load_n(&s->mapping_users, __ATOMIC_ACQUIRE) > 0))
		s = s->next;
	if (s)
		s->finalizing = true;
	return s;
}

bool cq_sealed_finalize_one(cq_writer *w)
{
	struct cq_flush *f = &w->flush;
	struct cq_wsegment *s, **at = &f->synced;

	pthread_mutex_lock(&f->lock);
	s = take_synced(f);
	pthread_mutex_unlock(&f->lock);
	if (!s)
		return false;
	finalize(w, s);
	cq_writer_progress(w);
	pthread_mutex_lock(&f->lock);
	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	atomic_fetch_sub(&f->open_count, 1);
	pthread_mutex_unlock(&f->lock);
	cq_wsegment_free(s);
	return true;
}

static bool find_counts(const struct cq_wsegment *s, uint32_t id,
                        struct cq_segment_counts *ret_counts)
{
	for (; s; s = s->next) {
		if (s->id == id) {
			cq_wsegment_get_counts(s, true, ret_counts);
			return true;
		}
	}
	return false;
}

bool cq_sealed_counts(cq_writer *w, uint32_t id, struct cq_segment_counts *ret_counts)
{
	struct cq_flush *f = &w->flush;
	bool found;

	pthread_mutex_lock(&f->lock);
	found = find_counts(f->unsynced, id, ret_counts) ||
	        find_counts(f->flushing, id, ret_counts) || find_counts(f->synced, id, ret_counts);
	pthread_mutex_unlock(&f->lock);
	return found;
}
