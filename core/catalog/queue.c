/* SPDX-License-Identifier: Apache-2.0 */
/*
 * queue.c - the queue's directory, seen without changing it
 *
 * control.meta is opened each time it is read, since a writer may replace a broken one.  Many threads
 * may use a handle: its members never change, but for atomic words (segment_size, which goes from 0 to
 * its value once; oldest and newest, which are hints) and the catalogue, which has its own locks.
 */
#include "catalog/queue.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "files/dir.h"
#include "format/format.h"
#include "messages/sized.h"
#include "meta/control.h"
#include "meta/lock.h"
#include "os/clock.h"
#include "os/io.h"
#include "os/process.h"

#define PROBES 64             /* names asked for before the directory is listed */
#define LOCK_POLL_NS 20000000 /* between two questions who has the lock */

/* ---- the directory ---- */

int cq_queue_open(const char *dir, cq_queue **ret_queue)
{
	enum cq_dir_kind kind;
	uint64_t process;
	cq_queue *queue;
	int dirfd, r;

	r = cq_process_number(&process);
	if (r < 0)
		return r;
	r = cq_io_open_dir(AT_FDCWD, dir, &dirfd);
	if (r < 0)
		return r;
	r = cq_dir_classify(dirfd, &kind);
	if (r < 0)
		goto fail;
	r = -ENOTEMPTY;
	if (kind == CQ_DIR_FOREIGN)
		goto fail;
	r = -ENOMEM;
	queue = calloc(1, sizeof *queue);
	if (!queue)
		goto fail;
	queue->process = process;
	queue->dirfd = dirfd;
	cq_catalog_init(&queue->catalog);
	*ret_queue = queue;
	return 0;
fail:
	close(dirfd);
	return r;
}

int cq_queue_open_for_writer(int dirfd, uint64_t segment_size, cq_counts_fn counts,
                             cq_bounds_fn bounds, void *writer, cq_queue **ret_queue)
{
	cq_queue *queue = calloc(1, sizeof *queue);
	int r;

	if (!queue)
		return -ENOMEM;
	r = cq_io_duplicate(dirfd, &queue->dirfd);
	if (r < 0) {
		free(queue);
		return r;
	}
	(void)cq_process_number(
		&queue->process); /* it cannot fail: the writer has read the number before */
	queue->segment_size = segment_size;
	queue->counts = counts;
	queue->bounds = bounds;
	queue->writer = writer;
	cq_catalog_init(&queue->catalog);
	*ret_queue = queue;
	return 0;
}

void cq_queue_free(cq_queue *queue)
{
	cq_catalog_fini(&queue->catalog);
	close(queue->dirfd);
	free(queue);
}

void cq_queue_close(cq_queue *queue)
{
	if (queue && !cq_process_forked(queue->process) &&
	    !queue->counts) /* the writer frees its own */
		cq_queue_free(queue);
}

int cq_queue_holder(cq_queue *queue, struct cq_holder *ret_holder)
{
	struct cq_holder holder;
	int r;

	if (cq_process_forked(queue->process))
		return -ECHILD;
	r = cq_sized_check(ret_holder);
	if (r == 0)
		r = cq_lock_holder(queue->dirfd, &holder);
	if (r == 0)
		cq_sized_give(ret_holder, &holder, sizeof holder);
	return r;
}

int cq_queue_await_release(cq_queue *queue, uint32_t timeout_ms, struct cq_holder *ret_holder)
{
	const struct timespec interval = { .tv_nsec = LOCK_POLL_NS };
	const uint64_t end_ns = cq_monotonic_ns() + timeout_ms * UINT64_C(1000000);
	struct cq_holder holder;
	int r;

	if (cq_process_forked(queue->process))
		return -ECHILD;
	r = cq_sized_check(ret_holder);
	if (r < 0)
		return r;
	while ((r = cq_lock_holder(queue->dirfd, &holder)) == 0 && holder.locked &&
	       cq_monotonic_ns() < end_ns)
		nanosleep(&interval, NULL);
	if (r == 0)
		cq_sized_give(ret_holder, &holder, sizeof holder);
	return r;
}

