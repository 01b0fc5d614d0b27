/* SPDX-License-Identifier: Apache-2.0 */
/* passthrough.h - reads that the kernel does without us */
#ifndef CHRONFS_PASSTHROUGH_H
#define CHRONFS_PASSTHROUGH_H

#include <stdbool.h>
#include <stdint.h>

#include "libfuse.h"

struct chronfs;

/* In init: asks the kernel for it where the options, libfuse and our rights allow. */
void chronfs_passthrough_init(struct chronfs *fs, struct fuse_conn_info *conn);
/* Lets the kernel read `fd` for an open of `node`.  False: it cannot, and *fi is as it was.  True or
 * false, each open is to be followed by a release. */
bool chronfs_passthrough_open(struct chronfs *fs, uint64_t node, int fd, struct fuse_file_info *fi);
/* The open has ended, or was interrupted. */
void chronfs_passthrough_release(struct chronfs *fs, uint64_t node);
/* Whether segments are read so now. */
bool chronfs_passthrough_on(struct chronfs *fs);
void chronfs_passthrough_fini(struct chronfs *fs);

#endif
