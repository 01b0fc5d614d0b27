/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lines.c - `append.lines`: one line is one record, and its newline belongs to it
 *
 * A write's lines are appended in batches, straight from the request's buffer.  The bytes behind
 * the last newline, the open line, belong to the open file until the next write continues the line
 * (line_splitter.h).  The open line becomes a record without a newline
 *   - when it reaches the size limit of a record
 *   - when the descriptor of the last write is closed, or the file is
 *   - after line_timeout (line_timeout.c)
 *   - at the end of the mount
 *   - when it must be durable: by an fsync of the file, or by a write with O_DSYNC or sync=always.
 *
 * A failure in the middle of a write makes the write short: the bytes in records count, and the
 * rest was not taken.  A line that was open before the write stays as it was unless it has become a
 * record.
 *
 * Requests that find no room are parked (wait_for_room.c), each with the rest of its data.  While
 * one request of a file waits, no other request changes that file.
 *
 * Two threads may serve requests on one file, so a file's fields have a lock.  When the kernel
 * releases a file, no request on it is under way; only the background thread may still hold a
 * reference.
 */
#include "append/lines.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>

#include "append/line_splitter.h"
#include "append/sink.h"
#include "append/wait_for_room.h"
#include "append/wait_for_sync.h"
#include "chronfs.h"
#include "held/file_locks.h"
#include "shared/counters.h"
#include "shared/node_ops.h"

#define BATCH 2048                 /* records of one append */
#define MEMORY ((size_t)256 << 20) /* for the open lines of all files */

/* A request that may append lines: a WRITE, or a close or fsync, which append the open line. */
struct lines_request {
	struct chronfs_room_wait wait; /* first; parked.req is set from the start */
	struct chronfs_lines_file *file;
	struct chronfs_sync_wait *sync_wait; /* NULL: the request need not be durable */
	bool is_write;
	bool is_close; /* of a descriptor */
	bool nonblock;
	bool end;         /* the end of the data ends a record */
	uint64_t owner;   /* lock owner of a WRITE or a close */
	const char *data; /* not taken yet */
	size_t size;      /* of that */
	size_t done;      /* bytes taken */
	char copy[];      /* of the data of a parked request */
};

static struct chronfs_lines_file *lines_handle(const struct fuse_file_info *fi)
{
	return (struct chronfs_lines_file *)(uintptr_t)fi->fh;
}

/* ---- appending; all under file->lock ---- */

/* Updates fs->lines.open and fs->lines.bytes to what the file holds now. */
static void lines_account(struct chronfs *fs, struct chronfs_lines_file *file)
{
	const uint64_t is = file->splitter.used, was = file->accounted;

	if ((is > 0) != (was > 0))
		__atomic_add_fetch(&fs->lines.open, is > 0 ? 1 : UINT64_MAX, __ATOMIC_RELAXED);
	if (is != was)
		__atomic_add_fetch(&fs->lines.bytes, is - was, __ATOMIC_RELAXED);
	file->accounted = file->splitter.used;
}

static void count_partials(struct chronfs *fs, const struct cq_message *messages, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const char *bytes = messages[i].payload;

		if (bytes[messages[i].length - 1] != '\n')
			chronfs_count(&fs->counters.partials);
	}
}

/*
 * Appends the records that end in *data, whose *size bytes follow the open line, and advances both;
 * then keeps the rest of *data in the open line.  `behind`: other requests wait for room, so acts
 * as if there were none (-EDQUOT).  On failure nothing of what is left in *data was taken.
 */
static int lines_take(struct chronfs *fs, struct chronfs_lines_file *file, const char **data,
                      size_t *size, bool end, bool behind)
{
	struct chronfs_line_splitter *splitter = &file->splitter;
	struct cq_message messages[BATCH];
	struct cq_appended appended;
	ssize_t count;
	size_t taken;
	int r = 0;

	for (;;) {
		count = chronfs_line_splitter_cut(splitter, *data, *size, end, messages, BATCH);
		if (count > 0)
			count = behind ? -EDQUOT
			               : cq_writer_append_batch(fs->writer, messages, (size_t)count,
			                                        &appended);
		if (count <= 0)
			break;
		chronfs_sink_appended(fs, &file->sink, appended.seq + appended.count - 1);
		count_partials(fs, messages, (size_t)count);
		taken = chronfs_line_splitter_consume(splitter, messages, (size_t)count);
		*data += taken;
		*size -= taken;
	}
	if (count < 0)
		r = (int)count;
	else
		r = chronfs_line_splitter_keep(splitter, *data, *size);
	if (r == 0)
		*size = 0;
	chronfs_line_splitter_shrink(splitter);
	lines_account(fs, file);
	return r;
}

