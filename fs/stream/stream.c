/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream.c - `stream`: the payloads of all segments as one growing file
 *
 * Byte 0 of an open file is the oldest byte that existed when its name was looked up.  It stays that
 * byte whatever is trimmed later: offsets do not move and the size never shrinks.  The inode number
 * says which byte it is (stream_begin.c).
 *
 * Reads go through the page cache, and the kernel keeps it: a queue at rest is read as fast as a
 * file.  stream_inodes.c says what that takes when the queue grows.
 *
 * A read through the page cache is answered in full or with an error, since the kernel takes a short
 * answer for the end of the file.  So bytes that share a page with trimmed ones cannot be read
 * through it.  Where segments are large that hardly matters; a queue with retention and small
 * segments is not cached.  An open with O_NONBLOCK or O_DIRECT bypasses the page cache: it is exact
 * to the byte, also for poll.
 *
 * poll(2) finds a plain open always readable, as any regular file: a program that polls before each
 * read must reach the end, and since reads from the page cache do not come to us, we do not know
 * where the reader is.  With one of these two flags every read comes to us, and the file is readable
 * while a byte is left.
 */
#include "stream/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chronfs.h"
#include "held/open_files.h"
#include "shared/last_change.h"
#include "shared/node_ops.h"
#include "stream/stream_begin.h"
#include "stream/stream_inodes.h"

#define BLOCK 512 /* unit of st_blocks */
#define CACHED_SEGMENT_MIN (1U << 20)

struct stream_file {
	struct chronfs_open_file open_file; /* first member */
	struct chronfs_stream_holder holder;
	uint64_t begin; /* position of byte 0 */
	bool cached;    /* reads go through the page cache */
	bool exact;     /* poll(2) says whether a byte is left */
	uint64_t seen;  /* where the last read ended; atomic */
};

static struct stream_file *stream_handle(const struct fuse_file_info *fi)
{
	return (struct stream_file *)(uintptr_t)fi->fh;
}

/* Bytes from `begin` to `end`.  The end can be before an open file's beginning only if somebody has put
 * a shorter queue in the place of this one, behind a read-only mount. */
static uint64_t size_from(uint64_t begin, uint64_t end)
{
	return end > begin ? end - begin : 0;
}

int chronfs_stream_bounds(struct chronfs *fs, uint64_t *ret_begin, uint64_t *ret_end)
{
	if (cq_stream_extent_now(fs->stream, ret_begin, ret_end) == 0)
		return 0;
	return cq_stream_extent(fs->stream, ret_begin, ret_end);
}

/* ---- the name ---- */

static void fill_stat(struct chronfs *fs, uint64_t node, uint64_t size, struct stat *ret_stat)
{
	chronfs_attr(fs, node, S_IFREG | 0444, chronfs_last_change(fs), ret_stat);
	ret_stat->st_size = (off_t)size;
	ret_stat->st_blocks = (blkcnt_t)((size + BLOCK - 1) / BLOCK);
}

int chronfs_stream_ino(struct chronfs *fs, pid_t thread, uint64_t *ret_ino)
{
	uint64_t begin, end;
	int r;

	r = chronfs_stream_bounds(fs, &begin, &end);
	if (r < 0)
		return r;
	begin = chronfs_stream_begin_of(fs, thread, begin);
	*ret_ino = chronfs_node_ino(chronfs_node(CHRONFS_STREAM, chronfs_stream_value(begin, 0)));
	return 0;
}

int chronfs_stream_entry(struct chronfs *fs, pid_t thread, struct fuse_entry_param *ret_entry)
{
	uint64_t oldest, begin, end;
	int r;

	r = chronfs_stream_bounds(fs, &oldest, &end);
	if (r < 0)
		return r;
	begin = chronfs_stream_begin_of(fs, thread, oldest);
	memset(ret_entry, 0, sizeof *ret_entry);
	ret_entry->ino = chronfs_stream_inode_choose(fs, begin, end, thread, begin != oldest);
	fill_stat(fs, ret_entry->ino, size_from(begin, end), &ret_entry->attr);
	return 0;
}

/* Position of byte 0. */
static uint64_t node_begin(struct chronfs *fs, uint64_t node, uint64_t end)
{
	uint64_t begin = chronfs_stream_begin(chronfs_node_value(node), end);
	struct chronfs_open_file *file;

	pthread_mutex_lock(&fs->open_files.lock);
	file = chronfs_open_files_find(fs, node);
	if (file)
		begin = ((struct stream_file *)file)->begin;
	pthread_mutex_unlock(&fs->open_files.lock);
	return begin;
}

