/* SPDX-License-Identifier: Apache-2.0 */
/* fs_probe.c - whether the file system below can hold a queue; see fs_probe.h */
#include "files/fs_probe.h"

#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "format/format.h"
#include "os/io.h"

#define TRIED_SIZE 4096

bool cq_fs_is_known(int dirfd)
{
	struct statfs fs;

	if (fstatfs(dirfd, &fs) < 0)
		return false;
	return fs.f_type == EXT4_SUPER_MAGIC || fs.f_type == XFS_SUPER_MAGIC ||
	       fs.f_type == BTRFS_SUPER_MAGIC || fs.f_type == TMPFS_MAGIC;
}

int cq_fs_probe(int dirfd)
{
	char renamed[CQ_NAME_MAX];
	int fd = -1, r;

	if (cq_fs_is_known(dirfd))
		return 0;
	/* Both are temp names, so the next writer removes what a kill leaves here. */
	snprintf(renamed, sizeof renamed, CQ_SEGMENT_TEMP_FALLBACK, 0U);
	r = cq_io_create_new(dirfd, CQ_CONTROL_TEMP, 0640, &fd);
	if (r < 0)
		return r;
	r = cq_io_allocate(fd, TRIED_SIZE);
	close(fd);
	if (r == 0)
		r = cq_io_rename_noreplace(dirfd, CQ_CONTROL_TEMP, renamed);
	(void)cq_io_unlink(dirfd, r == 0 ? renamed : CQ_CONTROL_TEMP);
	/* a full disk says nothing about the file system */
	return r == -ENOSPC || r == -EDQUOT ? 0 : r;
}
