/* SPDX-License-Identifier: Apache-2.0 */
/* flush.c - group commit, what a flush covers, the watermark; see flush.h */
#include "write/flush.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "files/dir.h"
#include "format/record.h"
#include "messages/log.h"
#include "os/clock.h"
#include "os/fault.h"
#include "os/io.h"
#include "write/writer.h"

#define AGAIN_MS 100 /* after a flush that could not begin */

void cq_flush_init(cq_writer *w, uint32_t older_from)
{
	struct cq_flush *f = &w->flush;

	*f = (struct cq_flush){
		.durable.fd = -1,
		.check_older = true,
		.older_from = older_from,
		.older_to = w->current->id,
		.unsynced_end = &f->unsynced,
		.names_synced = UINT64_MAX, /* the names given before this open may not be synced */
	};
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->done, NULL);
}

static void free_list(struct cq_wsegment *s)
{
	while (s) {
		struct cq_wsegment *next = s->next;

		cq_wsegment_free(s);
		s = next;
	}
}

void cq_flush_fini(cq_writer *w)
{
	struct cq_flush *f = &w->flush;

	free_list(f->unsynced); /* after a failed flush */
	free_list(f->synced);
	if (f->durable.fd >= 0)
		cq_watermark_close(&f->durable);
	pthread_cond_destroy(&f->done);
	pthread_mutex_destroy(&f->lock);
}

/* What one flush makes durable: what is sealed and, if asked for, the current segment as it is. */
struct extent {
	struct cq_wsegment *sealed;  /* list, in order */
	struct cq_wsegment *current; /* NULL: without it */
	bool all;                    /* of the sealed ones, also the young */
	struct cq_watermark_slot mark;
	uint64_t names;
	bool dropped; /* some were deleted meanwhile */
	bool synced;  /* the result: there was something to sync, and it went well */
};

/* Under f->lock, and for the current segment also under the writer lock. */
static struct extent take_extent(cq_writer *w, bool with_current)
{
	struct cq_flush *f = &w->flush;
	struct extent e = { .names = atomic_load(&w->prealloc.published), .mark.epoch = w->epoch };

	e.sealed = f->flushing = f->unsynced;
	e.all = with_current || cq_sealed_many(f);
	if (with_current) {
		e.current = w->current;
		e.mark.segment = w->current->id;
		e.mark.offset = w->current->used;
		e.mark.seq = w->next_seq;
	}
	f->unsynced = NULL;
	f->unsynced_end = &f->unsynced;
	f->some_deleted = false;
	f->running = true;
	return e;
}

/* Segments that an earlier process sealed and may not have synced.  *ret_failed: a sync failed; otherwise
 * the error is that of a call before a sync, and nothing has happened. */
static int sync_older(cq_writer *w, bool *ret_failed)
{
	struct cq_flush *f = &w->flush;
	uint32_t id = f->older_from;
	char name[CQ_NAME_MAX];
	int fd, r = 0;

	if (!f->check_older || cq_planted("older_unsynced_skipped"))
		return 0;
	/* one after the other by name: mostly there are none, and no large directory is listed */
	while (id < f->older_to && (r = cq_dir_next(w->dirfd, id, &id)) == 0 && id < f->older_to) {
		cq_segment_name(name, id++);
		r = cq_io_open(w->dirfd, name, O_RDONLY, &fd);
		if (r == -ENOENT) /* deleted just now */
			continue;
		if (r < 0)
			return r;
		r = cq_io_sync_data(fd);
		*ret_failed = r < 0;
		close(fd);
		cq_writer_progress(w);
		if (r < 0)
			return r;
	}
	if (r < 0 && r != -ENOENT)
		return r;
	f->check_older = false;
	return 0;
}

/* Nothing is stored in a sealed segment any more.  While it is mapped writable, its write-back has to
 * interrupt every processor that this process runs on, once for each page, to take the page out of
 * the mapping.  Only a prefault may use the mapping besides the flush (prefault.h). */
static void unmap_sealed(struct cq_wsegment *s)
{
	if (__atomic_load_n(&s->mapping_users, __ATOMIC_ACQUIRE) == 0)
		cq_mapping_unmap(&s->map);
}

/* An error, too, where the file was cut short: the missing part is not durable, however well the rest was
 * synced. */
static int sync_whole(cq_writer *w, const struct cq_wsegment *s, uint64_t used)
{
	struct stat st;
	int r;

	r = cq_writer_write_out(w, s->map.fd, used);
	if (r == 0)
		r = cq_io_sync_data(s->map.fd);
	cq_writer_progress(w);
	if (r == 0)
		r = cq_io_stat(s->map.fd, &st);
	return r == 0 && (uint64_t)st.st_size < s->map.size ? -EIO : r;
}

