/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream_inodes.c - which inode of `stream` a lookup gets
 *
 * The kernel fills the last page of a file up with zeros.  When it learns of a larger size, it takes
 * the size over first, and drops the page after that.  Another open file with the same page cache
 * that reads in between gets the zeros (measured: two reads in a hundred, of four readers at the
 * growing end).
 *
 * Invariant: at most one open file of an inode is cached, and it was the first to open the inode.
 *
 * So `stream` has many inodes for one beginning, its instances, each with a page cache of its own.
 * A lookup gets an instance that is not open.  While `stream` has not grown since the kernel learnt
 * the size of the last instance that a lookup got, that is the same instance again: so a queue at
 * rest is read from the page cache.  Otherwise it is another one, whose page cache is empty.
 *
 * Lookups at the same time get the same instance.  The first open keeps it; the others are sent
 * away with ESTALE.  Upon that the kernel looks the name up again, unseen by its user, and each of
 * these lookups gets an instance that no other thread gets.  The kernel does that once for an open,
 * and only for an open that has a name: for an open of /proc/PID/fd, or an ioctl, it opens the inode
 * that it has.  Such an open shares the instance and is not cached.  To tell these apart, we remember
 * which thread got which instance.
 *
 * Only some open files are cached: many readers would fill the memory with page caches.
 */
#include "stream/stream_inodes.h"

#include <errno.h>

#include "chronfs.h"
#include "held/open_files.h"

#define SHARED (CHRONFS_STREAM_INODES - 1) /* the instance when all others are open; never cached */
#define CACHED_MAX 8

static uint64_t instance_node(uint64_t begin, unsigned instance)
{
	return chronfs_node(CHRONFS_STREAM, chronfs_stream_value(begin, instance));
}

/* An instance that is not open; the one that has been closed for the longest time. */
static uint64_t closed_instance(struct chronfs *fs, uint64_t begin)
{
	for (unsigned tries = 0; tries < SHARED; tries++) {
		uint64_t node = instance_node(begin, fs->stream_inodes.next++ % SHARED);

		if (!chronfs_open_files_find(fs, node))
			return node;
	}
	return instance_node(begin, SHARED);
}

/* ---- threads that have looked the name up ---- */

static struct chronfs_asked *find_asked(struct chronfs *fs, pid_t thread)
{
	for (size_t i = 0; i < CHRONFS_ASKED; i++)
		if (fs->stream_inodes.asked[i].thread == thread && thread != 0)
			return &fs->stream_inodes.asked[i];
	return NULL;
}

/* Notes a thread in place of an older one, if possible of one that was not sent away. */
static struct chronfs_asked *note_asked(struct chronfs *fs, pid_t thread)
{
	struct chronfs_asked *asked;

	for (size_t i = 0; i < CHRONFS_ASKED; i++) {
		asked = &fs->stream_inodes.asked[fs->stream_inodes.next_asked++ % CHRONFS_ASKED];
		if (!asked->sent_away)
			break;
	}
	*asked = (struct chronfs_asked){ .thread = thread };
	return asked;
}

/* ---- lookups ---- */

/* For a thread that was sent away, or whose process has a beginning of its own. */
static uint64_t own_node(struct chronfs *fs, uint64_t begin, const struct chronfs_asked *asked)
{
	if (asked->node != 0 && asked->begin == begin) /* one open may look up twice */
		return asked->node;
	return closed_instance(fs, begin);
}

static uint64_t common_node(struct chronfs *fs, uint64_t begin, uint64_t end)
{
	struct chronfs_stream_inodes *c = &fs->stream_inodes;

	if (c->last == 0 || c->begin != begin || c->end != end ||
	    chronfs_open_files_find(fs, c->last))
		c->last = closed_instance(fs, begin);
	c->begin = begin;
	c->end = end;
	return c->last;
}

uint64_t chronfs_stream_inode_choose(struct chronfs *fs, uint64_t begin, uint64_t end, pid_t thread,
                                     bool own)
{
	struct chronfs_asked *asked;
	uint64_t node;

	pthread_mutex_lock(&fs->open_files.lock);
	asked = find_asked(fs, thread);
	if (!asked)
		asked = note_asked(fs, thread);
	if (own || asked->sent_away)
		node = own_node(fs, begin, asked);
	else
		node = common_node(fs, begin, end);
	asked->node = node;
	asked->begin = begin;
	pthread_mutex_unlock(&fs->open_files.lock);
	return node;
}

void chronfs_stream_inode_told(struct chronfs *fs, uint64_t node, uint64_t end)
{
	pthread_mutex_lock(&fs->open_files.lock);
	if (node == fs->stream_inodes.last && end > fs->stream_inodes.end)
		fs->stream_inodes.end = end;
	pthread_mutex_unlock(&fs->open_files.lock);
}

/* ---- open files ---- */

/* Whether the thread is to look the name up again, upon which it gets an instance of its own. */
static bool send_away(struct chronfs *fs, uint64_t node, pid_t thread)
{
	struct chronfs_asked *asked = find_asked(fs, thread);

	if (!asked || asked->node != node || asked->sent_away)
		return false;
	asked->sent_away = true;
	asked->node = 0;
	return true;
}

static void forget_asked(struct chronfs *fs, pid_t thread)
{
	struct chronfs_asked *asked = find_asked(fs, thread);

	if (asked)
		*asked = (struct chronfs_asked){ 0 };
}

int chronfs_stream_inode_admit(struct chronfs *fs, struct chronfs_open_file *file, pid_t thread,
                               bool cached, bool *ret_cached)
{
	const bool shared = chronfs_stream_instance(chronfs_node_value(file->node)) == SHARED;
	bool taken;
	int r = 0;

	pthread_mutex_lock(&fs->open_files.lock);
	taken = !shared && chronfs_open_files_find(fs, file->node);
	if (taken && send_away(fs, file->node, thread)) {
		r = -ESTALE;
	} else {
		forget_asked(fs, thread);
		*ret_cached = cached && !taken && !shared && fs->stream_inodes.cached < CACHED_MAX;
		if (*ret_cached)
			fs->stream_inodes.cached++;
		chronfs_open_files_add_locked(fs, file);
	}
	pthread_mutex_unlock(&fs->open_files.lock);
	return r;
}

void chronfs_stream_inode_leave(struct chronfs *fs, struct chronfs_open_file *file, bool cached)
{
	pthread_mutex_lock(&fs->open_files.lock);
	chronfs_open_files_remove_locked(file);
	if (cached)
		fs->stream_inodes.cached--;
	pthread_mutex_unlock(&fs->open_files.lock);
}
