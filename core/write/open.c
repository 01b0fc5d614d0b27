/* SPDX-License-Identifier: Apache-2.0 */
/*
 * open.c - opens a writer: for appends, or for a repair
 *
 * Order of opening: directory, lock, recovery, then what readers see (control.meta), then the threads.
 *
 * A repair opens a writer that looks at everything, and closes it at once.  So a repair and a writer that
 * opens after a crash decide and act by the same code, and a repair leaves what a closed writer leaves.
 */
#include "write/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "catalog/queue.h"
#include "check/check.h"
#include "check/internal.h"
#include "files/dir.h"
#include "files/trust.h"
#include "messages/log.h"
#include "messages/room.h"
#include "messages/sized.h"
#include "meta/lock.h"
#include "os/fault.h"
#include "os/io.h"
#include "os/process.h"

void cq_config_init_size(struct cq_config *config, size_t size)
{
	static const struct cq_config defaults = { .prealloc_wait_ms = 100, .spares = 1 };

	memcpy(config, &size, sizeof size);
	cq_sized_give(config, &defaults, sizeof defaults);
}

static int check_config(const struct cq_config *c)
{
	if (c->segment_size != 0 &&
	    (c->segment_size < CQ_SEGMENT_SIZE_MIN || c->segment_size > CQ_SEGMENT_SIZE_MAX ||
	     c->segment_size % 4096 != 0))
		return -EINVAL;
	if (c->spares < 1 || c->spares > CQ_SPARES_MAX)
		return -EINVAL;
	if (c->begin_seq >= CQ_COUNT_MAX || c->begin_stream > CQ_COUNT_MAX ||
	    (c->begin_seq == 0 && c->begin_stream > 0))
		return -EINVAL;
	switch (c->sync) {
	case CQ_SYNC_NONE:
	case CQ_SYNC_ALWAYS:
		return 0;
	case CQ_SYNC_INTERVAL:
		return c->sync_interval_ms > 0 ? 0 : -EINVAL;
	}
	return -EINVAL;
}

/* The directory's own name has to be durable before anything in it can be.  The process that made a directory
 * that is still empty may have been killed before it synced the name. */
static int sync_own_name(int dirfd)
{
	int parent, r;

	r = cq_io_open_dir(dirfd, "..", &parent);
	if (r == -EACCES) /* then its owner has made this directory, and may sync it */
		return 0;
	if (r < 0)
		return r;
	r = cq_planted("own_name_unsynced") ? 0 : cq_io_sync_dir(parent);
	close(parent);
	return r;
}

/* *ret_made: this call has made the directory, whatever it returns; *ret_empty: it held no queue. */
static int open_queue_dir(const char *dir, bool make, bool *ret_made, bool *ret_empty, int *ret_fd)
{
	enum cq_dir_kind kind;
	int fd, r;

	r = make ? cq_io_mkdir(AT_FDCWD, dir, 0750) : 0;
	*ret_made = make && r == 0;
	if (r < 0 && r != -EEXIST)
		return r;
	cq_point("open.directory");
	r = cq_io_open_dir(AT_FDCWD, dir, &fd);
	if (r < 0)
		return r;
	r = cq_dir_classify(fd, &kind);
	if (r == 0 && kind == CQ_DIR_FOREIGN)
		r = -ENOTEMPTY;
	if (r == 0 && kind == CQ_DIR_EMPTY && !make)
		r = -ECANCELED;
	if (r == 0 && kind == CQ_DIR_EMPTY)
		r = sync_own_name(fd);
	if (r < 0) {
		close(fd);
		return r;
	}
	*ret_empty = kind == CQ_DIR_EMPTY;
	*ret_fd = fd;
	return 0;
}

/* The file of this name can be written to, or made.  `replaced`: an opening writer replaces what is no
 * regular file, except a directory. */
static int check_file(cq_writer *w, const char *name, bool replaced)
{
	int fd, r;

	r = replaced ? cq_trust_no_directory(w->dirfd, name, &w->config)
	             : cq_trust_regular(w->dirfd, name, &w->config);
	if (r == 0)
		r = cq_trust_to_write(w->dirfd, name, &w->config);
	if (r < 0)
		return r;
	r = cq_io_open(w->dirfd, name, O_RDWR, &fd);
	if (r == 0)
		close(fd);
	return r == -ENOENT || (replaced && (r == -ELOOP || r == -EBADMSG)) ? 0 : r;
}

/* Those that every opening writes to: none may turn out to be in its way when recovery has acted.  (The
 * segments: inspect.c.) */
static int check_files(cq_writer *w)
{
	static const char *const names[] = { CQ_LOCK_NAME, CQ_CONTROL_NAME, CQ_POSITION_NAME,
		                             CQ_DURABLE_NAME, CQ_IDENTITY_NAME };
	int r = 0;

	for (size_t i = 0; i < sizeof names / sizeof names[0] && r == 0; i++)
		r = check_file(w, names[i], strcmp(names[i], CQ_CONTROL_NAME) == 0);
	return r;
}