int chronfs_lines_commit(struct chronfs *fs, struct chronfs_lines_file *file, bool behind)
{
	const char *data = "";
	size_t size = 0;

	return lines_take(fs, file, &data, &size, true, behind);
}

/* Takes as much of the request as it can.  -EDQUOT: the request can continue when there is room. */
static int lines_advance(struct chronfs *fs, struct lines_request *request, bool behind)
{
	struct chronfs_lines_file *file = request->file;
	const size_t had = request->size;
	int r;

	r = lines_take(fs, file, &request->data, &request->size, request->end, behind);
	request->done += had - request->size;
	if (request->is_write && had > request->size) {
		file->owner = request->owner;
		file->nonblock = request->nonblock;
		chronfs_line_timeout_start(fs, file);
	}
	return r;
}

/* ---- requests ---- */

static void lines_reply(struct chronfs *fs, const struct lines_request *request, int r)
{
	/* a process keeps its locks until its line is appended */
	if (request->is_close)
		chronfs_file_locks_close(fs, request->file->sink.open_file.node, request->owner);
	chronfs_sink_reply(fs, request->wait.parked.req, request->sync_wait, request->done, r);
}

static int lines_attempt(struct chronfs *fs, struct chronfs_room_wait *wait)
{
	struct lines_request *request = (struct lines_request *)wait;
	int r;

	pthread_mutex_lock(&request->file->lock);
	r = lines_advance(fs, request, false);
	pthread_mutex_unlock(&request->file->lock);
	return r;
}

static void lines_finish(struct chronfs *fs, struct chronfs_parked *parked, int result)
{
	struct lines_request *request = (struct lines_request *)parked;
	struct chronfs_lines_file *file = request->file;

	pthread_mutex_lock(&file->lock);
	file->parked--;
	chronfs_line_timeout_start(fs, file); /* the timeout skips a file with a parked request */
	pthread_mutex_unlock(&file->lock);
	lines_reply(fs, request, result);
	free(request);
}

/* A copy to be parked; NULL: no memory. */
static struct lines_request *lines_copy(const struct lines_request *request)
{
	struct lines_request *copy = malloc(sizeof *copy + request->size);

	if (!copy)
		return NULL;
	*copy = *request;
	if (copy->size > 0)
		memcpy(copy->copy, request->data, copy->size);
	copy->data = copy->copy;
	copy->wait.parked.held = copy->size;
	copy->wait.parked.finish = lines_finish;
	copy->wait.attempt = lines_attempt;
	return copy;
}

static void lines_serve(struct chronfs *fs, struct lines_request *request)
{
	struct chronfs_lines_file *file = request->file;
	struct lines_request *parked = NULL;
	int r = -EDQUOT;

	pthread_mutex_lock(&file->lock);
	if (file->parked == 0)
		r = lines_advance(fs, request, chronfs_room_wait_any(fs));
	if (r == -EDQUOT && chronfs_room_wait_allowed(fs, request->nonblock, &r)) {
		parked = lines_copy(request);
		if (parked)
			file->parked++;
		else
			r = -ENOMEM;
	}
	pthread_mutex_unlock(&file->lock);
	if (parked)
		chronfs_room_wait_park(fs, &parked->wait);
	else
		lines_reply(fs, request, r);
}

static void lines_write(fuse_req_t req, uint64_t node, const char *data, size_t size, off_t offset,
                        struct fuse_file_info *fi)
{
	struct chronfs *fs = chronfs_of(req);
	struct lines_request request = {
		.wait.parked.req = req,
		.file = lines_handle(fi),
		.is_write = true,
		.nonblock = fi->flags & O_NONBLOCK,
		.owner = fi->lock_owner,
		.data = data,
		.size = size,
	};
	int r;

	(void)node;
	(void)offset;
	if (size == 0) {
		fuse_reply_write(req, 0);
		return;
	}
	r = chronfs_sink_new_sync_wait(fs, req, fi->flags, &request.sync_wait);
	if (r < 0) {
		chronfs_sink_reply(fs, req, NULL, 0, r);
		return;
	}
	request.end = request.sync_wait != NULL;
	lines_serve(fs, &request);
}

