/* SPDX-License-Identifier: Apache-2.0 */
/*
 * background.c - the one thread for what no request does
 *
 * Lines that have waited long enough, writes that wait for room, work asked for through ctl, and
 * those who poll: each has a step that does what is due now and says in how many milliseconds it has
 * to be called again.  The thread calls them all, then sleeps until the earliest, or until it is
 * woken.  Invariant: who makes something due before that time wakes it after having done so; a wake
 * during the steps makes them run once more.
 */
#include "held/background.h"

#include <errno.h>
#include <stdlib.h>

#include "chronfs.h"

/* Exists from before the queue is opened until after it is closed, since the library's threads wake
 * it; the thread in it ends earlier. */
struct chronfs_background {
	pthread_t thread;
	const chronfs_step_fn *steps; /* constant */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool woken; /* under lock, as is the next */
	bool stop;
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

/* Runs the steps; milliseconds until the next one is due, -1: none is. */
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

static void *tick(void *arg)
{
	struct chronfs *fs = arg;
	struct chronfs_background *t = fs->background;
	struct timespec due;
	int next;

	pthread_mutex_lock(&t->lock);
	while (!t->stop) {
		t->woken = false;
		pthread_mutex_unlock(&t->lock);
		next = run_steps(fs);
		due = after(next);
		pthread_mutex_lock(&t->lock);
		while (!t->woken && !t->stop) {
			if (next < 0)
				pthread_cond_wait(&t->changed, &t->lock);
			else if (pthread_cond_timedwait(&t->changed, &t->lock, &due) == ETIMEDOUT)
				break;
		}
	}
	pthread_mutex_unlock(&t->lock);
	return NULL;
}

int chronfs_background_start(struct chronfs *fs, const chronfs_step_fn *steps)
{
	struct chronfs_background *t;
	pthread_condattr_t attr;
	int r;

	t = calloc(1, sizeof *t);
	if (!t)
		return -ENOMEM;
	t->steps = steps;
	pthread_mutex_init(&t->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&t->changed, &attr);
	pthread_condattr_destroy(&attr);
	fs->background = t;
	r = pthread_create(&t->thread, NULL, tick, fs);
	if (r == 0) {
		(void)pthread_setname_np(t->thread, "chronfs-bg");
		return 0;
	}
	pthread_cond_destroy(&t->changed);
	pthread_mutex_destroy(&t->lock);
	free(t);
	fs->background = NULL;
	return -r;
}

void chronfs_background_wake(struct chronfs *fs)
{
	struct chronfs_background *t = fs->background;

	if (!t)
		return;
	pthread_mutex_lock(&t->lock);
	t->woken = true;
	pthread_cond_signal(&t->changed);
	pthread_mutex_unlock(&t->lock);
}

void chronfs_background_stop(struct chronfs *fs)
{
	struct chronfs_background *t = fs->background;

	if (!t)
		return;
	pthread_mutex_lock(&t->lock);
	t->stop = true;
	pthread_cond_signal(&t->changed);
	pthread_mutex_unlock(&t->lock);
	pthread_join(t->thread, NULL);
}

void chronfs_background_fini(struct chronfs *fs)
{
	struct chronfs_background *t = fs->background;

	if (!t)
		return;
	fs->background = NULL;
	pthread_cond_destroy(&t->changed);
	pthread_mutex_destroy(&t->lock);
	free(t);
}
