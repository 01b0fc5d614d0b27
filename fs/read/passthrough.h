/* SPDX-License-Identifier: Apache-2.0 */
/* passthrough.h - reads of segment files that the kernel does without this process */
#ifndef CHRONFS_PASSTHROUGH_H
#define CHRONFS_PASSTHROUGH_H

#include <stdbool.h>
#include <stdint.h>

#include "libfuse.h"

struct chronfs;

/* In init: asks the kernel for passthrough where the options and libfuse allow it. */
void chronfs_passthrough_init(struct chronfs *fs, struct fuse_conn_info *conn);
/* Lets the kernel read `fd` for an open of `node`.  False: it cannot, and *fi is unchanged.  In both
 * cases the caller calls chronfs_passthrough_release() later. */
bool chronfs_passthrough_open(struct chronfs *fs, uint64_t node, int fd, struct fuse_file_info *fi);
/* The open file was released, or the open was interrupted. */
void chronfs_passthrough_release(struct chronfs *fs, uint64_t node);
/* Whether the kernel reads segments by itself now. */
bool chronfs_passthrough_on(struct chronfs *fs);
void chronfs_passthrough_fini(struct chronfs *fs);

#endif
