/* SPDX-License-Identifier: Apache-2.0 */
/*
 * append.c - `append`: one write(2) is one record
 *
 * append_write() gets the write in one WRITE request (sink.c), appends it under the writer's lock,
 * and replies.  If the queue has no room, it may park the request with a copy of its data
 * (wait_for_room.c).  A write that must be durable gets its reply after a sync (wait_for_sync.c).
 *
 * A write becomes a record as a whole or is refused: a write that the kernel would split is longer
 * than the largest record (request.c).
 */
#include "append/append.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>

#include "append/sink.h"
#include "append/wait_for_room.h"
#include "append/wait_for_sync.h"
#include "chronfs.h"

/* A write that waits for room. */
struct append_wait {
	struct chronfs_room_wait wait; /* first */
	struct chronfs_sink_file *file;
	struct chronfs_sync_wait *sync_wait; /* NULL: the write need not be durable */
	char data[];                         /* wait.parked.held bytes */
};

static struct chronfs_sink_file *append_handle(const struct fuse_file_info *fi)
{
	return (struct chronfs_sink_file *)(uintptr_t)fi->fh;
}

static int append(struct chronfs *fs, struct chronfs_sink_file *file, const char *data, size_t size)
{
	struct cq_appended appended;
	int r;

	r = cq_writer_append(fs->writer, CQ_TYPE_DEFAULT, data, size, &appended);
	if (r == 0)
		chronfs_sink_appended(fs, file, appended.seq);
	return r;
}

static int append_attempt(struct chronfs *fs, struct chronfs_room_wait *wait)
{
	const struct append_wait *w = (const struct append_wait *)wait;

	return append(fs, w->file, w->data, wait->parked.held);
}

static void append_finish(struct chronfs *fs, struct chronfs_parked *parked, int result)
{
	struct append_wait *w = (struct append_wait *)parked;

	chronfs_sink_reply(fs, parked->req, w->sync_wait, result < 0 ? 0 : parked->held, result);
	free(w);
}

/* False: no memory. */
static bool append_park(fuse_req_t req, struct chronfs_sink_file *file,
                        struct chronfs_sync_wait *sync_wait, const char *data, size_t size)
{
	struct append_wait *w = malloc(sizeof *w + size);

	if (!w)
		return false;
	w->wait.parked.req = req;
	w->wait.parked.held = size;
	w->wait.parked.finish = append_finish;
	w->wait.attempt = append_attempt;
	w->file = file;
	w->sync_wait = sync_wait;
	memcpy(w->data, data, size);
	chronfs_room_wait_park(chronfs_of(req), &w->wait);
	return true;
}

static void append_write(fuse_req_t req, uint64_t node, const char *data, size_t size, off_t offset,
                         struct fuse_file_info *fi)
{
	struct chronfs *fs = chronfs_of(req);
	struct chronfs_sync_wait *sync_wait = NULL;
	int r;

	(void)node;
	(void)offset;
	if (size == 0) {
		fuse_reply_write(req, 0);
		return;
	}
	/* fi->flags are this request's, and change with fcntl() and pwritev2() */
	r = size > fs->write_limit ? -EMSGSIZE
	                           : chronfs_sink_new_sync_wait(fs, req, fi->flags, &sync_wait);
	if (r == 0)
		r = chronfs_room_wait_any(fs) ? -EDQUOT : append(fs, append_handle(fi), data, size);
	if (r == -EDQUOT && chronfs_room_wait_allowed(fs, fi->flags & O_NONBLOCK, &r)) {
		if (append_park(req, append_handle(fi), sync_wait, data, size))
			return;
		r = -ENOMEM;
	}
	chronfs_sink_reply(fs, req, sync_wait, r < 0 ? 0 : size, r);
}

const struct chronfs_node_ops chronfs_append_ops = {
	.stat = chronfs_sink_stat,
	.open = chronfs_sink_open,
	.write = append_write,
	.ready = chronfs_sink_ready,
	.release = chronfs_sink_release,
	.xattr = chronfs_sink_xattr,
	.attributes = FS_APPEND_FL,
	.sink = true,
};
