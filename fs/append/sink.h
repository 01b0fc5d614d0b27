/* SPDX-License-Identifier: Apache-2.0 */
/* sink.h - what append, append.lines and ctl have in common; see sink.c */
#ifndef CHRONFS_SINK_H
#define CHRONFS_SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "append/wait_for_sync.h"
#include "held/open_files.h"
#include "libfuse.h"
#include "nodes.h"
#include "shared/node_ops.h"

struct chronfs;

#define CHRONFS_SINK_RETRIES 1024

/* A thread whose open was refused, and that will try again. */
struct chronfs_sink_retry {
	pid_t thread;
	uint64_t node; /* reserved for it; 0: it has not looked the name up yet */
	uint64_t since_ms;
};

struct chronfs_sinks {                  /* under fs->open_files.lock */
	uint64_t nodes;                 /* numbers the nodes of sinks */
	uint64_t newest[CHRONFS_KINDS]; /* newest node of each kind of sink; 0: none */
	size_t retrying;
	struct chronfs_sink_retry retries[CHRONFS_SINK_RETRIES];
};

/* An open file of any of them, first in a larger struct; fi->fh is its address. */
struct chronfs_sink_file {
	struct chronfs_open_file open_file; /* first: chronfs_open_files_find() gives its address */
	uint64_t appended; /* 1 + sequence number of the last record through it, 0: none; atomic */
};

/* Records up to `seq` were appended through the file: remembers that, and notifies pollers. */
void chronfs_sink_appended(struct chronfs *fs, struct chronfs_sink_file *file, uint64_t seq);

/* If a WRITE with these flags must be durable before its reply, makes its wait for the sync in
 * *ret_sync_wait; otherwise stores NULL there.
 *   ENOMEM  the caller must append nothing */
int chronfs_sink_new_sync_wait(const struct chronfs *fs, fuse_req_t req, int flags,
                               struct chronfs_sync_wait **ret_sync_wait);

/* Replies to a request that wrote `written` bytes and then ended with `r`, 0 or -errno.  Bytes that
 * were written make it a success, after a sync if there is a `sync_wait`.  Counts failures.
 * Consumes *sync_wait. */
void chronfs_sink_reply(struct chronfs *fs, fuse_req_t req, struct chronfs_sync_wait *sync_wait,
                        size_t written, int r);

int chronfs_sink_stat(struct chronfs *fs, uint64_t node, struct stat *ret_stat,
                      double *ret_timeout);
unsigned chronfs_sink_ready(struct chronfs *fs, uint64_t node, const struct fuse_file_info *fi,
                            unsigned events);
ssize_t chronfs_sink_xattr(struct chronfs *fs, uint64_t node, const char *name, char *value);

/* The node to which the name of a sink leads now, for this thread. */
void chronfs_sink_lookup(struct chronfs *fs, enum chronfs_kind kind, pid_t thread,
                         struct fuse_entry_param *ret_entry);

/* Adds an open file of the node to fs->open_files.  False: the node is in use; the caller frees the
 * file and replies ESTALE, and the kernel tries again with another node. */
bool chronfs_sink_admit(fuse_req_t req, struct chronfs_sink_file *file, uint64_t node, int flags);

/* Of a sink that knows no more of its open files than this header; fi->fh is a struct
 * chronfs_sink_file. */
void chronfs_sink_open(fuse_req_t req, uint64_t node, struct fuse_file_info *fi);
void chronfs_sink_release(struct chronfs *fs, uint64_t node, struct fuse_file_info *fi);

#endif
