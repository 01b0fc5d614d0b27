/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log_queue.c - messages on their way to stderr or syslog, for which no thread has to wait
 *
 * Either way can be stuck: a pipe that nobody reads, a log daemon that is stopped.  So a thread of
 * its own writes, and only this thread waits.
 *
 * Invariants:
 *   - A thread holds the lock while it changes pointers, and never while it writes; so
 *     chronfs_log_queue_put() waits for no reader.
 *   - The memory of waiting messages is bounded.  When a message finds no room, the queue drops it
 *     and all later ones until the thread takes what waits.  So the missing messages are one gap,
 *     and the thread writes their number in the gap's place.
 *   - Of the mount, the thread uses struct chronfs_log_queue only.  A thread that is stuck when the
 *     mount has ended owns that struct, and ends with the process.
 */
#include "shared/log_queue.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "fault.h"

struct message {
	struct message *next;
	int priority;
	char line[];
};

struct chronfs_log_queue {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t work;    /* the thread waits for messages, or for the end */
	pthread_cond_t settled; /* other threads wait until all is written */
	/* all under lock */
	struct message *first, **end;
	size_t bytes;     /* of these messages */
	uint64_t dropped; /* messages behind the last of these */
	bool writing;     /* the thread is writing messages that it took */
	bool use_syslog;
	bool ending;
	bool abandoned; /* chronfs_log_queue_stop() did not wait for the thread, which frees this */
};

void chronfs_log_write_line(bool use_syslog, int priority, const char *line)
{
	const size_t prefix = sizeof CHRONFS_LOG_PREFIX - 1;
	struct pollfd room = { .fd = STDERR_FILENO, .events = POLLOUT };
	size_t length = strlen(line);
	ssize_t n;

	if (use_syslog && priority != CHRONFS_LOG_RAW) {
		syslog(priority, "%.*s", (int)(length - prefix - 1), line + prefix);
		return;
	}
	while (length > 0) {
		n = write(STDERR_FILENO, line, length);
		if (n < 0 &&
		    errno == EAGAIN) /* another process that shares it may want O_NONBLOCK */
			(void)poll(&room, 1, -1);
		else if (n < 0 && errno != EINTR)
			return;
		line += n > 0 ? n : 0;
		length -= n > 0 ? (size_t)n : 0;
	}
}

static void write_all(bool use_syslog, struct message *first, uint64_t dropped)
{
	char line[100];

	for (struct message *m = first; m; m = first) {
		chronfs_log_write_line(use_syslog, m->priority, m->line);
		first = m->next;
		free(m);
	}
	if (dropped == 0 || chronfs_planted("dropped_untold"))
		return;
	(void)snprintf(line, sizeof line,
	               CHRONFS_LOG_PREFIX "messages dropped here because nobody read them: %" PRIu64
	                                  "\n",
	               dropped);
	chronfs_log_write_line(use_syslog, LOG_WARNING, line);
}

static void free_log(struct chronfs_log_queue *log)
{
	pthread_cond_destroy(&log->settled);
	pthread_cond_destroy(&log->work);
	pthread_mutex_destroy(&log->lock);
	free(log);
}

static void *write_messages(void *arg)
{
	struct chronfs_log_queue *log = arg;
	struct message *first;
	bool use_syslog, abandoned;
	uint64_t dropped;

	pthread_mutex_lock(&log->lock);
	for (;;) {
		log->writing = false;
		while (!log->first && log->dropped == 0 && !log->ending) {
			pthread_cond_broadcast(&log->settled);
			pthread_cond_wait(&log->work, &log->lock);
		}
		if (!log->first && log->dropped == 0)
			break;
		first = log->first;
		dropped = log->dropped;
		use_syslog = log->use_syslog;
		log->first = NULL;
		log->end = &log->first;
		log->bytes = 0;
		log->dropped = 0;
		log->writing = true;
		pthread_mutex_unlock(&log->lock);
		write_all(use_syslog, first, dropped);
		pthread_mutex_lock(&log->lock);
	}
	abandoned = log->abandoned;
	pthread_mutex_unlock(&log->lock);
	if (abandoned)
		free_log(log);
	return NULL;
}

/* Under the lock: waits until all is written, for CHRONFS_LOG_WAIT_S at most.  False: it is not. */
static bool await_settled(struct chronfs_log_queue *log)
{
	struct timespec until;
	int r = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += CHRONFS_LOG_WAIT_S;
	while (r == 0 && (log->first || log->dropped > 0 || log->writing))
		r = pthread_cond_timedwait(&log->settled, &log->lock, &until);
	return r == 0;
}

int chronfs_log_queue_start(struct chronfs_log_queue **ret_log)
{
	pthread_condattr_t monotonic;
	struct chronfs_log_queue *log;
	int r;

	log = calloc(1, sizeof *log);
	if (!log)
		return -ENOMEM;
	log->end = &log->first;
	pthread_mutex_init(&log->lock, NULL);
	pthread_cond_init(&log->work, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&log->settled, &monotonic);
	pthread_condattr_destroy(&monotonic);
	r = pthread_create(&log->thread, NULL, write_messages, log);
	if (r != 0) {
		free_log(log);
		return -r;
	}
	*ret_log = log;
	return 0;
}

void chronfs_log_queue_put(struct chronfs_log_queue *log, int priority, const char *line)
{
	const size_t size = sizeof(struct message) + strlen(line) + 1;
	struct message *m = NULL;

	pthread_mutex_lock(&log->lock);
	if (log->dropped == 0 && log->bytes + size <= CHRONFS_LOG_BYTES)
		m = malloc(size);
	if (m) {
		m->next = NULL;
		m->priority = priority;
		memcpy(m->line, line, size - sizeof *m);
		*log->end = m;
		log->end = &m->next;
		log->bytes += size;
	} else {
		log->dropped++;
	}
	pthread_cond_signal(&log->work);
	pthread_mutex_unlock(&log->lock);
}

void chronfs_log_queue_to_syslog(struct chronfs_log_queue *log)
{
	openlog("chronfs", LOG_PID, LOG_DAEMON);
	if (!log)
		return;
	pthread_mutex_lock(&log->lock);
	(void)await_settled(log);
	log->use_syslog = true;
	pthread_mutex_unlock(&log->lock);
}

void chronfs_log_queue_stop(struct chronfs_log_queue *log)
{
	bool settled;

	if (!log)
		return;
	pthread_mutex_lock(&log->lock);
	settled = await_settled(log);
	log->ending = true;
	log->abandoned = !settled;
	if (!settled)
		pthread_detach(log->thread); /* under the lock, so it still exists */
	pthread_cond_signal(&log->work);
	pthread_mutex_unlock(&log->lock);
	if (!settled)
		return;
	pthread_join(log->thread, NULL);
	free_log(log);
}