int cq_queue_await_closing(cq_queue *queue, uint32_t stall_ms, bool (*stop)(void *arg), void *arg,
                           struct cq_holder *ret_holder)
{
	const struct timespec interval = { .tv_nsec = LOCK_POLL_NS };
	struct cq_holder last, now;
	uint64_t since_ns = cq_monotonic_ns();
	int r;

	if (cq_process_forked(queue->process))
		return -ECHILD;
	r = cq_sized_check(ret_holder);
	if (r == 0)
		r = cq_lock_holder(queue->dirfd, &now);
	if (r < 0)
		return r;
	last = now;
	while (now.locked && now.closing && now.pid == last.pid && !(stop && stop(arg))) {
		nanosleep(&interval, NULL);
		r = cq_lock_holder(queue->dirfd, &now);
		if (r < 0)
			return r;
		if (now.progress != last.progress) {
			last = now;
			since_ns = cq_monotonic_ns();
		} else if (cq_monotonic_ns() - since_ns >= stall_ms * UINT64_C(1000000)) {
			break;
		}
	}
	cq_sized_give(ret_holder, &now, sizeof now);
	return 0;
}

static void saw_ends(cq_queue *queue, uint32_t oldest, uint32_t newest)
{
	__atomic_store_n(&queue->oldest, oldest, __ATOMIC_RELAXED);
	__atomic_store_n(&queue->newest, newest, __ATOMIC_RELAXED);
}

int cq_queue_list(cq_queue *queue, uint32_t **ret_ids, size_t *ret_count)
{
	int r;

	if (cq_process_forked(queue->process))
		return -ECHILD;
	r = cq_dir_list(queue->dirfd, ret_ids, ret_count);
	if (r == 0 && *ret_count > 0)
		saw_ends(queue, (*ret_ids)[0], (*ret_ids)[*ret_count - 1]);
	return r;
}

uint32_t cq_queue_oldest(cq_queue *queue)
{
	struct cq_queue_bounds bounds;

	if (!queue->bounds)
		return __atomic_load_n(&queue->oldest, __ATOMIC_RELAXED);
	queue->bounds(queue->writer, &bounds);
	return bounds.oldest;
}

/* ---- oldest and newest ---- */

/* 1: there is a file of that name; 0: there is none; or an error. */
static int is_there(const cq_queue *queue, uint64_t id)
{
	char name[CQ_NAME_MAX];
	struct stat st;
	int r;

	if (id > CQ_SEGMENT_ID_MAX)
		return 0;
	cq_segment_name(name, (uint32_t)id);
	r = cq_io_stat_at(queue->dirfd, name, &st);
	return r == 0 ? 1 : r == -ENOENT ? 0 : r;
}

/*
 * The oldest and the newest id only grow, a few at a time.  So both are found by asking for the names
 * that come next.  False: they have moved further, or a name could not be asked for.
 */
static bool follow_ends(const cq_queue *queue, uint32_t *oldest, uint32_t *newest)
{
	uint64_t low = *oldest, high = *newest;
	int there;

	while ((there = is_there(queue, low)) == 0)
		if (++low > (uint64_t)*oldest + PROBES)
			return false;
	if (there < 0)
		return false;
	if (high < low)
		high = low;
	else if (is_there(queue, high) <= 0) /* somebody has deleted it */
		return false;
	while ((there = is_there(queue, high + 1)) > 0)
		if (++high > (uint64_t)*newest + PROBES)
			return false;
	if (there < 0)
		return false;
	*oldest = (uint32_t)low;
	*newest = (uint32_t)high;
	return true;
}

