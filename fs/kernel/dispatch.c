/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dispatch.c - the table of operations, and the operations that only choose by the kind of node
 */
#include "kernel/dispatch.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "append/append.h"
#include "append/ctl.h"
#include "append/lines.h"
#include "append/wait_for_sync.h"
#include "chronfs.h"
#include "held/file_locks.h"
#include "held/poll.h"
#include "kernel/request.h"
#include "kernel/root_dir.h"
#include "kernel/unsupported.h"
#include "kernel/xattr.h"
#include "read/content.h"
#include "read/passthrough.h"
#include "read/segment.h"
#include "read/segment_dir.h"
#include "shared/node_ops.h"
#include "shared/user_limits.h"
#include "status/files.h"
#include "status/readers.h"
#include "stream/stream.h"

#define BACKGROUND_MAX 1024
#define BACKGROUND_CONGESTED 64 /* from then on the kernel reads ahead only what it must */

/* Since libfuse 3.17 there are functions for this, and mixing both ways is an error. */
static void want(struct fuse_conn_info *conn, unsigned flags, bool wanted)
{
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17)
	if (wanted)
		(void)fuse_set_feature_flag(conn, flags);
	else
		fuse_unset_feature_flag(conn, flags);
#else
	if (wanted)
		conn->want |= flags & conn->capable;
	else
		conn->want &= ~flags;
#endif
}

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
	struct chronfs *fs = userdata;

	/* For requests of this size splicing costs more calls than it saves copies.  Cached data
	 * never changes, it only grows: the kernel need not ask before each read whether it has.
	 * The pieces of a large write must come one after another, also with asynchronous IO. */
	want(conn,
	     FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE |
	             FUSE_CAP_READDIRPLUS_AUTO | FUSE_CAP_AUTO_INVAL_DATA | FUSE_CAP_ASYNC_DIO,
	     false);
	want(conn, FUSE_CAP_READDIRPLUS, true);

	/* Readers that wait for the disk fill the kernel's list of requests for which no process
	 * waits.  RELEASE is one of these, too: kept back, it would keep files open. */
	conn->max_background = BACKGROUND_MAX;
	conn->congestion_threshold = BACKGROUND_CONGESTED;

	chronfs_request_init(fs, conn);
	/* libfuse refuses any other value than the one it gave the kernel */
	conn->max_read = (unsigned)fs->options.max_read;
	chronfs_passthrough_init(fs, conn);
}

/* ---- kinds ---- */

const struct chronfs_node_ops *const chronfs_ops_by_kind[CHRONFS_KINDS] = {
	[CHRONFS_ROOT] = &chronfs_root_ops,
	[CHRONFS_APPEND] = &chronfs_append_ops,
	[CHRONFS_LINES] = &chronfs_lines_ops,
	[CHRONFS_CTL] = &chronfs_ctl_ops,
	[CHRONFS_SEGMENTS] = &chronfs_segments_ops,
	[CHRONFS_SEGMENT_UNSEALED] = &chronfs_segment_unsealed_ops,
	[CHRONFS_SEGMENT_SEALED] = &chronfs_segment_sealed_ops,
	[CHRONFS_PAYLOADS] = &chronfs_payloads_ops,
	[CHRONFS_PAYLOAD_UNSEALED] = &chronfs_content_ops,
	[CHRONFS_PAYLOAD_SEALED] = &chronfs_content_ops,
	[CHRONFS_STREAM] = &chronfs_stream_ops,
	[CHRONFS_STATS] = &chronfs_stats_ops,
	[CHRONFS_METRICS] = &chronfs_metrics_ops,
	[CHRONFS_RECORDS] = &chronfs_record_lists_ops,
	[CHRONFS_RECORDS_UNSEALED] = &chronfs_content_ops,
	[CHRONFS_RECORDS_SEALED] = &chronfs_content_ops,
	[CHRONFS_READERS] = &chronfs_readers_ops,
	[CHRONFS_READER] = &chronfs_reader_ops,
};

/* ---- attributes ---- */

