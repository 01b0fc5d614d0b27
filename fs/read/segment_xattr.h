/* SPDX-License-Identifier: Apache-2.0 */
/* segment_xattr.h - extended attributes of segments and payloads, as in struct chronfs_node_ops */
#ifndef CHRONFS_SEGMENT_XATTR_H
#define CHRONFS_SEGMENT_XATTR_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct chronfs;

ssize_t chronfs_segment_xattr(struct chronfs *fs, uint64_t node, const char *name, char *value);
const char *chronfs_segment_xattr_list(struct chronfs *fs, uint64_t node, size_t *ret_size);

#endif
