/* SPDX-License-Identifier: Apache-2.0 */
/* prealloc.c - the slots through which the preparer hands over the next segments; see prealloc.h */
#include "write/prealloc.h"

#include <errno.h>

#include "chronq.h"
#include "os/clock.h"
#include "os/fault.h"

#define SPIN_NS 20000U /* measured: 100 us takes a core from the threads that make room */

void cq_prealloc_init(struct cq_prealloc *prealloc, int dirfd, uint64_t segment_size,
                      uint32_t depth, uint32_t expected, struct cq_quota *quota)
{
	pthread_condattr_t attr;

	*prealloc = (struct cq_prealloc){
		.dirfd = dirfd,
		.segment_size = segment_size,
		.depth = depth,
		.quota = quota,
		.expected = expected,
		.look_first = true,
		.error_id = UINT32_MAX,
	};
	pthread_mutex_init(&prealloc->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&prealloc->changed, &attr);
	pthread_condattr_destroy(&attr);
}

void cq_prealloc_fini(struct cq_prealloc *prealloc)
{
	for (uint32_t i = 0; i < prealloc->depth; i++)
		cq_wsegment_free(prealloc->slots[i].segment);
	pthread_cond_destroy(&prealloc->changed);
	pthread_mutex_destroy(&prealloc->lock);
}

static struct cq_slot *slot_of(struct cq_prealloc *p, uint32_t id)
{
	return &p->slots[id % p->depth];
}

static bool is_expected(struct cq_prealloc *p, uint32_t id)
{
	uint32_t expected = atomic_load(&p->expected);

	return (id >= expected && id - expected < p->depth) || cq_planted("no_id_check");
}

/* Under lock.  Takes out a segment that the writer has gone past; the caller frees it outside the lock.
 * The segment's file is published and stays. */
static struct cq_wsegment *evict_stale(struct cq_prealloc *p, struct cq_slot *slot)
{
	struct cq_wsegment *stale;

	if (slot->state != CQ_SLOT_READY || is_expected(p, slot->id))
		return NULL;
	stale = slot->segment;
	slot->segment = NULL;
	slot->state = CQ_SLOT_EMPTY;
	p->stale++;
	return stale;
}

/* Under lock. */
static void settle(struct cq_prealloc *p, struct cq_slot *slot, enum cq_slot_state state)
{
	slot->state = state;
	pthread_cond_broadcast(&p->changed);
}

/* Under lock: the lowest id that is expected and not there.  A stale segment in its slot goes to
 * *ret_stale. */
static bool next_to_prepare(struct cq_prealloc *p, uint32_t *ret_id, struct cq_wsegment **ret_stale)
{
	const uint32_t expected = atomic_load(&p->expected);

	if (p->fallback_running)
		return false;
	for (uint32_t id = expected; id - expected < p->depth && id <= CQ_SEGMENT_ID_MAX; id++) {
		struct cq_slot *slot = slot_of(p, id);

		*ret_stale = evict_stale(p, slot);
		if (slot->state != CQ_SLOT_READY) {
			*ret_id = id;
			return true;
		}
	}
	return false;
}

/* Opens segment `id`, if an earlier run, a roll or somebody else may have published it; else makes it under its
 * temp name.  Where the last one was not there, this one hardly is: if it is all the same, the rename that
 * replaces nothing finds out.  -ENOENT without a reservation: there is no file, and none may be made. */
static int make(struct cq_prealloc *p, uint32_t id, bool reserved, struct cq_wsegment **ret_segment)
{
	int r = -ENOENT;

	if (p->look_first || !reserved)
		r = cq_wsegment_open(p->dirfd, id, p->segment_size, ret_segment);
	if (r == -ENOENT && reserved)
		r = cq_wsegment_prepare(p->dirfd, id, p->segment_size, CQ_BY_PREPARER, ret_segment);
	return r;
}

/* Gives it its name.  Where another file has the name, that one counts. */
static int publish(struct cq_prealloc *p, struct cq_wsegment **segment)
{
	int r;

	cq_point("prepare.before_publish");
	r = cq_planted("prealloc_gives_up") ? cq_wsegment_publish(p->dirfd, *segment)
	                                    : cq_wsegment_publish_or_open(p->dirfd, segment);
	if (r < 0)
		return r;
	if (!(*segment)->created)
		atomic_store(&p->quota->recount_needed, true);
	atomic_fetch_add(&p->published, 1);
	return 0;
}

