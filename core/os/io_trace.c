/* SPDX-License-Identifier: Apache-2.0 */
/* io_trace.c - a test observes what a run does to files; see io_trace.h */
#include "os/io_trace.h"

#include <pthread.h>
#include <stddef.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static void (*observer)(void *arg, const struct cq_event *event); /* atomic */
static void *observer_arg;

void cq_io_trace_set(void (*observe)(void *arg, const struct cq_event *event), void *arg)
{
	pthread_mutex_lock(&lock);
	observer_arg = arg;
	__atomic_store_n(&observer, observe, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&lock);
}

void cq_io_trace_call(enum cq_event_kind kind, int dirfd, int fd, const char *name, const char *to)
{
	const struct cq_event event = {
		.kind = kind, .dirfd = dirfd, .fd = fd, .name = name, .to = to
	};

	if (!__atomic_load_n(&observer, __ATOMIC_ACQUIRE))
		return;
	/* one event at a time: an observer sees them in one order */
	pthread_mutex_lock(&lock);
	if (observer)
		observer(observer_arg, &event);
	pthread_mutex_unlock(&lock);
}
