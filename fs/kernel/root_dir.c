/* SPDX-License-Identifier: Apache-2.0 */
/*
 * root_dir.c - directories: looking up and listing; what the root holds
 *
 * The kernel never remembers that a name does not exist: a segment must show at once when its rename
 * is done.
 */
#include "kernel/root_dir.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "append/ctl.h"
#include "append/sink.h"
#include "chronfs.h"
#include "read/segment_dir.h"
#include "shared/directory.h"
#include "shared/node_ops.h"
#include "shared/user_limits.h"
#include "status/readers.h"
#include "stream/stream.h"

#define COOKIE_SELF 1
#define COOKIE_PARENT 2
#define COOKIE_FIRST 3

/* The entries of the root. */
static const struct root_entry {
	const char *name;
	enum chronfs_kind kind;
	bool writing;    /* not on a read-only mount */
	bool per_lookup; /* two lookups may give two nodes */
} root_entries[] = {
	{ "append", CHRONFS_APPEND, true, true },
	{ "append.lines", CHRONFS_LINES, true, true },
	{ "ctl", CHRONFS_CTL, true, true },
	{ "metrics", CHRONFS_METRICS, false, false },
	{ "payload", CHRONFS_PAYLOADS, false, false },
	{ "readers", CHRONFS_READERS, false, false },
	{ "records", CHRONFS_RECORDS, false, false },
	{ "segments", CHRONFS_SEGMENTS, false, false },
	{ "stats.json", CHRONFS_STATS, false, false },
	{ "stream", CHRONFS_STREAM, false, true },
};
#define ROOT_ENTRIES (sizeof root_entries / sizeof root_entries[0])

static bool entry_shown(const struct chronfs *fs, const struct root_entry *e)
{
	return fs->writer || !e->writing;
}

const struct chronfs_node_ops chronfs_root_ops = {
	.stat = chronfs_directory_stat,
};

/* ---- lookup ---- */

static int entry_for_lookup(struct chronfs *fs, const struct root_entry *e, pid_t thread,
                            struct fuse_entry_param *ret_entry)
{
	struct fuse_entry_param entry = { 0 };
	int r;

	if (e->kind == CHRONFS_STREAM)
		return chronfs_stream_entry(fs, thread, ret_entry);
	if (e->per_lookup) {
		chronfs_sink_lookup(fs, e->kind, thread, ret_entry);
		return 0;
	}
	entry.ino = chronfs_node(e->kind, 0);
	entry.entry_timeout = CHRONFS_NAME_TIMEOUT;
	r = chronfs_ops_of_node(entry.ino)->stat(fs, entry.ino, &entry.attr, &entry.attr_timeout);
	if (r == 0)
		*ret_entry = entry;
	return r;
}

static int root_lookup(struct chronfs *fs, const char *name, pid_t thread,
                       struct fuse_entry_param *ret_entry)
{
	for (size_t i = 0; i < ROOT_ENTRIES; i++)
		if (entry_shown(fs, &root_entries[i]) && strcmp(name, root_entries[i].name) == 0)
			return entry_for_lookup(fs, &root_entries[i], thread, ret_entry);
	return -ENOENT;
}

bool chronfs_root_shows_state(const char *name)
{
	for (size_t i = 0; i < ROOT_ENTRIES; i++)
		if (strcmp(name, root_entries[i].name) == 0)
			return !root_entries[i].writing;
	return false;
}

void chronfs_op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct chronfs *fs = chronfs_of(req);
	struct fuse_entry_param entry;
	int r;

	if (chronfs_node_kind(parent) == CHRONFS_ROOT)
		r = root_lookup(fs, name, fuse_req_ctx(req)->pid, &entry);
	else if (chronfs_node_kind(parent) == CHRONFS_READERS)
		r = chronfs_reader_dir_lookup(fs, name, &entry);
	else
		r = chronfs_segment_dir_lookup(fs, parent, name, &entry);
	if (r < 0)
		fuse_reply_err(req, -r);
	else
		fuse_reply_entry(req, &entry);
}

/* ---- listing ---- */

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

/* An entry with several nodes has no attributes: with them the name would lead to another node than
 * the one that a program has open. */
