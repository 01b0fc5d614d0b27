/* SPDX-License-Identifier: Apache-2.0 */
/*
 * messages.c - what is said to people: ours, the library's and libfuse's
 *
 * Each is one line and names the queue; what it quotes cannot make it another, or command a terminal:
 * control characters are written as \xHH, as in the library's.  It goes to stderr, and to syslog once
 * the daemon has left its terminal: use_syslog says which.  Any thread may speak.
 */
#include "chronfs.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "fault.h"

#define MESSAGE_MAX 2048 /* paths are long */

/* libfuse hands its messages to a function of the whole process, some in several pieces. */
static struct {
	pthread_mutex_t lock;
	struct chronfs *fs;
	char line[512]; /* the pieces so far; what does not fit is left out */
	size_t length;
} fuse_messages = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* Whether the bytes there are a control character; those above 0x7f take two in UTF-8. */
static size_t control_length(const char *text)
{
	const unsigned char first = (unsigned char)text[0], second = (unsigned char)text[1];

	if (chronfs_planted("messages_raw"))
		return 0;
	if (first < 0x20 || first == 0x7f)
		return 1;
	return first == 0xc2 && second >= 0x80 && second < 0xa0 ? 2 : 0;
}

/* What does not fit is left out. */
static void escape(const char *message, char *line, size_t size)
{
	char *to = line;
	size_t control;

	while (*message && size - (size_t)(to - line) > 8) {
		control = control_length(message);
		if (control == 0)
			*to++ = *message++;
		for (; control > 0; control--)
			to += sprintf(to, "\\x%02x", (unsigned)(unsigned char)*message++);
	}
	*to = '\0';
}

static void say(struct chronfs *fs, enum cq_level level, const char *message)
{
	static const int priority[] = {
		[CQ_ERROR] = LOG_ERR,
		[CQ_WARNING] = LOG_WARNING,
		[CQ_NOTICE] = LOG_NOTICE,
	};

	char text[PATH_MAX + MESSAGE_MAX], line[2 * sizeof text];

	(void)snprintf(text, sizeof text, "%s: %s", fs->options.queue, message);
	escape(text, line, sizeof line);
	if (__atomic_load_n(&fs->use_syslog, __ATOMIC_ACQUIRE))
		syslog(priority[level], "%s", line);
	else
		(void)fprintf(stderr, "chronfs: %s\n", line);
}

void chronfs_say(struct chronfs *fs, enum cq_level level, const char *format, ...)
{
	char message[MESSAGE_MAX];
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
