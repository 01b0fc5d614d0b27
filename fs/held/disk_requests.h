/* SPDX-License-Identifier: Apache-2.0 */
/* disk_requests.h - requests that may wait for the disk; see disk_requests.c */
#ifndef CHRONFS_DISK_REQUESTS_H
#define CHRONFS_DISK_REQUESTS_H

#include <stdbool.h>
#include <stdint.h>

#include "libfuse.h"

struct chronfs;
struct chronfs_disk_requests;

/* Threads that serve requests; at most one less is in a request that may wait for the disk.
 * docs/benchmarks.md has the measurement. */
#ifndef CHRONFS_THREADS
#define CHRONFS_THREADS 2
#endif

/* What a request may have to wait for. */
enum chronfs_disk_class {
	CHRONFS_DISK_NEVER, /* nothing */
	CHRONFS_DISK_STATE, /* directories and small files, which are rarely cold */
	CHRONFS_DISK_DATA,  /* segments */
	CHRONFS_DISK_CLASSES,
};

/* Before the first request.
 *   ENOMEM
 *   EAGAIN  no thread */
int chronfs_disk_requests_start(struct chronfs *fs);
/* After the last request: replies to those that have not begun, and waits for those that have. */
void chronfs_disk_requests_stop(struct chronfs *fs);

/* Serves a request of this class, as libfuse has received it; here or, later, in another thread. */
void chronfs_disk_requests_serve(struct chronfs *fs, enum chronfs_disk_class kind,
                                 const struct fuse_buf *request);
/* An INTERRUPT of the request `unique`.  False: it is none of these. */
bool chronfs_disk_requests_interrupt(struct chronfs *fs, uint64_t unique);
/* Whether this RELEASE or RELEASEDIR has to wait for a request on the same open file.  If so, it is
 * served behind that one. */
bool chronfs_disk_requests_release(struct chronfs *fs, const struct fuse_buf *request);

#endif
