/* SPDX-License-Identifier: Apache-2.0 */
/* repair.c - setting damaged bytes and segments aside; see repair.h */
#include "repair.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fault.h"
#include "io.h"
#include "scan.h"
#include "segdir.h"

#define BLOCK 65536U
#define MOST_SET_ASIDE 999U

static int open_broken(int dirfd, uint32_t id, int *ret_fd)
{
	char name[CQ_NAME_MAX];
	int r;

	snprintf(name, sizeof name, CQ_SEGMENT_BROKEN, id);
	r = cq_io_open(dirfd, name, O_RDWR, ret_fd);
	if (r == -ENOENT)
		r = cq_io_create_new(dirfd, name, 0640, ret_fd);
	return r;
}

struct copier {
	int from, to; /* to < 0: zero the source instead */
	uint8_t *block;
	uint64_t bytes;
};

static int copy_block(struct copier *c, uint64_t offset, size_t length)
{
	ssize_t n = cq_io_pread(c->from, c->block, length, offset);

	if (n < 0)
		return (int)n;
	return cq_io_pwrite(c->to, c->block, (size_t)n, offset);
}

static int zero_block(struct copier *c, uint64_t offset, size_t length)
{
	memset(c->block, 0, length);
	return cq_io_pwrite(c->from, c->block, length, offset);
}

/* Calls copy or zero for each block behind tail that holds a non-zero byte. */
static int each_block(struct copier *c, uint64_t tail, uint64_t size)
{
	struct cq_scan scan;
	uint64_t at = tail;
	int r;

	r = cq_scan_init(&scan, c->from, size);
	if (r < 0)
		return r;
	for (;;) {
		size_t length = BLOCK;

		r = cq_scan_residue(&scan, at, &at);
		if (r < 0 || at >= size)
			break;
		if (length > size - at)
			length = (size_t)(size - at);
		r = c->to < 0 ? zero_block(c, at, length) : copy_block(c, at, length);
		if (r < 0)
			break;
		c->bytes += length;
		at += length;
	}
	cq_scan_fini(&scan);
	return r < 0 ? r : 0;
}

int cq_repair_tail(int dirfd, struct cq_active *segment, uint64_t tail, uint64_t *ret_bytes)
{
	struct copier c = { .from = segment->map.fd, .to = -1 };
	struct cq_scan scan;
	uint64_t first;
	int r;

	r = cq_scan_init(&scan, c.from, segment->map.size);
	if (r < 0)
		return r;
	r = cq_scan_residue(&scan, tail, &first);
	cq_scan_fini(&scan);
	if (r < 0)
		return r;
	if (first >= segment->map.size) {
		*ret_bytes = 0;
		return 0;
	}
	c.block = malloc(BLOCK);
	if (!c.block)
		return -ENOMEM;
	r = open_broken(dirfd, segment->id, &c.to);
	if (r < 0)
		goto out;
	r = each_block(&c, first, segment->map.size);
	if (r == 0)
		r = cq_io_sync_data(c.to);
	if (r == 0)
		r = cq_io_sync_dir(dirfd);
	close(c.to);
	if (r < 0)
		goto out;
	cq_point("recover.residue_copied");
	*ret_bytes = c.bytes;
	c.to = -1;
	r = each_block(&c, first, segment->map.size);
	if (r == 0)
		r = cq_io_sync_data(c.from);
	cq_point("recover.residue_zeroed");
out:
	free(c.block);
	return r;
}

int cq_repair_set_aside(int dirfd, uint32_t id, char *ret_name)
{
	char name[CQ_NAME_MAX], index[CQ_NAME_MAX];
	int r;

	cq_segment_name(name, id);
	snprintf(ret_name, CQ_NAME_MAX, CQ_SEGMENT_CORRUPT, id);
	r = cq_io_rename_noreplace(dirfd, name, ret_name);
	for (unsigned n = 2; r == -EEXIST && n <= MOST_SET_ASIDE; n++) {
		snprintf(ret_name, CQ_NAME_MAX, CQ_SEGMENT_CORRUPT ".%u", id, n);
		r = cq_io_rename_noreplace(dirfd, name, ret_name);
	}
	if (r < 0)
		return r;
	cq_index_name(index, id);
	r = cq_io_unlink(dirfd, index);
	if (r < 0 && r != -ENOENT)
		return r;
	return cq_io_sync_dir(dirfd);
}
