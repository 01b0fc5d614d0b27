/* SPDX-License-Identifier: Apache-2.0 */
/* progress.h - what is said while a mount is on its way */
#ifndef CHRONFS_PROGRESS_H
#define CHRONFS_PROGRESS_H

#include <stdbool.h>
#include <time.h>

#include "chronq.h"

struct chronfs;

struct chronfs_progress_state { /* of the thread that opens the queue */
	time_t said, notified;
	bool terminal;
};

/* From now on the time runs that passes before the first line. */
void chronfs_progress_begin(struct chronfs *fs);

/* A cq_progress_fn; arg is the mount.  Ends what it is told of when a signal has come that ends the
 * mount. */
int chronfs_progress(void *arg, const struct cq_progress *progress);

/* For cq_queue_await_closing(), asked again and again; arg is the mount.  True when such a signal has
 * come. */
bool chronfs_progress_waiting(void *arg);

#endif