static void report_holder(cq_writer *w)
{
	struct cq_holder holder = CQ_SIZED(holder);

	if (cq_lock_holder(w->dirfd, &holder) < 0 || holder.pid == 0)
		cq_log(&w->config, CQ_ERROR, "the queue is locked by another writer");
	else if (holder.alive)
		cq_log(&w->config, CQ_ERROR, "the queue is locked by its writer, process %d",
		       (int)holder.pid);
	else
		cq_log(&w->config, CQ_ERROR,
		       "the queue is locked; its writer, process %d, has ended, but a process that it "
		       "started still holds the lock",
		       (int)holder.pid);
}

int cq_writer_store_position(cq_writer *w)
{
	const struct cq_position_file position = { w->current->id, w->current->used };
	int fd, r;

	r = cq_io_open(w->dirfd, CQ_POSITION_NAME, O_RDWR, &fd);
	if (r == -ENOENT)
		r = cq_io_create_new(w->dirfd, CQ_POSITION_NAME, 0640, &fd);
	if (r < 0)
		return r;
	cq_point("position.opened");
	r = cq_io_pwrite(fd, &position, sizeof position, 0);
	close(fd);
	return r;
}

/* A dry run of a repair does without the lock where there never was one. */
static int take_lock(cq_writer *w, const struct cq_repair_job *repair)
{
	int r;

	if (!repair || !repair->config->dry_run)
		return cq_lock_acquire(w->dirfd, &w->owned);
	r = cq_lock_try(w->dirfd, &w->owned);
	return r == -ENOENT ? 0 : r;
}

/* Measured: rolls back to back take half as long as with a preparer that falls asleep after each segment.  A
 * wake-up often has to interrupt an idle processor, and costs both threads more than this. */
#define PREPARER_SPIN_NS 20000U

/* Makes the writer's state of what recovery has found.  Nothing here can fail, so cq_writer_free_state()
 * is right from here on. */
static void init_state(cq_writer *w, const struct cq_recover_result *found)
{
	w->segment_size = found->segment_size;
	w->current = found->active;
	w->next_seq = found->next_seq;
	w->stream_end = found->stream_end;
	w->last_time = found->last_time;
	w->epoch = found->epoch;
	w->control.map = CQ_MAPPING_NONE;
	atomic_init(&w->oldest, found->oldest);
	pthread_mutex_init(&w->retention.lock, NULL);
	pthread_mutex_init(&w->preparing, NULL);
	cq_quota_init(&w->quota, w->config.max_bytes, w->segment_size, found->segments);
	cq_flush_init(w, found->unsynced_from);
	cq_prefault_init(&w->prefault, w->current);
	cq_prealloc_init(&w->prealloc, w->dirfd, w->segment_size, w->config.spares,
	                 w->current->id + 1, &w->quota);
	cq_worker_init(&w->preparer, cq_writer_prepare_step, w, PREPARER_SPIN_NS);
	cq_worker_init(&w->flusher, cq_writer_flush_step, w, 0);
}

/* What readers and the next writer see. */
static int open_meta_files(cq_writer *w)
{
	int r;

	r = cq_lock_describe(&w->owned, w->epoch);
	if (r < 0)
		return r;
	r = cq_control_establish(&w->control, w->dirfd, w->segment_size, w->epoch,
	                         (struct cq_position){ w->current->id, w->current->used });
	if (r < 0)
		return r;
	/* the index has the same places; entry 0 is the first record */
	for (uint64_t i = 1; i < w->current->index_count; i++)
		cq_control_landmark(&w->control, i * CQ_INDEX_STRIDE, w->current->index[i].seq,
		                    w->current->index[i].offset);
	cq_point("open.control");
	r = cq_writer_store_position(w);
	if (r < 0)
		return r;
	cq_point("open.position");
	r = cq_queue_open_for_writer(w->dirfd, w->segment_size, cq_writer_counts, cq_writer_bounds,
	                             w, &w->queue);
	return r < 0 ? r : cq_watermark_open(&w->flush.durable, w->dirfd);
}

/*
 * Recovery trusts the sealed segments of a queue that has no watermark.  Ours deserve that only once they
 * are synced.  So a watermark is stored and synced before a segment is made.  In a new queue nothing can be
 * missing; a queue that chronicle-rs wrote is synced whole first.
 */
static int first_mark(cq_writer *w, bool created)
{
	const struct cq_watermark_slot mark = { .segment = w->current->id,
		                                .offset = w->current->used,
		                                .seq = w->next_seq,
		                                .epoch = w->epoch };
	int r;

	if (created)
		r = cq_watermark_store(&w->flush.durable, mark);
	else
		r = cq_flush_upto(w, w->next_seq);
	if (r < 0 || cq_planted("mark_unsynced"))
		return r;
	r = cq_io_sync_data(w->flush.durable.fd);
	return r < 0 ? r : cq_io_sync_dir(w->dirfd);
}

