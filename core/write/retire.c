/* SPDX-License-Identifier: Apache-2.0 */
/*
 * retire.c - deleting the oldest segments, as retention's rules say (core/retention)
 *
 * Deletions, also those by trim.c, are made under the retention lock, one at a time, and always of the
 * oldest segment there is.  The lock is held while readers' files are read and segments are unlinked,
 * which may take tens of milliseconds.  A thread takes it only while it holds no other lock; the preparer
 * never takes it.
 *
 * Invariant: before a segment is deleted, all readers' files are read, and that reading begins after the
 * decision that the rules, or a trim, want the segment gone.  What is remembered of readers between two
 * readings only ever keeps a segment.  So readers cost nothing while nothing is to be deleted, one file
 * while one of them needs the oldest segment, and all of their files before a deletion.  A reader that
 * goes back is safe once its commit has returned, except from a deletion that is under way then (at most
 * sixteen segments).
 */
#include <errno.h>
#include <string.h>

#include "files/dir.h"
#include "files/index.h"
#include "messages/log.h"
#include "os/clock.h"
#include "os/fault.h"
#include "os/io.h"
#include "write/writer.h"

/* Between two readings of the readers' files, and between two looks at the flusher's other work. */
#define MOST_AT_ONCE 16

/* Milliseconds between two steps: as a rule; while an append waits for what retention may delete;
 * and between two checks for external deletions, while one waits for those.  The last two grow with the time
 * for which no append has been refused: so room is found late by a part of the time that it took. */
#define TICK_MS 1000
#define AT_LIMIT_TICK_MS 10
#define EXTERNAL_MS 100
#define AT_LIMIT_PART 32

int cq_retire_find_oldest(cq_writer *w, uint32_t *ret_id)
{
	const uint32_t known = atomic_load(&w->oldest);
	uint32_t id;
	int r;

	r = cq_dir_next(w->dirfd, known, &id);
	if (r < 0)
		return r;
	if (id != known) { /* deleted externally; or an id was never there */
		atomic_store(&w->oldest, id);
		atomic_store(&w->quota.recount_needed, true);
	}
	*ret_id = id;
	return 0;
}

/* Without readers. */
static int look_at_segments(cq_writer *w, struct cq_situation *ret_situation)
{
	struct cq_situation situation = { .segment_size = w->segment_size,
		                          .now_ms = cq_boottime_ms() };
	int r;

	if (atomic_load(&w->ousted)) /* the segments there are another writer's */
		return -EIO;
	cq_mutex_lock(&w->lock);
	situation.current = w->current->id;
	situation.first_empty = w->current->id + (w->current->records > 0);
	cq_mutex_unlock(&w->lock);
	r = cq_retire_find_oldest(w, &situation.oldest);
	if (r == 0)
		*ret_situation = situation;
	return r;
}

int cq_retire_look(cq_writer *w, struct cq_situation *ret_situation)
{
	struct cq_situation situation;
	int r = look_at_segments(w, &situation);

	if (r == 0)
		r = cq_reader_table_read(&w->retention.readers, w->dirfd, &w->config, &situation);
	if (r == 0)
		*ret_situation = situation;
	return r;
}

/* There is room: the preparer can go on. */
static void wake_preparer(cq_writer *w)
{
	cq_prealloc_retry(&w->prealloc);
	cq_worker_kick(&w->preparer);
}

/*
 * The index goes first: an index without its segment would be left for ever, the other way round the index
 * is only missing.  And the index is removed once more: a thread may be finalizing the segment, and that
 * thread checks whether the segment exists after it has written the index (sealed.c).
 */
int cq_retire_delete(cq_writer *w, uint32_t id)
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
	cq_quota_deleted(&w->quota);
	cq_sealed_deleted(w);
	wake_preparer(w);
	cq_point("retire.told");
	return 0;
}

/* Completes the situation.  1: the rules want the oldest segment gone. */
static int is_wanted(cq_writer *w, struct cq_situation *situation)
{
	struct cq_age *age = &w->retention.age;
	int r;

	if (w->config.retain_age_ms > 0)
		cq_age_see(age, &w->config, situation);
	if (situation->oldest >= situation->current)
		return 0;
	if (w->config.retain_age_ms > 0) {
		age->times_given = atomic_load(&w->times_given);
		r = cq_age_of_oldest(age, w->queue, &w->config, situation,
		                     &situation->oldest_age_ms);
		if (r < 0)
			return r == -ENOENT ? 0 : r; /* deleted externally just now */
	}
	return cq_rules_want_oldest_gone(&w->config, situation);
}