/* Under lock: the reservation ends, unless a roll has taken it over. */
static void end_reservation(struct cq_prealloc *p, struct cq_slot *slot, bool made)
{
	if (!slot->reserved)
		return;
	slot->reserved = false;
	cq_quota_settle(p->quota, made);
}

/* Under lock: empties the slot of a preparation that came to nothing, or fills it. */
static void end_preparation(struct cq_prealloc *p, struct cq_slot *slot,
                            struct cq_wsegment **segment, bool expected, int error)
{
	if (error < 0) {
		p->error = p->refused ? -EDQUOT : error;
		p->error_id = slot->id;
		p->failed += !p->refused;
		settle(p, slot, CQ_SLOT_EMPTY);
	} else if (!expected) {
		p->stale++;
		settle(p, slot, CQ_SLOT_EMPTY);
	} else {
		slot->segment = *segment;
		*segment = NULL;
		p->made++;
		p->error_id = UINT32_MAX;
		settle(p, slot, CQ_SLOT_READY);
	}
}

int cq_prealloc_step(struct cq_prealloc *p)
{
	struct cq_wsegment *segment = NULL, *stale = NULL;
	struct cq_slot *slot;
	bool expected, wanted, reserved = false, made = false;
	uint32_t id = 0;
	int r;

	pthread_mutex_lock(&p->lock);
	wanted = next_to_prepare(p, &id, &stale);
	slot = slot_of(p, id);
	if (wanted) {
		slot->id = id;
		slot->state = CQ_SLOT_PREPARING;
		slot->reserved = reserved = cq_quota_reserve(p->quota);
	}
	pthread_mutex_unlock(&p->lock);
	cq_wsegment_free(stale);
	p->refused = false;
	if (!wanted)
		return 0;

	r = make(p, id, reserved, &segment);
	p->refused = r == -ENOENT && !reserved;
	cq_point("prepare.prepared");

	/* From here to READY the writer does not go past this id, or has done so already. */
	pthread_mutex_lock(&p->lock);
	expected = is_expected(p, id);
	if (r == 0 && expected)
		slot->state = CQ_SLOT_PUBLISHING; /* a roll that waits goes on waiting */
	pthread_mutex_unlock(&p->lock);

	if (r == 0 && expected) {
		if (!segment->published)
			r = publish(p, &segment);
		made = r == 0 && segment->created;
		if (r == 0 && !cq_wsegment_is_fresh(segment))
			r = -EBADMSG;
		if (r == 0 && !made)
			(void)cq_wsegment_prefault(segment, 0);
	}
	p->look_first = !made;
	if (segment && (r < 0 || !expected))
		cq_wsegment_discard(p->dirfd, segment);

	pthread_mutex_lock(&p->lock);
	end_reservation(p, slot, made);
	end_preparation(p, slot, &segment, expected, r);
	pthread_mutex_unlock(&p->lock);
	cq_wsegment_free(segment);
	if (p->refused)
		return 0;
	return r < 0 ? r : 1;
}

/* Under lock: something for `id` may still come. */
static bool worth_waiting(struct cq_prealloc *p, const struct cq_slot *slot, uint32_t id,
                          bool timed_out)
{
	const bool mine = slot->id == id;

	if (slot->state == CQ_SLOT_PUBLISHING && mine) /* GCOV_EXCL_BR_LINE: never another's */
		return true; /* one rename; going past it is what must not happen */
	if (timed_out)
		return false;
	if (slot->state == CQ_SLOT_PREPARING && mine)
		return true; /* and its reservation and room are what a fallback would need */
	return p->error_id != id && !cq_quota_exhausted(p->quota);
}

/* Under lock: reserves a file for segment `id` that the appending thread makes.  Takes over the
 * preparer's reservation for it, if there is one. */
static bool reserve_for_roll(struct cq_prealloc *p, struct cq_slot *slot, uint32_t id)
{
	if (slot->id == id && slot->reserved) {
		slot->reserved = false;
		return true;
	}
	return cq_quota_reserve(p->quota);
}

