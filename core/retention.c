/* SPDX-License-Identifier: Apache-2.0 */
/* retention.c - which segments may go, and letting them go; see retention.h */
#include "retention.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clock.h"
#include "cursor.h"
#include "fault.h"
#include "io.h"
#include "log.h"
#include "place.h"
#include "queue.h"
#include "seekindex.h"
#include "segdir.h"
#include "writer.h"

/* Between two looks at the readers, and at what else the flusher has to do. */
#define MOST_AT_ONCE 16

/* Milliseconds between two steps: as a rule; while an append waits for what retention may delete;
 * and between two looks at what others have deleted, while one waits for that. */
#define TICK_MS 1000
#define FULL_TICK_MS 10
#define STRANGERS_MS 100

/* ---- the rules ---- */

uint64_t cq_retention_pinned_from(const struct cq_config *config,
                                  const struct cq_retention_view *view)
{
	uint64_t lowest = UINT64_MAX;

	for (size_t i = 0; i < view->reader_count; i++) {
		const struct cq_reader_seen *reader = &view->readers[i];
		uint64_t behind;

		if (config->reader_ttl_ms > 0 &&
		    view->now_ms - reader->changed_ms > config->reader_ttl_ms)
			continue;
		behind = reader->segment < view->active ? view->active - reader->segment : 0;
		if (config->reader_max_lag_bytes > 0 &&
		    behind > config->reader_max_lag_bytes / view->segment_size)
			continue;
		if (reader->segment < lowest)
			lowest = reader->segment;
	}
	return lowest;
}

uint32_t cq_retention_keep_from(const struct cq_config *config,
                                const struct cq_retention_view *view)
{
	const uint64_t present = (uint64_t)view->active - view->oldest + 1;
	uint64_t keep = view->oldest, pinned;
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
	if (keep > view->active)
		keep = view->active;
	pinned = cq_retention_pinned_from(config, view);
	if (keep > pinned)
		keep = pinned > view->oldest ? pinned : view->oldest;
	return (uint32_t)keep;
}

static bool has_rules(const struct cq_config *c)
{
	return c->retain_segments > 0 || c->retain_bytes > 0 || c->retain_age_ms > 0;
}

/* ---- the readers ---- */

struct round {
	struct cq_retention *retention;
	uint64_t segment_size;
	uint64_t now_ms;
	int error;
};

static void see_reader(void *arg, const char *name, const struct cq_cursor *cursor)
{
	struct round *round = arg;
	struct cq_retention *t = round->retention;
	uint64_t segment = cursor->segment, offset = cursor->offset;
	struct cq_reader_seen *reader = NULL;

	for (size_t i = 0; i < t->count && !reader; i++)
		if (strcmp(t->readers[i].name, name) == 0)
			reader = &t->readers[i];
	if (!reader) {
		if (t->count == t->capacity) {
			size_t capacity = t->capacity ? t->capacity * 2 : 8;
			struct cq_reader_seen *more = realloc(t->readers, capacity * sizeof *more);

			if (!more) {
				round->error = -ENOMEM;
				return;
			}
			t->readers = more;
			t->capacity = capacity;
		}
		reader = &t->readers[t->count++];
		memset(reader, 0, sizeof *reader);
		strncpy(reader->name, name, CQ_READER_NAME_MAX);
		reader->generation = UINT64_MAX;
	}
	/* What tells life is that something changed, timed by a clock that nobody sets. */
	if (reader->generation != cursor->generation ||
	    reader->heartbeat_ns != cursor->heartbeat_ns)
		reader->changed_ms = round->now_ms;
	reader->generation = cursor->generation;
	reader->heartbeat_ns = cursor->heartbeat_ns;
	/* one that has read a full segment to its end needs it no more */
	cq_place_level(&segment, &offset, round->segment_size);
	reader->segment = segment;
	reader->present = true;
}

/* Brings the table of readers up to date. An error means that a reader may be missing in it. */
static int look_at_readers(cq_writer *w, uint64_t now_ms)
{
	struct cq_retention *t = &w->retention;
	struct round round = { .retention = t, .segment_size = w->segment_size, .now_ms = now_ms };
	size_t kept = 0;
	int r;

	for (size_t i = 0; i < t->count; i++)
		t->readers[i].present = false;
	r = cq_cursor_each(w->dirfd, see_reader, &round);
	if (r < 0)
		return r;
	if (round.error < 0)
		return round.error;
	for (size_t i = 0; i < t->count; i++)
		if (t->readers[i].present)
			t->readers[kept++] = t->readers[i];
	t->count = kept;
	return 0;
}

/* ---- deleting ---- */

