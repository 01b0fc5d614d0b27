/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log.c - messages to people: ours, the library's and libfuse's
 *
 * Each message is one line and names the queue.  cq_printable() escapes the text that a message
 * quotes, so that this text neither begins another line nor controls a terminal.  Any thread may
 * log.  Before the log queue (log_queue.h) starts, a thread writes its messages to stderr itself:
 * those of the command line and those before the fork.  Then the log queue takes them, and no
 * thread waits.
 */
#include "shared/log.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "chronfs.h"
#include "shared/log_queue.h"

#define MESSAGE_MAX (PATH_MAX + 2048) /* a path, and text about it */

/* libfuse gives its messages to one function of the process, some in several pieces. */
static struct {
	pthread_mutex_t lock;
	struct chronfs *fs;
	bool mute;      /* while the only thread asks which options libfuse knows */
	char line[512]; /* the pieces so far, as far as they fit; under lock */
	size_t length;  /* of line; under lock */
} fuse_messages = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void put_line(struct chronfs *fs, int priority, const char *line)
{
	if (fs && fs->log_queue)
		chronfs_log_queue_put(fs->log_queue, priority, line);
	else
		chronfs_log_write_line(false, priority, line);
}

static void log_line(struct chronfs *fs, enum cq_level level, const char *message)
{
	static const int priority[] = {
		[CQ_ERROR] = LOG_ERR,
		[CQ_WARNING] = LOG_WARNING,
		[CQ_NOTICE] = LOG_NOTICE,
	};
	char text[PATH_MAX + MESSAGE_MAX], line[2 * sizeof text] = CHRONFS_LOG_PREFIX;
	const size_t prefix = sizeof CHRONFS_LOG_PREFIX - 1;

	if (fs && fs->options.queue)
		(void)snprintf(text, sizeof text, "%s: %s", fs->options.queue, message);
	else
		(void)snprintf(text, sizeof text, "%s", message);
	cq_printable(line + prefix, sizeof line - prefix - 1, text);
	(void)strcat(line, "\n");
	put_line(fs, priority[level], line);
}

void chronfs_log(struct chronfs *fs, enum cq_level level, const char *format, ...)
{
	char message[MESSAGE_MAX];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(message, sizeof message, format, ap);
	va_end(ap);
	log_line(fs, level, message);
}

void chronfs_print_error(const char *format, ...)
{
	char message[PATH_MAX + MESSAGE_MAX];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(message, sizeof message, format, ap);
	va_end(ap);
	log_line(NULL, CQ_ERROR, message);
}

void chronfs_print(const char *format, ...)
{
	char text[2 * (PATH_MAX + MESSAGE_MAX)], line[2 * sizeof text];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(text, sizeof text, format, ap);
	va_end(ap);
	cq_printable(line, sizeof line, text);
	(void)dprintf(STDOUT_FILENO, "%s\n", line);
}

void chronfs_log_from_library(void *arg, enum cq_level level, const char *message)
{
	log_line(arg, level, message);
}

static enum cq_level level_of(enum fuse_log_level level)
{
	if (level <= FUSE_LOG_ERR)
		return CQ_ERROR;
	return level == FUSE_LOG_WARNING ? CQ_WARNING : CQ_NOTICE;
}

/* Debugging output of -d, in pieces of lines; it only goes to stderr.  A piece is escaped, except
 * its newline. */
__attribute__((format(printf, 1, 0))) static void show_debugging(const char *format, va_list ap)
{
	char piece[MESSAGE_MAX], line[2 * sizeof piece + 1];
	bool newline;
	int n;

	n = vsnprintf(piece, sizeof piece, format, ap);
	if (n <= 0)
		return;
	if ((size_t)n >= sizeof piece)
		n = sizeof piece - 1;
	newline = piece[n - 1] == '\n';
	if (newline)
		piece[n - 1] = '\0';
	cq_printable(line, sizeof line - 1, piece);
	if (newline)
		(void)strcat(line, "\n");
	put_line(fuse_messages.fs, CHRONFS_LOG_RAW, line);
}

/* libfuse's message about an option that neither chronfs nor libfuse knows begins so. */
static const char unknown[] = "fuse: unknown option", see_help[] = " (see --help)";

__attribute__((format(printf, 2, 0))) static void log_fuse(enum fuse_log_level level,
                                                           const char *format, va_list ap)
{
	char message[sizeof fuse_messages.line], line[sizeof message + sizeof see_help];
	bool complete = false;
	size_t room;
	int n;

	if (fuse_messages.mute)
		return;
	if (level >= FUSE_LOG_INFO) {
		show_debugging(format, ap);
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
	if (!complete)
		return;
	(void)snprintf(line, sizeof line, "%s%s", message,
	               strstr(message, unknown) ? see_help : "");
	log_line(fuse_messages.fs, level_of(level), line);
}

void chronfs_log_take_fuse(struct chronfs *fs)
{
	fuse_messages.fs = fs;
	fuse_set_log_func(fs ? log_fuse : NULL);
}

void chronfs_log_mute_fuse(bool mute)
{
	fuse_messages.mute = mute;
}
