/* SPDX-License-Identifier: Apache-2.0 */
/*
 * xattr.c - extended attributes: the protocol; each kind of node has its own values
 *
 * All are read-only.  The kernel asks most often for security.capability and the like, and gets
 * ENODATA at once.  Not ENOSYS: upon that it asks for no attribute of the mount any more.
 */
#include "kernel/xattr.h"

#include <errno.h>
#include <string.h>

#include "chronfs.h"
#include "shared/node_ops.h"

static void reply_value(fuse_req_t req, const char *value, size_t length, size_t room)
{
	if (room == 0)
		fuse_reply_xattr(req, length);
	else if (length > room)
		fuse_reply_err(req, ERANGE);
	else
		fuse_reply_buf(req, value, length);
}

void chronfs_op_getxattr(fuse_req_t req, fuse_ino_t node, const char *name, size_t size)
{
	const struct chronfs_node_ops *ops = chronfs_ops_of_node(node);
	char value[CHRONFS_XATTR_MAX];
	ssize_t n = -ENODATA;

	if (ops && ops->xattr)
		n = ops->xattr(chronfs_of(req), node, name, value);
	if (n < 0)
		fuse_reply_err(req, (int)-n);
	else
		reply_value(req, value, (size_t)n, size);
}

void chronfs_op_listxattr(fuse_req_t req, fuse_ino_t node, size_t size)
{
	const struct chronfs_node_ops *ops = chronfs_ops_of_node(node);
	const char *names = NULL;
	size_t length = 0;

	if (ops && ops->xattr_list)
		names = ops->xattr_list(chronfs_of(req), node, &length);
	reply_value(req, names, length, size);
}

/*
 * There are no POSIX ACLs here.  A program that copies one, as cp -p does, falls back on the mode
 * only if the errno says that ACLs do not exist, not that they may not be set.
 */
static int set_refusal(const char *name)
{
	return strncmp(name, "system.", strlen("system.")) == 0 ? EOPNOTSUPP : EPERM;
}

void chronfs_op_setxattr(fuse_req_t req, fuse_ino_t node, const char *name, const char *value,
                         size_t size, int flags)
{
	(void)node;
	(void)value;
	(void)size;
	(void)flags;
	fuse_reply_err(req, set_refusal(name));
}

void chronfs_op_removexattr(fuse_req_t req, fuse_ino_t node, const char *name)
{
	(void)node;
	fuse_reply_err(req, set_refusal(name));
}
