/* SPDX-License-Identifier: Apache-2.0 */
/* segment.h - segments/NNNNNNNNN.q */
#ifndef CHRONFS_SEGMENT_H
#define CHRONFS_SEGMENT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "chronq-fs.h"
#include "libfuse.h"
#include "nodes.h"
#include "shared/node_ops.h"

struct chronfs;

extern const struct chronfs_node_ops chronfs_segment_unsealed_ops;
extern const struct chronfs_node_ops chronfs_segment_sealed_ops;

/* `listing` makes no difference. */
int chronfs_segment_entry(struct chronfs *fs, uint32_t id, bool listing,
                          struct fuse_entry_param *ret_entry);
/* What a lookup of segment `id` gives: a node of the kind `unsealed` or `sealed`, its attributes, and
 * how long the kernel may keep both. */
int chronfs_segment_find(struct chronfs *fs, uint32_t id, enum chronfs_kind unsealed,
                         enum chronfs_kind sealed, struct cq_segment_attr *ret_attr,
                         struct fuse_entry_param *ret_entry);

#endif