int cq_queue_ends(cq_queue *queue, uint32_t *ret_oldest, uint32_t *ret_newest)
{
	uint32_t oldest = __atomic_load_n(&queue->oldest, __ATOMIC_RELAXED);
	uint32_t newest = __atomic_load_n(&queue->newest, __ATOMIC_RELAXED);
	struct cq_queue_bounds bounds;
	uint32_t *ids;
	size_t count;
	int r;

	if (cq_process_forked(queue->process))
		return -ECHILD;
	if (queue->bounds) {
		queue->bounds(queue->writer, &bounds);
		oldest = bounds.oldest;
		if (newest < bounds.active)
			newest = bounds.active;
	}
	if (follow_ends(queue, &oldest, &newest)) {
		saw_ends(queue, oldest, newest);
	} else {
		r = cq_queue_list(queue, &ids, &count);
		if (r < 0)
			return r;
		if (count > 0) {
			oldest = ids[0];
			newest = ids[count - 1];
		}
		free(ids);
		if (count == 0)
			return -ENOENT;
	}
	*ret_oldest = oldest;
	*ret_newest = newest;
	return 0;
}

/* ---- geometry ---- */

/*
 * The segment size is that of control.meta if at least one segment has it (or there is none to ask), else
 * that of the newest valid segment.  So a wrong control.meta does no harm while a segment is right, nor
 * does one segment file that was cut short while control.meta is right.
 */
static int find_geometry(cq_queue *queue, uint64_t *ret_size)
{
	uint64_t stated = 0, newest = 0, size;
	struct cq_control control;
	uint32_t *ids, current;
	size_t count;
	bool borne_out = false;
	int fd, r;

	r = cq_control_open(&control, queue->dirfd, false);
	if (r == 0) {
		stated = control.page->segment_size;
		current = __atomic_load_n(&control.page->current_segment, __ATOMIC_ACQUIRE);
		cq_control_close(&control);
		if (!cq_segment_size_possible(stated))
			stated = 0;
		/* the usual answer needs no listing */
		if (stated != 0 && cq_segment_open_file(queue->dirfd, current, &fd, &size) == 0) {
			close(fd);
			if (size == stated) {
				*ret_size = stated;
				return 0;
			}
		}
	}
	r = cq_dir_list(queue->dirfd, &ids, &count);
	if (r < 0)
		return r;
	for (size_t i = count; i-- > 0 && !borne_out;) {
		r = cq_segment_open_file(queue->dirfd, ids[i], &fd, &size);
		if (r == -EBADMSG || r == -ENOENT) /* GCOV_EXCL_BR_LINE: gone since */
			continue;
		if (r < 0)
			goto free_ids;
		close(fd);
		if (newest == 0)
			newest = size;
		borne_out = stated == 0 || size == stated;
	}
	r = 0;
	*ret_size = newest == 0 || (borne_out && stated != 0) ? stated : newest;
free_ids:
	free(ids);
	return r;
}

int cq_queue_segment_size(cq_queue *queue, uint64_t *ret_size)
{
	uint64_t size = __atomic_load_n(&queue->segment_size, __ATOMIC_RELAXED);
	int r;

	if (size == 0) {
		r = find_geometry(queue, &size);
		if (r < 0)
			return r;
		__atomic_store_n(&queue->segment_size, size, __ATOMIC_RELAXED);
	}
	*ret_size = size;
	return 0;
}

int cq_queue_position(cq_queue *queue, struct cq_queue_info *ret_info)
{
	struct cq_queue_info info = { .have_control = true };
	struct cq_position position;
	struct cq_control control;
	int r;

	if (cq_process_forked(queue->process))
		return -ECHILD;
	r = cq_sized_check(ret_info);
	if (r < 0)
		return r;
	r = cq_control_open(&control, queue->dirfd, false);
	if (r < 0)
		return -ENOENT;
	r = cq_control_position(&control, &position);
	if (r == 0) {
		info.current = position.segment;
		info.offset = position.offset;
		info.epoch = control.page->epoch;
		info.flushes = cq_control_flushes(&control);
		info.heartbeat_ns = __atomic_load_n(&control.page->heartbeat_ns, __ATOMIC_RELAXED);
		cq_sized_give(ret_info, &info, sizeof info);
	}
	cq_control_close(&control);
	return r < 0 ? -ENOENT : 0;
}
