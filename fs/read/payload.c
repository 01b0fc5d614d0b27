/* SPDX-License-Identifier: Apache-2.0 */
/*
 * payload.c - payload/NNNNNNNNN: the payloads of one segment, one after another
 *
 * As with the segment itself (segment.c): the kernel may keep what it has read of a sealed segment; an
 * unsealed one grows, and every read of it comes to us.
 */
#include "read/payload.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "chronfs.h"
#include "held/open_files.h"
#include "read/segment.h"
#include "read/segment_xattr.h"
#include "shared/node_ops.h"

#define BLOCK 512 /* unit of st_blocks */

struct payload_file {
	struct chronfs_open_file open_file; /* first member */
	struct stat last; /* the last attributes that were known; under fs->open_files.lock */
};

/* ---- attributes ---- */

int chronfs_payload_entry(struct chronfs *fs, uint32_t id, bool listing,
                          struct fuse_entry_param *ret_entry)
{
	struct fuse_entry_param entry;
	struct cq_segment_attr attr;
	struct cq_span span;
	int r;

	r = chronfs_segment_find(fs, id, CHRONFS_PAYLOAD_UNSEALED, CHRONFS_PAYLOAD_SEALED, &attr,
	                         &entry);
	if (r < 0)
		return r;
	if (!attr.have_content) {
		if (listing)
			return -EAGAIN;
		r = cq_stream_segment(fs->stream, id, &span);
		if (r < 0)
			return r == -EBADMSG ? -ENOENT : r;
		attr.payload_bytes = span.bytes;
	}
	entry.attr.st_size = (off_t)attr.payload_bytes;
	entry.attr.st_blocks = (blkcnt_t)((attr.payload_bytes + BLOCK - 1) / BLOCK);
	*ret_entry = entry;
	return 0;
}

static int look_at_payload(struct chronfs *fs, uint64_t node, struct stat *ret_stat)
{
	struct fuse_entry_param entry;
	int r;

	r = chronfs_payload_entry(fs, chronfs_node_segment(node), false, &entry);
	if (r == 0)
		*ret_stat = entry.attr;
	return r;
}

/* Remembers attributes for the time after the segment is deleted, while it is still open. */
static void keep(struct chronfs *fs, uint64_t node, const struct stat *st)
{
	pthread_mutex_lock(&fs->open_files.lock);
	for (struct chronfs_open_file *o = chronfs_open_files_find(fs, node); o;
	     o = chronfs_open_files_next(o))
		((struct payload_file *)o)->last = *st;
	pthread_mutex_unlock(&fs->open_files.lock);
}

static int payload_deleted_stat(struct chronfs *fs, uint64_t node, struct stat *ret_stat)
{
	struct payload_file *file;

	pthread_mutex_lock(&fs->open_files.lock);
	file = (struct payload_file *)chronfs_open_files_find(fs, node);
	if (file) {
		*ret_stat = file->last;
		ret_stat->st_nlink = 0;
	}
	pthread_mutex_unlock(&fs->open_files.lock);
	return file ? 0 : -ENOENT;
}

static int payload_stat(struct chronfs *fs, uint64_t node, struct stat *ret_stat,
                        double *ret_timeout)
{
	int r;

	r = look_at_payload(fs, node, ret_stat);
	if (r == 0)
		keep(fs, node, ret_stat);
	else if (r == -ENOENT)
		r = payload_deleted_stat(fs, node, ret_stat);
	if (r == 0 && chronfs_node_kind(node) == CHRONFS_PAYLOAD_SEALED)
		*ret_timeout = CHRONFS_FROZEN_TIMEOUT;
	return r;
}

/* ---- reading ---- */

static void payload_open(fuse_req_t req, uint64_t node, struct fuse_file_info *fi)
{
	struct chronfs *fs = chronfs_of(req);
	struct payload_file *file;
	int r;

	file = calloc(1, sizeof *file);
	if (!file) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	r = look_at_payload(fs, node, &file->last);
	if (r < 0) {
		free(file);
		fuse_reply_err(req, -r);
		return;
	}
	chronfs_open_files_add(fs, &file->open_file, node);
	fi->fh = (uintptr_t)file;
	fi->noflush = 1;
	if (chronfs_node_kind(node) == CHRONFS_PAYLOAD_SEALED) /* see segment_open() */
		fi->keep_cache = 1;
	else
		fi->direct_io = 1;
	chronfs_reply_open(req, node, fi);
}

struct payload_source {
	cq_stream *stream;
	uint32_t id;
};

static ssize_t payload_pread(void *arg, void *buffer, size_t length, uint64_t offset)
{
	const struct payload_source *source = arg;
	ssize_t n;

	n = cq_stream_segment_pread(source->stream, source->id, buffer, length, offset);
	return n == -ENOENT ? -ENODATA : n;
}

static void payload_read(fuse_req_t req, uint64_t node, size_t size, off_t offset,
                         struct fuse_file_info *fi)
{
	struct payload_source source = { chronfs_of(req)->stream, chronfs_node_segment(node) };

	(void)fi;
	chronfs_reply_read(req, payload_pread, &source, size, offset,
	                   chronfs_node_kind(node) == CHRONFS_PAYLOAD_SEALED);
}

static void payload_release(struct chronfs *fs, uint64_t node, struct fuse_file_info *fi)
{
	struct payload_file *file = (struct payload_file *)(uintptr_t)fi->fh;

	(void)node;
	chronfs_open_files_remove(fs, &file->open_file);
	free(file);
}

const struct chronfs_node_ops chronfs_payload_ops = {
	.stat = payload_stat,
	.open = payload_open,
	.read = payload_read,
	.release = payload_release,
	.xattr = chronfs_segment_xattr,
	.xattr_list = chronfs_segment_xattr_list,
};
