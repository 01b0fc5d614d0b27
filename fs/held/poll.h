/* SPDX-License-Identifier: Apache-2.0 */
/* poll.h - poll(2), select(2), epoll(7); see poll.c */
#ifndef CHRONFS_POLL_H
#define CHRONFS_POLL_H

#include <pthread.h>
#include <stdint.h>

#include "libfuse.h"

struct chronfs;
struct chronfs_poller;

struct chronfs_polls {
	pthread_mutex_t lock;
	uint64_t
		changed_ms; /* of a read-only mount, CLOCK_MONOTONIC: when a polled file was found ready last, or
	                      * polling began; under lock */
	struct chronfs_poller
		*first; /* polled files; under lock, atomic to see whether there is one */
};

void chronfs_poll_init(struct chronfs *fs);

void chronfs_op_poll(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi,
                     struct fuse_pollhandle *handle);
/* After an append, or when there is new room: has the background thread notify the pollers.  Cheap
 * if there is none. */
void chronfs_poll_changed(struct chronfs *fs);
/* Before the release of an open file: it is not polled any more. */
void chronfs_poll_release(struct chronfs *fs, uint64_t node, const struct fuse_file_info *fi);
/* Notifies the pollers of files that are ready.  A chronfs_step_fn. */
int chronfs_poll_step(struct chronfs *fs);
void chronfs_poll_fini(struct chronfs *fs);

#endif
