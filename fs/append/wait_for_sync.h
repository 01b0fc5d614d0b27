/* SPDX-License-Identifier: Apache-2.0 */
/* wait_for_sync.h - requests that wait for a sync; see wait_for_sync.c */
#ifndef CHRONFS_WAIT_FOR_SYNC_H
#define CHRONFS_WAIT_FOR_SYNC_H

#include <stddef.h>

#include "libfuse.h"

struct chronfs;

struct chronfs_sync_wait;

/* NULL: no memory.  A write calls this before it appends, so a write that runs out of memory
 * appends nothing. */
struct chronfs_sync_wait *chronfs_sync_wait_new(fuse_req_t req);
void chronfs_sync_wait_free(struct chronfs_sync_wait *sync_wait);

/* Starts the sync of all records so far.  When it has ended, the flusher replies to the request: as
 * chronfs_reply_success() does, or with an error if the sync failed.  Consumes *sync_wait. */
void chronfs_sync_wait_start(struct chronfs *fs, struct chronfs_sync_wait *sync_wait,
                             size_t written);

/* Does both for a request that appends nothing; on a read-only mount, replies at once.  An fsync of
 * any file or directory of the mount does this, since they share one queue. */
void chronfs_reply_after_sync(fuse_req_t req, size_t written);

#endif
