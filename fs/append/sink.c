/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sink.c - `append`: one write(2) is one record; and what it has in common with append.lines
 *
 * The way of a write: the kernel sends it in one WRITE request, since the file is opened for direct
 * IO (a cached file is torn into pages); append_write() appends it under the writer's lock; the reply
 * goes out.  A write that finds no room may be parked before that with a copy of its data (wait_for_room.c),
 * one that must be durable goes through wait_for_sync.c before it is answered.
 *
 * A write is whole or refused: what the kernel would split is longer than a record may be (request.c).
 *
 * Every lookup gives a node of its own: the kernel holds an inode's lock during a write, so writers
 * that shared one would wait for each other's flushes.  What belongs to an open file is found by its
 * handle, or by its node where the kernel gives no handle; two opens of one node there are only where
 * /proc/PID/fd was opened.
 *
 * The attributes of a sink never change, so the kernel keeps them.  It drops the size that it makes up
 * after a write by itself, and asks for it again when somebody wants to know.
 */
#include "append/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "append/wait_for_room.h"
#include "append/wait_for_sync.h"
#include "chronfs.h"
#include "held/open_files.h"
#include "held/poll.h"
#include "shared/counters.h"
#include "shared/node_ops.h"

#define BLKSIZE 65536 /* Python and awk take it as their buffer size */

/* ---- both sinks ---- */

int chronfs_sink_stat(struct chronfs *fs, uint64_t node, struct stat *ret_stat, double *ret_timeout)
{
	chronfs_attr(fs, node, S_IFREG | 0644, fs->mount_time, ret_stat);
	ret_stat->st_blksize = BLKSIZE;
	*ret_timeout = CHRONFS_FROZEN_TIMEOUT;
	return 0;
}

void chronfs_sink_new_node(struct chronfs *fs, enum chronfs_kind kind,
                           struct fuse_entry_param *ret_entry)
{
	uint64_t number = __atomic_add_fetch(&fs->sinks.lookups, 1, __ATOMIC_RELAXED);

	memset(ret_entry, 0, sizeof *ret_entry);
	ret_entry->ino = chronfs_node(kind, number);
	(void)chronfs_ops_of_node(ret_entry->ino)
		->stat(fs, ret_entry->ino, &ret_entry->attr, &ret_entry->attr_timeout);
}

void chronfs_sink_add(struct chronfs *fs, struct chronfs_sink_file *file, uint64_t node)
{
	file->open_file.node = node;
	pthread_mutex_lock(&fs->open_files.lock);
	chronfs_open_files_add(fs, &file->open_file);
	pthread_mutex_unlock(&fs->open_files.lock);
}

void chronfs_sink_remove(struct chronfs *fs, struct chronfs_sink_file *file)
{
	pthread_mutex_lock(&fs->open_files.lock);
	chronfs_open_files_remove(&file->open_file);
	pthread_mutex_unlock(&fs->open_files.lock);
}

void chronfs_sink_appended(struct chronfs *fs, struct chronfs_sink_file *file, uint64_t seq)
{
	uint64_t was = __atomic_load_n(&file->appended, __ATOMIC_RELAXED);

	/* two threads may come here in the other order than they appended */
	while (was < seq + 1 && /* another thread may store right here */
	       !__atomic_compare_exchange_n(&file->appended, /* GCOV_EXCL_BR_LINE: just stored */
	                                    &was, seq + 1, true, __ATOMIC_RELAXED,
	                                    __ATOMIC_RELAXED))
		;
	chronfs_poll_changed(fs);
}

void chronfs_sink_reply_error(struct chronfs *fs, fuse_req_t req, int error)
{
	uint64_t *counter;

	switch (-error) {
	case EMSGSIZE:
		counter = &fs->counters.too_long;
		break;
	case EDQUOT:
	case EAGAIN:
		counter = &fs->counters.full;
		break;
	case ENOSPC:
		counter = &fs->counters.no_space;
		break;
	case EINTR:
		counter = &fs->counters.interrupted;
		break;
	default:
		counter = &fs->counters.failed;
		break;
	}
	chronfs_count(counter);
	fuse_reply_err(req, -error);
}

int chronfs_sink_new_sync_wait(const struct chronfs *fs, fuse_req_t req, int flags,
                               struct chronfs_sync_wait **ret_sync_wait)
{
	struct chronfs_sync_wait *sync_wait = NULL;

	if (fs->options.sync == CHRONFS_SYNC_ALWAYS || (flags & O_DSYNC)) {
		sync_wait = chronfs_sync_wait_new(req);
		if (!sync_wait)
			return -ENOMEM;
	}
	*ret_sync_wait = sync_wait;
	return 0;
}

/* Readable, for there is end of file to be read; writable if the largest record has room and nobody
 * is waiting for it. */
