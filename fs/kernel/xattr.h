/* SPDX-License-Identifier: Apache-2.0 */
/* xattr.h - extended attributes */
#ifndef CHRONFS_XATTR_H
#define CHRONFS_XATTR_H

#include "libfuse.h"

void chronfs_op_getxattr(fuse_req_t req, fuse_ino_t node, const char *name, size_t size);
void chronfs_op_listxattr(fuse_req_t req, fuse_ino_t node, size_t size);
void chronfs_op_setxattr(fuse_req_t req, fuse_ino_t node, const char *name, const char *value,
                         size_t size, int flags);
void chronfs_op_removexattr(fuse_req_t req, fuse_ino_t node, const char *name);

#endif
