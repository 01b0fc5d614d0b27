/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ops.c - the table of operations, and those that only choose by the kind of node
 */
#include "chronfs.h"

#include <errno.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/statvfs.h>
#include <unistd.h>

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
	struct chronfs *fs = userdata;
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t payload;

	if (conn->max_write > CHRONFS_MAX_WRITE)
		conn->max_write = CHRONFS_MAX_WRITE;
	/* Splicing costs more calls than it saves copies for requests of this size. */
	conn->want &= ~(unsigned int)(FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE |
	                              FUSE_CAP_SPLICE_MOVE | FUSE_CAP_READDIRPLUS_AUTO);
	if (conn->capable & FUSE_CAP_READDIRPLUS)
		conn->want |= FUSE_CAP_READDIRPLUS;

	fs->write_limit = conn->max_write - page;
	if (fs->writer) {
		payload = cq_writer_max_payload(fs->writer);
		if (payload < fs->write_limit)
			fs->write_limit = payload;
	}
	chronfs_daemon_ready(fs);
}

/* ---- attributes ---- */

void chronfs_attr(const struct chronfs *fs, uint64_t node, mode_t mode, struct timespec when,
                  struct stat *ret_stat)
{
	memset(ret_stat, 0, sizeof *ret_stat);
	ret_stat->st_ino = chronfs_node_ino(node);
	ret_stat->st_mode = mode;
	ret_stat->st_nlink = 1;
	ret_stat->st_uid = fs->uid;
	ret_stat->st_gid = fs->gid;
	ret_stat->st_blksize = 4096;
	ret_stat->st_atim = when;
	ret_stat->st_mtim = when;
	ret_stat->st_ctim = when;
}

static int node_stat(struct chronfs *fs, uint64_t node, struct stat *ret_stat, double *ret_timeout)
{
	int r = 0;

	*ret_timeout = 0;
	switch (chronfs_node_kind(node)) {
	case CHRONFS_ROOT:
	case CHRONFS_SEGMENTS:
		return chronfs_dir_stat(fs, node, ret_stat);
	case CHRONFS_APPEND:
		chronfs_sink_stat(fs, node, ret_stat);
		return 0;
	case CHRONFS_SEGMENT_SEALED:
		r = chronfs_segment_stat(fs, node, ret_stat);
		if (r == 0)
			*ret_timeout = CHRONFS_SEALED_TIMEOUT;
		return r;
	case CHRONFS_SEGMENT_LIVE:
		return chronfs_segment_stat(fs, node, ret_stat);
	case CHRONFS_NONE:
	default:
		return -ENOENT;
	}
}

static void op_getattr(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	struct stat st;
	double timeout;
	int r;

	(void)fi;
	r = node_stat(chronfs_of(req), node, &st, &timeout);
	if (r < 0)
		fuse_reply_err(req, -r);
	else
		fuse_reply_attr(req, &st, timeout);
}

static bool time_differs(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec != b->tv_sec || a->tv_nsec != b->tv_nsec;
}

/* Whether setting these attributes would change anything. */
static bool attr_differs(const struct stat *is, const struct stat *wanted, int to_set)
{
	return ((to_set & FUSE_SET_ATTR_MODE) && ((is->st_mode ^ wanted->st_mode) & 07777)) ||
	       ((to_set & FUSE_SET_ATTR_UID) && is->st_uid != wanted->st_uid) ||
	       ((to_set & FUSE_SET_ATTR_GID) && is->st_gid != wanted->st_gid) ||
	       ((to_set & FUSE_SET_ATTR_SIZE) && is->st_size != wanted->st_size) ||
	       (to_set & (FUSE_SET_ATTR_ATIME_NOW | FUSE_SET_ATTR_MTIME_NOW)) ||
	       ((to_set & FUSE_SET_ATTR_ATIME) && time_differs(&is->st_atim, &wanted->st_atim)) ||
	       ((to_set & FUSE_SET_ATTR_MTIME) && time_differs(&is->st_mtim, &wanted->st_mtim));
}

static void op_setattr(fuse_req_t req, fuse_ino_t node, struct stat *attr, int to_set,
                       struct fuse_file_info *fi)
{
	struct stat st;
	double timeout;
	int r;

	(void)fi;
	if (chronfs_node_kind(node) == CHRONFS_APPEND) /* touch means nothing to a sink */
		to_set &= FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID |
		          FUSE_SET_ATTR_SIZE;
	r = node_stat(chronfs_of(req), node, &st, &timeout);
	if (r == 0 && attr_differs(&st, attr, to_set))
		r = -EPERM;
	if (r < 0)
		fuse_reply_err(req, -r);
	else
		fuse_reply_attr(req, &st, timeout);
}

