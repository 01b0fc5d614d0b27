/* SPDX-License-Identifier: Apache-2.0 */
/* segmentdir.h - segments/ and payload/, whose names are made of segment ids */
#ifndef CHRONFS_SEGMENTDIR_H
#define CHRONFS_SEGMENTDIR_H

#include <stdbool.h>
#include <stdint.h>

#include "libfuse.h"
#include "shared/directory.h"
#include "shared/node_ops.h"

struct chronfs;

extern const struct chronfs_node_ops chronfs_segments_ops;
extern const struct chronfs_node_ops chronfs_payloads_ops;

struct chronfs_segmentdir; /* one that is open */

/* -ENOENT: not the name, or not the file, of a segment of this queue.  dir: which directory. */
int chronfs_segmentdir_lookup(struct chronfs *fs, uint64_t dir, const char *name,
                              struct fuse_entry_param *ret_entry);
int chronfs_segmentdir_open(struct chronfs_segmentdir **ret_dir);
/* Adds the segments whose cookie is above `after`; after 0: the list is made anew. */
int chronfs_segmentdir_list(struct chronfs *fs, uint64_t dir, struct chronfs_segmentdir *open,
                            struct chronfs_listing *listing, uint64_t after);
void chronfs_segmentdir_close(struct chronfs_segmentdir *open);
/* Id of the segment that is called `name` in directory `dir`. */
bool chronfs_segmentdir_parse(uint64_t dir, const char *name, uint32_t *ret_id);

#endif
