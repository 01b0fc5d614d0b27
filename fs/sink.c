/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sink.c - `append`: one write(2) is one record
 *
 * The way of a write: the kernel sends it in one WRITE request, since the file is opened for direct
 * IO (a cached file is torn into pages); chronfs_op_write() appends it under the writer's lock; the
 * reply goes out.  A write that must be durable goes through pending.c between the two.
 *
 * A write is whole or refused.  The kernel splits what is larger than max_write, and the first piece
 * of a split is larger than max_write minus one page: with the limit there, it is refused and the
 * kernel sends no other.
 *
 * Every lookup gives a node of its own: the kernel holds an inode's lock during a write, so writers
 * that shared one would wait for each other's flushes.
 */
#include "chronfs.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

void chronfs_op_write(fuse_req_t req, fuse_ino_t node, const char *data, size_t size, off_t offset,
                      struct fuse_file_info *fi)
{
	struct chronfs *fs = chronfs_of(req);
	struct chronfs_pending *pending = NULL;
	int r;

	(void)node;
	(void)offset;
	if (size > fs->write_limit) {
		fuse_reply_err(req, EMSGSIZE);
		return;
	}
	if (size == 0) {
		fuse_reply_write(req, 0);
		return;
	}
	/* The flags of this request, not of the open: they follow fcntl() and pwritev2(). */
	if (fs->options.sync == CHRONFS_SYNC_ALWAYS || (fi->flags & O_DSYNC)) {
		pending = chronfs_pending_new(req);
		if (!pending) {
			fuse_reply_err(req, ENOMEM);
			return;
		}
	}

	r = cq_writer_append(fs->writer, CQ_TYPE_DEFAULT, data, size, NULL);
	if (r < 0) {
		chronfs_pending_free(pending);
		fuse_reply_err(req, -r);
	} else if (pending) {
		chronfs_pending_sync(fs, pending, size);
	} else {
		fuse_reply_write(req, size);
	}
}

void chronfs_sink_stat(const struct chronfs *fs, uint64_t node, struct stat *ret_stat)
{
	chronfs_attr(fs, node, S_IFREG | 0644, fs->mount_time, ret_stat);
	ret_stat->st_blksize = CHRONFS_SINK_BLKSIZE;
}

void chronfs_sink_entry(struct chronfs *fs, struct fuse_entry_param *ret_entry)
{
	uint64_t number = __atomic_add_fetch(&fs->lookups, 1, __ATOMIC_RELAXED);

	memset(ret_entry, 0, sizeof *ret_entry);
	ret_entry->ino = chronfs_node(CHRONFS_APPEND, number);
	chronfs_sink_stat(fs, ret_entry->ino, &ret_entry->attr);
}

void chronfs_sink_open(fuse_req_t req, struct fuse_file_info *fi)
{
	struct chronfs *fs = chronfs_of(req);

	/* Any access mode; O_TRUNC means nothing.  The handle only tells opens apart (locks.c). */
	fi->fh = __atomic_add_fetch(&fs->opens, 1, __ATOMIC_RELAXED);
	fi->direct_io = 1;
	fi->noflush = 1;
	fuse_reply_open(req, fi);
}
