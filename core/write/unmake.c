/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unmake.c - a queue that came to nothing: what its first writer has made goes again
 *
 * An open that fails, a mount that fails, an input without a line: where the queue was made for that,
 * the next look at the directory finds what it found before.  A queue that was there stays untouched, and
 * so does one to which somebody else has brought a segment meanwhile: this writer's own hold nothing.
 *
 * Under the writer's lock.  durable.meta goes first: without it whatever is left of the rest, should
 * this process be killed here, is an empty queue, and no loss.  writer.lock goes last: who waits for
 * it finds that it has no name any more, and tries again (lock.c).
 */
#include "write/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "files/dir.h"
#include "files/index.h"
#include "format/format.h"
#include "os/fault.h"
#include "os/io.h"

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
	return cq_dir_next(dirfd, 0, &id) == -ENOENT;
}

/* Whether a segment is one that this writer may have made: no record has begun in it. */
static bool holds_nothing(int dirfd, uint32_t id)
{
	char name[CQ_NAME_MAX];
	uint32_t word;
	bool nothing;
	int fd;

	cq_segment_name(name, id);
	if (cq_io_open(dirfd, name, O_RDONLY, &fd) < 0)
		return false;
	nothing = cq_io_pread(fd, &word, sizeof word, sizeof(struct cq_segment_header)) ==
	                  sizeof word &&
	          word == 0;
	close(fd);
	return nothing;
}

/* The segments to remove; fails if one is not this writer's. */
static int list_segments(int dirfd, uint32_t **ret_ids, size_t *ret_count)
{
	uint32_t *ids;
	size_t count;
	int r;

	r = cq_dir_list(dirfd, &ids, &count);
	if (r < 0)
		return r;
	for (size_t i = 0; i < count; i++) {
		if (!holds_nothing(dirfd, ids[i])) {
			free(ids);
			return -EEXIST;
		}
	}
	*ret_ids = ids;
	*ret_count = count;
	return 0;
}

/* Newest first, so that what is left begins where a queue begins. */
static int remove_segments(int dirfd, const uint32_t *ids, size_t count)
{
	char name[CQ_NAME_MAX];
	int r = 0;

	while (count-- > 0 && r == 0) {
		cq_segment_name(name, ids[count]);
		(void)cq_index_remove(dirfd, ids[count]);
		r = cq_io_unlink(dirfd, name);
	}
	return r;
}

void cq_unmake(cq_writer *w)
{
	static const char *const last[] = { CQ_CONTROL_NAME, CQ_POSITION_NAME, CQ_LOCK_NAME };
	uint32_t *ids;
	size_t count;
	int r;

	if (!w->fresh || is_there(w->dirfd, CQ_READERS_DIR) ||
	    list_segments(w->dirfd, &ids, &count) < 0)
		return;
	r = cq_io_unlink(w->dirfd, CQ_DURABLE_NAME);
	cq_point("unmake.unmarked");
	if (r == 0 || r == -ENOENT)
		r = cq_dir_sweep(w->dirfd);
	if (r == 0)
		r = remove_segments(w->dirfd, ids, count);
	free(ids);
	for (size_t i = 0; i < sizeof last / sizeof last[0] && (r == 0 || r == -ENOENT); i++)
		r = cq_io_unlink(w->dirfd, last[i]);
	cq_point("unmake.done");
	if (w->made && w->path) /* if nothing else is in it */
		(void)rmdir(w->path);
}
