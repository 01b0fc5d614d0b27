/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sealed.c - the sealed segments on their way from the roll to their sync and their end; see flush.h
 *
 * Synced, it gets its index and its last modification time, and is unmapped and closed.  From the
 * seal on, the time that its file shows is that of its last record: told by cq_sealed_counts()
 * first, by the file itself afterwards.  So a segment leaves the lists only after its file says so.
 */
#include "write/flush.h"

#include <errno.h>
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
 * come in bursts that share a sync, and what is deleted meanwhile needs none. */
#define DELAY_MS 50
#define MANY 128

void cq_sealed_add(cq_writer *w, struct cq_wsegment *segment)
{
	struct cq_flush *f = &w->flush;

	segment->sealed_ms = cq_boottime_ms();
	pthread_mutex_lock(&f->lock);
	if (f->unsynced)
		f->unsynced_last->next = segment;
	else
		f->unsynced = segment;
	f->unsynced_last = segment;
	f->unsynced_count++;
	f->open_count++;
	if (f->unsynced == segment || f->unsynced_count >= f->look_at)
		f->wants_wake = true;
	pthread_mutex_unlock(&f->lock);
}

void cq_sealed_deleted(cq_writer *w)
{
	struct cq_flush *f = &w->flush;

	pthread_mutex_lock(&f->lock);
	f->look_at = 0;
	pthread_mutex_unlock(&f->lock);
	cq_worker_kick(&w->flusher);
}

uint64_t cq_sealed_open(cq_writer *w)
{
	uint64_t n;

	pthread_mutex_lock(&w->flush.lock);
	n = w->flush.open_count;
	pthread_mutex_unlock(&w->flush.lock);
	return n;
}

bool cq_sealed_wants_wake(cq_writer *w)
{
	struct cq_flush *f = &w->flush;
	bool wants;

	pthread_mutex_lock(&f->lock);
	wants = f->wants_wake;
	f->wants_wake = false;
	pthread_mutex_unlock(&f->lock);
	return wants;
}

uint64_t cq_sealed_unsynced(cq_writer *w)
{
	uint64_t n;

	pthread_mutex_lock(&w->flush.lock);
	n = w->flush.unsynced_count;
	pthread_mutex_unlock(&w->flush.lock);
	return n;
}

int cq_sealed_due(cq_writer *w)
{
	struct cq_flush *f = &w->flush;
	uint64_t waited;
	int due = -1;

	pthread_mutex_lock(&f->lock);
	if (f->unsynced) {
		waited = cq_boottime_ms() - f->unsynced->sealed_ms;
		due = waited < DELAY_MS ? (int)(DELAY_MS - waited) : 0;
		if (f->unsynced_count >= f->look_at)
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

/* Under the flush lock: puts segments back before what was sealed since. */
static void put_back(struct cq_flush *f, struct cq_wsegment *waiting)
{
	struct cq_wsegment *last = waiting;

	if (!waiting)
		return;
	while (last->next)
		last = last->next;
	if (!f->unsynced)
		f->unsynced_last = last;
	last->next = f->unsynced;
	f->unsynced = waiting;
}

struct cq_wsegment *cq_sealed_sort(struct cq_flush *f, struct cq_wsegment *list, bool *ret_dropped)
{
	struct cq_wsegment *lists[CQ_DISPOSITIONS] = { NULL };
	struct cq_wsegment **ends[CQ_DISPOSITIONS], *next;

	for (int i = 0; i < CQ_DISPOSITIONS; i++)
		ends[i] = &lists[i];
	for (struct cq_wsegment *s = list; s; s = next) {
		next = s->next;
		s->next = NULL;
		*ends[s->disposition] = s;
		ends[s->disposition] = &s->next;
		if (s->disposition == CQ_DISPOSITION_DROP)
			f->unsynced_count--;
	}
	*ret_dropped = lists[CQ_DISPOSITION_DROP] != NULL;
	cq_sealed_append(&f->synced, lists[CQ_DISPOSITION_DROP]);
	put_back(f, lists[CQ_DISPOSITION_WAIT]);
	return lists[CQ_DISPOSITION_SYNC];
}

/* ---- the end of a sealed segment ---- */

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
	if (s->discontiguous) { /* an index of chronicle-rs may be there, of the part that it wrote */
		(void)cq_index_remove(w->dirfd, s->id);
		return;
	}
	r = cq_index_write(w->dirfd, &index);
	if (r < 0)
		cq_log(&w->config, CQ_WARNING, "index of segment %09u not written: %s", s->id,
		       strerrordesc_np(-r));
}

/* The last things that a segment's files get; then its times stand still for ever. */
static void finalise(cq_writer *w, const struct cq_wsegment *s)
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
	if (s->records > 0)
		(void)cq_io_set_times(s->map.fd, times);
	cq_point("close.times");
	/* Whoever deletes a segment removes its index before and after it (retention.c): so an
	 * index that has come too late for that is seen here. */
	if (cq_wsegment_is_deleted(s))
		(void)cq_index_remove(w->dirfd, s->id);
}

/* Under the flush lock: the first that nobody closes yet and no prefault is using. */
static struct cq_wsegment *to_close(struct cq_flush *f)
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
	s = to_close(f);
	pthread_mutex_unlock(&f->lock);
	if (!s)
		return false;
	finalise(w, s);
	cq_writer_progress(w);
	pthread_mutex_lock(&f->lock);
	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	f->open_count--;
	pthread_mutex_unlock(&f->lock);
	cq_wsegment_free(s);
	return true;
}

static bool find(const struct cq_wsegment *s, uint32_t id, struct cq_segment_counts *ret_live)
{
	for (; s; s = s->next) {
		if (s->id == id) {
			cq_wsegment_get_counts(s, true, ret_live);
			return true;
		}
	}
	return false;
}

bool cq_sealed_counts(cq_writer *w, uint32_t id, struct cq_segment_counts *ret_live)
{
	struct cq_flush *f = &w->flush;
	bool found;

	pthread_mutex_lock(&f->lock);
	found = find(f->unsynced, id, ret_live) || find(f->flushing, id, ret_live) ||
	        find(f->synced, id, ret_live);
	pthread_mutex_unlock(&f->lock);
	return found;
}
