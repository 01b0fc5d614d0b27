/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unsupported.c - operations that this file system does not support, and their errno
 *
 * The queue gives the names here, and nobody else makes or removes them: EPERM.  (Users other than
 * root get EACCES from the kernel, by the mode of the directory.)  Each operation has a function,
 * since libfuse replies "Function not implemented" for one that has none.
 */
#include "kernel/unsupported.h"

#include <errno.h>

#include "chronfs.h"

void chronfs_unsupported_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                               dev_t rdev)
{
	(void)parent;
	(void)name;
	(void)mode;
	(void)rdev;
	fuse_reply_err(req, EPERM);
}

void chronfs_unsupported_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	(void)parent;
	(void)name;
	(void)mode;
	fuse_reply_err(req, EPERM);
}

void chronfs_unsupported_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                                struct fuse_file_info *fi)
{
	(void)parent;
	(void)name;
	(void)mode;
	(void)fi;
	fuse_reply_err(req, EPERM);
}

void chronfs_unsupported_symlink(fuse_req_t req, const char *target, fuse_ino_t parent,
                                 const char *name)
{
	(void)target;
	(void)parent;
	(void)name;
	fuse_reply_err(req, EPERM);
}

void chronfs_unsupported_link(fuse_req_t req, fuse_ino_t node, fuse_ino_t parent, const char *name)
{
	(void)node;
	(void)parent;
	(void)name;
	fuse_reply_err(req, EPERM);
}

void chronfs_unsupported_rename(fuse_req_t req, fuse_ino_t parent, const char *name,
                                fuse_ino_t new_parent, const char *new_name, unsigned int flags)
{
	(void)parent;
	(void)name;
	(void)new_parent;
	(void)new_name;
	(void)flags;
	fuse_reply_err(req, EPERM);
}

void chronfs_unsupported_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	(void)parent;
	(void)name;
	fuse_reply_err(req, EPERM);
}

/* Only the queue allocates space.  Not EOPNOTSUPP: upon that glibc's posix_fallocate() writes a zero
 * byte into every block, and each byte would be a record. */
void chronfs_unsupported_fallocate(fuse_req_t req, fuse_ino_t node, int mode, off_t offset,
                                   off_t length, struct fuse_file_info *fi)
{
	(void)node;
	(void)mode;
	(void)offset;
	(void)length;
	(void)fi;
	fuse_reply_err(req, EPERM);
}
