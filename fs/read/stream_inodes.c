/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream_inodes.c - which of the nodes of `stream` its name leads to
 *
 * A page cache has a trap for what grows.  The page with the end of the file is filled up with zeros;
 * when the kernel is told of a larger size it takes that over first, and drops the page after that: to
 * another open file that reads in between it gives the zeros (measured: with four readers at the
 * growing end, two reads in a hundred).  So no two open files share a page cache that one of them may
 * see grow.  `stream` has many inodes, each with pages of its own.  Its name leads to one that
 * nobody has open: to the one that it led to last, if `stream` has not grown since that was told its
 * size, so that a queue at rest is read from the page cache; else to another, whose cache is empty.
 *
 * Invariant: of the open files of a node one at most is cached, and it was there first.  Those who
 * look the name up at the same time are led to the same node.  The first open has it; the others are
 * answered with ESTALE, upon which the kernel looks the name up anew, unseen by its user, and each is
 * led to a node that nobody else is led to.  That works once for an open, and only for one that has a
 * name: by /proc/PID/fd, or for an ioctl, the kernel opens a node that it has; such an open shares the
 * node, not cached.  So it is noted which thread was led where.
 *
 * Many readers at once would fill the memory with page caches: only some are cached.
 */
#include "read/stream_inodes.h"

#include <errno.h>

#include "chronfs.h"
#include "held/open_files.h"

#define SHARED (CHRONFS_STREAM_INODES - 1) /* when all others are open; never cached */
#define CACHED_MAX 8

static uint64_t instance_node(uint64_t begin, unsigned instance)
{
	return chronfs_node(CHRONFS_STREAM, chronfs_stream_value(begin, instance));
}

/* A node that is not open, nor was it for as long as can be. */
static uint64_t another(struct chronfs *fs, uint64_t begin)
{
	for (unsigned tries = 0; tries < SHARED; tries++) {
		uint64_t node = instance_node(begin, fs->stream_inodes.next++ % SHARED);

		if (!chronfs_open_files_find(fs, node))
			return node;
	}
	return instance_node(begin, SHARED);
}

/* ---- who has asked for the name ---- */

static struct chronfs_asked *find_asked(struct chronfs *fs, pid_t thread)
{
	for (size_t i = 0; i < CHRONFS_ASKED; i++)
		if (fs->stream_inodes.asked[i].thread == thread && thread != 0)
			return &fs->stream_inodes.asked[i];
	return NULL;
}

/* Notes a thread in place of an older one, if possible of one that is not sent away. */
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

/* ---- the name ---- */

/* For one who was sent away, or is told a beginning of his own. */
static uint64_t own_node(struct chronfs *fs, uint64_t begin, const struct chronfs_asked *asked)
{
	if (asked->node != 0 && asked->begin == begin) /* one open may look up twice */
		return asked->node;
	return another(fs, begin);
}

static uint64_t common_node(struct chronfs *fs, uint64_t begin, uint64_t end)
{
	struct chronfs_stream_inodes *c = &fs->stream_inodes;

	if (c->last == 0 || c->begin != begin || c->end != end ||
	    chronfs_open_files_find(fs, c->last))
		c->last = another(fs, begin);
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

/* Has the thread's name looked up again: it is led to a node of its own then. */
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
		chronfs_open_files_add(fs, file);
	}
	pthread_mutex_unlock(&fs->open_files.lock);
	return r;
}

void chronfs_stream_inode_leave(struct chronfs *fs, struct chronfs_open_file *file, bool cached)
{
	pthread_mutex_lock(&fs->open_files.lock);
	chronfs_open_files_remove(file);
	if (cached)
		fs->stream_inodes.cached--;
	pthread_mutex_unlock(&fs->open_files.lock);
}
