/* SPDX-License-Identifier: Apache-2.0 */
/* retention.c - which segments may go, and letting them go; see retention.h */
#include "write/retention.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "catalog/queue.h"
#include "files/dir.h"
#include "files/index.h"
#include "messages/log.h"
#include "os/clock.h"
#include "os/fault.h"
#include "os/io.h"
#include "write/writer.h"

/* Between two looks at the readers, and at what else the flusher has to do. */
#define MOST_AT_ONCE 16

/* Milliseconds between two steps: as a rule; while an append waits for what retention may delete;
 * and between two looks at what others have deleted, while one waits for that. */
#define TICK_MS 1000
#define FULL_TICK_MS 10
#define STRANGERS_MS 100

/* ---- the rules ---- */

/* Alive, and not too far behind. */
static bool counts(const struct cq_config *config, const struct cq_retention_view *view,
                   const struct cq_reader_seen *reader)
{
	uint64_t behind;

	if (config->reader_ttl_ms > 0 && view->now_ms - reader->changed_ms > config->reader_ttl_ms)
		return false;
	behind = reader->segment < view->active ? view->active - reader->segment : 0;
	return config->reader_max_lag_bytes == 0 ||
	       behind <= config->reader_max_lag_bytes / view->segment_size;
}

bool cq_retention_pins_oldest(const struct cq_config *config, const struct cq_retention_view *view,
                              const struct cq_reader_seen *reader)
{
	return reader->segment <= view->oldest && counts(config, view, reader);
}

uint64_t cq_retention_pinned_from(const struct cq_config *config,
                                  const struct cq_retention_view *view)
{
	uint64_t lowest = UINT64_MAX;

	for (size_t i = 0; i < view->reader_count; i++) {
		const struct cq_reader_seen *reader = &view->readers[i];

		if (reader->segment < lowest && counts(config, view, reader))
			lowest = reader->segment;
	}
	return lowest;
}

/* By count, bytes and age, whoever has still to read them. */
static uint64_t keep_by_rules(const struct cq_config *config, const struct cq_retention_view *view)
{
	const uint64_t present = (uint64_t)view->active - view->oldest + 1;
	uint64_t keep = view->oldest;
	uint64_t most = UINT64_MAX; /* segments to keep, the active one included */

	if (config->retain_segments > 0)
		most = config->retain_segments;
	if (config->retain_bytes > 0 && config->retain_bytes / view->segment_size < most)
		most = config->retain_bytes / view->segment_size;
	if (most < 1)
		most = 1;
	if (present > most)
		keep = view->active - most + 1;
	if (config->retain_age_ms > 0 && view->oldest_age_ms > config->retain_age_ms &&
	    keep == view->oldest)
		keep = (uint64_t)view->oldest + 1;
	return keep < view->active ? keep : view->active;
}

uint32_t cq_retention_keep_from(const struct cq_config *config,
                                const struct cq_retention_view *view)
{
	const uint64_t pinned = cq_retention_pinned_from(config, view);
	uint64_t keep = keep_by_rules(config, view);

	if (keep > pinned)
		keep = pinned > view->oldest ? pinned : view->oldest;
	return (uint32_t)keep;
}

static bool has_rules(const struct cq_config *c)
{
	return c->retain_segments > 0 || c->retain_bytes > 0 || c->retain_age_ms > 0;
}

/* ---- deleting ---- */

int cq_retention_oldest(cq_writer *w, uint32_t *ret_id)
{
	const uint32_t known = atomic_load(&w->oldest);
	uint32_t id;
	int r;

	r = cq_dir_next(w->dirfd, known, &id);
	if (r < 0)
		return r;
	if (id != known) { /* others delete, too; or an id was never there */
		atomic_store(&w->oldest, id);
		atomic_store(&w->space.doubt, true);
	}
	*ret_id = id;
	return 0;
}

/* The view without readers. */
static int look_at_segments(cq_writer *w, struct cq_retention_view *ret_view)
{
	struct cq_retention_view view = { .segment_size = w->segment_size,
		                          .now_ms = cq_boottime_ms() };
	int r;

	if (atomic_load(&w->ousted)) /* what is oldest there is another writer's */
		return -EIO;
	pthread_mutex_lock(&w->lock);
	view.active = w->active->id;
	view.empty = w->active->id + (w->active->records > 0);
	pthread_mutex_unlock(&w->lock);
	r = cq_retention_oldest(w, &view.oldest);
	if (r == 0)
		*ret_view = view;
	return r;
}

int cq_retention_look(cq_writer *w, struct cq_retention_view *ret_view)
{
	struct cq_retention_view view;
	int r = look_at_segments(w, &view);

	if (r == 0)
		r = cq_retention_look_at_readers(w, &view);
	if (r == 0)
		*ret_view = view;
	return r;
}

/* Room: who makes segments can go on. */
static void freed(cq_writer *w)
{
	cq_prealloc_retry(&w->prealloc);
	cq_worker_kick(&w->preparer);
}

