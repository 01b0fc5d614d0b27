/* SPDX-License-Identifier: Apache-2.0 */
/* readers.h - readers/: a file for each named reader; see readers.c */
#ifndef CHRONFS_STATUS_READERS_H
#define CHRONFS_STATUS_READERS_H

#include <stdint.h>

#include "libfuse.h"
#include "shared/directory.h"
#include "shared/node_ops.h"

struct chronfs;

extern const struct chronfs_node_ops chronfs_readers_ops;
extern const struct chronfs_node_ops chronfs_reader_ops;

struct chronfs_reader_dir; /* readers/ that is open */

/* ENOENT: there is no such reader */
int chronfs_reader_dir_lookup(struct chronfs *fs, const char *name,
                              struct fuse_entry_param *ret_entry);
int chronfs_reader_dir_open(struct chronfs_reader_dir **ret_dir);
/* Adds the readers behind the cookie `after`; 0 lists them again first. */
int chronfs_reader_dir_list(struct chronfs *fs, struct chronfs_reader_dir *open,
                            struct chronfs_listing *listing, uint64_t after);
void chronfs_reader_dir_close(struct chronfs_reader_dir *open);

#endif
