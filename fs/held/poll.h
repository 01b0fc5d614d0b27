/* SPDX-License-Identifier: Apache-2.0 */
/* poll.h - poll(2), select(2), epoll(7) */
#ifndef CHRONFS_POLL_H
#define CHRONFS_POLL_H

#include <pthread.h>
#include <stdint.h>

#include "libfuse.h"

struct chronfs;
struct chronfs_poller;

struct chronfs_polls {
	pthread_mutex_t lock;         /* guards the next */
	struct chronfs_poller *first; /* files that somebody polls; atomic to look whether any */
};

void chronfs_poll_init(struct chronfs *fs);

void chronfs_op_poll(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi,
                     struct fuse_pollhandle *handle);
/* Something was appended, or room was made: whoever polls is told, by the background thread.  Cheap when nobody
 * polls. */
void chronfs_poll_changed(struct chronfs *fs);
/* An open file ends: it is not polled any more. */
void chronfs_poll_release(struct chronfs *fs, uint64_t node, const struct fuse_file_info *fi);
/* As chronfs_line_timeout_step(). */
int chronfs_poll_step(struct chronfs *fs);
void chronfs_poll_fini(struct chronfs *fs);

#endif
