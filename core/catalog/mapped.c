/* SPDX-License-Identifier: Apache-2.0 */
/* mapped.c - one segment as a reader sees it; see mapped.h */
#include "catalog/mapped.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "catalog/queue.h"
#include "files/dir.h"
#include "format/record.h"
#include "os/io.h"

static const struct cq_segment_header *header_of(const struct cq_mapped *mapped)
{
	return (const struct cq_segment_header *)(const void *)mapped->map.base;
}

static int check_header(const struct cq_mapped *mapped, uint64_t size)
{
	static const struct cq_segment_header zero;

	if (size != 0 && mapped->map.size < size)
		return -EIO;
	if (mapped->map.size < CQ_FORMAT_SIZE_MIN || mapped->map.size > CQ_FORMAT_SIZE_MAX ||
	    mapped->map.size % CQ_ALIGN != 0 || (size != 0 && mapped->map.size != size))
		return -EBADMSG;
	if (cq_segment_header_valid(header_of(mapped), mapped->id))
		return 0;
	if (cq_mapping_shortened(&mapped->map))
		return -EIO;
	return memcmp(header_of(mapped), &zero, sizeof zero) == 0 ? -EAGAIN : -EBADMSG;
}

int cq_mapped_open(int dirfd, uint32_t id, uint64_t size, struct cq_mapped *ret_mapped)
{
	struct cq_mapped v = { .map = CQ_MAPPING_NONE, .id = id };
	char name[CQ_NAME_MAX];
	int r;

	cq_segment_name(name, id);
	r = cq_mapping_open(&v.map, dirfd, name, 0, false);
	if (r == -ELOOP) /* a symbolic link */
		return -EBADMSG;
	if (r < 0)
		return r;
	r = check_header(&v, size);
	if (r < 0)
		cq_mapped_close(&v);
	else
		*ret_mapped = v;
	return r;
}

int cq_mapped_of(cq_queue *queue, uint32_t id, struct cq_mapped *ret_mapped)
{
	uint64_t size;
	int r;

	r = cq_queue_segment_size(queue, &size);
	if (r < 0)
		return r;
	return cq_mapped_open(queue->dirfd, id, size, ret_mapped);
}

int cq_mapped_or_damage(cq_queue *queue, uint32_t id, struct cq_mapped *ret_mapped)
{
	char name[CQ_NAME_MAX];
	struct stat st;
	int fd, r;

	r = cq_mapped_of(queue, id, ret_mapped);
	if (r == -EIO)
		r = cq_mapped_of(queue, id, ret_mapped);
	if (r != -EIO)
		return r;
	cq_segment_name(name, id);
	r = cq_io_open(queue->dirfd, name, O_RDONLY, &fd);
	if (r < 0)
		return r;
	r = cq_io_stat(fd, &st);
	close(fd);
	return r < 0 ? r : 1;
}

void cq_mapped_close(struct cq_mapped *mapped)
{
	cq_mapping_close(&mapped->map);
	*mapped = CQ_MAPPED_NONE;
}

bool cq_mapped_sealed(const struct cq_mapped *mapped)
{
	return cq_segment_flags_load(mapped->map.base) & CQ_SEALED;
}

bool cq_mapped_summary(const struct cq_mapped *mapped, struct cq_segment_header *ret_header)
{
	struct cq_segment_header h;

	/* The writer fills the summary in while it seals: the CRC is wrong for a moment.  It stays
	 * wrong if the writer died at that. */
	for (int i = 0; i < 1000; i++) {
		memcpy(&h, header_of(mapped), sizeof h);
		if (h.ext != 1)
			return false;
		if (cq_segment_ext_valid(&h)) {
			*ret_header = h;
			return true;
		}
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
	}
	return false;
}

int cq_mapped_still_there(const struct cq_mapped *mapped)
{
	struct stat st;
	int r;

	r = cq_io_stat(mapped->map.fd, &st);
	if (r < 0)
		return r;
	if (st.st_nlink == 0)
		return -ENOENT;
	return cq_mapping_cut(&mapped->map) || (uint64_t)st.st_size < mapped->map.size ? -EIO : 0;
}

bool cq_mapped_ends_early(const struct cq_mapped *mapped, uint64_t offset)
{
	struct cq_segment_header summary;

	if (cq_mapping_shortened(&mapped->map))
		return true;
	return cq_mapped_sealed(mapped) && cq_mapped_summary(mapped, &summary) &&
	       offset < summary.used;
}
