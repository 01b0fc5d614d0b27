/* SPDX-License-Identifier: Apache-2.0 */
/* worker.c - a thread that calls a step function; see worker.h */
#include "os/worker.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>

#include "os/clock.h"
#include "os/fault.h"

static void sleep_until_kicked(struct cq_worker *w, int ms)
{
	const struct timespec until = cq_deadline((uint32_t)ms);
	int r = 0;

	pthread_mutex_lock(&w->lock);
	while (!w->kicked && !w->stop && r != ETIMEDOUT)
		r = pthread_cond_timedwait(&w->wake, &w->lock, &until);
	pthread_mutex_unlock(&w->lock);
}

static void spin(struct cq_worker *w)
{
	const uint64_t end = cq_monotonic_ns() + w->spin_ns;

	do {
		for (int i = 0; i < 32; i++) {
			if (atomic_load(&w->kicked))
				return;
			cq_pause();
		}
	} while (cq_monotonic_ns() < end);
}

static void *run(void *arg)
{
	const struct sched_param none = { 0 };
	struct cq_worker *w = arg;
	bool stop, worked = false;

	/* A thread of this policy does not preempt the thread that wakes it: the appending thread,
	 * in the middle of a roll.  A failure changes nothing but speed. */
	(void)pthread_setschedparam(pthread_self(), SCHED_BATCH, &none);
	for (;;) {
		int ms;

		pthread_mutex_lock(&w->lock);
		stop = w->stop;
		w->kicked = false;
		pthread_mutex_unlock(&w->lock);
		if (stop)
			return NULL;
		ms = w->step(w->arg);
		if (ms > 0 && worked && w->spin_ns > 0)
			spin(w);
		if (ms > 0)
			sleep_until_kicked(w, ms);
		worked = ms == 0;
	}
}

void cq_worker_init(struct cq_worker *w, cq_step_fn step, void *arg, uint32_t spin_ns)
{
	pthread_condattr_t attr;

	*w = (struct cq_worker){ .step = step, .arg = arg, .spin_ns = spin_ns };
	pthread_mutex_init(&w->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&w->wake, &attr);
	pthread_condattr_destroy(&attr);
}

/* Signals that belong to the thread in which they arise: those of its own faults, which a crash handler has
 * to see (blocked, they would end the process without it; SIGBUS: sigbus.h), and a profiler's.  The program
 * chooses a thread for all others, so ours block them. */
static const int own[] = { SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGPROF, SIGSEGV, SIGSYS, SIGTRAP };

int cq_worker_start(struct cq_worker *w, const char *name)
{
	sigset_t others, old;
	int r;

	sigfillset(&others);
	for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
		sigdelset(&others, own[i]);
	pthread_sigmask(SIG_SETMASK, &others, &old);
	r = cq_failpoint("thread");
	if (r == 0)
		r = -pthread_create(&w->thread, NULL, run, w);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r < 0)
		return r;
	w->running = true;
	(void)pthread_setname_np(w->thread, name);
	return 0;
}

void cq_worker_kick(struct cq_worker *w)
{
	bool wake;

	pthread_mutex_lock(&w->lock);
	wake = !w->kicked;
	w->kicked = true;
	pthread_mutex_unlock(&w->lock);
	if (wake)
		pthread_cond_signal(&w->wake);
}

void cq_worker_stop(struct cq_worker *w)
{
	if (!w->running)
		return;
	pthread_mutex_lock(&w->lock);
	w->stop = true;
	pthread_mutex_unlock(&w->lock);
	pthread_cond_signal(&w->wake);
	pthread_join(w->thread, NULL);
	w->running = false;
}

void cq_worker_fini(struct cq_worker *w)
{
	cq_worker_stop(w);
	pthread_cond_destroy(&w->wake);
	pthread_mutex_destroy(&w->lock);
}
