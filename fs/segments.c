/* SPDX-License-Identifier: Apache-2.0 */
/*
 * segments.c - segments/NNNNNNNNN.q: the published segment files, byte for byte, read-only
 *
 * A segment is there when the queue has a file of that exact name whose header is valid for the id;
 * whatever else lies in the directory does not exist here.  A sealed one never changes: the kernel
 * may keep what it read.  A live one is read anew by every read.
 *
 * An open segments/ holds the ids that there were when its first entry was read.  The cookie of an
 * entry is made of its id, so a scan goes on at the right place whatever is published or trimmed.
 */
#include "chronfs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_LENGTH 11    /* nine digits and ".q" */
#define COOKIE_FIRST 3ULL /* of id 0: behind "." and ".." */

struct chronfs_segments_dir {
	pthread_mutex_t lock; /* guards all below */
	bool listed;
	uint32_t *ids; /* ascending */
	size_t count;
};

static bool parse_name(const char *name, uint32_t *ret_id)
{
	uint32_t id = 0;

	if (strlen(name) != NAME_LENGTH || strcmp(name + NAME_LENGTH - 2, ".q") != 0)
		return false;
	for (int i = 0; i < NAME_LENGTH - 2; i++) {
		if (name[i] < '0' || name[i] > '9')
			return false;
		id = id * 10 + (uint32_t)(name[i] - '0');
	}
	*ret_id = id;
	return true;
}

/* Attributes of an open segment as node `node`. */
static int node_stat(const struct chronfs *fs, uint64_t node, cq_segment *segment,
                     struct stat *ret_stat)
{
	struct stat own, st;
	int r;

	r = cq_segment_stat(segment, &st);
	if (r < 0)
		return r;
	chronfs_attr(fs, node, S_IFREG | 0444, st.st_mtim, &own);
	own.st_ctim = st.st_ctim;
	own.st_size = st.st_size;
	own.st_blocks = st.st_blocks;
	own.st_blksize = st.st_blksize;
	*ret_stat = own;
	return 0;
}

/* Opens segment `id`, telling which node it is now. */
static int open_segment(struct chronfs *fs, uint32_t id, uint64_t *ret_node,
                        cq_segment **ret_segment)
{
	struct cq_segment_info info;
	cq_segment *segment;
	int r;

	r = cq_segment_open(fs->queue, id, &segment);
	if (r < 0)
		return r == -EBADMSG ? -ENOENT : r;
	r = cq_segment_info(segment, &info);
	if (r < 0) {
		cq_segment_close(segment);
		return r;
	}
	*ret_node = chronfs_node(info.sealed ? CHRONFS_SEGMENT_SEALED : CHRONFS_SEGMENT_LIVE, id);
	*ret_segment = segment;
	return 0;
}

static int segment_entry(struct chronfs *fs, uint32_t id, struct fuse_entry_param *ret_entry)
{
	struct fuse_entry_param entry = { 0 };
	cq_segment *segment;
	int r;

	r = open_segment(fs, id, &entry.ino, &segment);
	if (r < 0)
		return r;
	r = node_stat(fs, entry.ino, segment, &entry.attr);
	cq_segment_close(segment);
	if (r < 0)
		return r;
	if (chronfs_node_kind(entry.ino) == CHRONFS_SEGMENT_SEALED) {
		entry.entry_timeout = CHRONFS_NAME_TIMEOUT;
		entry.attr_timeout = CHRONFS_SEALED_TIMEOUT;
	}
	*ret_entry = entry;
	return 0;
}

int chronfs_segments_lookup(struct chronfs *fs, const char *name,
                            struct fuse_entry_param *ret_entry)
{
	uint32_t id;

	if (!parse_name(name, &id))
		return -ENOENT;
	return segment_entry(fs, id, ret_entry);
}

int chronfs_segment_stat(struct chronfs *fs, uint64_t node, struct stat *ret_stat)
{
	cq_segment *segment;
	uint64_t now;
	int r;

	r = open_segment(fs, chronfs_node_segment(node), &now, &segment);
	if (r < 0)
		return r;
	r = node_stat(fs, node, segment, ret_stat);
	cq_segment_close(segment);
	return r;
}

/* ---- reading ---- */

static cq_segment *handle(const struct fuse_file_info *fi)
{
	return (cq_segment *)(uintptr_t)fi->fh;
}

