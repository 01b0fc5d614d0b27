/* SPDX-License-Identifier: Apache-2.0 */
/*
 * messages.c - what is said to people: ours, the library's and libfuse's
 *
 * Each is one line and names the queue.  It goes to stderr, and to syslog once the daemon has left
 * its terminal: use_syslog says which.  Any thread may speak.
 */
#include "chronfs.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

/* libfuse hands its messages to a function of the whole process, some in several pieces. */
static struct {
	pthread_mutex_t lock;
	struct chronfs *fs;
	char line[512]; /* the pieces so far; what does not fit is left out */
	size_t length;
} fuse_messages = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void say(struct chronfs *fs, enum cq_level level, const char *message)
{
	static const int priority[] = {
		[CQ_ERROR] = LOG_ERR,
		[CQ_WARNING] = LOG_WARNING,
		[CQ_NOTICE] = LOG_NOTICE,
	};

	if (__atomic_load_n(&fs->use_syslog, __ATOMIC_ACQUIRE))
		syslog(priority[level], "%s: %s", fs->options.queue, message);
	else
		(void)fprintf(stderr, "chronfs: %s: %s\n", fs->options.queue, message);
}

void chronfs_say(struct chronfs *fs, enum cq_level level, const char *format, ...)
{
	char message[2048]; /* paths are long */
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(message, sizeof message, format, ap);
	va_end(ap);
	say(fs, level, message);
}

void chronfs_log(void *arg, enum cq_level level, const char *message)
{
	say(arg, level, message);
}

static enum cq_level level_of(enum fuse_log_level level)
{
	if (level <= FUSE_LOG_ERR)
		return CQ_ERROR;
	return level == FUSE_LOG_WARNING ? CQ_WARNING : CQ_NOTICE;
}

__attribute__((format(printf, 2, 0))) static void say_fuse(enum fuse_log_level level,
                                                           const char *format, va_list ap)
{
	char message[sizeof fuse_messages.line];
	bool complete = false;
	size_t room;
	int n;

	if (level >= FUSE_LOG_INFO) { /* what -d shows */
		(void)vfprintf(stderr, format, ap);
		return;
	}
	pthread_mutex_lock(&fuse_messages.lock);
	room = sizeof fuse_messages.line - fuse_messages.length;
	n = vsnprintf(fuse_messages.line + fuse_messages.length, room, format, ap);
	if (n > 0)
		fuse_messages.length += (size_t)n < room ? (size_t)n : room - 1;
	if (n > 0 && (fuse_messages.length == sizeof fuse_messages.line - 1 ||
	              fuse_messages.line[fuse_messages.length - 1] == '\n')) {
		memcpy(message, fuse_messages.line, sizeof message);
		message[strcspn(message, "\n")] = '\0';
		fuse_messages.length = 0;
		complete = true;
	}
	pthread_mutex_unlock(&fuse_messages.lock);
	if (complete)
		say(fuse_messages.fs, level_of(level), message);
}

void chronfs_log_fuse(struct chronfs *fs)
{
	fuse_messages.fs = fs;
	fuse_set_log_func(fs ? say_fuse : NULL);
}

void chronfs_log_to_syslog(struct chronfs *fs)
{
	openlog("chronfs", LOG_PID, LOG_DAEMON);
	__atomic_store_n(&fs->use_syslog, true, __ATOMIC_RELEASE);
}
