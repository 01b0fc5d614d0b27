/* SPDX-License-Identifier: Apache-2.0 */
/* age.c - how long ago the last record of the oldest segment was written; see age.h */
#include "retention/age.h"

#include <string.h>
#include <time.h>

#include "catalog/queue.h"
#include "files/dir.h"
#include "messages/log.h"
#include "os/clock.h"
#include "os/fault.h"
#include "os/io.h"

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

void cq_age_see(struct cq_age *age, const struct cq_config *config,
                const struct cq_situation *situation)
{
	const uint64_t pause_ms = config->retain_age_ms / (CQ_AGE_SIGHTINGS / 2);
	struct cq_age_sighting *s = age->sightings;

	if (age->count > 0 && situation->now_ms - s[age->count - 1].at_ms < pause_ms)
		return;
	if (age->count == CQ_AGE_SIGHTINGS) {
		memmove(s, s + 1, (CQ_AGE_SIGHTINGS - 1) * sizeof *s);
		age->count--;
	}
	s[age->count++] = (struct cq_age_sighting){ .at_ms = situation->now_ms,
		                                    .current = situation->current,
		                                    .first_empty = situation->first_empty };
}

/* The segment is as old as that at least. */
static int64_t seen_at_least(const struct cq_age *age, uint32_t id, uint64_t now_ms)
{
	for (size_t i = 0; i < age->count; i++)
		if (id < age->sightings[i].current)
			return (int64_t)(now_ms - age->sightings[i].at_ms);
	return 0;
}

/* And at most. */
static int64_t seen_at_most(const struct cq_age *age, uint32_t id, uint64_t now_ms)
{
	for (size_t i = age->count; i > 0; i--)
		if (id >= age->sightings[i - 1].first_empty)
			return (int64_t)(now_ms - age->sightings[i - 1].at_ms);
	return INT64_MAX;
}

/* ---- the times of files ---- */

struct times {
	int64_t last_ms;   /* of the last record */
	int64_t change_ms; /* of the file */
	bool empty;        /* no record tells the former */
};

static int times_of(cq_queue *queue, uint32_t id, struct times *ret_times)
{
	char name[CQ_NAME_MAX];
	struct cq_segment_counts counts;
	struct times t = { 0 };
	struct stat st;
	bool known;
	int r;

	/* The writer first: its file shows this time once it is finalized.  Until then it shows the kernel's
	 * time of some store into the mapping, which may be half a minute too old. */
	known = cq_queue_writer_counts(queue, id, &counts);
	cq_segment_name(name, id);
	r = cq_io_stat_at(queue->dirfd, name, &st);
	if (r < 0)
		return r;
	t.change_ms = in_ms(&st.st_ctim);
	if (!known)
		t.last_ms = in_ms(&st.st_mtim);
	else if (counts.records > 0)
		t.last_ms = (int64_t)(counts.last_time_ns / 1000000U);
	else
		t.empty = true;
	*ret_times = t;
	return 0;
}

/* How old a segment with this time is; -1: the time cannot be right. */
static int64_t believe(const struct cq_age *age, const struct cq_situation *situation, uint32_t id,
                       int64_t time_ms, int64_t now_ms)
{
	const int64_t old = now_ms - time_ms;
	const int64_t most = seen_at_most(age, id, situation->now_ms);

	if (cq_planted("any_time_believed"))
		return old > 0 ? old : 0;
	if (time_ms < FIRST_POSSIBLE_MS || old < -TOLERANCE_MS)
		return -1;
	if (age->believed_id < id && time_ms < age->believed_ms - TOLERANCE_MS)
		return -1;
	if (!age->times_given && old > TOLERANCE_MS && old - TOLERANCE_MS > most)
		return -1;
	return old > 0 ? old : 0;
}

/* By the first later segment that has a time that can be right. */
static int64_t by_successors(const struct cq_age *age, cq_queue *queue,
                             const struct cq_situation *situation, int64_t now_ms)
{
	struct times t;
	int64_t old;

	for (uint32_t i = 1; i <= MOST_SUCCESSORS && i <= situation->current - situation->oldest;
	     i++) {
		const uint32_t id = situation->oldest + i;

		if (times_of(queue, id, &t) < 0 || t.empty)
			continue;
		old = believe(age, situation, id, t.last_ms, now_ms);
		if (old >= 0)
			return old;
	}
	return 0;
}

static void warn(struct cq_age *age, const struct cq_config *config, uint32_t id, int64_t time_ms)
{
	const time_t seconds = (time_t)(time_ms / 1000);
	char text[64];
	struct tm tm;

	if (age->warned)
		return;
	age->warned = true;
	if (!gmtime_r(&seconds, &tm) || /* GCOV_EXCL_BR_LINE: no year is too large (in_ms()) */
	    strftime(text, sizeof text, "%F %T UTC", &tm) == 0) /* GCOV_EXCL_BR_LINE: it fits */
		text[0] = '\0';
	cq_log(config, CQ_WARNING,
	       "retention: segment %09u has a last record of %s, which cannot be right; its age is "
	       "taken from its file, from later segments and from when it was seen",
	       id, text);
}

int cq_age_of_oldest(struct cq_age *age, cq_queue *queue, const struct cq_config *config,
                     const struct cq_situation *situation, uint64_t *ret_ms)
{
	const int64_t now_ms = (int64_t)(cq_realtime_ns() / 1000000U);
	const int64_t most = seen_at_most(age, situation->oldest, situation->now_ms);
	int64_t old, other;
	struct times t;
	int r;

	r = times_of(queue, situation->oldest, &t);
	if (r < 0)
		return r;
	old = believe(age, situation, situation->oldest, t.last_ms, now_ms);
	if (old >= 0) {
		age->believed_id = situation->oldest;
		age->believed_ms = t.last_ms;
		age->warned = false;
		*ret_ms = (uint64_t)old;
		return 0;
	}
	warn(age, config, situation->oldest, t.last_ms);
	old = seen_at_least(age, situation->oldest, situation->now_ms);
	other = believe(age, situation, situation->oldest, t.change_ms, now_ms);
	if (other > old)
		old = other;
	other = by_successors(age, queue, situation, now_ms);
	if (other > old)
		old = other;
	*ret_ms = (uint64_t)(old < most ? old : most);
	return 0;
}