unsigned chronfs_sink_ready(struct chronfs *fs, uint64_t node, const struct fuse_file_info *fi,
                            unsigned events)
{
	unsigned now = POLLIN | POLLRDNORM;
	int r;

	(void)node;
	(void)fi;
	if (!(events & (POLLOUT | POLLWRNORM)))
		return now & events;
	r = cq_writer_room(fs->writer, fs->write_limit);
	if (r == -EIO)
		now |= POLLERR;
	if (r != -EDQUOT && !chronfs_room_wait_any(fs))
		now |= POLLOUT | POLLWRNORM;
	return now & (events | POLLERR);
}

/* What was appended through the open file of this node; of two, the later. */
ssize_t chronfs_sink_xattr(struct chronfs *fs, uint64_t node, const char *name, char *value)
{
	uint64_t appended = 0;

	if (strcmp(name, "user.chronfs.last_seq") != 0)
		return -ENODATA;
	pthread_mutex_lock(&fs->open_files.lock);
	for (const struct chronfs_open_file *o = chronfs_open_files_find(fs, node); o;
	     o = chronfs_open_files_next(o)) {
		const struct chronfs_sink_file *file = (const struct chronfs_sink_file *)o;
		const uint64_t its = __atomic_load_n(&file->appended, __ATOMIC_RELAXED);

		if (its > appended)
			appended = its;
	}
	pthread_mutex_unlock(&fs->open_files.lock);
	if (appended == 0)
		return -ENODATA;
	return snprintf(value, CHRONFS_XATTR_MAX, "%llu", (unsigned long long)appended - 1);
}

/* ---- append ---- */

/* A write that waits for room. */
struct parked_write {
	struct chronfs_room_wait wait; /* first */
	struct chronfs_sink_file *file;
	struct chronfs_sync_wait *sync_wait; /* NULL: need not be durable */
	size_t size;
	char data[];
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

static void append_answer(struct chronfs *fs, fuse_req_t req, struct chronfs_sync_wait *sync_wait,
                          size_t size, int r)
{
	if (r < 0) {
		chronfs_sync_wait_free(sync_wait);
		chronfs_sink_reply_error(fs, req, r);
	} else if (sync_wait) {
		chronfs_sync_wait_start(fs, sync_wait, size);
	} else {
		fuse_reply_write(req, size);
	}
}

static int append_attempt(struct chronfs *fs, struct chronfs_room_wait *wait)
{
	const struct parked_write *w = (const struct parked_write *)wait;

	return append(fs, w->file, w->data, w->size);
}

static void append_finish(struct chronfs *fs, struct chronfs_parked *parked, int result)
{
	struct parked_write *w = (struct parked_write *)parked;

	append_answer(fs, parked->req, w->sync_wait, w->size, result);
	free(w);
}

/* False: no memory. */
static bool append_park(fuse_req_t req, struct chronfs_sink_file *file,
                        struct chronfs_sync_wait *sync_wait, const char *data, size_t size)
{
	struct parked_write *w = malloc(sizeof *w + size);

	if (!w)
		return false;
	w->wait.parked.req = req;
	w->wait.parked.held = size;
	w->wait.parked.finish = append_finish;
	w->wait.attempt = append_attempt;
	w->file = file;
	w->sync_wait = sync_wait;
	w->size = size;
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
	/* The flags of this request, not of the open: they follow fcntl() and pwritev2(). */
	r = size > fs->write_limit ? -EMSGSIZE
	                           : chronfs_sink_new_sync_wait(fs, req, fi->flags, &sync_wait);
	if (r == 0)
		r = chronfs_room_wait_any(fs) ? -EDQUOT : append(fs, append_handle(fi), data, size);
	if (r == -EDQUOT && chronfs_room_wait_allowed(fs, fi->flags & O_NONBLOCK, &r)) {
		if (append_park(req, append_handle(fi), sync_wait, data, size))
			return;
		r = -ENOMEM;
	}
	append_answer(fs, req, sync_wait, size, r);
}

static void append_open(fuse_req_t req, uint64_t node, struct fuse_file_info *fi)
{
	struct chronfs_sink_file *file = calloc(1, sizeof *file);

	if (!file) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	chronfs_sink_add(chronfs_of(req), file, node);
	/* Any access mode; O_TRUNC means nothing. */
	fi->fh = (uintptr_t)file;
	fi->direct_io = 1;
	chronfs_reply_open(req, node, fi);
}

static void append_release(struct chronfs *fs, uint64_t node, struct fuse_file_info *fi)
{
	(void)node;
	chronfs_sink_remove(fs, append_handle(fi));
	free(append_handle(fi));
}

const struct chronfs_node_ops chronfs_append_ops = {
	.stat = chronfs_sink_stat,
	.open = append_open,
	.write = append_write,
	.ready = chronfs_sink_ready,
	.release = append_release,
	.xattr = chronfs_sink_xattr,
	.attributes = FS_APPEND_FL,
	.sink = true,
};
