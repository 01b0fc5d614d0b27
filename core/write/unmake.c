/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unmake.c - a queue that came to nothing: what its first writer has made goes again
 *
 * An open that fails, a mount that fails, an input without a line: where the queue was made for that,
 * the next look at the directory finds what it found before.  A queue that was there stays untouched.
 *
 * Under the writer's lock.  durable.meta goes first: without it whatever is left of the rest, should
 * this process be killed here, is an empty queue, and no loss.  writer.lock goes last: who waits for
 * it finds that it has no name any more, and tries again (lock.c).
 */
#include "write/writer.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/fault.h"
#include "format/format.h"
#include "os/io.h"
#include "files/seekindex.h"
#include "files/segdir.h"

static bool is_there(int dirfd, const char *name)
{
	struct stat st;

	return cq_io_stat_at(dirfd, name, &st) != -ENOENT;
}

bool cq_unmake_possible(int dirfd)
{
	static const char *const names[] = { CQ_DURABLE_NAME, CQ_CONTROL_NAME, CQ_POSITION_NAME };
	uint32_t id;

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if (is_there(dirfd, names[i]))
			return false;
	return cq_segdir_next(dirfd, 0, &id) == -ENOENT;
}

/* Newest first, so that what is left begins where a queue begins. */
static int remove_segments(int dirfd)
{
	char name[CQ_NAME_MAX];
	uint32_t *ids;
	size_t count;
	int r;

	r = cq_segdir_list(dirfd, &ids, &count);
	if (r < 0)
		return r;
	while (count-- > 0 && r == 0) {
		cq_segment_name(name, ids[count]);
		(void)cq_seekindex_remove(dirfd, ids[count]);
		r = cq_io_unlink(dirfd, name);
	}
	free(ids);
	return r;
}

void cq_unmake(cq_writer *w)
{
	static const char *const last[] = { CQ_CONTROL_NAME, CQ_POSITION_NAME, CQ_LOCK_NAME };
	int r;

	if (!w->fresh || is_there(w->dirfd, CQ_READERS_DIR))
		return;
	r = cq_io_unlink(w->dirfd, CQ_DURABLE_NAME);
	cq_point("unmake.unmarked");
	if (r == 0 || r == -ENOENT)
		r = cq_segdir_sweep(w->dirfd);
	if (r == 0)
		r = remove_segments(w->dirfd);
	for (size_t i = 0; i < sizeof last / sizeof last[0] && (r == 0 || r == -ENOENT); i++)
		r = cq_io_unlink(w->dirfd, last[i]);
	cq_point("unmake.done");
	if (w->made && w->path) /* if nothing else is in it */
		(void)rmdir(w->path);
}
