/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fd.c - a descriptor that is readable while cq_reader_next() may give something: for poll(2) and its like
 *
 * The descriptor is an eventfd, and a thread makes it readable.  The thread has a look of its own: an anonymous
 * reader at the same place, which it alone uses and which waits as cq_reader_wait() does.
 *
 * Invariant: the descriptor is readable unless cq_reader_next() has returned 0 at the reader's place and the thread
 * has been told to watch it (`armed`).  cq_reader_next() takes the readability away, then hands the place over.
 * The thread looks there before it sleeps, so it finds a record that came in between.  A move of the reader makes
 * the descriptor readable.
 *
 * The place may change while the thread sleeps at an earlier one, which then was at the end of the queue, as the
 * new one is.  So whatever is appended wakes the thread, and it goes to the new place: `round` tells them apart.
 *
 * A close wakes the thread out of the futex, where it sleeps on a word of the queue, by a call for all readers:
 * those of others look and sleep again.
 */
#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "os/clock.h"
#include "os/io.h"
#include "os/process.h"
#include "os/worker.h"
#include "read/reader.h"

#define REST_MS 60000 /* of the thread, while it has nothing to watch */
#define AGAIN_MS 20U  /* after a place that could not be looked at */
#define POLL_MS_MIN 1U
#define POLL_PART 8U /* polls come late by such a part of the time for which nothing came */

uint32_t cq_bridge_slice_ms = CQ_BRIDGE_SLICE_MS;

struct place {
	bool mapped, exact;
	uint32_t segment;
	uint64_t offset;
};

struct cq_bridge {
	int fd;
	struct cq_worker worker;
	_Atomic bool stop;
	_Atomic bool sleeping; /* on the futex, or about to */

	pthread_mutex_t lock; /* of the following */
	bool armed;           /* it is not readable, and the thread watches `place` */
	uint64_t round;       /* + 1 with each place */
	struct place place;

	/* the thread's */
	struct cq_reader look;
	uint64_t at_round;
	uint64_t since_ns; /* when it came to its place */
};

static void make_readable(struct cq_bridge *b)
{
	const uint64_t one = 1;

	b->armed = false;
	(void)!write(b->fd, &one, sizeof one); /* it cannot fail: the count is 0 or 1 */
}

/* ---- the thread ---- */

static int go_to(struct cq_bridge *b, const struct place *place)
{
	struct cq_reader *look = &b->look;
	struct cq_mapped mapped;
	int r;

	if (!place->mapped) {
		cq_reader_unplace(look);
		look->segment = place->segment;
		look->exact = place->exact;
		look->offset = place->offset;
		return 0;
	}
	if (look->base && look->segment == place->segment) {
		look->offset = place->offset;
		look->pending = 0;
		return 0;
	}
	r = cq_reader_mapped(look, place->segment, &mapped);
	if (r == 0)
		cq_reader_place(look, &mapped, place->offset);
	return r;
}

/* Something is there, unless the reader has moved on. */
static void announce(struct cq_bridge *b)
{
	pthread_mutex_lock(&b->lock);
	if (b->armed && b->round == b->at_round) /* GCOV_EXCL_BR_LINE: a move just then */
		make_readable(b);
	pthread_mutex_unlock(&b->lock);
}

/* As the other waits (wait.c), but in slices of a second: 0, to be called again; or when to. */
static int sleep_on(struct cq_bridge *b)
{
	struct cq_control *control = &b->look.control;
	uint64_t late_ms;
	uint32_t seen;

	if (control->page && control->writable) {
		atomic_store(&b->sleeping, true);
		seen = cq_control_wait_begin(control);
		if (!atomic_load(&b->stop) && !cq_reader_ready(&b->look))
			(void)cq_control_wait(control, seen, (int)cq_bridge_slice_ms);
		cq_control_wait_end(control);
		atomic_store(&b->sleeping, false);
		return 0;
	}
	late_ms = (cq_monotonic_ns() - b->since_ns) / 1000000U / POLL_PART;
	if (late_ms > CQ_BRIDGE_SLICE_MS)
		late_ms = CQ_BRIDGE_SLICE_MS;
	return late_ms < POLL_MS_MIN ? (int)POLL_MS_MIN : (int)late_ms;
}

/* A cq_step_fn. */
static int watch(void *arg)
{
	struct cq_bridge *b = arg;
	struct place place;
	bool armed, moved;

	pthread_mutex_lock(&b->lock);
	armed = b->armed;
	moved = b->round != b->at_round;
	place = b->place;
	b->at_round = b->round;
	pthread_mutex_unlock(&b->lock);
	if (!armed)
		return REST_MS;
	if (moved) {
		b->since_ns = cq_monotonic_ns();
		b->look.pending = go_to(b, &place);
		if (b->look.pending <
		    0) /* the caller finds out; not too often, for it may ask again at once */
			nanosleep(&(struct timespec){ .tv_nsec = AGAIN_MS * 1000000L }, NULL);
	}
	cq_reader_control(&b->look);
	if (cq_reader_ready(&b->look)) {
		announce(b);
		return 0;
	}
	return sleep_on(b);
}

/* ---- the reader ---- */

void cq_bridge_arm(cq_reader *reader)
{
	struct cq_bridge *b = reader->bridge;
	const struct place place = { reader->base != NULL, reader->exact, reader->segment,
		                     reader->offset };
	uint64_t count;
	bool known;

	pthread_mutex_lock(&b->lock);
	known = b->armed && b->place.mapped == place.mapped && b->place.segment == place.segment &&
	        b->place.offset == place.offset;
	if (!b->armed)
		(void)!read(b->fd, &count, sizeof count);
	if (!known) {
		b->place = place;
		b->round++;
		b->armed = true;
	}
	pthread_mutex_unlock(&b->lock);
	if (!known)
		cq_worker_kick(&b->worker);
}

void cq_bridge_moved(cq_reader *reader)
{
	struct cq_bridge *b = reader->bridge;

	pthread_mutex_lock(&b->lock);
	if (b->armed)
		make_readable(b);
	pthread_mutex_unlock(&b->lock);
}

int cq_reader_fd(cq_reader *reader)
{
	struct cq_bridge *b = reader->bridge;
	int r;

	if (cq_process_forked(reader->process))
		return -ECHILD;
	if (b)
		return b->fd;
	b = calloc(1, sizeof *b);
	if (!b)
		return -ENOMEM;
	r = cq_io_event(1, &b->fd);
	if (r < 0) {
		free(b);
		return r;
	}
	cq_reader_scout(&b->look, reader->queue);
	if (b->look.control.page) /* mapped for reading alone */
		cq_control_close(&b->look.control);
	b->look.passive = reader->passive;
	pthread_mutex_init(&b->lock, NULL);
	cq_worker_init(&b->worker, watch, b, 0);
	reader->bridge = b;
	r = cq_worker_start(&b->worker, "cq-reader-fd");
	if (r < 0) {
		cq_bridge_close(reader);
		return r;
	}
	return b->fd;
}

void cq_bridge_close(cq_reader *reader)
{
	struct cq_bridge *b = reader->bridge;

	if (!b)
		return;
	atomic_store(&b->stop, true);
	cq_reader_control(reader); /* the thread may have mapped a new one */
	while (atomic_load(&b->sleeping)) {
		if (reader->control.page)
			cq_control_wake_readers(&reader->control);
		nanosleep(&(struct timespec){ .tv_nsec = 200000 }, NULL);
	}
	cq_worker_fini(&b->worker);
	cq_reader_scout_end(&b->look);
	pthread_mutex_destroy(&b->lock);
	close(b->fd);
	free(b);
	reader->bridge = NULL;
}
