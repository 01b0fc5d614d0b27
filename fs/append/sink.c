/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sink.c - what append, append.lines and ctl have in common
 *
 * The files are opened for direct IO, so the kernel sends a write(2) in one WRITE request.  (It
 * would cut a write to a cached file into pages.)
 *
 * The kernel holds an inode's lock during a write, so writers that shared a node would wait for each
 * other's syncs and for each other's room.  So each open file has a node of its own.  But an `echo >>`
 * in a shell's loop should ask for nothing twice: while nobody has the newest node open, the name
 * keeps leading to it, and the kernel keeps the name for CHRONFS_NAME_TIMEOUT.
 *
 * So a second opener may come by a name that the kernel kept, and ask for a node that is in use.  It
 * gets ESTALE.  The kernel then walks the path a second time, in the same thread: it looks the name
 * up again, whatever it kept, and opens what it finds (do_filp_open() with LOOKUP_REVAL).  No program
 * sees the ESTALE of a first attempt, and each would see that of a second.
 *
 * Invariants, under fs->open_files.lock:
 *   - A thread that was refused has a place in `retries` until its next open.  Its next open
 *     succeeds, whatever the node.
 *   - Each lookup of such a thread gives a new node, which is reserved for it.  A node is in use if
 *     it has an open file or is reserved: no other thread gets it from a lookup, or may open it.
 *
 * Two open files share a node in these cases only.  A program opened /proc/PID/fd/N, or a bind
 * mount of the sink itself, which looks no name up.  The file is opened only to read: a thread that opens
 * files inside the kernel for others (fanotify) does not try again, and a read locks nothing; only an fsync
 * of such a file delays a write through the other.  No place is free in `retries`.  The thread has no number
 * in the daemon's pid namespace.
 *
 * The kernel does not keep a name that such a thread looks up, nor one of a reserved node: that node
 * is about to be open.
 *
 * A request finds its open file by its handle, or by its node if the kernel gives no handle.
 *
 * The attributes of a sink never change, so the kernel keeps them.  After a write the kernel makes
 * up a file size, drops it by itself, and asks for the size when a program wants to know it.
 */
#include "append/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "append/wait_for_room.h"
#include "chronfs.h"
#include "held/poll.h"
#include "shared/counters.h"

#define BLKSIZE 65536  /* Python and awk use it as their buffer size */
#define RETRY_MS 60000 /* a thread that has not tried again by then will not */

int chronfs_sink_stat(struct chronfs *fs, uint64_t node, struct stat *ret_stat, double *ret_timeout)
{
	chronfs_attr(fs, node, S_IFREG | 0666, fs->mount_time, ret_stat);
	ret_stat->st_blksize = BLKSIZE;
	*ret_timeout = CHRONFS_FROZEN_TIMEOUT;
	return 0;
}

/* ---- nodes; the caller of the static functions holds fs->open_files.lock ---- */

static struct chronfs_sink_retry *find_retry(struct chronfs *fs, pid_t thread)
{
	for (size_t i = 0; i < fs->sinks.retrying; i++)
		if (fs->sinks.retries[i].thread == thread)
			return &fs->sinks.retries[i];
	return NULL;
}

static void remove_retry(struct chronfs *fs, struct chronfs_sink_retry *retry)
{
	*retry = fs->sinks.retries[--fs->sinks.retrying];
}

/* False: there is no place. */
static bool add_retry(struct chronfs *fs, pid_t thread)
{
	const uint64_t now = chronfs_now_ms();

	for (size_t i = fs->sinks.retrying; i-- > 0;)
		if (now - fs->sinks.retries[i].since_ms >= RETRY_MS)
			remove_retry(fs, &fs->sinks.retries[i]); /* it was killed */
	if (fs->sinks.retrying == CHRONFS_SINK_RETRIES)
		return false;
	fs->sinks.retries[fs->sinks.retrying++] =
		(struct chronfs_sink_retry){ .thread = thread, .since_ms = now };
	return true;
}