static int root_list(struct chronfs *fs, struct chronfs_listing *listing, uint64_t after)
{
	for (size_t i = 0; i < ROOT_ENTRIES; i++) {
		struct fuse_entry_param entry = { 0 };
		int r = 0;

		if (i + COOKIE_FIRST <= after || !entry_shown(fs, &root_entries[i]))
			continue;
		if (root_entries[i].per_lookup) {
			entry.attr.st_ino = chronfs_node(root_entries[i].kind, 0);
			entry.attr.st_mode = S_IFREG;
			if (root_entries[i].kind ==
			    CHRONFS_STREAM) /* one number for each beginning */
				(void)chronfs_stream_ino(fs, fuse_req_ctx(listing->req)->pid,
				                         &entry.attr.st_ino);
		} else {
			r = entry_for_lookup(fs, &root_entries[i], 0, &entry);
		}
		if (r < 0)
			return r;
		if (!chronfs_listing_add(listing, root_entries[i].name, &entry, i + COOKIE_FIRST))
			break;
	}
	return 0;
}

/* An open directory: NULL for the root, else of the room that has the kind. */
static int open_dir(uint64_t node, struct fuse_file_info *fi)
{
	struct chronfs_segment_dir *segments = NULL;
	struct chronfs_reader_dir *readers = NULL;
	int r = 0;

	if (chronfs_node_kind(node) == CHRONFS_READERS) {
		r = chronfs_reader_dir_open(&readers);
		fi->fh = (uintptr_t)readers;
	} else if (chronfs_node_kind(node) != CHRONFS_ROOT) {
		r = chronfs_segment_dir_open(&segments);
		fi->fh = (uintptr_t)segments;
	}
	return r;
}

static struct chronfs_segment_dir *segment_dir_of(const struct fuse_file_info *fi)
{
	return (struct chronfs_segment_dir *)(uintptr_t)fi->fh;
}

static struct chronfs_reader_dir *reader_dir_of(const struct fuse_file_info *fi)
{
	return (struct chronfs_reader_dir *)(uintptr_t)fi->fh;
}

static void close_dir(uint64_t node, const struct fuse_file_info *fi)
{
	if (chronfs_node_kind(node) == CHRONFS_READERS)
		chronfs_reader_dir_close(reader_dir_of(fi));
	else
		chronfs_segment_dir_close(segment_dir_of(fi));
}

void chronfs_op_opendir(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	struct chronfs *fs = chronfs_of(req);
	int r = -ENFILE;

	if (!chronfs_user_limit_take(&fs->user_limits.open_dirs, req))
		goto refuse;
	r = open_dir(node, fi);
	if (r < 0)
		goto give;
	if (fuse_reply_open(req, fi) ==
	    -ENOENT) { /* the open was interrupted: no release follows */
		close_dir(node, fi);
		chronfs_user_limit_release(&fs->user_limits.open_dirs);
	}
	return;
give:
	chronfs_user_limit_release(&fs->user_limits.open_dirs);
refuse:
	fuse_reply_err(req, -r);
}

void chronfs_op_releasedir(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	close_dir(node, fi);
	chronfs_user_limit_release(&chronfs_of(req)->user_limits.open_dirs);
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
		if (chronfs_node_kind(node) == CHRONFS_ROOT)
			r = root_list(fs, &listing, after);
		else if (chronfs_node_kind(node) == CHRONFS_READERS)
			r = chronfs_reader_dir_list(fs, reader_dir_of(fi), &listing, after);
		else
			r = chronfs_segment_dir_list(fs, node, segment_dir_of(fi), &listing, after);
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

/* ---- unlink ---- */

void chronfs_op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	const struct chronfs *fs = chronfs_of(req);
	uint32_t segment;

	if (chronfs_node_kind(parent) != CHRONFS_SEGMENTS || !fs->writer || !fs->options.allow_trim)
		fuse_reply_err(req, EPERM);
	else if (!chronfs_segment_dir_parse(parent, name, &segment))
		fuse_reply_err(req, ENOENT);
	else
		chronfs_ctl_delete_segment(req, segment);
}
