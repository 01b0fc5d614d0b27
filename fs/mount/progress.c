/* SPDX-License-Identifier: Apache-2.0 */
/*
 * progress.c - reports the progress of a start: to people, and to the service manager
 *
 * Recovery may take minutes.  A terminal has one line, which changes each second and is removed before a message
 * and at the end; a log gets a line in five seconds.  Once a
 * second we ask a service manager that waits for us (sd_notify(3)) for more time.  A signal that ends
 * the mount ends the recovery, before that has changed anything.
 */
#include "mount/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "chronfs.h"
#include "mount/daemon.h"
#include "mount/notify.h"
#include "shared/log.h"
#include "shared/log_queue.h"

#define TERMINAL_S 1
#define LOG_S 5
#define NOTIFY_S 1
#define MORE_TIME_S 60 /* for the next read, or sync, of a slow disk */

/* Whether so many seconds have passed since *last; if so, sets *last to now. */
static bool is_time(time_t *last, time_t now, time_t seconds)
{
	if (now - *last < seconds)
		return false;
	*last = now;
	return true;
}

void chronfs_progress_begin(struct chronfs *fs)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	fs->progress.begin = now;
	fs->progress.shown = false;
	fs->progress.said = fs->progress.notified = now.tv_sec;
	fs->progress.terminal = isatty(STDERR_FILENO) == 1;
}

void chronfs_progress_clear(struct chronfs *fs)
{
	if (!fs->progress.shown)
		return;
	fputs("\r\033[K", stderr);
	fs->progress.shown = false;
}

/* A line that wraps could not be removed: it has no path. */
static void show(struct chronfs *fs, const char *text)
{
	fprintf(stderr, "\r" CHRONFS_LOG_PREFIX "%.70s\033[K", text);
	fs->progress.shown = true;
}

static uint64_t elapsed_ms(const struct timespec *begin, const struct timespec *now)
{
	const int64_t ns =
		(now->tv_sec - begin->tv_sec) * 1000000000LL + now->tv_nsec - begin->tv_nsec;

	return (uint64_t)ns / 1000000;
}

int chronfs_progress(void *arg, const struct cq_progress *p)
{
	struct chronfs *fs = arg;
	const time_t interval = fs->progress.terminal ? TERMINAL_S : LOG_S;
	char done[CQ_PROGRESS_TEXT], text[CQ_PROGRESS_TEXT + 64];
	struct timespec now;

	if (chronfs_signals_pending())
		return -1;
	clock_gettime(CLOCK_MONOTONIC, &now);
	cq_progress_text(done, sizeof done, p->bytes_done, p->bytes,
	                 elapsed_ms(&fs->progress.begin, &now));
	(void)snprintf(text, sizeof text, "recovery: %" PRIu64 " of %" PRIu64 " segments, %s",
	               p->segments_done, p->segments, done);
	if (is_time(&fs->progress.said, now.tv_sec, interval)) {
		if (fs->progress.terminal)
			show(fs, text);
		else
			chronfs_log(fs, CQ_NOTICE, "%s", text);
	}
	if (is_time(&fs->progress.notified, now.tv_sec, NOTIFY_S))
		chronfs_notify("EXTEND_TIMEOUT_USEC=%d000000\nSTATUS=%s", MORE_TIME_S, text);
	return 0;
}

bool chronfs_progress_waiting(void *arg)
{
	struct chronfs *fs = arg;
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (is_time(&fs->progress.notified, now.tv_sec, NOTIFY_S))
		chronfs_notify("EXTEND_TIMEOUT_USEC=%d000000\n"
		               "STATUS=Waiting for another process to close the queue",
		               MORE_TIME_S);
	return chronfs_signals_pending();
}