static bool is_in_use(struct chronfs *fs, uint64_t node)
{
	for (size_t i = 0; i < fs->sinks.retrying; i++)
		if (fs->sinks.retries[i].node == node)
			return true;
	return chronfs_open_files_find(fs, node) != NULL;
}

void chronfs_sink_lookup(struct chronfs *fs, enum chronfs_kind kind, pid_t thread,
                         struct fuse_entry_param *ret_entry)
{
	uint64_t *newest = &fs->sinks.newest[kind];
	struct chronfs_sink_retry *retry;

	memset(ret_entry, 0, sizeof *ret_entry);
	pthread_mutex_lock(&fs->open_files.lock);
	retry = thread != 0 ? find_retry(fs, thread) : NULL;
	if (retry || *newest == 0 || is_in_use(fs, *newest))
		*newest = chronfs_node(kind, ++fs->sinks.nodes);
	if (retry)
		retry->node = *newest;
	ret_entry->ino = *newest;
	pthread_mutex_unlock(&fs->open_files.lock);
	ret_entry->entry_timeout = thread == 0 || retry ? 0 : CHRONFS_NAME_TIMEOUT;
	(void)chronfs_ops_of_node(ret_entry->ino)
		->stat(fs, ret_entry->ino, &ret_entry->attr, &ret_entry->attr_timeout);
}

bool chronfs_sink_admit(fuse_req_t req, struct chronfs_sink_file *file, uint64_t node, int flags)
{
	const pid_t thread = fuse_req_ctx(req)->pid;
	const bool only_reads = (flags & O_ACCMODE) == O_RDONLY;
	struct chronfs *fs = chronfs_of(req);
	struct chronfs_sink_retry *retry = NULL;
	bool admitted = true;

	pthread_mutex_lock(&fs->open_files.lock);
	if (thread != 0)
		retry = find_retry(fs, thread);
	if (retry)
		remove_retry(fs, retry);
	else if (thread != 0 && !only_reads && is_in_use(fs, node))
		admitted = !add_retry(fs, thread);
	if (admitted) {
		file->open_file.node = node;
		chronfs_open_files_add_locked(fs, &file->open_file);
	}
	pthread_mutex_unlock(&fs->open_files.lock);
	return admitted;
}

/* ---- open and release ---- */

/* A shell opens a file for `>>` to write only, and without O_CLOEXEC, and closes two descriptors of it
 * for each command: the kernel would send FLUSH for both.  Only POSIX locks need FLUSH
 * (file_locks.c), and a program that locks rarely opens a file in this way. */
static bool needs_flush(const struct chronfs *fs, int flags)
{
	return (flags & (O_ACCMODE | O_CLOEXEC)) != O_WRONLY ||
	       __atomic_load_n(&fs->file_locks.posix_used, __ATOMIC_RELAXED);
}

void chronfs_sink_open(fuse_req_t req, uint64_t node, struct fuse_file_info *fi)
{
	struct chronfs_sink_file *file = calloc(1, sizeof *file);

	if (!file) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	if (!chronfs_sink_admit(req, file, node, fi->flags)) {
		free(file);
		fuse_reply_err(req, ESTALE);
		return;
	}
	/* every access mode is allowed; O_TRUNC means nothing */
	fi->fh = (uintptr_t)file;
	fi->direct_io = 1;
	fi->noflush = !needs_flush(chronfs_of(req), fi->flags);
	chronfs_reply_open(req, node, fi);
}

void chronfs_sink_release(struct chronfs *fs, uint64_t node, struct fuse_file_info *fi)
{
	struct chronfs_sink_file *file = (struct chronfs_sink_file *)(uintptr_t)fi->fh;

	(void)node;
	chronfs_open_files_remove(fs, &file->open_file);
	free(file);
}

/* ---- writes ---- */

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
