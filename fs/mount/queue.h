/* SPDX-License-Identifier: Apache-2.0 */
/* queue.h - opening and closing the queue of a mount */
#ifndef CHRONFS_QUEUE_H
#define CHRONFS_QUEUE_H

#include <stdbool.h>

struct chronfs;

/* Returns 0, or the exit code, having said what is wrong. */
int chronfs_queue_open(struct chronfs *fs);
/* When no request is served any more, also after a failed open: answers what is parked.  Everything
 * is flushed when this returns, or the error has been said.  A queue that was made for a mount that never
 * served goes again. */
int chronfs_queue_close(struct chronfs *fs, bool served);

#endif
