/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wait_for_sync.c - requests that wait for a sync
 *
 * These are fsync, `sync` in ctl, and writes that must be durable.  The serving thread hands the
 * request to the writer and serves the next one.  The writer's flusher thread replies from its
 * callback, once for each request: at the latest in cq_writer_close(), which runs before the
 * session ends.
 * Such a request cannot be interrupted: a sync ends by itself, and the record is appended already.
 */
#include "append/wait_for_sync.h"

#include <errno.h>
#include <stdlib.h>

#include "chronfs.h"
#include "fault.h"
#include "shared/node_ops.h"

struct chronfs_sync_wait {
	struct cq_sync_request sync; /* first: the callback gets its address */
	fuse_req_t req;
	size_t written; /* as of chronfs_reply_success() */
};

struct chronfs_sync_wait *chronfs_sync_wait_new(fuse_req_t req)
{
	struct chronfs_sync_wait *sync_wait = calloc(1, sizeof *sync_wait);

	if (sync_wait)
		sync_wait->req = req;
	return sync_wait;
}

void chronfs_sync_wait_free(struct chronfs_sync_wait *sync_wait)
{
	free(sync_wait);
}

static void sync_wait_done(struct cq_sync_request *request, int result)
{
	struct chronfs_sync_wait *sync_wait = (struct chronfs_sync_wait *)request;

	/* For a write, only EIO says that the record may be there (semantics.md).  A sync that
	 * could not start for want of memory or descriptors must not look like a refused record. */
	if (result < 0 && !chronfs_planted("flush_error_swallowed"))
		fuse_reply_err(sync_wait->req, sync_wait->written > 0 ? EIO : -result);
	else
		chronfs_reply_success(sync_wait->req, sync_wait->written);
	free(sync_wait);
}

void chronfs_sync_wait_start(struct chronfs *fs, struct chronfs_sync_wait *sync_wait,
                             size_t written)
{
	sync_wait->sync.done = sync_wait_done;
	sync_wait->written = written;
	cq_writer_sync_async(fs->writer, &sync_wait->sync);
}

void chronfs_reply_after_sync(fuse_req_t req, size_t written)
{
	struct chronfs *fs = chronfs_of(req);
	struct chronfs_sync_wait *sync_wait;

	if (!fs->writer) {
		chronfs_reply_success(req, written);
		return;
	}
	sync_wait = chronfs_sync_wait_new(req);
	if (sync_wait)
		chronfs_sync_wait_start(fs, sync_wait, written);
	else
		fuse_reply_err(req, ENOMEM);
}