/* A close of a descriptor.  Appends the open line if its last bytes may have come through this
 * descriptor. */
static void lines_flush(fuse_req_t req, uint64_t node, struct fuse_file_info *fi)
{
	struct chronfs_lines_file *file = lines_handle(fi);
	struct lines_request request = {
		.wait.parked.req = req,
		.file = file,
		.is_close = true,
		.owner = fi->lock_owner,
		.data = "",
		.end = true,
	};
	bool appends;

	(void)node;
	pthread_mutex_lock(&file->lock);
	appends = file->splitter.used > 0 && file->owner == fi->lock_owner;
	request.nonblock = file->nonblock;
	pthread_mutex_unlock(&file->lock);
	if (appends)
		lines_serve(chronfs_of(req), &request);
	else
		lines_reply(chronfs_of(req), &request, 0);
}

static void lines_fsync(fuse_req_t req, uint64_t node, struct fuse_file_info *fi)
{
	struct chronfs_lines_file *file = lines_handle(fi);
	struct lines_request request = {
		.wait.parked.req = req,
		.file = file,
		.sync_wait = chronfs_sync_wait_new(req),
		.data = "",
		.end = true,
	};

	(void)node;
	if (!request.sync_wait) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	pthread_mutex_lock(&file->lock);
	request.nonblock = file->nonblock;
	pthread_mutex_unlock(&file->lock);
	lines_serve(chronfs_of(req), &request);
}

/* ---- open and release ---- */

void chronfs_lines_init(struct chronfs *fs)
{
	pthread_mutex_init(&fs->lines.lock, NULL);
	fs->lines.memory.most = MEMORY;
}

void chronfs_lines_fini(struct chronfs *fs)
{
	pthread_mutex_destroy(&fs->lines.lock);
}

static void lines_open(fuse_req_t req, uint64_t node, struct fuse_file_info *fi)
{
	struct chronfs *fs = chronfs_of(req);
	struct chronfs_lines_file *file;

	/* each open file may leave a leftover */
	if ((fi->flags & O_ACCMODE) != O_RDONLY && chronfs_room_wait_too_many_leftovers(fs)) {
		chronfs_sink_reply(fs, req, NULL, 0, -EDQUOT);
		return;
	}
	file = calloc(1, sizeof *file);
	if (!file) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	if (!chronfs_sink_admit(req, &file->sink, node, fi->flags)) {
		free(file);
		fuse_reply_err(req, ESTALE);
		return;
	}
	pthread_mutex_init(&file->lock, NULL);
	chronfs_line_splitter_init(&file->splitter, fs->write_limit, &fs->lines.memory);
	file->references = 1;
	/* every access mode is allowed; O_TRUNC means nothing */
	fi->fh = (uintptr_t)file;
	fi->direct_io = 1;
	chronfs_reply_open(req, node, fi);
}

void chronfs_lines_unref(struct chronfs *fs, struct chronfs_lines_file *file)
{
	unsigned left;

	pthread_mutex_lock(&fs->lines.lock);
	left = --file->references;
	pthread_mutex_unlock(&fs->lines.lock);
	if (left > 0)
		return;
	chronfs_line_splitter_fini(&file->splitter);
	lines_account(fs, file); /* the open line was lost */
	pthread_mutex_destroy(&file->lock);
	free(file);
}

static void lines_release(struct chronfs *fs, uint64_t node, struct fuse_file_info *fi)
{
	struct chronfs_lines_file *file = lines_handle(fi);

	(void)node;
	chronfs_open_files_remove(fs, &file->sink.open_file);
	chronfs_line_timeout_cancel(fs, file);
	chronfs_line_leftover_append(fs, file);
}

void chronfs_lines_count(struct chronfs *fs, uint64_t *ret_files, uint64_t *ret_bytes)
{
	*ret_files = __atomic_load_n(&fs->lines.open, __ATOMIC_RELAXED);
	*ret_bytes = __atomic_load_n(&fs->lines.bytes, __ATOMIC_RELAXED);
}

const struct chronfs_node_ops chronfs_lines_ops = {
	.stat = chronfs_sink_stat,
	.open = lines_open,
	.write = lines_write,
	.ready = chronfs_sink_ready,
	.flush = lines_flush,
	.fsync = lines_fsync,
	.release = lines_release,
	.xattr = chronfs_sink_xattr,
	.attributes = FS_APPEND_FL,
	.sink = true,
};