static int stream_stat(struct chronfs *fs, uint64_t node, struct stat *ret_stat,
                       double *ret_timeout)
{
	uint64_t begin, end;
	int r;

	(void)ret_timeout;
	r = chronfs_stream_bounds(fs, &begin, &end);
	if (r < 0)
		return r;
	chronfs_stream_inode_told(fs, node, end);
	fill_stat(fs, node, size_from(node_begin(fs, node, end), end), ret_stat);
	return 0;
}

/* Where byte 0 is in the stream: what to subtract from the offsets in records/. */
static const char begin_name[] = "user.chronfs.begin";

static ssize_t stream_xattr(struct chronfs *fs, uint64_t node, const char *name, char *value)
{
	uint64_t begin, end;
	int r;

	if (strcmp(name, begin_name) != 0)
		return -ENODATA;
	r = chronfs_stream_bounds(fs, &begin, &end);
	if (r < 0)
		return r;
	return snprintf(value, CHRONFS_XATTR_MAX, "%" PRIu64, node_begin(fs, node, end));
}

static const char *stream_xattr_list(struct chronfs *fs, uint64_t node, size_t *ret_size)
{
	(void)fs;
	(void)node;
	*ret_size = sizeof begin_name;
	return begin_name;
}

/* ---- opening ---- */

/*
 * Retention of small segments trims little at a time, close behind the readers.  Then no byte that
 * still exists may be lost because it shares a page with trimmed ones.
 */
static bool may_be_cached(struct chronfs *fs)
{
	const struct cq_config *config = &fs->options.queue_config;
	struct cq_stats stats = CQ_SIZED(stats);

	if (!config->retain_segments && !config->retain_bytes && !config->retain_age_ms)
		return true;
	cq_writer_stats(fs->writer, &stats);
	return stats.segment_size >= CACHED_SEGMENT_MIN;
}

static void stream_open(fuse_req_t req, uint64_t node, struct fuse_file_info *fi)
{
	struct chronfs *fs = chronfs_of(req);
	struct stream_file *file;
	uint64_t begin, end;
	int r;

	r = chronfs_stream_bounds(fs, &begin, &end);
	if (r < 0) {
		fuse_reply_err(req, -r);
		return;
	}
	file = calloc(1, sizeof *file);
	if (!file) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	file->open_file.node = node;
	file->begin = node_begin(fs, node, end);
	file->seen = file->begin;
	file->exact = fi->flags & (O_NONBLOCK | O_DIRECT);
	r = chronfs_stream_inode_admit(fs, &file->open_file, fuse_req_ctx(req)->pid,
	                               !file->exact && may_be_cached(fs), &file->cached);
	if (r < 0) {
		free(file);
		fuse_reply_err(req, -r);
		return;
	}
	chronfs_stream_hold(fs, &file->holder, fuse_req_ctx(req)->pid, file->begin);
	fi->fh = (uintptr_t)file;
	fi->noflush = 1;
	fi->direct_io = !file->cached;
	fi->keep_cache = 1; /* without it even a direct open empties the page cache */
	chronfs_reply_open(req, node, fi);
}

static void stream_release(struct chronfs *fs, uint64_t node, struct fuse_file_info *fi)
{
	struct stream_file *file = stream_handle(fi);

	(void)node;
	chronfs_stream_let_go(fs, &file->holder);
	chronfs_stream_inode_leave(fs, &file->open_file, file->cached);
	free(file);
}

/* ---- reading ---- */

struct stream_source {
	cq_stream *stream;
	struct stream_file *file;
};

static ssize_t stream_pread(void *arg, void *buffer, size_t length, uint64_t offset)
{
	const struct stream_source *source = arg;
	uint64_t position = source->file->begin + offset;
	ssize_t n;

	if (offset > UINT64_MAX - source->file->begin)
		return 0;
	n = cq_stream_pread(source->stream, buffer, length, position);
	if (n >= 0)
		__atomic_store_n(&source->file->seen, position + (uint64_t)n, __ATOMIC_RELAXED);
	return n;
}

static void stream_read(fuse_req_t req, uint64_t node, size_t size, off_t offset,
                        struct fuse_file_info *fi)
{
	struct stream_source source = { chronfs_of(req)->stream, stream_handle(fi) };

