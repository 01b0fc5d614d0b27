/* SPDX-License-Identifier: Apache-2.0 */
/*
 * request.c - how long a write can be that the kernel sends in one request
 *
 * A write on `append` is one record, so it must come in one WRITE request.  The kernel splits a write
 * that is longer than max_write, or touches more pages than a request may have.  The limit is the
 * smaller of what we ask for in INIT and of fs.fuse.max_pages_limit (Linux 6.13; 256 pages before).
 * The kernel tells us neither, and takes the value of the sysctl at the mount.  libfuse knows it since
 * 3.17.
 *
 * Invariant: write_limit is smaller than the first piece of any write that the kernel splits.  That
 * piece fills the pages of the request, of which the first may be used from its last byte on: so the
 * piece is longer than all pages but one.  So we refuse it with EMSGSIZE before anything is appended,
 * and the kernel sends no further piece.  Only a writev() of many small pieces fills the pages sooner,
 * since each piece takes pages of its own.
 *
 * We read the sysctl before the mount and in INIT, and take the smaller value: a limit that is too
 * small refuses more writes than it must, but lets no write be split.
 */
#include "kernel/request.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "chronfs.h"
#include "shared/log.h"
#include "shared/parse_number.h"

#define MAX_WRITE (1U << 20) /* the largest WRITE request that we ask for */
#define LIMIT "/proc/sys/fs/fuse/max_pages_limit"
#define PAGES_DEFAULT 256 /* where there is no such file */
#define PAGES_MIN 2       /* with one, the first piece may be a single byte */

static size_t pages_allowed(void)
{
	char text[32] = "";
	uint64_t pages;
	const char *end;
	ssize_t n;
	int fd;

	fd = open(LIMIT, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return PAGES_DEFAULT;
	n = read(fd, text, sizeof text - 1);
	close(fd);
	if (n <= 0 || !chronfs_parse_number(text, &pages, &end) || pages == 0)
		return PAGES_DEFAULT;
	return (size_t)pages;
}

int chronfs_request_read_limit(struct chronfs *fs)
{
	const size_t pages = pages_allowed();

	if (fs->request.pages == 0 || pages < fs->request.pages)
		fs->request.pages = pages;
	if (!fs->writer || fs->request.pages >= PAGES_MIN)
		return 0;
	chronfs_log(
		fs, CQ_ERROR,
		"fs.fuse.max_pages_limit is %zu: the kernel would split writes of any length; it has "
		"to be at least %d (sysctl fs.fuse.max_pages_limit)",
		fs->request.pages, PAGES_MIN);
	return -EINVAL;
}

void chronfs_request_init(struct chronfs *fs, struct fuse_conn_info *conn)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t most = MAX_WRITE, payload;

	(void)chronfs_request_read_limit(fs);
	if (fs->request.pages < most / page)
		most = fs->request.pages * page;
	if (conn->max_write > most)
		conn->max_write = (unsigned)most;
	fs->write_limit = conn->max_write > page ? conn->max_write - page : 0;
	if (!fs->writer)
		return;
	payload = cq_writer_max_payload(fs->writer);
	if (payload <= fs->write_limit)
		fs->write_limit = payload;
	else if (most < MAX_WRITE)
		chronfs_log(fs, CQ_NOTICE,
		            "records have at most %zu bytes, since fs.fuse.max_pages_limit is %zu",
		            fs->write_limit, fs->request.pages);
}
