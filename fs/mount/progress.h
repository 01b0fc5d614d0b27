/* SPDX-License-Identifier: Apache-2.0 */
/* progress.h - reports the progress of a start */
#ifndef CHRONFS_PROGRESS_H
#define CHRONFS_PROGRESS_H

#include <stdbool.h>
#include <time.h>

#include "chronq.h"

struct chronfs;

struct chronfs_progress_state { /* only of the thread that opens the queue */
	struct timespec begin;
	time_t said, notified;
	bool terminal;
	bool shown; /* there is a line on the terminal, without a newline */
};

/* Starts the time that passes before the first line. */
void chronfs_progress_begin(struct chronfs *fs);

/* Removes the line from the terminal: before a message, and at the end.  Any thread once the queue is open: there
 * is no line then. */
void chronfs_progress_clear(struct chronfs *fs);

/* A cq_progress_fn; arg is the mount.  Returns -1, which ends the recovery, when a signal has come that
 * ends the mount. */
int chronfs_progress(void *arg, const struct cq_progress *progress);

/* For cq_queue_await_closing(), which calls it repeatedly; arg is the mount.  Returns true when such a
 * signal has come. */
bool chronfs_progress_waiting(void *arg);

#endif
