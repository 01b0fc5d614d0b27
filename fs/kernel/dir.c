/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dir.c - directories: looking up and listing; what the root holds
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
	bool writing;    /* not on a read-only mount */
	bool per_lookup; /* one lookup may give another node than the next */
} views[] = {
	{ "append", CHRONFS_APPEND, true, true },
	{ "append.lines", CHRONFS_LINES, true, true },
	{ "ctl", CHRONFS_CTL, true, true },
	{ "metrics", CHRONFS_METRICS, false, false },
	{ "payload", CHRONFS_PAYLOADS, false, false },
	{ "segments", CHRONFS_SEGMENTS, false, false },
	{ "stats.json", CHRONFS_STATS, false, false },
	{ "stream", CHRONFS_STREAM, false, true },
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

/* Nothing can have changed since without another time: a directory's may stand still over changes
 * that follow each other closely (two seconds on the coarsest file systems). */
static bool is_settled(struct timespec changed)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec > changed.tv_sec + 2;
}

/*
 * When a segment was published or trimmed last.  The queue's directory changes more often than that
 * (temporary files, indexes): so its time is taken over only when the set of segments differs.
 */
static int publish_time(struct chronfs *fs, struct timespec *ret_time)
{
	uint32_t oldest = 1, newest = 0; /* none */
	bool changed;
	struct stat st;
	int r = 0;

	if (fstat(fs->queue_fd, &st) < 0)
		return -errno;
	pthread_mutex_lock(&fs->publish_lock);
	changed = !same_time(st.st_mtim, fs->queue_changed);
	if (changed)
		r = cq_queue_ends(fs->queue, &oldest, &newest);
	if (r == -ENOENT)
		r = 0;
	if (r == 0 && changed) {
		if (oldest != fs->oldest || newest != fs->newest || fs->published.tv_sec == 0)
			fs->published = st.st_mtim;
		fs->oldest = oldest;
		fs->newest = newest;
		fs->queue_changed = is_settled(st.st_mtim) ? st.st_mtim : (struct timespec){ 0 };
	}
	if (r == 0)
		*ret_time = fs->published;
	pthread_mutex_unlock(&fs->publish_lock);
	return r;
}

int chronfs_dir_stat(struct chronfs *fs, uint64_t node, struct stat *ret_stat, double *ret_timeout)
{
	const enum chronfs_kind kind = chronfs_node_kind(node);
	struct timespec when = { 0 };
	mode_t mode = 0555;
	int r;

	(void)ret_timeout;
	r = publish_time(fs, &when);
	if (r < 0)
		return r;
	if (kind == CHRONFS_SEGMENTS && fs->options.allow_trim)
		mode = 0755;
	chronfs_attr(fs, node, S_IFDIR | mode, when, ret_stat);
	ret_stat->st_nlink = kind == CHRONFS_ROOT ? 4 : 2; /* itself, and the two below the root */
	return 0;
}

const struct chronfs_kind_ops chronfs_root_ops = {
	.stat = chronfs_dir_stat,
};

/* ---- lookup ---- */

static int view_entry(struct chronfs *fs, const struct view *view, pid_t thread,
                      struct fuse_entry_param *ret_entry)
{
	struct fuse_entry_param entry = { 0 };
	int r;

	if (view->kind == CHRONFS_STREAM)
		return chronfs_stream_entry(fs, thread, ret_entry);
	if (view->per_lookup) {
		chronfs_sink_entry(fs, view->kind, ret_entry);
		return 0;
	}
	entry.ino = chronfs_node(view->kind, 0);
	entry.entry_timeout = CHRONFS_NAME_TIMEOUT;
	r = chronfs_kind_of(entry.ino)->stat(fs, entry.ino, &entry.attr, &entry.attr_timeout);
	if (r == 0)
		*ret_entry = entry;
	return r;
}

static int root_lookup(struct chronfs *fs, const char *name, pid_t thread,
                       struct fuse_entry_param *ret_entry)
{
	for (size_t i = 0; i < VIEW_COUNT; i++)
		if (view_shown(fs, &views[i]) && strcmp(name, views[i].name) == 0)
			return view_entry(fs, &views[i], thread, ret_entry);
	return -ENOENT;
}

void chronfs_op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct chronfs *fs = chronfs_of(req);
	struct fuse_entry_param entry;
	int r;

	if (chronfs_node_kind(parent) == CHRONFS_ROOT)
		r = root_lookup(fs, name, fuse_req_ctx(req)->pid, &entry);
	else
		r = chronfs_segmentdir_lookup(fs, parent, name, &entry);
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

/* What has several nodes goes without attributes: handing them out would make the one that somebody
 * has open another node than its name leads to. */
static int root_list(struct chronfs *fs, struct chronfs_listing *listing, uint64_t after)
{
	for (size_t i = 0; i < VIEW_COUNT; i++) {
		struct fuse_entry_param entry = { 0 };
		int r = 0;

		if (i + COOKIE_FIRST <= after || !view_shown(fs, &views[i]))
			continue;
		if (views[i].per_lookup) {
			entry.attr.st_ino = chronfs_node(views[i].kind, 0);
			entry.attr.st_mode = S_IFREG;
			if (views[i].kind == CHRONFS_STREAM) /* or it is that of the first */
				(void)chronfs_stream_ino(fs, fuse_req_ctx(listing->req)->pid,
				                         &entry.attr.st_ino);
		} else {
			r = view_entry(fs, &views[i], 0, &entry);
		}
		if (r < 0)
			return r;
		if (!chronfs_listing_add(listing, views[i].name, &entry, i + COOKIE_FIRST))
			break;
	}
	return 0;
}

static struct chronfs_segmentdir *handle(const struct fuse_file_info *fi)
{
	return (struct chronfs_segmentdir *)(uintptr_t)fi->fh;
}

void chronfs_op_opendir(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	struct chronfs *fs = chronfs_of(req);
	struct chronfs_segmentdir *dir = NULL;
	int r = -ENFILE;

	if (!chronfs_share_take(&fs->open_dirs, req))
		goto refuse;
	r = 0;
	if (chronfs_node_kind(node) != CHRONFS_ROOT)
		r = chronfs_segmentdir_open(&dir);
	if (r < 0)
		goto give;
	fi->fh = (uintptr_t)dir;
	if (fuse_reply_open(req, fi) ==
	    -ENOENT) { /* the open was interrupted: no release will come */
		chronfs_segmentdir_close(dir);
		chronfs_share_give(&fs->open_dirs);
	}
	return;
give:
	chronfs_share_give(&fs->open_dirs);
refuse:
	fuse_reply_err(req, -r);
}

void chronfs_op_releasedir(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	(void)node;
	chronfs_segmentdir_close(handle(fi));
	chronfs_share_give(&chronfs_of(req)->open_dirs);
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
			r = chronfs_segmentdir_list(fs, node, handle(fi), &listing, after);
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
