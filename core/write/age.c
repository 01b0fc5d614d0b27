/* SPDX-License-Identifier: Apache-2.0 */
/* age.c - how long ago the last record of the oldest segment was written; see age.h */
#include "write/age.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "catalog/queue.h"
#include "files/dir.h"
#include "messages/log.h"
#include "os/clock.h"
#include "os/fault.h"
#include "os/io.h"
#include "write/retention_view.h"
#include "write/writer.h"

#define TOLERANCE_MS 60000              /* clocks are set by some seconds all the time */
#define FIRST_POSSIBLE_MS 1577836800000 /* 2020-01-01: no queue of this format is as old */
#define MOST_SUCCESSORS 16              /* that are asked for their time */
#define SECONDS_MOST ((time_t)1 << 40)  /* a file may show any time */

static int64_t in_ms(const struct timespec *t)
{
	if (t->tv_sec > SECONDS_MOST)
		return (int64_t)SECONDS_MOST * 1000;
	if (t->tv_sec < 0)
		return 0;
	return (int64_t)t->tv_sec * 1000 + t->tv_nsec / 1000000;
}

/* ---- what this process has seen ---- */

void cq_age_see(cq_writer *w, const struct cq_retention_view *view)
{
	const uint64_t pause_ms = w->config.retain_age_ms / (CQ_AGE_SIGHTINGS / 2);
	struct cq_age *age = &w->retention.age;
	struct cq_age_sighting *s = age->sightings;

	if (age->count > 0 && view->now_ms - s[age->count - 1].at_ms < pause_ms)
		return;
	if (age->count == CQ_AGE_SIGHTINGS) {
		memmove(s, s + 1, (CQ_AGE_SIGHTINGS - 1) * sizeof *s);
		age->count--;
	}
	s[age->count++] = (struct cq_age_sighting){ .at_ms = view->now_ms,
		                                    .active = view->active,
		                                    .empty = view->empty };
}

/* The segment is as old as that at least. */
static int64_t seen_at_least(const struct cq_age *age, uint32_t id, uint64_t now_ms)
{
	for (size_t i = 0; i < age->count; i++)
		if (id < age->sightings[i].active)
			return (int64_t)(now_ms - age->sightings[i].at_ms);
	return 0;
}

/* And at most. */
static int64_t seen_at_most(const struct cq_age *age, uint32_t id, uint64_t now_ms)
{
	for (size_t i = age->count; i > 0; i--)
		if (id >= age->sightings[i - 1].empty)
			return (int64_t)(now_ms - age->sightings[i - 1].at_ms);
	return INT64_MAX;
}

/* ---- the times of files ---- */

struct times {
	int64_t last_ms;   /* of the last record */
	int64_t change_ms; /* of the file */
	bool empty;        /* no record tells the former */
};

static int times_of(cq_writer *w, uint32_t id, struct times *ret_times)
{
	char name[CQ_NAME_MAX];
	struct cq_segment_counts live;
	struct times t;
	struct stat st;
	int r;

	cq_segment_name(name, id);
	r = cq_io_stat_at(w->dirfd, name, &st);
	if (r < 0)
		return r;
	/* What its file shows, once it is closed (sealed.c); until then the kernel's time of some store
	 * into the mapping, which may be half a minute too old. */
	t = (struct times){ .last_ms = in_ms(&st.st_mtim), .change_ms = in_ms(&st.st_ctim) };
	if (cq_flush_counts(w, id, &live)) {
		t.empty = live.records == 0;
		if (!t.empty)
			t.last_ms = (int64_t)(live.last_time_ns / 1000000U);
	}
	*ret_times = t;
	return 0;
}

/* How old a segment with this time is; -1: the time cannot be right. */
static int64_t believe(const struct cq_age *age, const struct cq_retention_view *view, uint32_t id,
                       int64_t time_ms, int64_t now_ms)
{
	const int64_t old = now_ms - time_ms;
	const int64_t most = seen_at_most(age, id, view->now_ms);

	if (cq_planted("any_time_believed"))
		return old > 0 ? old : 0;
	if (time_ms < FIRST_POSSIBLE_MS || old < -TOLERANCE_MS)
		return -1;
	if (age->believed_id < id && time_ms < age->believed_ms - TOLERANCE_MS)
		return -1;
	if (old > TOLERANCE_MS && old - TOLERANCE_MS > most)
		return -1;
	return old > 0 ? old : 0;
}

/* By the first later segment that has a time that can be right. */
static int64_t by_successors(cq_writer *w, const struct cq_retention_view *view, int64_t now_ms)
{
	const struct cq_age *age = &w->retention.age;
	struct times t;
	int64_t old;

	for (uint32_t i = 1; i <= MOST_SUCCESSORS && i <= view->active - view->oldest; i++) {
		const uint32_t id = view->oldest + i;

		if (times_of(w, id, &t) < 0 || t.empty)
			continue;
		old = believe(age, view, id, t.last_ms, now_ms);
		if (old >= 0)
			return old;
	}
	return 0;
}

static void warn(cq_writer *w, uint32_t id, int64_t time_ms)
{
	const time_t seconds = (time_t)(time_ms / 1000);
	char text[64];
	struct tm tm;

	if (w->retention.age.warned)
		return;
	w->retention.age.warned = true;
	if (!gmtime_r(&seconds, &tm) || /* GCOV_EXCL_BR_LINE: no year is too large (in_ms()) */
	    strftime(text, sizeof text, "%F %T UTC", &tm) == 0) /* GCOV_EXCL_BR_LINE: it fits */
		text[0] = '\0';
	cq_log(&w->config, CQ_WARNING,
	       "retention: segment %09u has a last record of %s, which cannot be right; its age is "
	       "taken from its file, from later segments and from when it was seen",
	       id, text);
}

int cq_age_of_oldest(cq_writer *w, const struct cq_retention_view *view, uint64_t *ret_ms)
{
	struct cq_age *age = &w->retention.age;
	const int64_t now_ms = (int64_t)(cq_realtime_ns() / 1000000U);
	const int64_t most = seen_at_most(age, view->oldest, view->now_ms);
	int64_t old, other;
	struct times t;
	int r;

	r = times_of(w, view->oldest, &t);
	if (r < 0)
		return r;
	old = believe(age, view, view->oldest, t.last_ms, now_ms);
	if (old >= 0) {
		age->believed_id = view->oldest;
		age->believed_ms = t.last_ms;
		age->warned = false;
		*ret_ms = (uint64_t)old;
		return 0;
	}
	warn(w, view->oldest, t.last_ms);
	old = seen_at_least(age, view->oldest, view->now_ms);
	other = believe(age, view, view->oldest, t.change_ms, now_ms);
	if (other > old)
		old = other;
	other = by_successors(w, view, now_ms);
	if (other > old)
		old = other;
	*ret_ms = (uint64_t)(old < most ? old : most);
	return 0;
}
