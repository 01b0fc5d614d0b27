/* SPDX-License-Identifier: Apache-2.0 */
/* sealed.c - the sealed segments on their way from the roll to their sync; see flush.h */
#include "write/flush.h"

#include "os/clock.h"
#include "write/writer.h"

/* Without a request, a sealed segment is synced when it is this old, or when this many wait: rolls
 * come in bursts that share a sync, and what is deleted meanwhile needs none. */
#define DELAY_MS 50
#define MANY 128

void cq_flush_add_sealed(cq_writer *w, struct cq_wsegment *segment)
{
	struct cq_flush *f = &w->flush;

	segment->sealed_ms = cq_boottime_ms();
	pthread_mutex_lock(&f->lock);
	if (f->sealed)
		f->sealed_last->next = segment;
	else
		f->sealed = segment;
	f->sealed_last = segment;
	f->unsynced++;
	f->open++;
	if (f->sealed == segment || f->unsynced >= f->look_at)
		f->wants_wake = true;
	pthread_mutex_unlock(&f->lock);
}

void cq_flush_deleted(cq_writer *w)
{
	struct cq_flush *f = &w->flush;

	pthread_mutex_lock(&f->lock);
	f->look_at = 0;
	pthread_mutex_unlock(&f->lock);
	cq_worker_kick(&w->flusher);
}

uint64_t cq_flush_open(cq_writer *w)
{
	uint64_t n;

	pthread_mutex_lock(&w->flush.lock);
	n = w->flush.open;
	pthread_mutex_unlock(&w->flush.lock);
	return n;
}

bool cq_flush_wants_wake(cq_writer *w)
{
	struct cq_flush *f = &w->flush;
	bool wants;

	pthread_mutex_lock(&f->lock);
	wants = f->wants_wake;
	f->wants_wake = false;
	pthread_mutex_unlock(&f->lock);
	return wants;
}

uint64_t cq_flush_unsynced(cq_writer *w)
{
	uint64_t n;

	pthread_mutex_lock(&w->flush.lock);
	n = w->flush.unsynced;
	pthread_mutex_unlock(&w->flush.lock);
	return n;
}

int cq_sealed_due(cq_writer *w)
{
	struct cq_flush *f = &w->flush;
	uint64_t waited;
	int due = -1;

	pthread_mutex_lock(&f->lock);
	if (f->sealed) {
		waited = cq_boottime_ms() - f->sealed->sealed_ms;
		due = waited < DELAY_MS ? (int)(DELAY_MS - waited) : 0;
		if (f->unsynced >= f->look_at)
			due = 0;
	}
	pthread_mutex_unlock(&f->lock);
	return due;
}

bool cq_sealed_many(const struct cq_flush *f)
{
	return f->unsynced >= MANY;
}

void cq_sealed_classify(struct cq_wsegment *list, bool all)
{
	const uint64_t now = cq_boottime_ms();

	for (struct cq_wsegment *s = list; s; s = s->next) {
		if (cq_wsegment_is_deleted(s))
			s->fate = CQ_FATE_DROP;
		else if (!all && now - s->sealed_ms < DELAY_MS)
			s->fate = CQ_FATE_WAIT;
		else
			s->fate = CQ_FATE_SYNC;
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
	if (!f->sealed)
		f->sealed_last = last;
	last->next = f->sealed;
	f->sealed = waiting;
}

struct cq_wsegment *cq_sealed_split(struct cq_flush *f, struct cq_wsegment *list, bool *ret_dropped)
{
	struct cq_wsegment *lists[CQ_FATES] = { NULL };
	struct cq_wsegment **ends[CQ_FATES], *next;

	for (int i = 0; i < CQ_FATES; i++)
		ends[i] = &lists[i];
	for (struct cq_wsegment *s = list; s; s = next) {
		next = s->next;
		s->next = NULL;
		*ends[s->fate] = s;
		ends[s->fate] = &s->next;
		if (s->fate == CQ_FATE_DROP)
			f->unsynced--;
	}
	*ret_dropped = lists[CQ_FATE_DROP] != NULL;
	cq_sealed_append(&f->synced, lists[CQ_FATE_DROP]);
	put_back(f, lists[CQ_FATE_WAIT]);
	return lists[CQ_FATE_SYNC];
}
