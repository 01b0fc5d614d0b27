/* SPDX-License-Identifier: Apache-2.0 */
/*
 * segment.c - one published segment file, opened for reading
 *
 * Nothing here writes, locks or maps the file.  It is read by pread, so a file that somebody cuts short
 * gives EIO and never SIGBUS.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "catalog/queue.h"
#include "files/dir.h"
#include "format/format.h"
#include "format/record.h"
#include "messages/sized.h"
#include "os/io.h"
#include "os/process.h"

#define HEADER_TRIES 100

bool cq_segment_size_possible(uint64_t size)
{
	return size >= CQ_FORMAT_SIZE_MIN && size <= CQ_FORMAT_SIZE_MAX && size % CQ_ALIGN == 0;
}

int cq_segment_open_file(int dirfd, uint32_t id, int *ret_fd, uint64_t *ret_size)
{
	struct cq_segment_header header;
	char name[CQ_NAME_MAX];
	struct stat st;
	ssize_t n;
	int fd, r;

	cq_segment_name(name, id);
	r = cq_io_open(dirfd, name, O_RDONLY, &fd);
	if (r == -ELOOP) /* a symbolic link */
		return -EBADMSG;
	if (r < 0)
		return r;
	r = cq_io_stat(fd, &st);
	if (r < 0)
		goto fail;
	r = -EBADMSG;
	if (!cq_segment_size_possible((uint64_t)st.st_size))
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

int cq_queue_check_version(cq_queue *queue)
{
	struct cq_segment_header header;
	char name[CQ_NAME_MAX];
	uint32_t *ids;
	size_t count;
	ssize_t n;
	int fd, r;

	if (cq_process_forked(queue->process))
		return -ECHILD;
	r = cq_dir_list(queue->dirfd, &ids, &count);
	if (r < 0)
		return r;
	if (count > 0)
		cq_segment_name(name, ids[count - 1]);
	free(ids);
	if (count == 0)
		return 0;
	r = cq_io_open(queue->dirfd, name, O_RDONLY, &fd);
	if (r < 0)
		return r == -ELOOP || r == -EBADMSG || r == -ENOENT ? 0 : r;
	n = cq_io_pread(fd, &header, sizeof header, 0);
	close(fd);
	if (n < 0)
		return (int)n;
	return n == (ssize_t)sizeof header && header.magic == CQ_SEGMENT_MAGIC &&
	                       header.version > CQ_SEGMENT_VERSION
	               ? -EPROTONOSUPPORT
	               : 0;
}

int cq_segment_open(cq_queue *queue, uint32_t id, cq_segment **ret_segment)
{
	cq_segment *segment;
	uint64_t expected, size;
	int fd, r;

	if (cq_process_forked(queue->process))
		return -ECHILD;
	if (id > CQ_SEGMENT_ID_MAX)
		return -ENOENT;
	r = cq_queue_segment_size(queue, &expected);
	if (r < 0)
		return r;
	r = cq_segment_open_file(queue->dirfd, id, &fd, &size);
	if (r < 0)
		return r;
	r = -EBADMSG;
	if (size != expected)
		goto fail;
	r = -ENOMEM;
	segment = malloc(sizeof *segment);
	if (!segment)
		goto fail;
	*segment = (cq_segment){
		.process = queue->process, .queue = queue, .id = id, .fd = fd, .size = size
	};
	*ret_segment = segment;
	return 0;
fail:
	close(fd);
	return r;
}

void cq_segment_close(cq_segment *segment)
{
	if (!segment || cq_process_forked(segment->process))
		return;
	close(segment->fd);
	free(segment);
}

int cq_segment_fd(const cq_segment *segment)
{
	if (cq_process_forked(segment->process))
		return -ECHILD;
	return segment->fd;
}

uint64_t cq_segment_size(const cq_segment *segment)
{
	return segment->size;
}

ssize_t cq_segment_pread(cq_segment *segment, void *buffer, size_t length, uint64_t offset)
{
	ssize_t n;

	if (cq_process_forked(segment->process))
		return -ECHILD;
	if (offset >= segment->size)
		return 0;
	if (length > segment->size - offset)
		length = (size_t)(segment->size - offset);
	n = cq_io_pread(segment->fd, buffer, length, offset);
	if (n >= 0 && (size_t)n < length) /* a short answer would look like the end of the file */
		return -EIO;
	return n;
}

/*
 * A writer may write the summary while the header is read: first the fields, then the seal.  So a copy
 * with SEALED has the final fields.  A copy with half-written fields fails its CRC and is taken again.
 */
int cq_segment_read_header(cq_segment *segment, struct cq_segment_header *ret_header)
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
bool cq_segment_summary_possible(const struct cq_segment_header *header, uint64_t size)
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

void cq_segment_show(struct stat *st, uint64_t size, const struct cq_segment_counts *counts)
{
	if (counts && counts->records > 0) {
		st->st_mtim.tv_sec = (time_t)(counts->last_time_ns / 1000000000);
		st->st_mtim.tv_nsec = (long)(counts->last_time_ns % 1000000000);
	}
	/* the inode's change time moves with each sync and chmod: users see the time of the data */
	st->st_ctim = st->st_mtim;
	st->st_size = (off_t)size;
}
