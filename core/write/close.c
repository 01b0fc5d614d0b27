/* SPDX-License-Identifier: Apache-2.0 */
/*
 * close.c - closes a writer; and removes a queue that came to nothing
 *
 * The preparer ends; everything is synced; the flusher ends; the remaining requests get their replies, the
 * remaining segments are finalized; index.meta gets the position; durable.meta the list of segments for the
 * next open (files/listing.c); the lock is released last.
 *
 * On a slow disk this takes a while, and another process may wait for the queue already: after `umount`, or
 * a service that is restarted.  So writer.lock says from the beginning that the queue is being closed, with
 * a number that grows with each step that is done (lock.h).  A waiting process can tell a holder that gets
 * on from one that is stuck.  A step is bounded: a segment's bytes are written out a piece at a time before
 * the sync that may wait for all of them.
 *
 * A queue comes to nothing where an open fails, a mount fails, or an input has no line.  If the queue was
 * made for that, the directory is left as it was found.  A queue that existed stays untouched, and so does
 * one to which another process has brought a segment with records meanwhile: this writer's own hold none.
 * All of this is under the writer's lock.  durable.meta is removed first: if this process is killed then,
 * the rest without it is an empty queue, and no loss.  writer.lock is removed last: a process that waits
 * for it finds that it has no name any more, and tries again (lock.c).
 */
#include "write/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "catalog/queue.h"
#include "files/dir.h"
#include "files/index.h"
#include "files/listing.h"
#include "format/format.h"
#include "os/fault.h"
#include "os/io.h"
#include "os/process.h"

#define PIECE_BYTES (8U << 20) /* some seconds on the slowest disk */

void cq_writer_progress(cq_writer *w)
{
	if (!atomic_load(&w->closing))
		return;
	/* the file may be another writer's, but not before cq_owner_let_go() has had this lock */
	pthread_mutex_lock(&w->retention.lock);
	if (!atomic_load(&w->ousted))
		(void)cq_lock_describe_closing(&w->owned, w->epoch,
		                               atomic_fetch_add(&w->progress, 1) + 1);
	pthread_mutex_unlock(&w->retention.lock);
}

int cq_writer_write_out(cq_writer *w, int fd, uint64_t size)
{
	int r = 0;

	if (!atomic_load(&w->closing))
		return 0;
	for (uint64_t at = 0; at < size && r == 0; at += PIECE_BYTES) {
		r = cq_io_write_out(fd, at, PIECE_BYTES);
		cq_writer_progress(w);
	}
	return r;
}

/* ---- a queue that came to nothing ---- */

static bool is_there(int dirfd, const char *name)
{
	struct stat st;

	return cq_io_stat_at(dirfd, name, &st) != -ENOENT;
}

bool cq_unmake_possible(int dirfd)
{
	static const char *const names[] = { CQ_DURABLE_NAME, CQ_CONTROL_NAME, CQ_POSITION_NAME,
		                             CQ_IDENTITY_NAME };
	uint32_t id;

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if (is_there(dirfd, names[i]))
			return false;
	return cq_dir_next(dirfd, 0, &id) == -ENOENT;
}

/* Whether this writer may have made the segment: no record has begun in it. */
static bool holds_nothing(int dirfd, uint32_t id)
{
	char name[CQ_NAME_MAX];
	uint32_t word;
	bool nothing;
	int fd;

	cq_segment_name(name, id);
	if (cq_io_open(dirfd, name, O_RDONLY, &fd) < 0)
		return false;
	nothing = cq_io_pread(fd, &word, sizeof word, sizeof(struct cq_segment_header)) ==
	                  sizeof word &&
	          word == 0;
	close(fd);
	return nothing;
}

/* The segments to remove; -EEXIST if one holds a record. */
static int list_segments(int dirfd, uint32_t **ret_ids, size_t *ret_count)
{
	uint32_t *ids;
	size_t count;
	int r;

	r = cq_dir_list(dirfd, &ids, &count);
	if (r < 0)
		return r;
	for (size_t i = 0; i < count; i++) {
		if (!holds_nothing(dirfd, ids[i])) {
			free(ids);
			return -EEXIST;
		}
	}
	*ret_ids = ids;
	*ret_count = count;
	return 0;
}

