/* SPDX-License-Identifier: Apache-2.0 */
/* file_locks.h - flock and POSIX locks */
#ifndef CHRONFS_FILE_LOCKS_H
#define CHRONFS_FILE_LOCKS_H

#include <stdint.h>

#include "held/parked.h"
#include "libfuse.h"

struct chronfs;
struct chronfs_file_lock;

struct chronfs_file_locks {
	struct chronfs_parked_list waiters; /* its lock guards the next, too */
	struct chronfs_file_lock *held;
};

void chronfs_op_flock(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi, int op);
void chronfs_op_getlk(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi,
                      struct flock *lock);
void chronfs_op_setlk(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi,
                      struct flock *lock, int sleep);
void chronfs_file_locks_init(struct chronfs *fs);
/* A process, by its lock owner, closes a descriptor of a file: drops its POSIX locks on that. */
void chronfs_file_locks_close(struct chronfs *fs, uint64_t node, uint64_t owner);
/* Drops what was locked through an open file that ends. */
void chronfs_file_locks_release(struct chronfs *fs, uint64_t node, const struct fuse_file_info *fi);
/* When no request is served any more. */
void chronfs_file_locks_fini(struct chronfs *fs);

#endif