/* The first spare is made before the queue is open: so a file system that cannot hold one is found here,
 * and the first roll is as fast as any. */
static int first_spare(cq_writer *w)
{
	int r = cq_prealloc_step(&w->prealloc);

	if (r == -EOPNOTSUPP || r == -EBADMSG)
		return r;
	if (r < 0 && r != atomic_exchange(&w->prepare_error, r))
		cq_room_log(&w->config, CQ_WARNING, "next segment not prepared", r, w->dirfd,
		            w->segment_size);
	return 0;
}

/* For a repair, which never makes a queue: ECANCELED when there is nothing to do, or the repair was only
 * to look. */
static int open_writer(const char *dir, const struct cq_config *config, bool threads,
                       struct cq_repair_job *repair, cq_writer **ret_writer)
{
	struct cq_recover_result found;
	bool empty = false;
	cq_writer *w;
	int r;

	w = calloc(1, sizeof *w);
	if (!w)
		return -ENOMEM;
	w->owned = CQ_LOCK_NONE;
	w->dirfd = -1;
	cq_config_init(&w->config);
	r = cq_process_number(&w->process);
	if (r == 0 && config)
		r = cq_sized_take(&w->config, sizeof w->config, config);
	if (r == 0)
		r = check_config(&w->config);
	if (r < 0)
		goto fail;
	r = open_queue_dir(dir, !repair, &w->made, &empty, &w->dirfd);
	if (r < 0)
		goto fail;
	w->path = realpath(dir, NULL);
	if (!w->path && errno == ENOMEM) {
		r = -ENOMEM;
		goto fail;
	}
	r = check_files(w);
	if (r < 0)
		goto fail;
	r = take_lock(w, repair);
	if (r == -EBUSY)
		report_holder(w);
	if (r < 0)
		goto fail;
	w->fresh = empty && cq_unmake_possible(w->dirfd);
	r = cq_recover(w->dirfd, &w->owned, &w->config, repair, &found);
	if (r < 0)
		goto fail;
	cq_room_check(&w->config, found.segment_size);
	init_state(w, &found);
	cq_point("open.recovered");
	r = cq_run_init(&w->run);
	if (r == 0)
		r = open_meta_files(w);
	if (r == 0 && !found.have_watermark)
		r = first_mark(w, found.created);
	cq_point("open.marked");
	if (r == 0)
		r = first_spare(w);
	if (r == 0 && threads)
		r = cq_worker_start(&w->preparer, "cq-prepare");
	if (r == 0 && threads)
		r = cq_worker_start(&w->flusher, "cq-flush");
	if (r < 0) {
		cq_writer_free_state(w);
		goto fail;
	}
	cq_point("open.done");
	*ret_writer = w;
	return 0;

fail:
	cq_unmake(w);
	cq_lock_release(&w->owned);
	if (w->made) /* fails where another process uses it by now */
		(void)rmdir(dir);
	if (w->dirfd >= 0)
		close(w->dirfd);
	free(w->path);
	free(w);
	return r;
}

int cq_writer_open_with(const char *dir, const struct cq_config *config, bool threads,
                        cq_writer **ret_writer)
{
	return open_writer(dir, config, threads, NULL, ret_writer);
}

int cq_writer_open(const char *dir, const struct cq_config *config, cq_writer **ret_writer)
{
	return cq_writer_open_with(dir, config, true, ret_writer);
}

int cq_repair(const char *dir, const struct cq_repair_config *config,
              struct cq_repair_result *ret_result)
{
	struct cq_repair_config all = CQ_SIZED(all);
	struct cq_repair_job repair = { .config = &all };
	struct cq_config opening;
	cq_writer *writer;
	int r;

	r = cq_sized_check(ret_result);
	if (r == 0 && config)
		r = cq_sized_take(&all, sizeof all, config);
	if (r < 0)
		return r;
	cq_config_init(&opening);
	opening.accept_loss = repair.config->accept_loss;
	opening.trust_files = repair.config->trust_files;
	opening.log = repair.config->log;
	opening.log_arg = repair.config->log_arg;
	opening.progress = repair.config->progress;
	opening.progress_arg = repair.config->progress_arg;
	r = open_writer(dir, &opening, false, &repair, &writer);
	if (r == 0) {
		r = cq_writer_close(writer);
		repair.result.done = r == 0;
	} else if ((r == -ECANCELED && !repair.stopped) || repair.result.refused) {
		r = 0;
	}
	if (r == 0)
		cq_sized_give(ret_result, &repair.result, sizeof repair.result);
	return r;
}
