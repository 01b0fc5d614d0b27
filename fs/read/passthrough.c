/* SPDX-License-Identifier: Apache-2.0 */
/*
 * passthrough.c - reads of segment files that the kernel does without this process
 *
 * We give the kernel a segment's file.  Reads and mappings of the node then go to that file, as fast as
 * if the program had opened it directly, and see what the writer stores.  This needs libfuse 3.17 and
 * the headers of Linux 6.9 at build time, Linux 6.9 and CAP_SYS_ADMIN at run time, and a queue on a file
 * system that is not itself stacked on another.  Only an attempt shows whether all of that holds: after
 * one has failed this mount makes no other, and this process reads the segments.
 *
 * The kernel knows the file by a number.  Invariant: all open files of a node are of the same kind and
 * use the same number; else the kernel refuses the open (EIO).  So the number is kept while the node is
 * open, and no node is opened in both ways: until the first failure every node is passed through, after
 * it no further node is.
 */
#include "read/passthrough.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "chronfs.h"
#include "shared/log.h"

#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17)
#include <linux/fuse.h>
#endif

struct backing {
	struct backing *next;
	uint64_t node;
	int32_t number;
	unsigned users; /* open files */
};

struct chronfs_backings {
	pthread_mutex_t lock; /* of both below */
	struct backing *open;
	bool failed;
};

/* ---- the kernel's interface ---- */

#ifdef FUSE_DEV_IOC_BACKING_OPEN

static bool negotiate(struct fuse_conn_info *conn)
{
	conn->max_backing_stack_depth = FUSE_BACKING_STACKED_UNDER;
	return fuse_set_feature_flag(conn, FUSE_CAP_PASSTHROUGH);
}

/* By ioctl: libfuse's own function prints each failure, and hides its errno. */
static int kernel_open(struct chronfs *fs, int fd, int32_t *ret_number)
{
	struct fuse_backing_map map = { .fd = fd };
	int number;

	number = ioctl(fuse_session_fd(fs->session), FUSE_DEV_IOC_BACKING_OPEN, &map);
	if (number <= 0)
		return number < 0 ? -errno : -EIO;
	*ret_number = number;
	return 0;
}

static void kernel_close(struct chronfs *fs, int32_t number)
{
	(void)ioctl(fuse_session_fd(fs->session), FUSE_DEV_IOC_BACKING_CLOSE, &number);
}

static void set_number(struct fuse_file_info *fi, int32_t number)
{
	fi->backing_id = number;
}

#else

static bool negotiate(struct fuse_conn_info *conn)
{
	(void)conn;
	return false;
}

static int kernel_open(struct chronfs *fs, int fd, int32_t *ret_number)
{
	(void)fs;
	(void)fd;
	(void)ret_number;
	return -EOPNOTSUPP;
}

static void kernel_close(struct chronfs *fs, int32_t number)
{
	(void)fs;
	(void)number;
}

static void set_number(struct fuse_file_info *fi, int32_t number)
{
	(void)fi;
	(void)number;
}

#endif

/* ---- the mount ---- */

void chronfs_passthrough_init(struct chronfs *fs, struct fuse_conn_info *conn)
{
	struct chronfs_backings *b;

	if (!fs->options.passthrough || !negotiate(conn))
		return;
	b = calloc(1, sizeof *b);
	if (!b)
		return; /* this process reads the segments then */
	pthread_mutex_init(&b->lock, NULL);
	fs->backings = b;
}

void chronfs_passthrough_fini(struct chronfs *fs)
{
	struct chronfs_backings *b = fs->backings;

	if (!b)
		return;
	while (b->open) { /* the kernel closes these when the session ends */
		struct backing *next = b->open->next;

		free(b->open);
		b->open = next;
	}
	pthread_mutex_destroy(&b->lock);
	free(b);
	fs->backings = NULL;
}

bool chronfs_passthrough_on(struct chronfs *fs)
{
	bool on = false;

	if (fs->backings) {
		pthread_mutex_lock(&fs->backings->lock);
		on = !fs->backings->failed;
		pthread_mutex_unlock(&fs->backings->lock);
	}
	return on;
}

/* ---- open files ---- */

static struct backing **find(struct chronfs_backings *b, uint64_t node)
{
	struct backing **link = &b->open;

	while (*link && (*link)->node != node)
		link = &(*link)->next;
	return link;
}

static int make(struct chronfs *fs, uint64_t node, int fd, struct backing **ret_backing)
{
	struct backing *backing;
	int r;

	backing = calloc(1, sizeof *backing);
	if (!backing)
		return -ENOMEM;
	r = kernel_open(fs, fd, &backing->number);
	if (r < 0) {
		free(backing);
		return r;
	}
	backing->node = node;
	*ret_backing = backing;
	return 0;
}

bool chronfs_passthrough_open(struct chronfs *fs, uint64_t node, int fd, struct fuse_file_info *fi)
{
	struct chronfs_backings *b = fs->backings;
	struct backing *backing;
	int r = 0;

	if (!b)
		return false;
	pthread_mutex_lock(&b->lock);
	backing = *find(b, node);
	if (!backing && !b->failed) {
		r = make(fs, node, fd, &backing);
		if (r == 0) {
			backing->next = b->open;
			b->open = backing;
		}
		b->failed = r < 0;
	}
	if (backing) {
		backing->users++;
		set_number(fi, backing->number);
	}
	pthread_mutex_unlock(&b->lock);
	if (r < 0)
		chronfs_log(fs, CQ_NOTICE,
		            "no passthrough, segment files are read by this process: %s",
		            strerrordesc_np(-r));
	return backing != NULL;
}

void chronfs_passthrough_release(struct chronfs *fs, uint64_t node)
{
	struct chronfs_backings *b = fs->backings;
	struct backing **link, *backing;

	if (!b)
		return;
	pthread_mutex_lock(&b->lock);
	link = find(b, node);
	backing = *link;
	if (backing && --backing->users == 0) {
		kernel_close(fs, backing->number);
		*link = backing->next;
		free(backing);
	}
	pthread_mutex_unlock(&b->lock);
}
