/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dir.c - directories: looking up and listing, in the root and in segments/
 *
 * Names that are not there are never remembered by the kernel: a segment has to show up at once when
 * its rename is done.
 */
#include "chronfs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define COOKIE_SELF 1
#define COOKIE_PARENT 2
#define COOKIE_FIRST 3

/* What the root holds. */
static const struct view {
	const char *name;
	enum chronfs_kind kind;
	bool writing; /* not on a read-only mount */
} views[] = {
	{ "append", CHRONFS_APPEND, true },
	{ "segments", CHRONFS_SEGMENTS, false },
};
#define VIEW_COUNT (sizeof views / sizeof views[0])

static bool view_shown(const struct chronfs *fs, const struct view *view)
{
	return fs->writer || !view->writing;
}

/* ---- attributes ---- */

static bool same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

/*
 * When a segment was published or trimmed last.  The queue's directory changes more often than that
 * (temporary files, indexes): so its time is taken over only when the set of segments differs.
 */
static int publish_time(struct chronfs *fs, struct timespec *ret_time)
{
	struct cq_queue_info info = { 0 };
	struct stat st;
	int r = 0;

	if (fstat(fs->queue_fd, &st) < 0)
		return -errno;
	pthread_mutex_lock(&fs->publish_lock);
	if (!same_time(st.st_mtim, fs->queue_changed))
		r = cq_queue_info(fs->queue, &info);
	if (r == 0 && !same_time(st.st_mtim, fs->queue_changed)) {
		uint32_t oldest = info.segments > 0 ? info.oldest : 1;
		uint32_t newest = info.segments > 0 ? info.newest : 0;

		if (oldest != fs->oldest || newest != fs->newest || fs->published.tv_sec == 0)
			fs->published = st.st_mtim;
		fs->oldest = oldest;
		fs->newest = newest;
		fs->queue_changed = st.st_mtim;
	}
	if (r == 0)
		*ret_time = fs->published;
	pthread_mutex_unlock(&fs->publish_lock);
	return r;
}

int chronfs_dir_stat(struct chronfs *fs, uint64_t node, struct stat *ret_stat)
{
	struct timespec when = { 0 };
	int r;

	r = publish_time(fs, &when);
	if (r < 0)
		return r;
	chronfs_attr(fs, node, S_IFDIR | 0555, when, ret_stat);
	ret_stat->st_nlink = chronfs_node_kind(node) == CHRONFS_ROOT ? 3 : 2;
	return 0;
}

/* ---- lookup ---- */

static int view_entry(struct chronfs *fs, const struct view *view,
                      struct fuse_entry_param *ret_entry)
{
	struct fuse_entry_param entry = { 0 };
	int r;

	if (view->kind == CHRONFS_APPEND) {
		chronfs_sink_entry(fs, ret_entry);
		return 0;
	}
	entry.ino = chronfs_node(view->kind, 0);
	entry.entry_timeout = CHRONFS_NAME_TIMEOUT;
	r = chronfs_dir_stat(fs, entry.ino, &entry.attr);
	if (r == 0)
		*ret_entry = entry;
	return r;
}

static int root_lookup(struct chronfs *fs, const char *name, struct fuse_entry_param *ret_entry)
{
	for (size_t i = 0; i < VIEW_COUNT; i++)
		if (view_shown(fs, &views[i]) && strcmp(name, views[i].name) == 0)
			return view_entry(fs, &views[i], ret_entry);
	return -ENOENT;
}

void chronfs_op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct chronfs *fs = chronfs_of(req);
	struct fuse_entry_param entry;
	int r = -ENOTDIR;

	if (chronfs_node_kind(parent) == CHRONFS_ROOT)
		r = root_lookup(fs, name, &entry);
	else if (chronfs_node_kind(parent) == CHRONFS_SEGMENTS)
		r = chronfs_segments_lookup(fs, name, &entry);
	if (r < 0)
		fuse_reply_err(req, -r);
	else
		fuse_reply_entry(req, &entry);
}

/* ---- listing ---- */

