/* SPDX-License-Identifier: Apache-2.0 */
/* shelf.c - the last few segments that were read, mapped; see shelf.h */
#include "stream/shelf.h"

#include <errno.h>

void cq_shelf_init(struct cq_shelf *shelf, cq_queue *queue)
{
	*shelf = (struct cq_shelf){ .queue = queue };
	pthread_mutex_init(&shelf->lock, NULL);
}

void cq_shelf_fini(struct cq_shelf *shelf)
{
	for (unsigned i = 0; i < CQ_SHELF_SLOTS; i++)
		cq_payload_close(shelf->slots[i]);
	pthread_mutex_destroy(&shelf->lock);
}

/* Under the lock: one user less.  Returns the segment if that was the last, for the caller to
 * close. */
static struct cq_payload *release(struct cq_payload *payload)
{
	return payload && --payload->users == 0 ? payload : NULL;
}

/* Under the lock. */
static struct cq_payload *take_here(struct cq_shelf *shelf, uint32_t id)
{
	for (unsigned i = 0; i < CQ_SHELF_SLOTS; i++) {
		struct cq_payload *p = shelf->slots[i];

		if (p && p->view.id == id) {
			p->users++;
			p->used = ++shelf->takings;
			return p;
		}
	}
	return NULL;
}

/* Under the lock: a free slot, or the one whose segment was not taken for the longest time. */
static unsigned choose_slot(const struct cq_shelf *shelf)
{
	unsigned chosen = 0;

	for (unsigned i = 0; i < CQ_SHELF_SLOTS; i++) {
		if (!shelf->slots[i])
			return i;
		if (shelf->slots[i]->used < shelf->slots[chosen]->used)
			chosen = i;
	}
	return chosen;
}

int cq_shelf_take(struct cq_shelf *shelf, uint32_t id, struct cq_payload **ret_payload)
{
	struct cq_payload *payload, *unused = NULL, *opened;
	unsigned slot;
	int r;

	pthread_mutex_lock(&shelf->lock);
	payload = take_here(shelf, id);
	pthread_mutex_unlock(&shelf->lock);
	if (!payload) {
		r = cq_payload_open(shelf->queue, id, &opened);
		if (r < 0)
			return r;
		pthread_mutex_lock(&shelf->lock);
		payload = take_here(shelf, id);
		if (payload) { /* another thread was faster */
			unused = opened;
		} else {
			payload = opened;
			payload->users = 2; /* the caller and the shelf */
			payload->used = ++shelf->takings;
			slot = choose_slot(shelf);
			unused = release(shelf->slots[slot]);
			shelf->slots[slot] = payload;
		}
		pthread_mutex_unlock(&shelf->lock);
		cq_payload_close(unused);
	}
	*ret_payload = payload;
	return 0;
}

void cq_shelf_put(struct cq_shelf *shelf, struct cq_payload *payload)
{
	struct cq_payload *unused;

	pthread_mutex_lock(&shelf->lock);
	unused = release(payload);
	pthread_mutex_unlock(&shelf->lock);
	cq_payload_close(unused);
}

void cq_shelf_discard(struct cq_shelf *shelf, const struct cq_payload *payload)
{
	struct cq_payload *unused = NULL;

	pthread_mutex_lock(&shelf->lock);
	for (unsigned i = 0; i < CQ_SHELF_SLOTS; i++) {
		if (shelf->slots[i] == payload) {
			unused = release(shelf->slots[i]);
			shelf->slots[i] = NULL;
		}
	}
	pthread_mutex_unlock(&shelf->lock);
	cq_payload_close(unused);
}

void cq_shelf_drop_below(struct cq_shelf *shelf, uint32_t id)
{
	struct cq_payload *unused[CQ_SHELF_SLOTS];
	unsigned count = 0;

	pthread_mutex_lock(&shelf->lock);
	for (unsigned i = 0; i < CQ_SHELF_SLOTS; i++) {
		if (shelf->slots[i] && shelf->slots[i]->view.id < id) {
			unused[count++] = release(shelf->slots[i]);
			shelf->slots[i] = NULL;
		}
	}
	pthread_mutex_unlock(&shelf->lock);
	while (count-- > 0)
		cq_payload_close(unused[count]);
}
