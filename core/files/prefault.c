/* SPDX-License-Identifier: Apache-2.0 */
/* prefault.c - makes the pages ahead of the writer present; see prefault.h */
#include "files/prefault.h"

#include "os/fault.h"

/* Under lock: half a window before the end of what is present. */
static void set_wanted(struct cq_prefault *p, const struct cq_wsegment *s)
{
	uint64_t populated = __atomic_load_n(&s->populated, __ATOMIC_RELAXED);
	uint64_t at = UINT64_MAX;

	if (populated < s->map.size)
		at = populated > CQ_PREFAULT_WINDOW / 2 ? populated - CQ_PREFAULT_WINDOW / 2 : 0;
	atomic_store_explicit(&p->wanted_at, at, memory_order_relaxed);
}

/* Under lock, or before there is a preparer. */
static void follow(struct cq_prefault *p, struct cq_wsegment *current)
{
	p->segment = current;
	atomic_store_explicit(&p->tail, current->used, memory_order_relaxed);
	set_wanted(p, current);
}

void cq_prefault_init(struct cq_prefault *p, struct cq_wsegment *current)
{
	pthread_mutex_init(&p->lock, NULL);
	follow(p, current);
}

void cq_prefault_fini(struct cq_prefault *p)
{
	pthread_mutex_destroy(&p->lock);
}

void cq_prefault_follow(struct cq_prefault *p, struct cq_wsegment *current)
{
	pthread_mutex_lock(&p->lock);
	follow(p, current);
	pthread_mutex_unlock(&p->lock);
}

void cq_prefault_step(struct cq_prefault *p)
{
	struct cq_wsegment *s;
	uint64_t from, tail;
	bool near;

	cq_point("prefault.begun");
	pthread_mutex_lock(&p->lock);
	s = p->segment;
	tail = atomic_load_explicit(&p->tail, memory_order_relaxed);
	from = __atomic_load_n(&s->populated, __ATOMIC_RELAXED);
	if (from < tail) /* opened with records in it, or the writer was faster */
		from = tail;
	near = from < s->map.size && from - tail < CQ_PREFAULT_WINDOW;
	if (near)
		__atomic_fetch_add(&s->mapping_users, 1, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&p->lock);
	if (!near)
		return;
	(void)cq_wsegment_prefault(s, from);
	/* The roll is near, and will store the seal.  If the header's page was written back meanwhile,
	 * it would have to be made writable again under the writer lock. */
	if (__atomic_load_n(&s->populated, __ATOMIC_RELAXED) == s->map.size)
		(void)cq_mapping_populate(&s->map, 0, sizeof(struct cq_segment_header));
	pthread_mutex_lock(&p->lock);
	if (p->segment == s)
		set_wanted(p, s);
	pthread_mutex_unlock(&p->lock);
	__atomic_fetch_sub(&s->mapping_users, 1, __ATOMIC_RELEASE);
}
