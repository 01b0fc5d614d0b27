/* SPDX-License-Identifier: Apache-2.0 */
/*
 * segment.c - segments/NNNNNNNNN.q: the published segment files, byte for byte, read-only
 *
 * A sealed segment never changes: the kernel may keep what it has read of it.  Every read of an
 * unsealed one comes to us.  Where passthrough works, the kernel reads both kinds by itself
 * (passthrough.c).
 */
#include "read/segment.h"

#include <errno.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <unistd.h>

#include "chronfs.h"
#include "fault.h"
#include "held/open_files.h"
#include "read/passthrough.h"
#include "read/segment_xattr.h"
#include "shared/node_ops.h"
#include "shared/user_limits.h"

struct segment_file {
	struct chronfs_open_file open_file; /* first member */
	cq_segment *segment;
};

/* The attributes that users see of a segment file. */
static void segment_attr(const struct chronfs *fs, uint64_t node, const struct stat *file,
                         struct stat *ret_stat)
{
	chronfs_attr(fs, node, S_IFREG | 0444, file->st_mtim, ret_stat);
	ret_stat->st_ctim = file->st_ctim;
	ret_stat->st_size = file->st_size;
	ret_stat->st_blocks = file->st_blocks;
	ret_stat->st_blksize = file->st_blksize;
}

int chronfs_segment_find(struct chronfs *fs, uint32_t id, enum chronfs_kind unsealed,
                         enum chronfs_kind sealed, struct cq_segment_attr *ret_attr,
                         struct fuse_entry_param *ret_entry)
{
	struct fuse_entry_param entry = { 0 };
	struct cq_segment_attr attr;
	int r;

	r = cq_queue_segment_attr(fs->queue, id, NULL, &attr);
	if (r < 0)
		return r == -EBADMSG ? -ENOENT : r;
	entry.ino = attr.sealed ? chronfs_node(sealed, chronfs_sealed_value(id, &attr.stat))
	                        : chronfs_node(unsealed, id);
	segment_attr(fs, entry.ino, &attr.stat, &entry.attr);
	if (attr.sealed || chronfs_planted("size_cached")) {
		entry.entry_timeout = CHRONFS_NAME_TIMEOUT;
		entry.attr_timeout = CHRONFS_FROZEN_TIMEOUT;
	}
	*ret_attr = attr;
	*ret_entry = entry;
	return 0;
}

/* ---- attributes ---- */

int chronfs_segment_entry(struct chronfs *fs, uint32_t id, bool listing,
                          struct fuse_entry_param *ret_entry)
{
	struct cq_segment_attr attr;

	(void)listing;
	return chronfs_segment_find(fs, id, CHRONFS_SEGMENT_UNSEALED, CHRONFS_SEGMENT_SEALED, &attr,
	                            ret_entry);
}

/* Attributes of a segment that was deleted while it is open. */
static int segment_deleted_stat(struct chronfs *fs, uint64_t node, struct stat *ret_stat)
{
	struct cq_segment_attr attr;
	struct segment_file *file;
	int r = -ENOENT;

	pthread_mutex_lock(&fs->open_files.lock);
	file = (struct segment_file *)chronfs_open_files_find(fs, node);
	if (file)
		r = cq_queue_segment_attr(fs->queue, chronfs_node_segment(node), file->segment,
		                          &attr);
	pthread_mutex_unlock(&fs->open_files.lock);
	if (r < 0)
		return r;
	segment_attr(fs, node, &attr.stat, ret_stat);
	ret_stat->st_nlink = 0;
	return 0;
}

static int segment_stat(struct chronfs *fs, uint64_t node, struct stat *ret_stat,
                        double *ret_timeout)
{
	struct fuse_entry_param entry;
	int r;

	r = chronfs_segment_entry(fs, chronfs_node_segment(node), false, &entry);
	if (r == 0)
		*ret_stat = entry.attr;
	else if (r == -ENOENT)
		r = segment_deleted_stat(fs, node, ret_stat);
	if (r == 0 && chronfs_node_kind(node) == CHRONFS_SEGMENT_SEALED)
		*ret_timeout = CHRONFS_FROZEN_TIMEOUT;
	return r;
}

/* ---- reading ---- */

