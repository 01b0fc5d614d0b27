/* SPDX-License-Identifier: Apache-2.0 */
/* directory.c - what all directories have in common; see directory.h */
#include "shared/directory.h"

#include <errno.h>
#include <sys/stat.h>

#include "chronfs.h"
#include "shared/node_ops.h"

void chronfs_directory_init(struct chronfs *fs)
{
	pthread_mutex_init(&fs->directory.lock, NULL);
}

void chronfs_directory_fini(struct chronfs *fs)
{
	pthread_mutex_destroy(&fs->directory.lock);
}

/* ---- attributes ---- */

static bool same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

/* Whether a change after this one would give the directory another time.  The time may stay the
 * same over changes that follow each other closely: for two seconds on the coarsest file
 * systems. */
static bool is_settled(struct timespec changed)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec > changed.tv_sec + 2;
}

/*
 * When the last segment was published or trimmed.  The queue's directory changes more often
 * (temporary files, indexes), so this takes over the directory's time only if the set of segments
 * differs.
 */
static int publish_time(struct chronfs *fs, struct timespec *ret_time)
{
	uint32_t oldest = 1, newest = 0; /* none */
	bool changed;
	struct stat st;
	int r = 0;

	if (fstat(fs->queue_fd, &st) < 0)
		return -errno;
	pthread_mutex_lock(&fs->directory.lock);
	changed = !same_time(st.st_mtim, fs->directory.changed);
	if (changed)
		r = cq_queue_ends(fs->queue, &oldest, &newest);
	if (r == -ENOENT)
		r = 0;
	if (r == 0 && changed) {
		if (oldest != fs->directory.oldest || newest != fs->directory.newest ||
		    fs->directory.published.tv_sec == 0)
			fs->directory.published = st.st_mtim;
		fs->directory.oldest = oldest;
		fs->directory.newest = newest;
		fs->directory.changed =
			is_settled(st.st_mtim) ? st.st_mtim : (struct timespec){ 0 };
	}
	if (r == 0)
		*ret_time = fs->directory.published;
	pthread_mutex_unlock(&fs->directory.lock);
	return r;
}

int chronfs_directory_stat(struct chronfs *fs, uint64_t node, struct stat *ret_stat,
                           double *ret_timeout)
{
	const enum chronfs_kind kind = chronfs_node_kind(node);
	struct timespec when = { 0 };
	mode_t mode = 0555;
	int r;

	/* each open of a file in the root asks for the root's attributes */
	if (kind == CHRONFS_ROOT)
		*ret_timeout = CHRONFS_NAME_TIMEOUT;
	r = publish_time(fs, &when);
	if (r < 0)
		return r;
	if (kind == CHRONFS_SEGMENTS && fs->options.allow_trim)
		mode = 0755;
	chronfs_attr(fs, node, S_IFDIR | mode, when, ret_stat);
	ret_stat->st_nlink = kind == CHRONFS_ROOT ? 6 : 2; /* itself, and the four below the root */
	return 0;
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
