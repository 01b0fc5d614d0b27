/* SPDX-License-Identifier: Apache-2.0 */
/*
 * content.c - payload/NNNNNNNNN, the payloads of one segment one after another, and records/NNNNNNNNN, a
 * line for each of its records (record_lines.c)
 *
 * As with the segment itself (segment.c): the kernel may keep what it has read of a sealed segment; an
 * unsealed one grows, and every read of it comes to us.  So no page that the kernel has filled up with zeros
 * outlives the size for which it was read: the sealed file is another node.
 */
#include "read/content.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "chronfs.h"
#include "held/open_files.h"
#include "read/record_lines.h"
#include "read/segment.h"
#include "read/segment_xattr.h"
#include "shared/node_ops.h"

#define BLOCK 512 /* unit of st_blocks */

struct content_file {
	struct chronfs_open_file open_file; /* first member */
	struct stat last; /* the last attributes that were known; under fs->open_files.lock */
};

/* ---- attributes ---- */

/* Sizes that the attributes of the segment do not tell are found out, which may mean to read all of it. */
static int payload_size(struct chronfs *fs, uint32_t id, const struct cq_segment_attr *attr,
                        uint64_t *ret_size)
{
	struct cq_span span = { .bytes = attr->payload_bytes };
	int r = 0;

	if (!attr->have_content)
		r = cq_stream_segment(fs->stream, id, &span);
	if (r == 0)
		*ret_size = span.bytes;
	return r;
}

static int records_size(struct chronfs *fs, uint32_t id, const struct cq_segment_attr *attr,
                        uint64_t *ret_size)
{
	uint64_t records = attr->records;
	int r = 0;

	if (!attr->have_content)
		r = cq_stream_segment_records(fs->stream, id, &records);
	if (r == 0)
		*ret_size = records * CHRONFS_RECORD_LINE;
	return r;
}

/* The differences between the two kinds of files. */
struct content {
	enum chronfs_kind unsealed, sealed;
	int (*size)(struct chronfs *fs, uint32_t id, const struct cq_segment_attr *attr,
	            uint64_t *ret_size);
	ssize_t (*pread)(cq_stream *stream, uint32_t id, void *buffer, size_t length,
	                 uint64_t offset);
};

static const struct content payload = { CHRONFS_PAYLOAD_UNSEALED, CHRONFS_PAYLOAD_SEALED,
	                                payload_size, cq_stream_segment_pread };
static const struct content records = { CHRONFS_RECORDS_UNSEALED, CHRONFS_RECORDS_SEALED,
	                                records_size, chronfs_record_lines_pread };

static const struct content *content_of(uint64_t node)
{
	const enum chronfs_kind kind = chronfs_node_kind(node);

	return kind == payload.unsealed || kind == payload.sealed ? &payload : &records;
}

static bool is_sealed(uint64_t node)
{
	return chronfs_node_kind(node) == content_of(node)->sealed;
}

static int content_entry(struct chronfs *fs, const struct content *content, uint32_t id,
                         bool listing, struct fuse_entry_param *ret_entry)
{
	struct fuse_entry_param entry;
	struct cq_segment_attr attr;
	uint64_t size;
	int r;

	r = chronfs_segment_find(fs, id, content->unsealed, content->sealed, &attr, &entry);
	if (r < 0)
		return r;
	if (listing && !attr.have_content)
		return -EAGAIN;
	r = content->size(fs, id, &attr, &size);
	if (r < 0)
		return r == -EBADMSG ? -ENOENT : r;
	entry.attr.st_size = (off_t)size;
	entry.attr.st_blocks = (blkcnt_t)((size + BLOCK - 1) / BLOCK);
	*ret_entry = entry;
	return 0;
}

int chronfs_payload_entry(struct chronfs *fs, uint32_t id, bool listing,
                          struct fuse_entry_param *ret_entry)
{
	return content_entry(fs, &payload, id, listing, ret_entry);
}

int chronfs_records_entry(struct chronfs *fs, uint32_t id, bool listing,
                          struct fuse_entry_param *ret_entry)
{
	return content_entry(fs, &records, id, listing, ret_entry);
}

static int look_at_content(struct chronfs *fs, uint64_t node, struct stat *ret_stat)
{
	struct fuse_entry_param entry;
	int r;

	r = content_entry(fs, content_of(node), chronfs_node_segment(node), false, &entry);
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
		((struct content_file *)o)->last = *st;
	pthread_mutex_unlock(&fs->open_files.lock);
}

static int content_deleted_stat(struct chronfs *fs, uint64_t node, struct stat *ret_stat)
{
	struct content_file *file;

	pthread_mutex_lock(&fs->open_files.lock);
	file = (struct content_file *)chronfs_open_files_find(fs, node);
	if (file) {
		*ret_stat = file->last;
		ret_stat->st_nlink = 0;
	}
	pthread_mutex_unlock(&fs->open_files.lock);
	return file ? 0 : -ENOENT;
}

static int content_stat(struct chronfs *fs, uint64_t node, struct stat *ret_stat,
                        double *ret_timeout)
{
	int r;

	r = look_at_content(fs, node, ret_stat);
	if (r == 0)
		keep(fs, node, ret_stat);
	else if (r == -ENOENT)
		r = content_deleted_stat(fs, node, ret_stat);
	if (r == 0 && is_sealed(node))
		*ret_timeout = CHRONFS_FROZEN_TIMEOUT;
	return r;
}

/* ---- reading ---- */

static void content_open(fuse_req_t req, uint64_t node, struct fuse_file_info *fi)
{
	struct chronfs *fs = chronfs_of(req);
	struct content_file *file;
	int r;

	file = calloc(1, sizeof *file);
	if (!file) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	r = look_at_content(fs, node, &file->last);
	if (r < 0) {
		free(file);
		fuse_reply_err(req, -r);
		return;
	}
	chronfs_open_files_add(fs, &file->open_file, node);
	fi->fh = (uintptr_t)file;
	fi->noflush = 1;
	if (is_sealed(node)) /* see segment_open() */
		fi->keep_cache = 1;
	else
		fi->direct_io = 1;
	chronfs_reply_open(req, node, fi);
}

struct content_source {
	const struct content *content;
	cq_stream *stream;
	uint32_t id;
};

static ssize_t content_pread(void *arg, void *buffer, size_t length, uint64_t offset)
{
	const struct content_source *source = arg;
	ssize_t n;

	n = source->content->pread(source->stream, source->id, buffer, length, offset);
	return n == -ENOENT ? -ENODATA : n;
}

static void content_read(fuse_req_t req, uint64_t node, size_t size, off_t offset,
                         struct fuse_file_info *fi)
{
	struct content_source source = { content_of(node), chronfs_of(req)->stream,
		                         chronfs_node_segment(node) };

	(void)fi;
	chronfs_reply_read(req, content_pread, &source, size, offset, is_sealed(node));
}

static void content_release(struct chronfs *fs, uint64_t node, struct fuse_file_info *fi)
{
	struct content_file *file = (struct content_file *)(uintptr_t)fi->fh;

	(void)node;
	chronfs_open_files_remove(fs, &file->open_file);
	free(file);
}

const struct chronfs_node_ops chronfs_content_ops = {
	.stat = content_stat,
	.open = content_open,
	.read = content_read,
	.release = content_release,
	.xattr = chronfs_segment_xattr,
	.xattr_list = chronfs_segment_xattr_list,
};
