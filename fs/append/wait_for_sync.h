/* SPDX-License-Identifier: Apache-2.0 */
/* wait_for_sync.h - requests that wait for a flush */
#ifndef CHRONFS_WAIT_FOR_SYNC_H
#define CHRONFS_WAIT_FOR_SYNC_H

#include <stddef.h>

#include "libfuse.h"

struct chronfs;

struct chronfs_sync_wait;

/* NULL: no memory.  For a write, made before the append, so that running out of memory appends
 * nothing. */
struct chronfs_sync_wait *chronfs_sync_wait_new(fuse_req_t req);
void chronfs_sync_wait_free(struct chronfs_sync_wait *sync_wait);

/* Answers the request once everything appended so far is durable: as a write of `written` bytes, or
 * with plain success when that is 0; with the error of the flush if it failed.  Consumes *sync_wait. */
void chronfs_sync_wait_start(struct chronfs *fs, struct chronfs_sync_wait *sync_wait,
                             size_t written);

/* Answers an fsync: of any file or directory of the mount, since there is one queue to flush. */
void chronfs_sync_wait_fsync(fuse_req_t req);

#endif
