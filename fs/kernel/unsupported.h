/* SPDX-License-Identifier: Apache-2.0 */
/* unsupported.h - operations that this file system does not support */
#ifndef CHRONFS_UNSUPPORTED_H
#define CHRONFS_UNSUPPORTED_H

#include "libfuse.h"

void chronfs_unsupported_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                               dev_t rdev);
void chronfs_unsupported_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode);
void chronfs_unsupported_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                                struct fuse_file_info *fi);
void chronfs_unsupported_symlink(fuse_req_t req, const char *target, fuse_ino_t parent,
                                 const char *name);
void chronfs_unsupported_link(fuse_req_t req, fuse_ino_t node, fuse_ino_t parent, const char *name);
void chronfs_unsupported_rename(fuse_req_t req, fuse_ino_t parent, const char *name,
                                fuse_ino_t new_parent, const char *new_name, unsigned int flags);
void chronfs_unsupported_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name);
void chronfs_unsupported_fallocate(fuse_req_t req, fuse_ino_t node, int mode, off_t offset,
                                   off_t length, struct fuse_file_info *fi);

#endif
