/* SPDX-License-Identifier: Apache-2.0 */
/* queue.h - opens and closes the mount's queue */
#ifndef CHRONFS_QUEUE_H
#define CHRONFS_QUEUE_H

#include <stdbool.h>

struct chronfs;

/* Returns CHRONFS_EXIT_OK, or an exit code after logging what is wrong. */
int chronfs_queue_open(struct chronfs *fs);
/* After the last request, also after a failed open: replies to the parked requests.  When this returns
 * everything is flushed, or the error is logged and returned.  Removes a queue that was made for a
 * mount that never served. */
int chronfs_queue_close(struct chronfs *fs, bool served);

#endif