static void op_statfs(fuse_req_t req, fuse_ino_t node)
{
	struct statvfs st;

	(void)node;
	if (fstatvfs(chronfs_of(req)->queue_fd, &st) < 0)
		fuse_reply_err(req, errno);
	else
		fuse_reply_statfs(req, &st);
}

/* lsattr: append-only sinks, immutable sealed segments.  Nothing can be set. */
static void op_ioctl(fuse_req_t req, fuse_ino_t node, unsigned int cmd, void *arg,
                     struct fuse_file_info *fi, unsigned int flags, const void *in, size_t in_size,
                     size_t out_size)
{
	unsigned int attributes = 0;

	(void)arg;
	(void)fi;
	(void)in;
	(void)in_size;
	(void)flags;
	if (cmd == (unsigned int)FS_IOC_SETFLAGS) {
		fuse_reply_err(req, EPERM);
		return;
	}
	if (cmd != (unsigned int)FS_IOC_GETFLAGS || out_size < sizeof attributes) {
		fuse_reply_err(req, ENOTTY);
		return;
	}
	if (chronfs_node_kind(node) == CHRONFS_APPEND)
		attributes = FS_APPEND_FL;
	else if (chronfs_node_kind(node) == CHRONFS_SEGMENT_SEALED)
		attributes = FS_IMMUTABLE_FL;
	fuse_reply_ioctl(req, 0, &attributes, sizeof attributes);
}

/* ---- open files ---- */

static bool is_segment(fuse_ino_t node)
{
	return chronfs_node_kind(node) == CHRONFS_SEGMENT_LIVE ||
	       chronfs_node_kind(node) == CHRONFS_SEGMENT_SEALED;
}

static void op_open(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	if (is_segment(node))
		chronfs_segment_open(req, node, fi);
	else
		chronfs_sink_open(req, fi);
}

/* A sink reads as an empty file, so that copying or searching the whole mount works. */
static void op_read(fuse_req_t req, fuse_ino_t node, size_t size, off_t offset,
                    struct fuse_file_info *fi)
{
	if (is_segment(node))
		chronfs_segment_read(req, size, offset, fi);
	else
		fuse_reply_buf(req, NULL, 0);
}

static void op_lseek(fuse_req_t req, fuse_ino_t node, off_t offset, int whence,
                     struct fuse_file_info *fi)
{
	if (is_segment(node))
		chronfs_segment_lseek(req, offset, whence, fi);
	else
		fuse_reply_err(req, ENXIO); /* no data and no hole in an empty file */
}

static void op_release(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	chronfs_locks_release(chronfs_of(req), node, fi);
	if (is_segment(node))
		chronfs_segment_release(fi);
	fuse_reply_err(req, 0);
}

/* Nothing is stored per node (node.h). */
static void op_forget(fuse_req_t req, fuse_ino_t node, uint64_t count)
{
	(void)node;
	(void)count;
	fuse_reply_none(req);
}

static void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	(void)count;
	(void)forgets;
	fuse_reply_none(req);
}

const struct fuse_lowlevel_ops chronfs_ops = {
	.init = op_init,
	.lookup = chronfs_op_lookup,
	.forget = op_forget,
	.forget_multi = op_forget_multi,
	.getattr = op_getattr,
	.setattr = op_setattr,
	.statfs = op_statfs,
	.ioctl = op_ioctl,

	.opendir = chronfs_op_opendir,
	.readdir = chronfs_op_readdir,
	.readdirplus = chronfs_op_readdirplus,
	.releasedir = chronfs_op_releasedir,
	.fsyncdir = chronfs_op_fsync,

	.open = op_open,
	.read = op_read,
	.write = chronfs_op_write,
	.fsync = chronfs_op_fsync,
	.lseek = op_lseek,
	.release = op_release,
	.flock = chronfs_op_flock,
	.getlk = chronfs_op_getlk,
	.setlk = chronfs_op_setlk,

	.mknod = chronfs_refuse_mknod,
	.mkdir = chronfs_refuse_mkdir,
	.create = chronfs_refuse_create,
	.symlink = chronfs_refuse_symlink,
	.link = chronfs_refuse_link,
	.rename = chronfs_refuse_rename,
	.unlink = chronfs_refuse_remove,
	.rmdir = chronfs_refuse_remove,
	.setxattr = chronfs_refuse_setxattr,
	.removexattr = chronfs_refuse_removexattr,
	.getxattr = chronfs_refuse_getxattr,
	.listxattr = chronfs_refuse_listxattr,
	.fallocate = chronfs_refuse_fallocate,
};