/* 1: done. */
static int retire_oldest(cq_writer *w, struct cq_situation *situation)
{
	int r = cq_retire_find_oldest(w, &situation->oldest);

	if (r < 0)
		return 0;
	r = is_wanted(w, situation);
	if (r <= 0 || cq_rules_keep_from(&w->config, situation) <= situation->oldest)
		return r < 0 ? r : 0;
	r = cq_retire_delete(w, situation->oldest);
	return r < 0 ? r : 1;
}

/* Whether all readers' files are worth reading now. */
static bool may_read_all(cq_writer *w, const struct cq_situation *situation)
{
	struct cq_retention *t = &w->retention;

	if (cq_reader_table_needs_oldest(&t->readers, w->dirfd, &w->config, situation))
		return false;
	if (!atomic_load(&w->quota.at_limit))
		t->wait_ms = cq_reader_table_pause_ms(&t->readers, situation->now_ms);
	return t->wait_ms == 0;
}

/* Cheap first: what the rules want costs no reading; whether the reader that needed the oldest segment
 * still does costs a reading of that one.  A deletion is decided by a reading of all. */
static int retire(cq_writer *w)
{
	struct cq_retention *t = &w->retention;
	struct cq_situation situation;
	int r, done = 0;

	r = look_at_segments(w, &situation);
	if (r == 0)
		r = is_wanted(w, &situation);
	if (r > 0 && may_read_all(w, &situation)) {
		/* if a reader may be missing: better keep too much */
		r = cq_reader_table_read(&t->readers, w->dirfd, &w->config, &situation);
		while (r >= 0 && done < MOST_AT_ONCE && (r = retire_oldest(w, &situation)) > 0)
			done++;
	}
	if (r < 0 && !t->warned)
		cq_log(&w->config, CQ_WARNING, "retention: segment %09u not deleted: %s",
		       atomic_load(&w->oldest), strerrordesc_np(-r));
	t->warned = r < 0;
	return done;
}

/* The whole directory is counted only while an append waits for room, or when the oldest segment is
 * not there any more. */
static void check_for_external_deletions(cq_writer *w)
{
	struct cq_retention *t = &w->retention;
	const uint64_t now = cq_boottime_ms();
	const bool at_limit = atomic_load(&w->quota.at_limit);
	uint32_t id;

	if (now - t->external_check_ms < (at_limit ? EXTERNAL_MS : TICK_MS))
		return;
	t->external_check_ms = now;
	(void)cq_retire_find_oldest(w, &id);
	if ((at_limit || atomic_load(&w->quota.recount_needed)) &&
	    cq_quota_recount(&w->quota, w->dirfd))
		wake_preparer(w);
}

int cq_retire_step(cq_writer *w)
{
	struct cq_retention *t = &w->retention;
	struct cq_situation situation;
	int done = 0;

	if (atomic_load(&w->ousted))
		return 0;
	pthread_mutex_lock(&t->lock);
	check_for_external_deletions(w);
	t->wait_ms = 0;
	if (cq_rules_any(&w->config))
		done = retire(w);
	/* a sign of life is a change, so only regular readings find it */
	if (w->config.reader_ttl_ms > 0 && cq_boottime_ms() - t->readers.read_ms >= TICK_MS)
		(void)cq_retire_look(w, &situation);
	pthread_mutex_unlock(&t->lock);
	return done;
}

int cq_retire_due(cq_writer *w)
{
	const int least = cq_rules_any(&w->config) ? AT_LIMIT_TICK_MS : EXTERNAL_MS;
	const int wait = w->retention.wait_ms;
	uint64_t idle;

	if (!atomic_load(&w->quota.at_limit))
		return wait > 0 && wait < TICK_MS ? wait : TICK_MS;
	idle = (cq_boottime_ms() - atomic_load(&w->quota.refused_ms)) / AT_LIMIT_PART;
	return idle < (uint64_t)least ? least : idle < TICK_MS ? (int)idle : TICK_MS;
}
