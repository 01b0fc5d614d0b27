/* SPDX-License-Identifier: Apache-2.0 */
/*
 * queue.c - the queue's directory and its published segments, seen without changing them
 *
 * Nothing here writes, locks or maps a segment: segments are read by pread, so a file that is cut
 * short under a reader gives EIO and never SIGBUS.  control.meta is opened anew for each look at
 * it, since a writer may replace a broken one.  A handle is immutable but for segment_size, which
 * goes from 0 to its value once: that makes it safe for many threads without a lock.
 */
#include "queue.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control.h"
#include "format.h"
#include "io.h"
#include "lock.h"
#include "record.h"
#include "segdir.h"

#define HEADER_TRIES 100

struct cq_segment {
	cq_queue *queue;
	uint32_t id;
	int fd;
	uint64_t size;
};

static bool size_possible(uint64_t size)
{
	return size >= CQ_FORMAT_SIZE_MIN && size <= CQ_FORMAT_SIZE_MAX && size % CQ_ALIGN == 0;
}

/* ---- the directory ---- */

int cq_queue_open(const char *dir, cq_queue **ret_queue)
{
	enum cq_dir_kind kind;
	cq_queue *queue;
	int dirfd, r;

	r = cq_io_open_dir(AT_FDCWD, dir, &dirfd);
	if (r < 0)
		return r;
	r = cq_segdir_kind(dirfd, &kind);
	if (r < 0)
		goto fail;
	r = -ENOTEMPTY;
	if (kind == CQ_DIR_FOREIGN)
		goto fail;
	r = -ENOMEM;
	queue = calloc(1, sizeof *queue);
	if (!queue)
		goto fail;
	queue->dirfd = dirfd;
	*ret_queue = queue;
	return 0;
fail:
	close(dirfd);
	return r;
}

int cq_queue_open_for_writer(int dirfd, uint64_t segment_size, cq_live_time_fn live_time,
                             void *live_arg, cq_queue **ret_queue)
{
	cq_queue *queue = calloc(1, sizeof *queue);

	if (!queue)
		return -ENOMEM;
	queue->dirfd = fcntl(dirfd, F_DUPFD_CLOEXEC, 0);
	if (queue->dirfd < 0) {
		int r = -errno;

		free(queue);
		return r;
	}
	queue->segment_size = segment_size;
	queue->live_time = live_time;
	queue->live_arg = live_arg;
	*ret_queue = queue;
	return 0;
}

void cq_queue_close(cq_queue *queue)
{
	if (!queue)
		return;
	close(queue->dirfd);
	free(queue);
}

int cq_queue_holder(cq_queue *queue, struct cq_holder *ret_holder)
{
	return cq_lock_holder(queue->dirfd, ret_holder);
}

int cq_queue_list(cq_queue *queue, uint32_t **ret_ids, size_t *ret_count)
{
	return cq_segdir_list(queue->dirfd, ret_ids, ret_count);
}

/* ---- geometry ---- */

/* Opens a regular file with a valid header for id.  EBADMSG: it is not one. */
static int open_valid(int dirfd, uint32_t id, int *ret_fd, uint64_t *ret_size)
{
	struct cq_segment_header header;
	char name[CQ_NAME_MAX];
	struct stat st;
	ssize_t n;
	int fd, r;

	cq_segment_name(name, id);
	r = cq_io_open(dirfd, name, O_RDONLY, &fd);
	if (r == -ELOOP || r == -ENXIO) /* a symbolic link, a socket */
		return -EBADMSG;
	if (r < 0)
		return r;
	r = cq_io_stat(fd, &st);
	if (r < 0)
		goto fail;
	r = -EBADMSG;
	if (!S_ISREG(st.st_mode) || st.st_size < 0 || !size_possible((uint64_t)st.st_size))
		goto fail;
	n = cq_io_pread(fd, &header, sizeof header, 0);
	if (n < 0)
		r = (int)n;
	if (n != (ssize_t)sizeof header || !cq_segment_header_valid(&header, id))
		goto fail;
	*ret_fd = fd;
	*ret_size = (uint64_t)st.st_size;
	return 0;
fail:
	close(fd);
	return r;
}

/*
 * control.meta says it, if any segment bears it out (or there is none to ask); else the newest
 * valid segment does.  So neither a wrong control.meta nor one segment file that was cut short
 * leads astray while the other is right.
 */
