/* SPDX-License-Identifier: Apache-2.0 */
/* node_ops.c - what the operations of all kinds of nodes share; see node_ops.h */
#include "shared/node_ops.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "chronfs.h"
#include "shared/counters.h"
#include "shared/user_limits.h"

const struct chronfs_node_ops *chronfs_ops_of_node(uint64_t node)
{
	const enum chronfs_kind kind = chronfs_node_kind(node);

	return kind < CHRONFS_KINDS ? chronfs_ops_by_kind[kind] : NULL;
}

void chronfs_attr(const struct chronfs *fs, uint64_t node, mode_t mode, struct timespec when,
                  struct stat *ret_stat)
{
	const struct chronfs_access *access = &fs->options.access;

	memset(ret_stat, 0, sizeof *ret_stat);
	ret_stat->st_ino = chronfs_node_ino(node);
	ret_stat->st_mode = mode & ~access->umask;
	ret_stat->st_nlink = 1;
	ret_stat->st_uid = access->uid;
	ret_stat->st_gid = access->gid;
	ret_stat->st_blksize = 4096;
	ret_stat->st_atim = when;
	ret_stat->st_mtim = when;
	ret_stat->st_ctim = when;
}

void chronfs_reply_open(fuse_req_t req, uint64_t node, struct fuse_file_info *fi)
{
	const struct chronfs_node_ops *ops = chronfs_ops_of_node(node);
	struct chronfs *fs = chronfs_of(req);

	const bool allowed = chronfs_user_limit_take(&fs->user_limits.open_files, req);

	/* -ENOENT: the open was interrupted, and no release will come */
	if (allowed && fuse_reply_open(req, fi) != -ENOENT)
		return;
	ops->release(fs, node, fi);
	if (allowed)
		chronfs_user_limit_release(&fs->user_limits.open_files);
	else
		fuse_reply_err(req, ENFILE);
}

void chronfs_reply_success(fuse_req_t req, size_t written)
{
	if (written > 0)
		fuse_reply_write(req, written);
	else
		fuse_reply_err(req, 0);
}

void chronfs_reply_read(fuse_req_t req, chronfs_fill_fn fill, void *arg, size_t size, off_t offset,
                        bool whole)
{
	struct chronfs *fs = chronfs_of(req);
	size_t done = 0;
	ssize_t n = 0;
	char *buffer;

	buffer = malloc(size);
	if (!buffer) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	do {
		n = fill(arg, buffer + done, size - done, (uint64_t)offset + done);
		if (n > 0)
			done += (size_t)n;
	} while (n > 0 && done < size && whole);
	if (n == -EIO)
		chronfs_count(&fs->counters.read_errors);
	if (n < 0) /* without `whole`, this was the only call */
		fuse_reply_err(req, (int)-n);
	else
		fuse_reply_buf(req, buffer, done);
	free(buffer);
}