/* Newest first: after a kill the rest still begins where the queue began. */
static int remove_segments(int dirfd, const uint32_t *ids, size_t count)
{
	char name[CQ_NAME_MAX];
	int r = 0;

	while (count-- > 0 && r == 0) {
		cq_segment_name(name, ids[count]);
		(void)cq_index_remove(dirfd, ids[count]);
		r = cq_io_unlink(dirfd, name);
	}
	return r;
}

void cq_unmake(cq_writer *w)
{
	static const char *const last[] = { CQ_CONTROL_NAME, CQ_POSITION_NAME, CQ_IDENTITY_NAME,
		                            CQ_LOCK_NAME };
	uint32_t *ids;
	size_t count;
	int r;

	if (!w->fresh || is_there(w->dirfd, CQ_READERS_DIR) ||
	    list_segments(w->dirfd, &ids, &count) < 0)
		return;
	r = cq_io_unlink(w->dirfd, CQ_DURABLE_NAME);
	cq_point("unmake.unmarked");
	if (r == 0 || r == -ENOENT)
		r = cq_dir_sweep(w->dirfd);
	if (r == 0)
		r = remove_segments(w->dirfd, ids, count);
	free(ids);
	for (size_t i = 0; i < sizeof last / sizeof last[0] && (r == 0 || r == -ENOENT); i++)
		r = cq_io_unlink(w->dirfd, last[i]);
	cq_point("unmake.done");
	if (w->made && w->path) /* if nothing else is in it */
		(void)rmdir(w->path);
}

/* ---- closing ---- */

void cq_writer_free_state(cq_writer *w)
{
	cq_worker_fini(&w->preparer); /* may have threads, in a failed open */
	cq_worker_fini(&w->flusher);
	cq_prealloc_fini(&w->prealloc);
	cq_prefault_fini(&w->prefault);
	cq_run_fini(&w->run);
	cq_flush_fini(w);
	if (w->queue)
		cq_queue_free(w->queue);
	cq_control_close(&w->control);
	cq_wsegment_free(w->current);
	cq_reader_table_fini(&w->retention.readers);
	cq_quota_fini(&w->quota);
	pthread_mutex_destroy(&w->retention.lock);
	pthread_mutex_destroy(&w->preparing);
}

static int close_writer(cq_writer *w, bool discard)
{
	int r, rest;

	if (!w)
		return 0;
	if (cq_process_forked(w->process))
		return -ECHILD;
	atomic_store(&w->closing, true);
	cq_writer_progress(w);
	cq_worker_stop(&w->preparer);
	r = cq_writer_sync(w);
	cq_worker_stop(&w->flusher);
	/* what the flusher had left to do */
	rest = cq_flush_drain(w);
	if (r == 0)
		r = rest;
	cq_mutex_lock(&w->lock);
	cq_control_wake_owed(&w->control);
	cq_mutex_unlock(&w->lock);
	cq_point("close.drained");
	(void)cq_owner_check(w);
	if (!atomic_load(&w->ousted))
		(void)cq_writer_store_position(w);
	else if (r == 0)
		r = -EIO;
	discard = discard && w->fresh && w->records == 0 && !atomic_load(&w->ousted);
	if (r == 0 && !discard)
		cq_listing_store(w->dirfd, w->flush.durable.fd);
	cq_point("close.position");
	cq_writer_free_state(w);
	cq_point("close.freed");
	if (discard)
		cq_unmake(w);
	if (r == 0)
		(void)cq_lock_describe_closed(&w->owned, w->epoch);
	cq_lock_release(&w->owned);
	close(w->dirfd);
	free(w->path);
	free(w);
	return r;
}

int cq_writer_close(cq_writer *w)
{
	return close_writer(w, false);
}

int cq_writer_discard(cq_writer *w)
{
	return close_writer(w, true);
}
