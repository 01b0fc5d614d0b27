/* SPDX-License-Identifier: Apache-2.0 */
/*
 * closing.c - the end of a sealed segment in its writer's process
 *
 * Synced, it gets its index and its last modification time, and is unmapped and closed.  From the
 * seal on, the time that its file shows is that of its last record: told by cq_flush_counts()
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
#include "os/fault.h"
#include "os/io.h"
#include "write/writer.h"

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
	if (s->mixed) { /* an index of chronicle-rs may be there, of the part that it wrote */
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

	while (s && (s->closing || __atomic_load_n(&s->pins, __ATOMIC_ACQUIRE) > 0))
		s = s->next;
	if (s)
		s->closing = true;
	return s;
}

bool cq_flush_close_one(cq_writer *w)
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
	f->open--;
	pthread_mutex_unlock(&f->lock);
	cq_wsegment_free(s);
	return true;
}

static bool find(const struct cq_wsegment *s, uint32_t id, struct cq_segment_counts *ret_live)
{
	for (; s; s = s->next) {
		if (s->id == id) {
			cq_wsegment_counts(s, true, ret_live);
			return true;
		}
	}
	return false;
}

bool cq_flush_counts(cq_writer *w, uint32_t id, struct cq_segment_counts *ret_live)
{
	struct cq_flush *f = &w->flush;
	bool found;

	pthread_mutex_lock(&f->lock);
	found = find(f->sealed, id, ret_live) || find(f->flushing, id, ret_live) ||
	        find(f->synced, id, ret_live);
	pthread_mutex_unlock(&f->lock);
	return found;
}
