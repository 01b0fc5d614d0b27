/* SPDX-License-Identifier: Apache-2.0 */
/*
 * progress.c - reports the progress of a start: to people, and to the service manager
 *
 * Recovery may take minutes.  A terminal gets a line each second, a log one in five seconds.  Once a
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
	fs->progress.said = fs->progress.notified = now.tv_sec;
	fs->progress.terminal = isatty(STDERR_FILENO) == 1;
}

int chronfs_progress(void *arg, const struct cq_progress *p)
{
	struct chronfs *fs = arg;
	const time_t interval = fs->progress.terminal ? TERMINAL_S : LOG_S;
	char text[160];
	struct timespec now;

	if (chronfs_signals_pending())
		return -1;
	clock_gettime(CLOCK_MONOTONIC, &now);
	(void)snprintf(text, sizeof text,
	               "recovery: %" PRIu64 " of %" PRIu64 " segments read (%" PRIu64 " of %" PRIu64
	               " MiB)",
	               p->segments_done, p->segments, p->bytes_done >> 20, p->bytes >> 20);
	if (is_time(&fs->progress.said, now.tv_sec, interval))
		chronfs_log(fs, CQ_NOTICE, "%s", text);
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
