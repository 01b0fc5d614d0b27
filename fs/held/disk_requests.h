/* SPDX-License-Identifier: Apache-2.0 */
/* disk_requests.h - requests that may wait for the disk; see disk_requests.c */
#ifndef CHRONFS_DISK_REQUESTS_H
#define CHRONFS_DISK_REQUESTS_H

#include <stdbool.h>
#include <stdint.h>

#include "libfuse.h"

struct chronfs;
struct chronfs_disk_requests;

/* Threads that serve requests: so many while no two requests at once may wait for the disk, and so many
 * at most.  docs/benchmarks.md has the measurement. */
#ifndef CHRONFS_THREADS
#define CHRONFS_THREADS 2
#endif
#define CHRONFS_THREADS_MAX 18

/* What a request may have to wait for. */
enum chronfs_disk_class {
	CHRONFS_DISK_NEVER, /* nothing */
	CHRONFS_DISK_STATE, /* directories and small files, which are rarely cold */
	CHRONFS_DISK_DATA,  /* segments */
	CHRONFS_DISK_CLASSES,
};

/* Starts the first threads.  start: starts one that serves requests; called by one thread at a time.
 * Also after a failure, the threads that have started have to be stopped, and all be freed.
 *   ENOMEM
 *   another error of start() */
int chronfs_disk_requests_start(struct chronfs *fs, int (*start)(void *arg), void *arg);
/* No thread is started any more, and none rests. */
void chronfs_disk_requests_stop(struct chronfs *fs);
/* After the end of all threads: replies to requests that have not begun. */
void chronfs_disk_requests_free(struct chronfs *fs);

/* A thread calls this after a request of this class: it may have to rest until it is called. */
void chronfs_disk_requests_rest(struct chronfs *fs, enum chronfs_disk_class kind);

/* Serves a request of this class, as libfuse has received it: here, or later in another thread; and others that
 * wait. */
void chronfs_disk_requests_serve(struct chronfs *fs, enum chronfs_disk_class kind,
                                 const struct fuse_buf *request);
/* An INTERRUPT of the request `unique`.  False: it is none of these. */
bool chronfs_disk_requests_interrupt(struct chronfs *fs, uint64_t unique);
/* Whether this RELEASE or RELEASEDIR has to wait for a request on the same open file.  If so, it is
 * served behind that one. */
bool chronfs_disk_requests_release(struct chronfs *fs, const struct fuse_buf *request);

#endif
