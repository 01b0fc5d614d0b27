/* SPDX-License-Identifier: Apache-2.0 */
/* segment_dir.h - segments/, payload/ and records/, whose names are made of segment ids */
#ifndef CHRONFS_SEGMENT_DIR_H
#define CHRONFS_SEGMENT_DIR_H

#include <stdbool.h>
#include <stdint.h>

#include "libfuse.h"
#include "shared/directory.h"
#include "shared/node_ops.h"

struct chronfs;

extern const struct chronfs_node_ops chronfs_segments_ops;
extern const struct chronfs_node_ops chronfs_payloads_ops;
extern const struct chronfs_node_ops chronfs_record_lists_ops;

struct chronfs_segment_dir; /* one that is open */

/* dir: the node of the directory.
 *   ENOENT  not the name, or not the file, of a segment of this queue */
int chronfs_segment_dir_lookup(struct chronfs *fs, uint64_t dir, const char *name,
                               struct fuse_entry_param *ret_entry);
int chronfs_segment_dir_open(struct chronfs_segment_dir **ret_dir);
/* Adds the segments whose cookie is above `after`; 0 lists the queue again first. */
int chronfs_segment_dir_list(struct chronfs *fs, uint64_t dir, struct chronfs_segment_dir *open,
                             struct chronfs_listing *listing, uint64_t after);
void chronfs_segment_dir_close(struct chronfs_segment_dir *open);
/* The id of the segment with this name in directory `dir`. */
bool chronfs_segment_dir_parse(uint64_t dir, const char *name, uint32_t *ret_id);

#endif
