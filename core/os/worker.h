/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker.h - a thread that calls a step function; core's only pthread_create
 *
 * All background work is a step function that a test can call without a thread.  A writer has two workers
 * (write/background.c): the preparer, on which rolls depend, and the flusher, whose system calls may take
 * long.
 */
#ifndef CQ_WORKER_H
#define CQ_WORKER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Does a piece of work.  Returns 0 to be called again at once, or the milliseconds after which to be
 * called again; cq_worker_kick() calls it earlier. */
typedef int (*cq_step_fn)(void *arg);

struct cq_worker {
	cq_step_fn step;
	void *arg;
	pthread_t thread;
	uint32_t spin_ns;
	bool running; /* only the thread that starts and stops it uses this */
	pthread_mutex_t lock;
	pthread_cond_t wake;
	_Atomic bool kicked; /* set under lock */
	bool stop;           /* under lock */
};

/* Initialises it; from here on it may be kicked.  spin_ns: before the thread falls asleep after a piece of
 * work, it watches this long for a kick: for work that comes in a quick series.  Workers that kick each other
 * are all initialised before the first is started, and all stopped before the first is released. */
void cq_worker_init(struct cq_worker *worker, cq_step_fn step, void *arg, uint32_t spin_ns);

/* Starts its thread.  name: up to 15 characters, shown by tools.  EAGAIN: the system has no thread left. */
int cq_worker_start(struct cq_worker *worker, const char *name);

/* There is work: the thread calls the step soon.  Without a thread it does nothing. */
void cq_worker_kick(struct cq_worker *worker);

/* Waits for a step that is running, and ends the thread.  Does nothing if there is no thread. */
void cq_worker_stop(struct cq_worker *worker);
void cq_worker_fini(struct cq_worker *worker);

#endif
