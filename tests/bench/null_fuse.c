/* SPDX-License-Identifier: Apache-2.0 */
/*
 * null_fuse.c - a mount that only answers: the floor for the benchmarks of the mount
 *
 * The mount has one file, `append`, which accepts any write and keeps none.  The daemon asks the
 * kernel for the same features as chronfs (fs/kernel/dispatch.c), opens the file for direct IO as
 * chronfs does, and serves requests with as many threads.  So the difference between the two is the
 * work that chronfs does, and not the way to a daemon and back.  Options choose how long the kernel
 * may keep the name and the attributes, for they decide how many requests an `echo >>` costs.
 *
 * usage: null_fuse [-o OPTION,...] MOUNTPOINT       (the daemon goes to the background)
 *
 *   entry_timeout=SECONDS  how long the kernel keeps the name `append` (default 1)
 *   attr_timeout=SECONDS   how long it keeps attributes, also the root's (default 1)
 *   threads=N              threads that serve requests (default 2)
 *   flush                  the kernel reports each close of a descriptor (FLUSH)
 *   fresh                  each lookup of `append` leads to a new inode, so that writers share none
 */
#define FUSE_USE_VERSION 312

#include <errno.h>
#include <fuse_lowlevel.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define APPEND 2U          /* the node of `append` */
#define MAX_WRITE 1048576U /* as chronfs */

struct null_options {
	double entry_timeout;
	double attr_timeout;
	unsigned threads;
	int flush;
	int fresh;
};

#define OPTION(name, member)                                   \
	{                                                      \
		name, offsetof(struct null_options, member), 1 \
	}

static const struct fuse_opt option_table[] = {
	OPTION("entry_timeout=%lf", entry_timeout),
	OPTION("attr_timeout=%lf", attr_timeout),
	OPTION("threads=%u", threads),
	OPTION("flush", flush),
	OPTION("fresh", fresh),
	FUSE_OPT_END,
};

static const struct null_options *options_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

/* Since libfuse 3.17 there are functions for this, and mixing both ways is an error. */
static void want(struct fuse_conn_info *conn, unsigned flags, int wanted)
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

static void null_init(void *userdata, struct fuse_conn_info *conn)
{
	(void)userdata;
	want(conn,
	     FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE |
	             FUSE_CAP_READDIRPLUS_AUTO | FUSE_CAP_AUTO_INVAL_DATA | FUSE_CAP_ASYNC_DIO,
	     0);
	want(conn, FUSE_CAP_READDIRPLUS, 1);
	if (conn->max_write > MAX_WRITE)
		conn->max_write = MAX_WRITE;
}

static void null_stat(fuse_ino_t node, struct stat *ret_stat)
{
	memset(ret_stat, 0, sizeof *ret_stat);
	ret_stat->st_ino = node == FUSE_ROOT_ID ? FUSE_ROOT_ID : APPEND;
	ret_stat->st_mode = node == FUSE_ROOT_ID ? S_IFDIR | 0755 : S_IFREG | 0644;
	ret_stat->st_nlink = node == FUSE_ROOT_ID ? 2 : 1;
	ret_stat->st_uid = getuid();
	ret_stat->st_gid = getgid();
}

static void null_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	const struct null_options *options = options_of(req);
	static fuse_ino_t lookups;
	struct fuse_entry_param entry = { .ino = APPEND,
		                          .entry_timeout = options->entry_timeout,
		                          .attr_timeout = options->attr_timeout };

	if (parent != FUSE_ROOT_ID || strcmp(name, "append") != 0) {
		fuse_reply_err(req, ENOENT);
		return;
	}
	if (options->fresh)
		entry.ino += __atomic_add_fetch(&lookups, 1, __ATOMIC_RELAXED);
	null_stat(entry.ino, &entry.attr);
	fuse_reply_entry(req, &entry);
}

static void null_getattr(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	struct stat st;

	(void)fi;
	null_stat(node, &st);
	fuse_reply_attr(req, &st, options_of(req)->attr_timeout);
}

static void null_setattr(fuse_req_t req, fuse_ino_t node, struct stat *attr, int to_set,
                         struct fuse_file_info *fi)
{
	(void)attr;
	(void)to_set;
	null_getattr(req, node, fi);
}

static void null_open(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	(void)node;
	fi->direct_io = 1;
	fi->noflush = !options_of(req)->flush;
	fuse_reply_open(req, fi);
}

static void null_read(fuse_req_t req, fuse_ino_t node, size_t size, off_t offset,
                      struct fuse_file_info *fi)
{
	(void)node;
	(void)size;
	(void)offset;
	(void)fi;
	fuse_reply_buf(req, NULL, 0);
}

static void null_write(fuse_req_t req, fuse_ino_t node, const char *data, size_t size, off_t offset,
                       struct fuse_file_info *fi)
{
	(void)node;
	(void)data;
	(void)offset;
	(void)fi;
	fuse_reply_write(req, size);
}

static void null_flush(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	(void)node;
	(void)fi;
	fuse_reply_err(req, 0);
}

static void null_fsync(fuse_req_t req, fuse_ino_t node, int datasync, struct fuse_file_info *fi)
{
	(void)datasync;
	null_flush(req, node, fi);
}

/* ENOSYS would end these requests for good; chronfs must not give it. */
static void null_getxattr(fuse_req_t req, fuse_ino_t node, const char *name, size_t size)
{
	(void)node;
	(void)name;
	(void)size;
	fuse_reply_err(req, ENODATA);
}

static const struct fuse_lowlevel_ops null_ops = {
	.init = null_init,
	.lookup = null_lookup,
	.getattr = null_getattr,
	.setattr = null_setattr,
	.open = null_open,
	.read = null_read,
	.write = null_write,
	.flush = null_flush,
	.fsync = null_fsync,
	.release = null_flush,
	.getxattr = null_getxattr,
};

int main(int argc, char **argv)
{
	struct null_options options = { .entry_timeout = 1, .attr_timeout = 1, .threads = 2 };
	struct fuse_args args = FUSE_ARGS_INIT(argc, argv);
	struct fuse_loop_config *config = fuse_loop_cfg_create();
	struct fuse_cmdline_opts cmdline = { 0 };
	struct fuse_session *session = NULL;
	int r = -1;

	if (fuse_opt_parse(&args, &options, option_table, NULL) < 0 ||
	    fuse_parse_cmdline(&args, &cmdline) < 0 || !cmdline.mountpoint || !config ||
	    options.threads < 1) {
		fprintf(stderr, "usage: null_fuse [-f] [-o OPTION,...] MOUNTPOINT\n");
		return 2;
	}
	fuse_opt_add_arg(&args, "-ofsname=null,subtype=null,default_permissions");
	fuse_loop_cfg_set_max_threads(config, options.threads);
	fuse_loop_cfg_set_idle_threads(config, options.threads);
	session = fuse_session_new(&args, &null_ops, sizeof null_ops, &options);
	if (!session || fuse_set_signal_handlers(session) < 0)
		goto out;
	if (fuse_session_mount(session, cmdline.mountpoint) < 0 ||
	    fuse_daemonize(cmdline.foreground) < 0)
		goto out;
	r = fuse_session_loop_mt(session, config);
	fuse_session_unmount(session);
out:
	if (session)
		fuse_session_destroy(session);
	fuse_loop_cfg_destroy(config);
	free(cmdline.mountpoint);
	fuse_opt_free_args(&args);
	return r == 0 ? 0 : 1;
}
