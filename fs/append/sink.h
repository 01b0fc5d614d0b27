/* SPDX-License-Identifier: Apache-2.0 */
/* sink.h - what append and append.lines have in common; see sink.c */
#ifndef CHRONFS_SINK_H
#define CHRONFS_SINK_H

#include <stdint.h>
#include <sys/stat.h>

#include "append/wait_for_sync.h"
#include "held/open_files.h"
#include "libfuse.h"
#include "nodes.h"
#include "shared/node_ops.h"

struct chronfs;

struct chronfs_sinks {
	uint64_t lookups; /* numbers the lookups of sinks; atomic */
};

/* An open file of either, first in a larger struct; fi->fh is its address. */
struct chronfs_sink_file {
	struct chronfs_open_file open_file; /* first: it is found as that */
	uint64_t appended; /* 1 + sequence number of the last record through it, 0: none; atomic */
};

/* Puts an open file among those that can be found, and takes it out. */
void chronfs_sink_add(struct chronfs *fs, struct chronfs_sink_file *file, uint64_t node);
void chronfs_sink_remove(struct chronfs *fs, struct chronfs_sink_file *file);

/* Records up to `seq` were appended through the file: remembers it, tells those who poll. */
void chronfs_sink_appended(struct chronfs *fs, struct chronfs_sink_file *file, uint64_t seq);

/* Answers and counts a write, or what else needs room, that failed. */
void chronfs_sink_reply_error(struct chronfs *fs, fuse_req_t req, int error);

/* Whether a WRITE with these flags is answered only when it is durable: then with what waits for
 * that in *ret_sync_wait, else NULL there.
 *   ENOMEM  nothing must be appended */
int chronfs_sink_new_sync_wait(const struct chronfs *fs, fuse_req_t req, int flags,
                               struct chronfs_sync_wait **ret_sync_wait);

int chronfs_sink_stat(struct chronfs *fs, uint64_t node, struct stat *ret_stat,
                      double *ret_timeout);
unsigned chronfs_sink_ready(struct chronfs *fs, uint64_t node, const struct fuse_file_info *fi,
                            unsigned events);
ssize_t chronfs_sink_xattr(struct chronfs *fs, uint64_t node, const char *name, char *value);

extern const struct chronfs_node_ops chronfs_append_ops;

/* Gives a new node of a sink's kind (or of ctl). */
void chronfs_sink_new_node(struct chronfs *fs, enum chronfs_kind kind,
                           struct fuse_entry_param *ret_entry);

#endif
