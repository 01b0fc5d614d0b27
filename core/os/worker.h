/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker.h - a thread that calls a step function; core's only pthread_create
 *
 * All background work is a step that a test can call without a thread.  A writer has two workers:
 * the preparer (prealloc.c, prefault in writer.c), on which rolls depend, and the flusher (flush.c,
 * retention.c), whose system calls may take long.
 */
#ifndef CQ_WORKER_H
#define CQ_WORKER_H

#include <pthread.h>
#include <stdbool.h>

/* Does a piece of work.  Returns 0 to be called again at once, or the milliseconds after which to be
 * called again unless cq_worker_kick() comes first. */
typedef int (*cq_step_fn)(void *arg);

struct cq_worker {
	cq_step_fn step;
	void *arg;
	pthread_t thread;
	bool running; /* its starter's alone */
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool kicked; /* under lock */
	bool stop;   /* under lock */
};

/* Makes it; from here on it may be kicked.  Workers that kick each other are all made before the first
 * is started, and all stopped before the first is released. */
void cq_worker_init(struct cq_worker *worker, cq_step_fn step, void *arg);

/* Starts its thread.  name: up to 15 characters, as tools show it.  EAGAIN: no thread to be had. */
int cq_worker_start(struct cq_worker *worker, const char *name);

/* There is something to do.  Of no effect without a thread. */
void cq_worker_kick(struct cq_worker *worker);

/* Waits for the step under way, if any, and ends the thread.  Harmless if it was not started. */
void cq_worker_stop(struct cq_worker *worker);
void cq_worker_fini(struct cq_worker *worker);

#endif