int cq_retention_oldest(cq_writer *w, uint32_t *ret_id)
{
	const uint32_t known = atomic_load(&w->oldest);
	uint32_t id;
	int r;

	r = cq_segdir_next(w->dirfd, known, &id);
	if (r < 0)
		return r;
	if (id != known) { /* others delete, too; or an id was never there */
		atomic_store(&w->oldest, id);
		atomic_store(&w->space.doubt, true);
	}
	*ret_id = id;
	return 0;
}

int cq_retention_look(cq_writer *w, struct cq_retention_view *ret_view)
{
	struct cq_retention *t = &w->retention;
	struct cq_retention_view view = { .segment_size = w->segment_size,
		                          .now_ms = cq_boottime_ms() };
	int r;

	if (atomic_load(&w->ousted)) /* what is oldest there is another writer's */
		return -EIO;
	pthread_mutex_lock(&w->lock);
	view.active = w->active->id;
	pthread_mutex_unlock(&w->lock);
	r = cq_retention_oldest(w, &view.oldest);
	if (r == 0)
		r = look_at_readers(w, view.now_ms);
	if (r < 0)
		return r;
	t->readers_ms = view.now_ms;
	view.readers = t->readers;
	view.reader_count = t->count;
	*ret_view = view;
	return 0;
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
 * which looks whether it is still there after it has written the index (closing.c).
 */
int cq_retention_delete(cq_writer *w, uint32_t id)
{
	char name[CQ_NAME_MAX];
	int r;

	cq_segment_name(name, id);
	cq_point("retire.chosen");
	r = cq_seekindex_remove(w->dirfd, id);
	if (r < 0)
		return r;
	cq_point("retire.index_removed");
	r = cq_io_unlink(w->dirfd, name);
	if (r < 0 && r != -ENOENT)
		return r;
	cq_point("retire.removed");
	(void)cq_seekindex_remove(w->dirfd, id);
	atomic_store(&w->oldest, id + 1);
	atomic_fetch_add(&w->retention.retired, 1);
	cq_space_deleted(&w->space);
	cq_flush_deleted(w);
	freed(w);
	cq_point("retire.told");
	return 0;
}

/* Of the newest record: what its file shows, once it is closed (closing.c); until then the kernel's
 * time of some store into the mapping, which may be half a minute too old. */
static uint64_t age_ms(cq_writer *w, uint32_t id, const struct stat *st)
{
	struct timespec now, last = st->st_mtim;
	struct cq_live live;
	uint64_t seconds;
	int64_t ms;

	if (cq_flush_live(w, id, &live) && live.records > 0) {
		last.tv_sec = (time_t)(live.last_time_ns / 1000000000U);
		last.tv_nsec = (long)(live.last_time_ns % 1000000000U);
	}
	clock_gettime(CLOCK_REALTIME, &now);
	if (last.tv_sec > now.tv_sec)
		return 0;
	seconds = (uint64_t)now.tv_sec - (uint64_t)last.tv_sec;
	if (seconds > UINT32_MAX) /* a file may show any time */
		seconds = UINT32_MAX;
	ms = (int64_t)seconds * 1000 + (now.tv_nsec - last.tv_nsec) / 1000000;
	return ms > 0 ? (uint64_t)ms : 0;
}

/* 1: done, or others have. */
static int retire_oldest(cq_writer *w, struct cq_retention_view *view)
{
	char name[CQ_NAME_MAX];
	struct stat st;
	int r;

	r = cq_retention_oldest(w, &view->oldest);
	if (r < 0 || view->oldest >= view->active)
		return 0;
	cq_segment_name(name, view->oldest);
	r = cq_io_stat_at(w->dirfd, name, &st);
	if (r < 0)
		return r == -ENOENT ? 1 : r;
	view->oldest_age_ms = age_ms(w, view->oldest, &st);
	if (cq_retention_keep_from(&w->config, view) <= view->oldest)
		return 0;
	r = cq_retention_delete(w, view->oldest);
	return r < 0 ? r : 1;
}

static int retire(cq_writer *w)
{
	struct cq_retention *t = &w->retention;
	struct cq_retention_view view;
	int r, done = 0;

	/* if a reader may be missing in the view: better keep too much */
	r = cq_retention_look(w, &view);
	while (r >= 0 && done < MOST_AT_ONCE && (r = retire_oldest(w, &view)) > 0)
		done++;
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
	if (has_rules(&w->config))
		done = retire(w);
	else if (w->config.reader_ttl_ms > 0 && cq_boottime_ms() - t->readers_ms >= TICK_MS)
		(void)cq_retention_look(w, &view); /* so that a trim knows who is alive */
	pthread_mutex_unlock(&t->lock);
	return done;
}

int cq_retention_due(cq_writer *w)
{
	if (!atomic_load(&w->space.full))
		return TICK_MS;
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
