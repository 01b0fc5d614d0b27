/* SPDX-License-Identifier: Apache-2.0 */
/* node_ops.h - the operations on nodes of one kind; see node_ops.c */
#ifndef CHRONFS_NODE_OPS_H
#define CHRONFS_NODE_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "libfuse.h"
#include "nodes.h"

struct chronfs;

/* The operations of one kind of nodes (nodes.h).  An operation may be NULL; its comment tells what
 * then happens. */
struct chronfs_node_ops {
	/* Gets the attributes, and for how many seconds the kernel may keep them (preset: 0). */
	int (*stat)(struct chronfs *fs, uint64_t node, struct stat *ret_stat, double *ret_timeout);

	/* Files only.  Open flags that every read-only file refuses do not get here. */
	void (*open)(fuse_req_t req, uint64_t node, struct fuse_file_info *fi);
	void (*read)(fuse_req_t req, uint64_t node, size_t size, off_t offset,
	             struct fuse_file_info *fi); /* NULL: end of file */
	void (*write)(fuse_req_t req, uint64_t node, const char *data, size_t size, off_t offset,
	              struct fuse_file_info *fi); /* NULL: read-only file */
	void (*lseek)(fuse_req_t req, uint64_t node, off_t offset, int whence,
	              struct fuse_file_info *fi); /* NULL: no holes */
	/* Which of these poll(2) events hold now. */
	unsigned (*ready)(struct chronfs *fs, uint64_t node, const struct fuse_file_info *fi,
	                  unsigned events); /* NULL: all of them */
	/* A process closes a descriptor.  Calls chronfs_file_locks_close() before it replies. */
	void (*flush)(fuse_req_t req, uint64_t node, struct fuse_file_info *fi); /* NULL: success */
	void (*fsync)(fuse_req_t req, uint64_t node,
	              struct fuse_file_info *fi); /* NULL: syncs the queue */
	void (*release)(struct chronfs *fs, uint64_t node,
	                struct fuse_file_info *fi); /* NULL: nothing to free */

	/* Gets the value of an extended attribute, at most CHRONFS_XATTR_MAX bytes.  Returns its
	 * length or -ENODATA. */
	ssize_t (*xattr)(struct chronfs *fs, uint64_t node, const char *name,
	                 char *value); /* NULL: there are none */
	/* The names that a list of the attributes shows, each with its zero byte. */
	const char *(*xattr_list)(struct chronfs *fs, uint64_t node,
	                          size_t *ret_size); /* NULL: no name */

	unsigned attributes; /* FS_*_FL, as lsattr shows them */
	bool sink;           /* a setattr of times, or of size 0, succeeds and does nothing */
};

#define CHRONFS_XATTR_MAX 64

/* By kind; in kernel/dispatch.c, the only file that knows all kinds. */
extern const struct chronfs_node_ops *const chronfs_ops_by_kind[];

/* The operations of a node's kind; NULL: there is no such kind. */
const struct chronfs_node_ops *chronfs_ops_of_node(uint64_t node);

/* Fills in what all nodes have: inode number, mode, owner, one link, and the time `when` three
 * times.  mode: the type, and the permissions before the umask: 0666 of a sink, 0444 of another file,
 * 0555 of a directory.  Every node gets its attributes here, so uid=, gid= and umask= hold for all. */
void chronfs_attr(const struct chronfs *fs, uint64_t node, mode_t mode, struct timespec when,
                  struct stat *ret_stat);

/* Replies to a successful open.  If no release will come, because the open was interrupted or is
 * one too many, releases the file. */
void chronfs_reply_open(fuse_req_t req, uint64_t node, struct fuse_file_info *fi);

/* Replies with success: to a write of so many bytes, or, if that is 0, to a request without a
 * result. */
void chronfs_reply_success(fuse_req_t req, size_t written);

/* Replies to a read from a buffer that `fill` fills (as pread does).  The kernel takes a short
 * reply for the end of the file; so with `whole`, a part that `fill` cannot fill is an error. */
typedef ssize_t (*chronfs_fill_fn)(void *arg, void *buffer, size_t length, uint64_t offset);
void chronfs_reply_read(fuse_req_t req, chronfs_fill_fn fill, void *arg, size_t size, off_t offset,
                        bool whole);

#endif
