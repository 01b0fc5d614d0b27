/* SPDX-License-Identifier: Apache-2.0 */
/*
 * node_ops.h - what the nodes of one kind do
 *
 * Each kind of node (nodes.h) has a table of what it does, in a file of its own.
 */
#ifndef CHRONFS_NODE_OPS_H
#define CHRONFS_NODE_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "libfuse.h"
#include "nodes.h"

struct chronfs;

/*
 * What the nodes of one kind do.  An operation that is NULL does what its comment says.
 */
struct chronfs_node_ops {
	/* Attributes, and for how many seconds the kernel may keep them (preset: 0). */
	int (*stat)(struct chronfs *fs, uint64_t node, struct stat *ret_stat, double *ret_timeout);

	/* Files only.  The open flags that every read-only file refuses are refused already. */
	void (*open)(fuse_req_t req, uint64_t node, struct fuse_file_info *fi);
	void (*read)(fuse_req_t req, uint64_t node, size_t size, off_t offset,
	             struct fuse_file_info *fi); /* NULL: end of file */
	void (*write)(fuse_req_t req, uint64_t node, const char *data, size_t size, off_t offset,
	              struct fuse_file_info *fi); /* NULL: a read-only file */
	void (*lseek)(fuse_req_t req, uint64_t node, off_t offset, int whence,
	              struct fuse_file_info *fi); /* NULL: no holes */
	/* poll(2) events that hold now, of those in question. */
	unsigned (*ready)(struct chronfs *fs, uint64_t node, const struct fuse_file_info *fi,
	                  unsigned events); /* NULL: all of them */
	/* One descriptor is being closed.  Before the answer the closing process's locks are
	 * dropped by chronfs_file_locks_close(). */
	void (*flush)(fuse_req_t req, uint64_t node, struct fuse_file_info *fi); /* NULL: success */
	void (*fsync)(fuse_req_t req, uint64_t node,
	              struct fuse_file_info *fi); /* NULL: the queue is flushed */
	void (*release)(struct chronfs *fs, uint64_t node,
	                struct fuse_file_info *fi); /* NULL: nothing to free */

	/* Value of an extended attribute, at most CHRONFS_XATTR_MAX bytes: its length or
	 * -ENODATA. */
	ssize_t (*xattr)(struct chronfs *fs, uint64_t node, const char *name,
	                 char *value); /* NULL: it has none */
	/* Names of those that are listed, each with its zero byte. */
	const char *(*xattr_list)(struct chronfs *fs, uint64_t node,
	                          size_t *ret_size); /* NULL: none is */

	unsigned attributes; /* FS_*_FL, as lsattr shows them */
	bool sink; /* setting its times or cutting it to nothing is accepted and ignored */
};

#define CHRONFS_XATTR_MAX 64

/* By kind.  kernel/dispatch.c has it, the one place that knows them all. */
extern const struct chronfs_node_ops *const chronfs_ops_by_kind[];

/* The operations of a node's kind; NULL: there is no such kind. */
const struct chronfs_node_ops *chronfs_ops_of_node(uint64_t node);

/* Attributes that are alike for all nodes: inode number, mode, owner, links, times `when`. */
void chronfs_attr(const struct chronfs *fs, uint64_t node, mode_t mode, struct timespec when,
                  struct stat *ret_stat);

/* Answers an open that has succeeded; its release is called here when none will come: the open was
 * interrupted, or is one too many. */
void chronfs_reply_open(fuse_req_t req, uint64_t node, struct fuse_file_info *fi);

/* Replies with success: to a write of so many bytes, or, if that is 0, to a request without a
 * result. */
void chronfs_reply_success(fuse_req_t req, size_t written);

/* Answers a read from a buffer that is filled by `fill` (as pread).  With `whole`, what cannot be
 * filled up to the end of the file is an error, for the kernel takes a short answer for the end. */
typedef ssize_t (*chronfs_fill_fn)(void *arg, void *buffer, size_t length, uint64_t offset);
void chronfs_reply_read(fuse_req_t req, chronfs_fill_fn fill, void *arg, size_t size, off_t offset,
                        bool whole);

#endif
