/* SPDX-License-Identifier: Apache-2.0 */
/*
 * files.c - stats.json and metrics: the status fields (stats.h) as files
 *
 * A read at the beginning of a file makes its text.  A read further on continues in the text that the
 * same open file made last, so the pieces fit together.
 *
 * stats.json has a constant size.  The size of metrics is that of the text that any open file made
 * last; with direct IO a reader gets all of its text, whatever the size says.
 */
#include "status/files.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chronfs.h"
#include "held/open_files.h"
#include "shared/last_change.h"
#include "shared/node_ops.h"
#include "status/stats.h"

/* One open file. */
struct status_file {
	struct chronfs_open_file open_file; /* first member */
	pthread_mutex_t lock;               /* of both below */
	char *text;                         /* NULL: nothing read yet */
	size_t length;
};

static int render(struct chronfs *fs, uint64_t node, char **ret_text, size_t *ret_length)
{
	struct chronfs_stats stats;
	const size_t size = chronfs_json_size(fs);
	int r;

	chronfs_stats_take(fs, &stats);
	if (chronfs_node_kind(node) == CHRONFS_METRICS) {
		r = chronfs_prometheus_render(&stats, ret_text, ret_length);
		if (r == 0)
			__atomic_store_n(&fs->status_files.metrics_size, *ret_length,
			                 __ATOMIC_RELAXED);
		return r;
	}
	r = chronfs_json_render(&stats, size, ret_text);
	if (r == 0)
		*ret_length = size;
	return r;
}

/* ---- attributes ---- */

static int file_size(struct chronfs *fs, uint64_t node, size_t *ret_size)
{
	char *text;
	int r;

	if (chronfs_node_kind(node) == CHRONFS_STATS) {
		*ret_size = chronfs_json_size(fs);
		return 0;
	}
	*ret_size = __atomic_load_n(&fs->status_files.metrics_size, __ATOMIC_RELAXED);
	if (*ret_size > 0)
		return 0;
	r = render(fs, node, &text, ret_size); /* nobody has read it yet */
	if (r == 0)
		free(text);
	return r;
}

static int status_file_stat(struct chronfs *fs, uint64_t node, struct stat *ret_stat,
                            double *ret_timeout)
{
	size_t size = 0;
	int r;

	(void)ret_timeout;
	r = file_size(fs, node, &size);
	if (r < 0)
		return r;
	chronfs_attr(fs, node, S_IFREG | 0444, chronfs_last_change(fs), ret_stat);
	ret_stat->st_size = (off_t)size;
	ret_stat->st_blocks = (blkcnt_t)((size + 511) / 512); /* less would look sparse to cp */
	return 0;
}

/* ---- reading ---- */

static struct status_file *status_file_of(const struct fuse_file_info *fi)
{
	return (struct status_file *)(uintptr_t)fi->fh;
}

static void status_file_open(fuse_req_t req, uint64_t node, struct fuse_file_info *fi)
{
	struct status_file *open = calloc(1, sizeof *open);
	struct chronfs *fs = chronfs_of(req);

	if (!open) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	pthread_mutex_init(&open->lock, NULL);
	chronfs_open_files_add(fs, &open->open_file, node);
	fi->fh = (uintptr_t)open;
	fi->direct_io = 1;
	fi->noflush = 1;
	chronfs_reply_open(req, node, fi);
}

static void status_file_release(struct chronfs *fs, uint64_t node, struct fuse_file_info *fi)
{
	struct status_file *open = status_file_of(fi);

	(void)node;
	chronfs_open_files_remove(fs, &open->open_file);
	pthread_mutex_destroy(&open->lock);
	free(open->text);
	free(open);
}

/* Copies what there is of the text, which has been made, from `offset` on. */
static ssize_t copy_out(struct status_file *open, char *buffer, size_t size, uint64_t offset)
{
	size_t n = 0;

	if (offset < open->length) {
		n = open->length - (size_t)offset;
		if (n > size)
			n = size;
		memcpy(buffer, open->text + offset, n);
	}
	return (ssize_t)n;
}

struct reading {
	struct chronfs *fs;
	uint64_t node;
	struct status_file *open;
};

/* A chronfs_fill_fn. */
static ssize_t status_file_pread(void *arg, void *buffer, size_t size, uint64_t offset)
{
	const struct reading *reading = arg;
	struct status_file *open = reading->open;
	ssize_t n;
	int r = 0;

	pthread_mutex_lock(&open->lock);
	if (offset == 0 || !open->text) {
		char *text;
		size_t length;

		r = render(reading->fs, reading->node, &text, &length);
		if (r == 0) {
			free(open->text);
			open->text = text;
			open->length = length;
		}
	}
	n = r < 0 ? r : copy_out(open, buffer, size, offset);
	pthread_mutex_unlock(&open->lock);
	return n;
}

static void status_file_read(fuse_req_t req, uint64_t node, size_t size, off_t offset,
                             struct fuse_file_info *fi)
{
	struct reading reading = { chronfs_of(req), node, status_file_of(fi) };

	chronfs_reply_read(req, status_file_pread, &reading, size, offset, false);
}

const struct chronfs_node_ops chronfs_stats_ops = {
	.stat = status_file_stat,
	.open = status_file_open,
	.read = status_file_read,
	.release = status_file_release,
};

const struct chronfs_node_ops chronfs_metrics_ops = {
	.stat = status_file_stat,
	.open = status_file_open,
	.read = status_file_read,
	.release = status_file_release,
};