/* Under lock: the error of a roll that does not make its segment itself. */
static int why_missing(struct cq_prealloc *p, const struct cq_slot *slot, uint32_t id)
{
	if (!(slot->id == id && slot->reserved) && cq_quota_exhausted(p->quota))
		return 0;
	return p->error_id == id ? p->error : -EAGAIN;
}

/*
 * Watches the slot for a little while without sleeping.  Where rolls come back to back the segment
 * is some tens of microseconds away, which a sleep and a wake-up would double.  And a writer that takes
 * the segment at once finds the preparer still awake for the next one.
 */
static void spin(struct cq_slot *slot)
{
	const uint64_t end = cq_monotonic_ns() + SPIN_NS;

	do {
		for (int i = 0; i < 32; i++) {
			if (atomic_load(&slot->state) == CQ_SLOT_READY)
				return;
			cq_pause();
		}
	} while (cq_monotonic_ns() < end);
}

int cq_prealloc_take(struct cq_prealloc *p, uint32_t id, uint32_t wait_ms, bool required,
                     struct cq_taken *ret_taken)
{
	struct cq_slot *slot = slot_of(p, id);
	struct timespec deadline = { 0 };
	struct cq_taken taken = { 0 };
	bool timed_out = wait_ms == 0;
	struct cq_wsegment *stale = NULL;
	int r = 0;

	pthread_mutex_lock(&p->lock);
	for (;;) {
		if (slot->state == CQ_SLOT_READY && (slot->id == id || cq_planted("no_id_check"))) {
			taken.segment = slot->segment;
			slot->segment = NULL;
			slot->state = CQ_SLOT_EMPTY;
			r = 1;
			break;
		}
		if (!stale)
			stale = evict_stale(p, slot);
		if (!worth_waiting(p, slot, id, timed_out))
			break;
		if (!taken.waited) {
			deadline = cq_deadline(wait_ms);
			taken.waited = true;
			pthread_mutex_unlock(&p->lock);
			spin(slot);
			pthread_mutex_lock(&p->lock);
			continue;
		}
		if (timed_out)
			pthread_cond_wait(&p->changed, &p->lock);
		else
			timed_out = pthread_cond_timedwait(&p->changed, &p->lock, &deadline) ==
			            ETIMEDOUT;
	}
	if (r == 0 && required)
		r = why_missing(p, slot, id);
	else if (r == 0)
		taken.reserved = p->fallback_running = reserve_for_roll(p, slot, id);
	if (r > 0 || taken.reserved)
		atomic_store(&p->expected, id + 1);
	pthread_mutex_unlock(&p->lock);
	cq_wsegment_free(stale);
	if (r >= 0)
		*ret_taken = taken;
	return r;
}

void cq_prealloc_expect(struct cq_prealloc *p, uint32_t id, int error)
{
	pthread_mutex_lock(&p->lock);
	atomic_store(&p->expected, id);
	p->fallback_running = false;
	p->error = error;
	p->error_id = error < 0 ? id : UINT32_MAX;
	pthread_mutex_unlock(&p->lock);
}

void cq_prealloc_retry(struct cq_prealloc *p)
{
	pthread_mutex_lock(&p->lock);
	p->error_id = UINT32_MAX;
	pthread_mutex_unlock(&p->lock);
}

bool cq_prealloc_complete(struct cq_prealloc *p)
{
	bool complete = true;
	uint32_t expected;

	pthread_mutex_lock(&p->lock);
	expected = atomic_load(&p->expected);
	for (uint32_t id = expected; id - expected < p->depth && id <= CQ_SEGMENT_ID_MAX; id++)
		complete = complete && slot_of(p, id)->state == CQ_SLOT_READY &&
		           slot_of(p, id)->id == id;
	pthread_mutex_unlock(&p->lock);
	return complete;
}

bool cq_prealloc_possible(struct cq_prealloc *p, uint32_t id)
{
	struct cq_slot *slot = slot_of(p, id);
	bool possible;

	pthread_mutex_lock(&p->lock);
	possible = (slot->id == id && (slot->state == CQ_SLOT_READY || slot->reserved)) ||
	           !cq_quota_exhausted(p->quota);
	pthread_mutex_unlock(&p->lock);
	return possible;
}
