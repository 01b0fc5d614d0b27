/* SPDX-License-Identifier: Apache-2.0 */
/* mapping.c - one memory-mapped file; see mapping.h */
#include "os/mapping.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "os/fault.h"
#include "os/io.h"

/* With its guard. */
static int map(struct cq_mapping *m, bool writable)
{
	void *base;
	int r;

	r = cq_io_map(m->fd, m->size, writable, &base);
	if (r < 0)
		return r;
	r = cq_sigbus_add(base, m->size, &m->guard);
	if (r < 0)
		cq_io_unmap(base, m->size);
	else
		m->base = base;
	return r;
}

int cq_mapping_create_new(struct cq_mapping *ret_mapping, int dirfd, const char *name, size_t size)
{
	struct cq_mapping m = { .fd = -1, .size = size };
	int r;

	r = cq_io_create_new(dirfd, name, 0640, &m.fd);
	if (r < 0)
		return r;
	cq_point("create.named");
	r = cq_io_allocate(m.fd, size);
	if (r < 0)
		goto fail;
	cq_point("create.allocated");
	r = map(&m, true);
	if (r < 0)
		goto fail;
	*ret_mapping = m;
	return 0;
fail:
	close(m.fd);
	(void)cq_io_unlink(dirfd, name);
	return r;
}

int cq_mapping_open(struct cq_mapping *ret_mapping, int dirfd, const char *name, size_t size,
                    bool writable)
{
	struct cq_mapping m = CQ_MAPPING_NONE;
	struct stat st;
	int r;

	r = cq_io_open(dirfd, name, writable ? O_RDWR : O_RDONLY, &m.fd);
	if (r < 0)
		return r;
	r = cq_io_stat(m.fd, &st);
	if (r < 0)
		goto fail;
	r = -EBADMSG;
	if (st.st_size <= 0)
		goto fail;
	if (size != 0 && (uint64_t)st.st_size != size)
		goto fail;
	m.size = (size_t)st.st_size;
	r = map(&m, writable);
	if (r < 0)
		goto fail;
	*ret_mapping = m;
	return 0;
fail:
	if (!cq_planted("fd_leak_on_error"))
		close(m.fd);
	return r;
}

int cq_mapping_populate(const struct cq_mapping *mapping, size_t offset, size_t length)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t start = offset & ~(page - 1);

	if (start >= mapping->size)
		return 0;
	if (length > mapping->size - offset)
		length = mapping->size - offset;
	return cq_io_populate(mapping->base + start, length + (offset - start));
}

bool cq_mapping_shortened(const struct cq_mapping *mapping)
{
	struct stat st;

	if (cq_mapping_cut(mapping))
		return true;
	return cq_io_stat(mapping->fd, &st) == 0 && (uint64_t)st.st_size < mapping->size;
}

void cq_mapping_unmap(struct cq_mapping *mapping)
{
	/* the guard first: once unmapped, its addresses may become another mapping's */
	cq_sigbus_remove(mapping->guard);
	mapping->guard = NULL;
	if (mapping->base)
		cq_io_unmap(mapping->base, mapping->size);
	mapping->base = NULL;
}

void cq_mapping_close(struct cq_mapping *mapping)
{
	cq_mapping_unmap(mapping);
	if (mapping->fd >= 0)
		close(mapping->fd);
	*mapping = CQ_MAPPING_NONE;
}