void chronfs_segment_open(fuse_req_t req, uint64_t node, struct fuse_file_info *fi)
{
	struct chronfs *fs = chronfs_of(req);
	cq_segment *segment;
	uint64_t now;
	int r;

	/* The kernel has refused users without the right to write; this is for root. */
	if ((fi->flags & O_ACCMODE) != O_RDONLY || (fi->flags & O_TRUNC)) {
		fuse_reply_err(req, EPERM);
		return;
	}
	r = open_segment(fs, chronfs_node_segment(node), &now, &segment);
	if (r < 0) {
		fuse_reply_err(req, -r);
		return;
	}
	fi->fh = (uintptr_t)segment;
	fi->noflush = 1;
	/* By the node that was looked up, not by what the segment is by now: the page cache of a live
	 * node must never be taken for a sealed one's. */
	if (chronfs_node_kind(node) == CHRONFS_SEGMENT_SEALED)
		fi->keep_cache = 1;
	else
		fi->direct_io = 1;
	if (fuse_reply_open(req, fi) ==
	    -ENOENT) /* the open was interrupted: no release will come */
		cq_segment_close(segment);
}

void chronfs_segment_read(fuse_req_t req, size_t size, off_t offset, struct fuse_file_info *fi)
{
	ssize_t n;
	char *buffer;

	buffer = malloc(size);
	if (!buffer) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	n = cq_segment_pread(handle(fi), buffer, size, (uint64_t)offset);
	if (n < 0)
		fuse_reply_err(req, (int)-n);
	else
		fuse_reply_buf(req, buffer, (size_t)n);
	free(buffer);
}

/* SEEK_DATA and SEEK_HOLE: what a sealed segment has not used is a hole. */
void chronfs_segment_lseek(fuse_req_t req, off_t offset, int whence, struct fuse_file_info *fi)
{
	struct cq_segment_info info;
	struct stat st = { 0 };
	off_t used;
	int r;

	r = cq_segment_info(handle(fi), &info);
	if (r == 0)
		r = cq_segment_stat(handle(fi), &st);
	if (r < 0) {
		fuse_reply_err(req, -r);
		return;
	}
	used = st.st_size;
	if (info.sealed && info.have_summary && info.used < (uint64_t)used)
		used = (off_t)info.used;

	if (whence != SEEK_DATA && whence != SEEK_HOLE)
		fuse_reply_err(req, EINVAL);
	else if (offset < 0 || offset >= st.st_size || (whence == SEEK_DATA && offset >= used))
		fuse_reply_err(req, ENXIO);
	else if (whence == SEEK_DATA || offset >= used)
		fuse_reply_lseek(req, offset);
	else
		fuse_reply_lseek(req, used);
}

void chronfs_segment_release(struct fuse_file_info *fi)
{
	cq_segment_close(handle(fi));
}

/* ---- listing ---- */

int chronfs_segments_opendir(struct chronfs_segments_dir **ret_dir)
{
	struct chronfs_segments_dir *dir;

	dir = calloc(1, sizeof *dir);
	if (!dir)
		return -ENOMEM;
	pthread_mutex_init(&dir->lock, NULL);
	*ret_dir = dir;
	return 0;
}

void chronfs_segments_closedir(struct chronfs_segments_dir *dir)
{
	if (!dir)
		return;
	pthread_mutex_destroy(&dir->lock);
	free(dir->ids);
	free(dir);
}

/* Index of the first segment whose cookie is above `after`. */
static size_t first_above(const struct chronfs_segments_dir *dir, uint64_t after)
{
	size_t low = 0, high = dir->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (dir->ids[middle] + COOKIE_FIRST > after)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

static int refresh(struct chronfs *fs, struct chronfs_segments_dir *dir)
{
	uint32_t *ids;
	size_t count;
	int r;

	r = cq_queue_list(fs->queue, &ids, &count);
	if (r < 0)
		return r;
	free(dir->ids);
	dir->ids = ids;
	dir->count = count;
	dir->listed = true;
	return 0;
}

int chronfs_segments_list(struct chronfs *fs, struct chronfs_segments_dir *dir,
                          struct chronfs_listing *listing, uint64_t after)
{
	struct fuse_entry_param entry;
	char name[NAME_LENGTH + 1];
	int r = 0;

	pthread_mutex_lock(&dir->lock);
	if (after == 0 || !dir->listed)
		r = refresh(fs, dir);
	for (size_t i = first_above(dir, after); r == 0 && i < dir->count; i++) {
		uint32_t id = dir->ids[i];

		memset(&entry, 0, sizeof entry);
		if (listing->plus) {
			r = segment_entry(fs, id, &entry);
			if (r == -ENOENT) { /* trimmed meanwhile, or not a segment */
				r = 0;
				continue;
			}
			if (r < 0)
				break;
		} else {
			entry.attr.st_ino =
				chronfs_node_ino(chronfs_node(CHRONFS_SEGMENT_LIVE, id));
			entry.attr.st_mode = S_IFREG;
		}
		(void)snprintf(name, sizeof name, "%09u.q", id % 1000000000U);
		if (!chronfs_listing_add(listing, name, &entry, id + COOKIE_FIRST))
			break;
	}
	pthread_mutex_unlock(&dir->lock);
	return r;
}
