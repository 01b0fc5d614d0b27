/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wait_for_sync.c - requests that wait for a flush
 *
 * fsync, and a write that must be durable, are parked: the serving thread hands the request to the
 * writer and goes on; the writer's flusher thread answers it from its callback.  Each parked request
 * is answered exactly once, at the latest by cq_writer_close(), which runs before the session ends.
 * It is not interruptible: the flush ends by itself, and the record is appended already.
 */
#include "append/wait_for_sync.h"

#include <errno.h>
#include <stdlib.h>

#include "chronfs.h"
#include "fault.h"

struct chronfs_sync_wait {
	struct cq_sync_request sync; /* first: the callback gets its address */
	fuse_req_t req;
	size_t written; /* answer as a write of so many bytes; 0: with plain success */
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

static void flushed(struct cq_sync_request *request, int result)
{
	struct chronfs_sync_wait *sync_wait = (struct chronfs_sync_wait *)request;

	/* Of a write EIO alone says that the record may be there (semantics.md): a shortage that kept the
	 * flush from beginning shall not look like a record that was refused. */
	if (result < 0 && !chronfs_planted("flush_error_swallowed"))
		fuse_reply_err(sync_wait->req, sync_wait->written > 0 ? EIO : -result);
	else if (sync_wait->written > 0)
		fuse_reply_write(sync_wait->req, sync_wait->written);
	else
		fuse_reply_err(sync_wait->req, 0);
	free(sync_wait);
}

void chronfs_sync_wait_start(struct chronfs *fs, struct chronfs_sync_wait *sync_wait,
                             size_t written)
{
	sync_wait->sync.done = flushed;
	sync_wait->written = written;
	cq_writer_sync_async(fs->writer, &sync_wait->sync);
}

void chronfs_sync_wait_fsync(fuse_req_t req)
{
	struct chronfs *fs = chronfs_of(req);
	struct chronfs_sync_wait *sync_wait;

	if (!fs->writer) {
		fuse_reply_err(req, 0);
		return;
	}
	sync_wait = chronfs_sync_wait_new(req);
	if (sync_wait)
		chronfs_sync_wait_start(fs, sync_wait, 0);
	else
		fuse_reply_err(req, ENOMEM);
}