	(void)node;
	chronfs_reply_read(req, stream_pread, &source, size, offset, source.file->cached);
}

/* ---- poll ---- */

#define IN ((unsigned)(POLLIN | POLLRDNORM))

static unsigned stream_ready(struct chronfs *fs, uint64_t node, const struct fuse_file_info *fi,
                             unsigned events)
{
	uint64_t begin, end;
	int r;

	(void)node;
	if (stream_handle(fi)->exact) {
		r = cq_stream_extent_now(fs->stream, &begin, &end); /* 1: the end is right, too */
		if (r < 0)
			r = cq_stream_extent(fs->stream, &begin, &end);
		if (r >= 0 && end <= __atomic_load_n(&stream_handle(fi)->seen, __ATOMIC_RELAXED))
			events &= ~IN;
	}
	return events & (IN | POLLOUT | POLLWRNORM);
}

/* ---- data and holes ---- */

/* Whether no byte of a page is missing, so that it can be read through the page cache. */
static int page_is_whole(cq_stream *stream, const struct stream_file *file, uint64_t page,
                         uint64_t page_size, uint64_t end)
{
	const uint64_t first = file->begin + page;
	const uint64_t behind = end - first > page_size ? first + page_size : end;
	uint64_t position;
	int r;

	r = cq_stream_next_data(stream, first, &position);
	if (r < 0 || position != first)
		return r;
	r = cq_stream_next_hole(stream, first, &position);
	return r < 0 ? r : position >= behind;
}

/* The first position from `position` on that can be read through this file; `end` if none can. */
static int next_readable(cq_stream *stream, const struct stream_file *file, uint64_t position,
                         uint64_t end, uint64_t *ret_position)
{
	const uint64_t page_size = (uint64_t)sysconf(_SC_PAGESIZE);
	int r;

	for (;;) {
		uint64_t page;

		r = cq_stream_next_data(stream, position, &position);
		if (r < 0)
			return r;
		if (position >= end || !file->cached)
			break;
		page = (position - file->begin) / page_size * page_size;
		r = page_is_whole(stream, file, page, page_size, end);
		if (r < 0)
			return r;
		if (r > 0)
			break;
		position = file->begin + page + page_size;
		if (position >= end)
			break;
	}
	*ret_position = position < end ? position : end;
	return 0;
}

static int find_data(cq_stream *stream, const struct stream_file *file, uint64_t position,
                     uint64_t end, uint64_t *ret_position)
{
	int r;

	r = next_readable(stream, file, position, end, ret_position);
	if (r == 0 && *ret_position == end)
		return -ENXIO;
	return r;
}

static int find_hole(cq_stream *stream, const struct stream_file *file, uint64_t position,
                     uint64_t end, uint64_t *ret_position)
{
	const uint64_t page_size = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t found;
	int r;

	r = next_readable(stream, file, position, end, &found);
	if (r < 0)
		return r;
	if (found == position) {
		r = cq_stream_next_hole(stream, position, &found);
		if (r < 0)
			return r;
		if (file->cached && found < end) /* the page with the first missing byte */
			found -= (found - file->begin) % page_size;
		*ret_position = found < end ? found : end;
	} else {
		*ret_position = position;
	}
	return 0;
}

static void stream_lseek(fuse_req_t req, uint64_t node, off_t offset, int whence,
                         struct fuse_file_info *fi)
{
	const struct stream_file *file = stream_handle(fi);
	cq_stream *stream = chronfs_of(req)->stream;
	uint64_t begin, end, found = 0;
	int r;

	(void)node;
	r = cq_stream_extent(stream, &begin, &end);
	if (r == 0 && (offset < 0 || (uint64_t)offset >= size_from(file->begin, end)))
		r = -ENXIO;
	if (r == 0)
		r = (whence == SEEK_DATA ? find_data : find_hole)(
			stream, file, file->begin + (uint64_t)offset, end, &found);
	if (r < 0)
		fuse_reply_err(req, -r);
	else
		fuse_reply_lseek(req, (off_t)(found - file->begin));
}

const struct chronfs_node_ops chronfs_stream_ops = {
	.stat = stream_stat,
	.open = stream_open,
	.read = stream_read,
	.lseek = stream_lseek,
	.ready = stream_ready,
	.release = stream_release,
	.xattr = stream_xattr,
	.xattr_list = stream_xattr_list,
};
