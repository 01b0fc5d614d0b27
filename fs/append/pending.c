/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pending.c - requests that wait for a flush
 *
 * fsync, and a write that must be durable, are parked: the serving thread hands the request to the
 * writer and goes on; the writer's flusher thread answers it from its callback.  Each parked request
 * is answered exactly once, at the latest by cq_writer_close(), which runs before the session ends.
 * It is not interruptible: the flush ends by itself, and the record is appended already.
 */
#include "append/pending.h"

#include <errno.h>
#include <stdlib.h>

#include "chronfs.h"
#include "fault.h"

struct chronfs_pending {
	struct cq_sync_request sync; /* first: the callback gets its address */
	fuse_req_t req;
	size_t written; /* answer as a write of so many bytes; 0: with plain success */
};

struct chronfs_pending *chronfs_pending_new(fuse_req_t req)
{
	struct chronfs_pending *pending = calloc(1, sizeof *pending);

	if (pending)
		pending->req = req;
	return pending;
}

void chronfs_pending_free(struct chronfs_pending *pending)
{
	free(pending);
}

static void flushed(struct cq_sync_request *request, int result)
{
	struct chronfs_pending *pending = (struct chronfs_pending *)request;

	/* Of a write EIO alone says that the record may be there (semantics.md): a shortage that kept the
	 * flush from beginning shall not look like a record that was refused. */
	if (result < 0 && !chronfs_planted("flush_error_swallowed"))
		fuse_reply_err(pending->req, pending->written > 0 ? EIO : -result);
	else if (pending->written > 0)
		fuse_reply_write(pending->req, pending->written);
	else
		fuse_reply_err(pending->req, 0);
	free(pending);
}

void chronfs_pending_sync(struct chronfs *fs, struct chronfs_pending *pending, size_t written)
{
	pending->sync.done = flushed;
	pending->written = written;
	cq_writer_sync_async(fs->writer, &pending->sync);
}

void chronfs_pending_fsync(fuse_req_t req)
{
	struct chronfs *fs = chronfs_of(req);
	struct chronfs_pending *pending;

	if (!fs->writer) {
		fuse_reply_err(req, 0);
		return;
	}
	pending = chronfs_pending_new(req);
	if (pending)
		chronfs_pending_sync(fs, pending, 0);
	else
		fuse_reply_err(req, ENOMEM);
}
