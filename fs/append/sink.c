/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sink.c - what append and append.lines have in common
 *
 * Both files are opened for direct IO, so the kernel sends a write(2) in one WRITE request.  (It
 * would cut a write to a cached file into pages.)
 *
 * Each lookup makes a new node.  The kernel holds an inode's lock during a write, so writers that
 * shared a node would wait for each other's syncs.  A request finds its open file by its handle, or
 * by its node if the kernel gives no handle.  A node has two open files only if a program opened
 * /proc/PID/fd/N.
 *
 * The attributes of a sink never change, so the kernel keeps them.  After a write the kernel makes
 * up a file size, drops it by itself, and asks for the size when a program wants to know it.
 */
#include "append/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "append/wait_for_room.h"
#include "chronfs.h"
#include "held/poll.h"
#include "shared/counters.h"

#define BLKSIZE 65536 /* Python and awk use it as their buffer size */

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

void chronfs_sink_appended(struct chronfs *fs, struct chronfs_sink_file *file, uint64_t seq)
{
	uint64_t was = __atomic_load_n(&file->appended, __ATOMIC_RELAXED);

	/* two threads may come here in another order than they appended in */
	while (was < seq + 1 && /* another thread may store right here */
	       !__atomic_compare_exchange_n(&file->appended, /* GCOV_EXCL_BR_LINE: just stored */
	                                    &was, seq + 1, true, __ATOMIC_RELAXED,
	                                    __ATOMIC_RELAXED))
		;
	chronfs_poll_changed(fs);
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

static uint64_t *failure_counter(struct chronfs *fs, int error)
{
	switch (-error) {
	case EMSGSIZE:
		return &fs->counters.too_long;
	case EDQUOT:
	case EAGAIN:
		return &fs->counters.full;
	case ENOSPC:
		return &fs->counters.no_space;
	case EINTR:
		return &fs->counters.interrupted;
	default:
		return &fs->counters.failed;
	}
}

void chronfs_sink_reply(struct chronfs *fs, fuse_req_t req, struct chronfs_sync_wait *sync_wait,
                        size_t written, int r)
{
	if (r < 0 && written == 0) {
		chronfs_sync_wait_free(sync_wait);
		chronfs_count(failure_counter(fs, r));
		fuse_reply_err(req, -r);
	} else if (sync_wait) {
		chronfs_sync_wait_start(fs, sync_wait, written);
	} else {
		chronfs_reply_success(req, written);
	}
}

/* A sink is always readable: a read gives end of file.  It is writable if the largest record has
 * room and no request waits for room. */
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

/* The last record through the open file of this node; the later one if it has two open files. */
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