bool chronfs_listing_add(struct chronfs_listing *listing, const char *name,
                         const struct fuse_entry_param *entry, uint64_t cookie)
{
	char *at = listing->buffer + listing->used;
	size_t room = listing->size - listing->used;
	size_t need;

	if (listing->plus)
		need = fuse_add_direntry_plus(listing->req, at, room, name, entry, (off_t)cookie);
	else
		need = fuse_add_direntry(listing->req, at, room, name, &entry->attr, (off_t)cookie);
	if (need > room)
		return false;
	listing->used += need;
	return true;
}

/* "." and ".." */
static bool add_self(struct chronfs_listing *listing, uint64_t node, uint64_t after)
{
	struct fuse_entry_param entry = { 0 };

	entry.attr.st_mode = S_IFDIR;
	entry.attr.st_ino = chronfs_node_ino(node);
	if (after < COOKIE_SELF && !chronfs_listing_add(listing, ".", &entry, COOKIE_SELF))
		return false;
	entry.attr.st_ino = CHRONFS_NODE_ROOT;
	return after >= COOKIE_PARENT || chronfs_listing_add(listing, "..", &entry, COOKIE_PARENT);
}

/* Sinks go without attributes: handing them out would make the one that somebody has open another
 * node than its name leads to. */
static int root_list(struct chronfs *fs, struct chronfs_listing *listing, uint64_t after)
{
	for (size_t i = 0; i < VIEW_COUNT; i++) {
		struct fuse_entry_param entry = { 0 };
		int r = 0;

		if (i + COOKIE_FIRST <= after || !view_shown(fs, &views[i]))
			continue;
		if (views[i].kind == CHRONFS_APPEND) {
			entry.attr.st_ino = chronfs_node(views[i].kind, 0);
			entry.attr.st_mode = S_IFREG;
		} else {
			r = view_entry(fs, &views[i], &entry);
		}
		if (r < 0)
			return r;
		if (!chronfs_listing_add(listing, views[i].name, &entry, i + COOKIE_FIRST))
			break;
	}
	return 0;
}

static struct chronfs_segments_dir *handle(const struct fuse_file_info *fi)
{
	return (struct chronfs_segments_dir *)(uintptr_t)fi->fh;
}

void chronfs_op_opendir(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	struct chronfs_segments_dir *dir = NULL;
	int r = 0;

	if (chronfs_node_kind(node) == CHRONFS_SEGMENTS)
		r = chronfs_segments_opendir(&dir);
	if (r < 0) {
		fuse_reply_err(req, -r);
		return;
	}
	fi->fh = (uintptr_t)dir;
	if (fuse_reply_open(req, fi) ==
	    -ENOENT) /* the open was interrupted: no release will come */
		chronfs_segments_closedir(dir);
}

void chronfs_op_releasedir(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	(void)node;
	chronfs_segments_closedir(handle(fi));
	fuse_reply_err(req, 0);
}

static void list(fuse_req_t req, uint64_t node, size_t size, uint64_t after, bool plus,
                 const struct fuse_file_info *fi)
{
	struct chronfs *fs = chronfs_of(req);
	struct chronfs_listing listing = { .req = req, .size = size, .plus = plus };
	int r = 0;

	listing.buffer = malloc(size);
	if (!listing.buffer) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	if (add_self(&listing, node, after)) {
		if (handle(fi))
			r = chronfs_segments_list(fs, handle(fi), &listing, after);
		else
			r = root_list(fs, &listing, after);
	}
	if (r < 0)
		fuse_reply_err(req, -r);
	else
		fuse_reply_buf(req, listing.buffer, listing.used);
	free(listing.buffer);
}

void chronfs_op_readdir(fuse_req_t req, fuse_ino_t node, size_t size, off_t offset,
                        struct fuse_file_info *fi)
{
	list(req, node, size, (uint64_t)offset, false, fi);
}

void chronfs_op_readdirplus(fuse_req_t req, fuse_ino_t node, size_t size, off_t offset,
                            struct fuse_file_info *fi)
{
	list(req, node, size, (uint64_t)offset, true, fi);
}