static int find_geometry(cq_queue *queue, uint64_t *ret_size)
{
	uint64_t stated = 0, newest = 0, size;
	struct cq_control control;
	uint32_t *ids;
	size_t count;
	bool borne_out = false;
	int fd, r;

	r = cq_control_open(&control, queue->dirfd, false);
	if (r == 0) {
		stated = control.page->segment_size;
		cq_control_close(&control);
		if (!size_possible(stated))
			stated = 0;
	}
	r = cq_segdir_list(queue->dirfd, &ids, &count);
	if (r < 0)
		return r;
	for (size_t i = count; i-- > 0 && !borne_out;) {
		r = open_valid(queue->dirfd, ids[i], &fd, &size);
		if (r == -EBADMSG || r == -ENOENT)
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

int cq_queue_info(cq_queue *queue, struct cq_queue_info *ret_info)
{
	struct cq_queue_info info = { 0 };
	struct cq_position position;
	struct cq_control control;
	uint32_t *ids;
	size_t count;
	int r;

	r = cq_queue_segment_size(queue, &info.segment_size);
	if (r < 0)
		return r;
	/* before the listing, so that `current` is not ahead of `newest` */
	r = cq_control_open(&control, queue->dirfd, false);
	if (r == 0) {
		if (cq_control_position(&control, &position) == 0) {
			info.have_control = true;
			info.current = position.segment;
			info.offset = position.offset;
			info.epoch = control.page->epoch;
			info.heartbeat_ns =
				__atomic_load_n(&control.page->heartbeat_ns, __ATOMIC_RELAXED);
		}
		cq_control_close(&control);
	}
	r = cq_segdir_list(queue->dirfd, &ids, &count);
	if (r < 0)
		return r;
	info.segments = count;
	if (count > 0) {
		info.oldest = ids[0];
		info.newest = ids[count - 1];
	}
	free(ids);
	*ret_info = info;
	return 0;
}

/* ---- one segment ---- */

int cq_segment_open(cq_queue *queue, uint32_t id, cq_segment **ret_segment)
{
	cq_segment *segment;
	uint64_t expected, size;
	int fd, r;

	if (id > CQ_SEGMENT_ID_MAX)
		return -ENOENT;
	r = cq_queue_segment_size(queue, &expected);
	if (r < 0)
		return r;
	r = open_valid(queue->dirfd, id, &fd, &size);
	if (r < 0)
		return r;
	r = -EBADMSG;
	if (size != expected)
		goto fail;
	r = -ENOMEM;
	segment = malloc(sizeof *segment);
	if (!segment)
		goto fail;
	*segment = (cq_segment){ .queue = queue, .id = id, .fd = fd, .size = size };
	*ret_segment = segment;
	return 0;
fail:
	close(fd);
	return r;
}

void cq_segment_close(cq_segment *segment)
{
	if (!segment)
		return;
	close(segment->fd);
	free(segment);
}

int cq_segment_fd(const cq_segment *segment)
{
	return segment->fd;
}

uint64_t cq_segment_size(const cq_segment *segment)
{
	return segment->size;
}

ssize_t cq_segment_pread(cq_segment *segment, void *buffer, size_t length, uint64_t offset)
{
	ssize_t n;

	if (offset >= segment->size)
		return 0;
	if (length > segment->size - offset)
		length = (size_t)(segment->size - offset);
	n = cq_io_pread(segment->fd, buffer, length, offset);
	if (n >= 0 && (size_t)n < length) /* never a short answer that could pass for an end */
		return -EIO;
	return n;
}

/*
 * The summary is written while the header may be read: first the fields, then the seal.  A copy
 * that has SEALED therefore has the final fields; one that caught them half-written fails its CRC
 * and is taken again.
 */
int cq_segment_header(cq_segment *segment, struct cq_segment_header *ret_header)
{
	struct cq_segment_header header;

	for (int i = 0; i < HEADER_TRIES; i++) {
		ssize_t n = cq_segment_pread(segment, &header, sizeof header, 0);

		if (n < 0)
			return (int)n;
		if (header.ext == 0 || cq_segment_ext_valid(&header))
			break;
	}
	if (!cq_segment_header_valid(&header, segment->id))
		return -EBADMSG;
	*ret_header = header;
	return 0;
}

/* The CRC says that the fields are as written, not that a sane program wrote them. */
static bool summary_possible(const struct cq_segment_header *header, uint64_t size)
{
	uint64_t room;

	if (!cq_segment_ext_valid(header))
		return false;
	if (!(header->flags & CQ_SEALED))
		return true;
	if (header->used < sizeof *header || header->used > size || header->used % CQ_ALIGN != 0)
		return false;
	room = header->used - sizeof *header;
	return header->records <= room / sizeof(struct cq_record_header) &&
	       header->payload_bytes <= room - header->records * sizeof(struct cq_record_header);
}

int cq_segment_info(cq_segment *segment, struct cq_segment_info *ret_info)
{
	struct cq_segment_info info = { .id = segment->id };
	struct cq_segment_header header;
	struct stat st;
	int r;

	r = cq_io_stat(segment->fd, &st);
	if (r < 0)
		return r;
	if ((uint64_t)st.st_size != segment->size)
		return -EIO;
	r = cq_segment_header(segment, &header);
	if (r < 0)
		return r;
	info.version = header.version;
	info.sealed = (header.flags & CQ_SEALED) != 0;
	info.have_summary = summary_possible(&header, segment->size);
	if (info.have_summary) {
		info.first_seq = header.first_seq;
		info.stream_base = header.stream_base;
	}
	if (info.have_summary && info.sealed) {
		info.records = header.records;
		info.used = header.used;
		info.payload_bytes = header.payload_bytes;
	}
	*ret_info = info;
	return 0;
}

int cq_segment_stat(cq_segment *segment, struct stat *ret_stat)
{
	const cq_queue *queue = segment->queue;
	struct stat st;
	uint64_t time_ns;
	int r;

	r = cq_io_stat(segment->fd, &st);
	if (r < 0)
		return r;
	if (queue->live_time && queue->live_time(queue->live_arg, segment->id, &time_ns)) {
		st.st_mtim.tv_sec = (time_t)(time_ns / 1000000000);
		st.st_mtim.tv_nsec = (long)(time_ns % 1000000000);
	}
	/* the inode's own change time moves with every sync and chmod; a reader is shown the
	 * data's */
	st.st_ctim = st.st_mtim;
	st.st_size = (off_t)segment->size;
	*ret_stat = st;
	return 0;
}