/* The records in a deleted file are gone when this process ends.  This library deletes only sealed segments;
 * so a current segment that was sealed after the flush began may have been trimmed, and is not lost.  (Only
 * a flush unmaps a segment.) */
static bool is_lost(const struct cq_wsegment *current)
{
	return cq_wsegment_is_deleted(current) &&
	       !(cq_segment_flags_load(current->map.base) & CQ_SEALED);
}

static int sync_extent(cq_writer *w, struct extent *e)
{
	struct cq_flush *f = &w->flush;
	int r = 0;

	if (!e->sealed && !e->current)
		return 0;
	cq_point("sync.begun");
	if (e->current && cq_planted("watermark_leads"))
		(void)cq_watermark_store(&f->durable, e->mark);
	for (struct cq_wsegment *s = e->sealed; s; s = s->next) {
		unmap_sealed(s);
		if (s->next)
			cq_io_start_writeback(s->map.fd);
	}
	for (struct cq_wsegment *s = e->sealed; s && r == 0; s = s->next) {
		r = cq_planted("older_unsynced_skipped") ? 0 : sync_whole(w, s, s->map.size);
		cq_point("sync.sealed");
		if (e->current)
			continue;
		e->mark.segment = s->id;
		/* the numbers behind a placeholder are in the next header, which may not be synced */
		if (!cq_wsegment_is_placeholder(s) || cq_planted("mark_behind_skip"))
			e->mark.segment++;
		e->mark.offset = sizeof(struct cq_segment_header);
		e->mark.seq = s->end_seq;
	}
	if (r == 0 && e->current && is_lost(e->current))
		r = -ESTALE;
	if (r == 0 && e->current && !cq_planted("ack_without_data_sync"))
		r = sync_whole(w, e->current, e->mark.offset);
	cq_point("sync.data");
	if (r == 0 && e->names != f->names_synced && !cq_planted("no_directory_fsync"))
		r = cq_io_sync_dir(w->dirfd);
	/* last, so that a reply of 0 says: durable, in a queue that was this writer's then */
	if (r == 0)
		r = cq_owner_check(w);
	if (r < 0)
		return r;
	f->names_synced = e->names;
	e->synced = true;
	/* A watermark that cannot be stored stays where it was, which is allowed. */
	cq_point("sync.durable");
	if (cq_watermark_store(&f->durable, e->mark) == 0 && !cq_planted("flush_not_told"))
		cq_control_flushed(&w->control);
	cq_point("sync.marked");
	return 0;
}

static void fail_for_good(cq_writer *w, int error)
{
	if (!cq_planted("failed_sync_retried") && cq_writer_poison(w))
		cq_log(&w->config, CQ_ERROR,
		       "sync failed: %s; the queue accepts nothing until it is opened again",
		       strerrordesc_np(-error));
}

/* Under f->lock. */
static void count_flush(struct cq_flush *f, uint64_t ns)
{
	f->count++;
	f->ns_total += ns;
	if (ns > f->ns_max)
		f->ns_max = ns;
	for (int i = 0; i < CQ_SYNC_BUCKETS; i++)
		f->within[i] += ns <= CQ_SYNC_BUCKET_NS(i);
}

/* Runs the flush of an extent just taken.  The caller holds f->lock, and no other lock, on entry and on
 * return.  A running flush waits for no other thread, so any thread may wait for it.  1: it had something
 * to do.  EIO: a sync failed.  Any other error: it could not begin, and may be tried again. */
static int run_flush(cq_writer *w, struct extent e)
{
	struct cq_flush *f = &w->flush;
	bool failed = false;
	uint64_t start, span;
	int r;

	pthread_mutex_unlock(&f->lock);
	start = cq_monotonic_ns();
	r = sync_older(w, &failed);
	cq_sealed_classify(e.sealed, e.all);
	for (struct cq_wsegment *s = e.sealed; s && r < 0; s = s->next)
		s->disposition = CQ_DISPOSITION_WAIT;
	pthread_mutex_lock(&f->lock);
	e.sealed = f->flushing = cq_sealed_sort(f, e.sealed, &e.dropped);
	pthread_mutex_unlock(&f->lock);
	if (r == 0) {
		r = sync_extent(w, &e);
		failed = r < 0;
	}
	span = cq_monotonic_ns() - start;
	if (failed)
		fail_for_good(w, r);
	pthread_mutex_lock(&f->lock);
	f->running = false;
	for (const struct cq_wsegment *s = e.sealed; s; s = s->next)
		f->unsynced_count--;
	cq_sealed_append(&f->synced, e.sealed);
	f->flushing = NULL;
	if (e.synced) {
		count_flush(f, span);
		f->covered = true;
		if (e.mark.seq > f->durable_seq)
			f->durable_seq = e.mark.seq;
	}
	pthread_cond_broadcast(&f->done);
	if (r < 0)
		return failed ? -EIO : r;
	return e.dropped || e.synced;
}

