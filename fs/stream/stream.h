/* SPDX-License-Identifier: Apache-2.0 */
/* stream.h - `stream`: the payloads of all segments as one growing file */
#ifndef CHRONFS_STREAM_H
#define CHRONFS_STREAM_H

#include <stdint.h>
#include <sys/types.h>

#include "libfuse.h"
#include "shared/node_ops.h"

struct chronfs;

extern const struct chronfs_node_ops chronfs_stream_ops;
/* As cq_stream_extent().  Where this process writes the queue, it waits for the disk only after a
 * deletion, and for a thread that reads only then. */
int chronfs_stream_bounds(struct chronfs *fs, uint64_t *ret_begin, uint64_t *ret_end);
/* The inode number of `stream` for this thread. */
int chronfs_stream_ino(struct chronfs *fs, pid_t thread, uint64_t *ret_ino);
/* The entry for a lookup by this thread. */
int chronfs_stream_entry(struct chronfs *fs, pid_t thread, struct fuse_entry_param *ret_entry);

#endif
