/* SPDX-License-Identifier: Apache-2.0 */
/* file_locks.h - flock and POSIX locks; see file_locks.c */
#ifndef CHRONFS_FILE_LOCKS_H
#define CHRONFS_FILE_LOCKS_H

#include <stdbool.h>
#include <stdint.h>

#include "held/parked.h"
#include "libfuse.h"

struct chronfs;
struct chronfs_file_lock;

struct chronfs_file_locks {
	struct chronfs_parked_list waiters;
	struct chronfs_file_lock *held; /* under waiters.lock */
	bool posix_used;                /* a process has asked for a POSIX lock; atomic */
};

void chronfs_op_flock(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi, int op);
void chronfs_op_getlk(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi,
                      struct flock *lock);
void chronfs_op_setlk(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi,
                      struct flock *lock, int sleep);
void chronfs_file_locks_init(struct chronfs *fs);
/* A process, named by its lock owner, closes a descriptor of a file: drops its POSIX locks on the
 * file. */
void chronfs_file_locks_close(struct chronfs *fs, uint64_t node, uint64_t owner);
/* Before the release of an open file: drops the locks that were taken through it. */
void chronfs_file_locks_release(struct chronfs *fs, uint64_t node, const struct fuse_file_info *fi);
/* After the last request. */
void chronfs_file_locks_fini(struct chronfs *fs);

#endif
