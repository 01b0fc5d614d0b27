/* SPDX-License-Identifier: Apache-2.0 */
/* last_change.h - when the queue was last written to */
#ifndef CHRONFS_LAST_CHANGE_H
#define CHRONFS_LAST_CHANGE_H

#include <time.h>

struct chronfs;

/* The time of the queue's newest record; on a read-only mount the time of its current segment.  The
 * time of the mount while there is none. */
struct timespec chronfs_last_change(struct chronfs *fs);

#endif
