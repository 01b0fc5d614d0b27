/* SPDX-License-Identifier: Apache-2.0 */
/*
 * background.c - the thread for work that no request does
 *
 * Requests that wait for room, open lines with a timeout, the jobs of ctl, and pollers: each has a
 * step, which does what is due now and says in how many milliseconds it must be called again.  The
 * thread calls all steps, then sleeps until the earliest of these times or until a wake.
 *
 * Invariant: a thread that makes a step due earlier wakes the background thread afterwards.  A wake
 * during the steps makes them run once more.
 */
#include "held/background.h"

#include <errno.h>
#include <stdlib.h>

#include "chronfs.h"

/* Exists from before the queue is opened until after it is closed, since the library's threads wake
 * it.  The thread ends earlier. */
struct chronfs_background {
	pthread_t thread;
	const chronfs_step_fn *steps; /* constant */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool woken; /* under lock */
	bool stop;  /* under lock */
};

static struct timespec after(int ms)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += ms / 1000;
	t.tv_nsec += ms % 1000 * 1000000L;
	if (t.tv_nsec >= 1000000000L) {
		t.tv_sec++;
		t.tv_nsec -= 1000000000L;
	}
	return t;
}

/* Runs the steps.  Returns in how many milliseconds the next one is due; -1: after a wake. */
static int run_steps(struct chronfs *fs)
{
	int next = -1;

	for (const chronfs_step_fn *step = fs->background->steps; *step; step++) {
		int ms = (*step)(fs);

		if (ms >= 0 && (next < 0 || ms < next))
			next = ms;
	}
	return next;
}

static void *run_background(void *arg)
{
	struct chronfs *fs = arg;
	struct chronfs_background *b = fs->background;
	struct timespec due;
	int next;

	pthread_mutex_lock(&b->lock);
	while (!b->stop) {
		b->woken = false;
		pthread_mutex_unlock(&b->lock);
		next = run_steps(fs);
		due = after(next);
		pthread_mutex_lock(&b->lock);
		while (!b->woken && !b->stop) {
			if (next < 0)
				pthread_cond_wait(&b->changed, &b->lock);
			else if (pthread_cond_timedwait(&b->changed, &b->lock, &due) == ETIMEDOUT)
				break;
		}
	}
	pthread_mutex_unlock(&b->lock);
	return NULL;
}

int chronfs_background_start(struct chronfs *fs, const chronfs_step_fn *steps)
{
	struct chronfs_background *b;
	pthread_condattr_t attr;
	int r;

	b = calloc(1, sizeof *b);
	if (!b)
		return -ENOMEM;
	b->steps = steps;
	pthread_mutex_init(&b->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&b->changed, &attr);
	pthread_condattr_destroy(&attr);
	fs->background = b;
	r = pthread_create(&b->thread, NULL, run_background, fs);
	if (r == 0) {
		(void)pthread_setname_np(b->thread, "chronfs-bg");
		return 0;
	}
	pthread_cond_destroy(&b->changed);
	pthread_mutex_destroy(&b->lock);
	free(b);
	fs->background = NULL;
	return -r;
}

void chronfs_background_wake(struct chronfs *fs)
{
	struct chronfs_background *b = fs->background;

	if (!b)
		return;
	pthread_mutex_lock(&b->lock);
	b->woken = true;
	pthread_cond_signal(&b->changed);
	pthread_mutex_unlock(&b->lock);
}

void chronfs_background_stop(struct chronfs *fs)
{
	struct chronfs_background *b = fs->background;

	if (!b)
		return;
	pthread_mutex_lock(&b->lock);
	b->stop = true;
	pthread_cond_signal(&b->changed);
	pthread_mutex_unlock(&b->lock);
	pthread_join(b->thread, NULL);
}

void chronfs_background_fini(struct chronfs *fs)
{
	struct chronfs_background *b = fs->background;

	if (!b)
		return;
	fs->background = NULL;
	pthread_cond_destroy(&b->changed);
	pthread_mutex_destroy(&b->lock);
	free(b);
}