static struct segment_file *segment_handle(const struct fuse_file_info *fi)
{
	return (struct segment_file *)(uintptr_t)fi->fh;
}

static void segment_open(fuse_req_t req, uint64_t node, struct fuse_file_info *fi)
{
	struct chronfs *fs = chronfs_of(req);
	struct segment_file *file;
	int r;

	file = calloc(1, sizeof *file);
	if (!file) {
		r = -ENOMEM;
		goto refuse;
	}
	if (!chronfs_user_limit_take(&fs->user_limits.open_segments, req)) {
		r = -ENFILE;
		goto free_file;
	}
	r = cq_segment_open(fs->queue, chronfs_node_segment(node), &file->segment);
	if (r < 0)
		goto give;
	chronfs_open_files_add(fs, &file->open_file, node);
	fi->fh = (uintptr_t)file;
	fi->noflush = 1;
	/* The node decides, not the segment's state by now: the page cache of an unsealed node must
	 * never be kept as that of a sealed one. */
	if (chronfs_passthrough_open(fs, node, /* GCOV_EXCL_BR_LINE: libfuse before 3.17 */
	                             cq_segment_fd(file->segment), fi))
		; /* the kernel reads the file's own page cache */
	else if (chronfs_node_kind(node) == CHRONFS_SEGMENT_SEALED)
		fi->keep_cache = 1;
	else
		fi->direct_io = 1;
	chronfs_reply_open(req, node, fi);
	return;
give:
	chronfs_user_limit_release(&fs->user_limits.open_segments);
free_file:
	free(file);
refuse:
	fuse_reply_err(req, r == -EBADMSG ? ENOENT : -r);
}

static ssize_t segment_pread(void *arg, void *buffer, size_t length, uint64_t offset)
{
	return cq_segment_pread(arg, buffer, length, offset);
}

static void segment_read(fuse_req_t req, uint64_t node, size_t size, off_t offset,
                         struct fuse_file_info *fi)
{
	/* the kernel takes a short answer to a cached read for the end of the file */
	chronfs_reply_read(req, segment_pread, segment_handle(fi)->segment, size, offset,
	                   chronfs_node_kind(node) == CHRONFS_SEGMENT_SEALED);
}

/* The unused end of a sealed segment is a hole. */
static void segment_lseek(fuse_req_t req, uint64_t node, off_t offset, int whence,
                          struct fuse_file_info *fi)
{
	cq_segment *segment = segment_handle(fi)->segment;
	struct cq_segment_info info = CQ_SIZED(info);
	off_t size, used;
	int r;

	(void)node;
	r = cq_segment_info(segment, CQ_SEGMENT_HEADER, &info);
	if (r < 0) {
		fuse_reply_err(req, -r);
		return;
	}
	size = (off_t)info.file_bytes;
	used = info.have_content ? (off_t)info.used : size;
	if (offset < 0 || offset >= size || (whence == SEEK_DATA && offset >= used))
		fuse_reply_err(req, ENXIO);
	else if (whence == SEEK_DATA || offset >= used)
		fuse_reply_lseek(req, offset);
	else
		fuse_reply_lseek(req, used);
}

static void segment_release(struct chronfs *fs, uint64_t node, struct fuse_file_info *fi)
{
	struct segment_file *file = segment_handle(fi);

	chronfs_open_files_remove(fs, &file->open_file);
	chronfs_passthrough_release(fs, node);
	cq_segment_close(file->segment);
	chronfs_user_limit_release(&fs->user_limits.open_segments);
	free(file);
}

const struct chronfs_node_ops chronfs_segment_unsealed_ops = {
	.stat = segment_stat,
	.open = segment_open,
	.read = segment_read,
	.lseek = segment_lseek,
	.release = segment_release,
	.xattr = chronfs_segment_xattr,
	.xattr_list = chronfs_segment_xattr_list,
};

const struct chronfs_node_ops chronfs_segment_sealed_ops = {
	.stat = segment_stat,
	.open = segment_open,
	.read = segment_read,
	.lseek = segment_lseek,
	.release = segment_release,
	.xattr = chronfs_segment_xattr,
	.xattr_list = chronfs_segment_xattr_list,
	.attributes = FS_IMMUTABLE_FL,
};