static int node_stat(struct chronfs *fs, uint64_t node, struct stat *ret_stat, double *ret_timeout)
{
	const struct chronfs_node_ops *ops = chronfs_ops_of_node(node);

	*ret_timeout = 0;
	return ops ? ops->stat(fs, node, ret_stat, ret_timeout) : -ENOENT;
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
	const struct chronfs_node_ops *ops = chronfs_ops_of_node(node);
	double timeout;
	int r;

	(void)fi;
	if (ops && ops->sink) /* a sink accepts touch, and ignores it */
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

/* The space of the file system below; of the queue if it has a max_bytes. */
static void op_statfs(fuse_req_t req, fuse_ino_t node)
{
	struct chronfs *fs = chronfs_of(req);
	struct cq_stats stats = CQ_SIZED(stats);
	struct statvfs st;
	uint64_t left;

	(void)node;
	if (fstatvfs(fs->queue_fd, &st) < 0) {
		fuse_reply_err(req, errno);
		return;
	}
	if (fs->writer && fs->options.queue_config.max_bytes > 0) {
		cq_writer_stats(fs->writer, &stats);
		left = stats.max_bytes > stats.file_bytes ? stats.max_bytes - stats.file_bytes : 0;
		st.f_blocks = stats.max_bytes / st.f_frsize;
		if (left / st.f_frsize < st.f_bavail)
			st.f_bavail = left / st.f_frsize;
		st.f_bfree = st.f_bavail;
	}
	fuse_reply_statfs(req, &st);
}

/*
 * For lsattr and chattr: sinks are append-only, sealed segments immutable, and no attribute can be
 * set.  Before it sets one, the kernel asks for all of them (FSGETXATTR).
 */
static void op_ioctl(fuse_req_t req, fuse_ino_t node, unsigned int cmd, void *arg,
                     struct fuse_file_info *fi, unsigned int flags, const void *in, size_t in_size,
                     size_t out_size)
{
	const struct chronfs_node_ops *ops = chronfs_ops_of_node(node);
	const unsigned int attributes = ops ? ops->attributes : 0;
	struct fsxattr all = { 0 };

	(void)arg;
	(void)fi;
	(void)in;
	(void)in_size;
	(void)flags;
	if (attributes & FS_APPEND_FL)
		all.fsx_xflags |= FS_XFLAG_APPEND;
	if (attributes & FS_IMMUTABLE_FL)
		all.fsx_xflags |= FS_XFLAG_IMMUTABLE;

	if (cmd == (unsigned int)FS_IOC_SETFLAGS || cmd == (unsigned int)FS_IOC_FSSETXATTR)
		fuse_reply_err(req, EPERM);
	else if (cmd == (unsigned int)FS_IOC_GETFLAGS && out_size >= sizeof attributes)
		fuse_reply_ioctl(req, 0, &attributes, sizeof attributes);
	else if (cmd == (unsigned int)FS_IOC_FSGETXATTR && out_size >= sizeof all)
		fuse_reply_ioctl(req, 0, &all, sizeof all);
	else
		fuse_reply_err(req, ENOTTY);
}

/* ---- open files ---- */

static void op_open(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	const struct chronfs_node_ops *ops = chronfs_ops_of_node(node);

	/* The kernel has refused users who may not write; this refuses root. */
	if (!ops || !ops->open)
		fuse_reply_err(req, EINVAL);
	else if (!ops->write && ((fi->flags & O_ACCMODE) != O_RDONLY || (fi->flags & O_TRUNC)))
		fuse_reply_err(req, EPERM);
	else
		ops->open(req, node, fi);
}

/* A sink reads as an empty file, so a program can copy or search the whole mount. */
static void op_read(fuse_req_t req, fuse_ino_t node, size_t size, off_t offset,
                    struct fuse_file_info *fi)
{
	const struct chronfs_node_ops *ops = chronfs_ops_of_node(node);

	if (ops && ops->read)
		ops->read(req, node, size, offset, fi);
	else
		fuse_reply_buf(req, NULL, 0);
}

static void op_write(fuse_req_t req, fuse_ino_t node, const char *data, size_t size, off_t offset,
                     struct fuse_file_info *fi)
{
	const struct chronfs_node_ops *ops = chronfs_ops_of_node(node);

	if (ops && ops->write)
		ops->write(req, node, data, size, offset, fi);
	else
		fuse_reply_err(req, EBADF);
}

/* SEEK_DATA and SEEK_HOLE in a file without holes. */
static void lseek_without_holes(fuse_req_t req, uint64_t node, off_t offset, int whence)
{
	struct stat st;
	double timeout;
	int r;

	r = node_stat(chronfs_of(req), node, &st, &timeout);
	if (r == 0 && (offset < 0 || offset >= st.st_size))
		r = -ENXIO;
	if (r < 0)
		fuse_reply_err(req, -r);
	else
		fuse_reply_lseek(req, whence == SEEK_DATA ? offset : st.st_size);
}

static void op_lseek(fuse_req_t req, fuse_ino_t node, off_t offset, int whence,
                     struct fuse_file_info *fi)
{
	const struct chronfs_node_ops *ops = chronfs_ops_of_node(node);

	if (whence != SEEK_DATA && whence != SEEK_HOLE)
		fuse_reply_err(req, EINVAL);
	else if (ops && ops->lseek)
		ops->lseek(req, node, offset, whence, fi);
	else
		lseek_without_holes(req, node, offset, whence);
}

static void op_flush(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	const struct chronfs_node_ops *ops = chronfs_ops_of_node(node);

	if (ops && ops->flush) {
		ops->flush(req, node, fi);
	} else {
		chronfs_file_locks_close(chronfs_of(req), node, fi->lock_owner);
		fuse_reply_err(req, 0);
	}
}

static void op_fsync(fuse_req_t req, fuse_ino_t node, int datasync, struct fuse_file_info *fi)
{
	const struct chronfs_node_ops *ops = chronfs_ops_of_node(node);

	(void)datasync;
	if (ops && ops->fsync)
		ops->fsync(req, node, fi);
	else
		chronfs_reply_after_sync(req, 0);
}

static void op_fsyncdir(fuse_req_t req, fuse_ino_t node, int datasync, struct fuse_file_info *fi)
{
	(void)node;
	(void)datasync;
	(void)fi;
	chronfs_reply_after_sync(req, 0);
}

static void op_release(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	const struct chronfs_node_ops *ops = chronfs_ops_of_node(node);
	struct chronfs *fs = chronfs_of(req);

	chronfs_file_locks_release(fs, node, fi);
	chronfs_poll_release(fs, node, fi);
	if (ops && ops->release) /* GCOV_EXCL_BR_LINE: what is open has a kind */
		ops->release(fs, node, fi);
	chronfs_user_limit_release(&fs->user_limits.open_files);
	fuse_reply_err(req, 0);
}

/* Nothing is stored for a node (nodes.h). */
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
	.fsyncdir = op_fsyncdir,

	.open = op_open,
	.read = op_read,
	.write = op_write,
	.flush = op_flush,
	.fsync = op_fsync,
	.lseek = op_lseek,
	.poll = chronfs_op_poll,
	.release = op_release,
	.flock = chronfs_op_flock,
	.getlk = chronfs_op_getlk,
	.setlk = chronfs_op_setlk,

	.mknod = chronfs_unsupported_mknod,
	.mkdir = chronfs_unsupported_mkdir,
	.create = chronfs_unsupported_create,
	.symlink = chronfs_unsupported_symlink,
	.link = chronfs_unsupported_link,
	.rename = chronfs_unsupported_rename,
	.unlink = chronfs_op_unlink,
	.rmdir = chronfs_unsupported_rmdir,
	.setxattr = chronfs_op_setxattr,
	.removexattr = chronfs_op_removexattr,
	.getxattr = chronfs_op_getxattr,
	.listxattr = chronfs_op_listxattr,
	.fallocate = chronfs_unsupported_fallocate,
};
