/* SPDX-License-Identifier: Apache-2.0 */
/*
 * connect.c - connects, while signs of life of the reader and the metrics go on; see ship.h
 *
 * libnats tries one server after another, for two seconds each, and longer where a name is looked up in vain.  So a
 * thread of its own does that.  It cannot be ended: when a signal comes meanwhile, the process ends without it.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "shared/cli.h"
#include "ship/ship.h"

#define SLICE_MS 100 /* a signal ends it so soon */

/* Not on the stack: the thread may outlive it. */
static struct {
	struct jet_options options;
	struct jet *jet;
	char why[JET_WHY_MAX];
	int result;
	bool done; /* under lock; the others belong to the thread until then */
	pthread_mutex_t lock;
	pthread_cond_t changed;
} connecting = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.changed = PTHREAD_COND_INITIALIZER,
};

static void *open_jet(void *arg)
{
	connecting.result = jet_open(&connecting.options, &connecting.jet, connecting.why);
	pthread_mutex_lock(&connecting.lock);
	connecting.done = true;
	pthread_cond_signal(&connecting.changed);
	pthread_mutex_unlock(&connecting.lock);
	return arg;
}

static bool wait_for_thread(void)
{
	struct timespec end;
	bool done;

	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_nsec += SLICE_MS * 1000000L;
	end.tv_sec += end.tv_nsec / 1000000000;
	end.tv_nsec %= 1000000000;
	pthread_mutex_lock(&connecting.lock);
	if (!connecting.done)
		(void)pthread_cond_timedwait(&connecting.changed, &connecting.lock, &end);
	done = connecting.done;
	pthread_mutex_unlock(&connecting.lock);
	return done;
}

int ship_connect(struct ship *ship, const struct jet_options *options, char why[JET_WHY_MAX])
{
	sigset_t all, before;
	pthread_t thread;
	int r;

	connecting.options = *options;
	connecting.done = false;
	sigfillset(&all); /* signals are for the main thread */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = -pthread_create(&thread, NULL, open_jet, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r < 0) { /* GCOV_EXCL_BR_LINE: no memory */
		(void)snprintf(why, JET_WHY_MAX, "%s", cq_strerror(r));
		return r;
	}
	while (!wait_for_thread()) {
		r = cli_stopped ? -EINTR : ship_house(ship);
		if (r == 0)
			continue;
		ship->abandoned = true;
		pthread_detach(thread);
		return r;
	}
	pthread_join(thread, NULL);
	if (connecting.result == 0)
		ship->jet = connecting.jet;
	else
		memcpy(why, connecting.why, JET_WHY_MAX);
	return connecting.result;
}