int cq_flush_upto(cq_writer *w, uint64_t seq)
{
	struct cq_flush *f = &w->flush;
	struct extent e;
	bool mine;
	int r = 0;

	if (cq_planted("ack_before_flush"))
		return 0;
	pthread_mutex_lock(&f->lock);
	f->requests++;
	for (;;) {
		r = atomic_load(&w->error);
		if (r < 0 || (f->covered && f->durable_seq >= seq))
			break;
		if (f->running) {
			pthread_cond_wait(&f->done, &f->lock);
			continue;
		}
		/* the writer lock comes first */
		pthread_mutex_unlock(&f->lock);
		cq_mutex_lock(&w->lock);
		pthread_mutex_lock(&f->lock);
		mine = !f->running;
		if (mine)
			e = take_extent(w, true);
		cq_mutex_unlock(&w->lock);
		if (mine) {
			r = run_flush(w, e);
			if (r < 0)
				break;
		}
	}
	pthread_mutex_unlock(&f->lock);
	return r;
}

int cq_flush_sealed(cq_writer *w)
{
	struct cq_flush *f = &w->flush;
	int r = atomic_load(&w->error);

	if (r < 0)
		return r;
	pthread_mutex_lock(&f->lock);
	while (f->running)
		pthread_cond_wait(&f->done, &f->lock);
	if (f->unsynced)
		r = run_flush(w, take_extent(w, false));
	pthread_mutex_unlock(&f->lock);
	return r;
}

/* ---- the flusher's step ---- */

static bool reply_to_requests(cq_writer *w)
{
	struct cq_flush *f = &w->flush;
	struct cq_sync_request *list, *next, *ordered = NULL;
	uint64_t upto = 0;
	int r;

	pthread_mutex_lock(&f->lock);
	list = f->queue;
	f->queue = NULL;
	for (; list; list = next) { /* back into the order of their arrival */
		next = list->next;
		list->next = ordered;
		ordered = list;
		if (list->upto > upto)
			upto = list->upto;
		f->requests++;
	}
	f->requests -= ordered != NULL; /* the flush counts one of them */
	pthread_mutex_unlock(&f->lock);
	if (!ordered)
		return false;
	r = cq_flush_upto(w, upto);
	for (; ordered; ordered = next) {
		next = ordered->next;
		ordered->done(ordered, r);
	}
	return true;
}

static bool finalize_one(cq_writer *w)
{
	if (!cq_sealed_finalize_one(w))
		return false;
	if (atomic_load(&w->quota.disk_full)) /* its file may be deleted: that is room */
		cq_worker_kick(&w->preparer);
	return true;
}

int cq_flush_step(cq_writer *w)
{
	int due, r;

	if (reply_to_requests(w))
		return 0;
	/* on a slow disk there is always more to sync, so finalizing cannot wait until nothing is */
	if (atomic_load(&w->flush.open_count) > CQ_SEALED_OPEN_MAX && finalize_one(w))
		return 0;
	if (atomic_load(&w->error) == 0) {
		due = cq_sealed_sync_due(w);
		r = due == 0 ? cq_flush_sealed(w) : 0;
		if (r > 0)
			return 0;
		if (r < 0)
			due = AGAIN_MS;
		else if (due == 0)
			due = cq_sealed_sync_due(w); /* none was deleted: the young may wait */
	} else {
		due = -1;
	}
	if (finalize_one(w))
		return 0;
	if (due < 0)
		return 1000;
	return due > 0 ? due : 1;
}

int cq_flush_drain(cq_writer *w)
{
	struct cq_flush *f = &w->flush;
	int r = atomic_load(&w->error);

	/* The seal of a segment whose records were all synced before: no request has covered it. */
	pthread_mutex_lock(&f->lock);
	if (r == 0 && f->unsynced)
		r = run_flush(w, take_extent(w, true));
	pthread_mutex_unlock(&f->lock);
	while (reply_to_requests(w) || cq_sealed_finalize_one(w))
		;
	return r < 0 ? r : 0;
}
