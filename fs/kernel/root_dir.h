/* SPDX-License-Identifier: Apache-2.0 */
/* root_dir.h - directories, the root */
#ifndef CHRONFS_ROOT_DIR_H
#define CHRONFS_ROOT_DIR_H

#include <stdbool.h>

#include "libfuse.h"
#include "shared/node_ops.h"

extern const struct chronfs_node_ops chronfs_root_ops;

/* Whether a lookup of this name in the root asks for more than memory has: of all but the sinks. */
bool chronfs_root_shows_state(const char *name);

void chronfs_op_opendir(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi);
void chronfs_op_readdir(fuse_req_t req, fuse_ino_t node, size_t size, off_t offset,
                        struct fuse_file_info *fi);
void chronfs_op_readdirplus(fuse_req_t req, fuse_ino_t node, size_t size, off_t offset,
                            struct fuse_file_info *fi);
void chronfs_op_releasedir(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi);
void chronfs_op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);

void chronfs_op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name);

#endif
