/* SPDX-License-Identifier: Apache-2.0 */
/* pending.h - requests that wait for a flush */
#ifndef CHRONFS_PENDING_H
#define CHRONFS_PENDING_H

#include <stddef.h>

#include "libfuse.h"

struct chronfs;

struct chronfs_pending;

/* NULL: no memory.  For a write, made before the append, so that running out of memory appends
 * nothing. */
struct chronfs_pending *chronfs_pending_new(fuse_req_t req);
void chronfs_pending_free(struct chronfs_pending *pending);

/* Answers the request once everything appended so far is durable: as a write of `written` bytes, or
 * with plain success when that is 0; with the error of the flush if it failed.  Consumes *pending. */
void chronfs_pending_sync(struct chronfs *fs, struct chronfs_pending *pending, size_t written);

/* Answers an fsync: of any file or directory of the mount, since there is one queue to flush. */
void chronfs_pending_fsync(fuse_req_t req);

#endif