/*
 * The index goes first: an index without its segment would be left for ever, the other way round it
 * is only missing.  And once more: the segment may be in the hands of a thread that closes it,
 * which looks whether it is still there after it has written the index (sealed.c).
 */
int cq_retention_delete(cq_writer *w, uint32_t id)
{
	char name[CQ_NAME_MAX];
	int r;

	cq_segment_name(name, id);
	cq_point("retire.chosen");
	r = cq_index_remove(w->dirfd, id);
	if (r < 0)
		return r;
	cq_point("retire.index_removed");
	r = cq_io_unlink(w->dirfd, name);
	if (r < 0 && r != -ENOENT)
		return r;
	cq_point("retire.removed");
	(void)cq_index_remove(w->dirfd, id);
	atomic_store(&w->oldest, id + 1);
	atomic_fetch_add(&w->retention.retired, 1);
	cq_space_deleted(&w->space);
	cq_flush_deleted(w);
	freed(w);
	cq_point("retire.told");
	return 0;
}

/* Completes the view.  1: the rules want the oldest segment gone. */
static int is_wanted(cq_writer *w, struct cq_retention_view *view)
{
	int r;

	if (w->config.retain_age_ms > 0)
		cq_age_see(w, view);
	if (view->oldest >= view->active)
		return 0;
	if (w->config.retain_age_ms > 0) {
		r = cq_age_of_oldest(w, view, &view->oldest_age_ms);
		if (r < 0)
			return r == -ENOENT ? 0 : r; /* others were faster */
	}
	return keep_by_rules(&w->config, view) > view->oldest;
}

/* 1: done. */
static int retire_oldest(cq_writer *w, struct cq_retention_view *view)
{
	int r = cq_retention_oldest(w, &view->oldest);

	if (r < 0)
		return 0;
	r = is_wanted(w, view);
	if (r <= 0 || cq_retention_keep_from(&w->config, view) <= view->oldest)
		return r < 0 ? r : 0;
	r = cq_retention_delete(w, view->oldest);
	return r < 0 ? r : 1;
}

/* Cheap first: what the rules want costs no look at a reader; whether the reader that was in the way is
 * there still costs a look at that one.  What is deleted is decided by a look at all of them. */
static int retire(cq_writer *w)
{
	struct cq_retention *t = &w->retention;
	struct cq_retention_view view;
	int r, done = 0;

	r = look_at_segments(w, &view);
	if (r == 0)
		r = is_wanted(w, &view);
	if (r > 0 && !cq_retention_still_pinned(w, &view) && !cq_retention_must_wait(w, &view)) {
		/* if a reader may be missing in the view: better keep too much */
		r = cq_retention_look_at_readers(w, &view);
		while (r >= 0 && done < MOST_AT_ONCE && (r = retire_oldest(w, &view)) > 0)
			done++;
	}
	if (r < 0 && !t->warned)
		cq_log(&w->config, CQ_WARNING, "retention: segment %09u not deleted: %s",
		       atomic_load(&w->oldest), strerrordesc_np(-r));
	t->warned = r < 0;
	return done;
}

/* Who has deleted segments without telling?  The whole directory is looked at only while an append
 * waits for room, or when the oldest segment is not there any more. */
static void look_for_strangers(cq_writer *w)
{
	struct cq_retention *t = &w->retention;
	const uint64_t now = cq_boottime_ms();
	const bool full = atomic_load(&w->space.full);
	uint32_t id;

	if (now - t->strangers_ms < (full ? STRANGERS_MS : TICK_MS))
		return;
	t->strangers_ms = now;
	(void)cq_retention_oldest(w, &id);
	if ((full || atomic_load(&w->space.doubt)) && cq_space_look(&w->space, w->dirfd))
		freed(w);
}

int cq_retention_step(cq_writer *w)
{
	struct cq_retention *t = &w->retention;
	struct cq_retention_view view;
	int done = 0;

	if (atomic_load(&w->ousted))
		return 0;
	pthread_mutex_lock(&t->lock);
	look_for_strangers(w);
	t->wait_ms = 0;
	if (has_rules(&w->config))
		done = retire(w);
	/* a sign of life is told from an old one only by whoever looks now and then */
	if (w->config.reader_ttl_ms > 0 && cq_boottime_ms() - t->readers_ms >= TICK_MS)
		(void)cq_retention_look(w, &view);
	pthread_mutex_unlock(&t->lock);
	return done;
}

int cq_retention_due(cq_writer *w)
{
	const int wait = w->retention.wait_ms;

	if (!atomic_load(&w->space.full))
		return wait > 0 && wait < TICK_MS ? wait : TICK_MS;
	return has_rules(&w->config) ? FULL_TICK_MS : STRANGERS_MS;
}

void cq_retention_init(struct cq_retention *retention)
{
	*retention = (struct cq_retention){ 0 };
	pthread_mutex_init(&retention->lock, NULL);
}

void cq_retention_fini(struct cq_retention *retention)
{
	free(retention->readers);
	pthread_mutex_destroy(&retention->lock);
}
