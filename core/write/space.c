/* SPDX-License-Identifier: Apache-2.0 */
/* space.c - how many segment files the queue has and may have; see space.h */
#include "write/space.h"

#include <stdlib.h>

#include "files/dir.h"
#include "os/clock.h"
#include "os/fault.h"
#include "os/io.h"

/* A directory's time may stand still over changes that follow each other closely (two seconds on
 * the coarsest file systems): only an older one says that nothing has happened since. */
#define SETTLED_NS 2000000000U

void cq_space_init(struct cq_space *space, uint64_t max_bytes, uint64_t segment_size,
                   uint64_t files)
{
	*space = (struct cq_space){
		.most = max_bytes > 0 ? max_bytes / segment_size : UINT64_MAX,
		.files = files,
	};
	pthread_mutex_init(&space->lock, NULL);
}

void cq_space_fini(struct cq_space *space)
{
	pthread_mutex_destroy(&space->lock);
}

/* Under lock. */
static bool another_fits(const struct cq_space *space)
{
	return space->files + space->places < space->most || cq_planted("cap_ignored");
}

bool cq_space_reserve(struct cq_space *space)
{
	bool fits;

	pthread_mutex_lock(&space->lock);
	fits = another_fits(space);
	if (fits) {
		space->places++;
		space->changes++;
	}
	pthread_mutex_unlock(&space->lock);
	return fits;
}

void cq_space_made(struct cq_space *space)
{
	pthread_mutex_lock(&space->lock);
	space->places--;
	space->files++;
	space->changes++;
	pthread_mutex_unlock(&space->lock);
}

void cq_space_release(struct cq_space *space)
{
	pthread_mutex_lock(&space->lock);
	space->places--;
	space->changes++;
	pthread_mutex_unlock(&space->lock);
}

void cq_space_deleted(struct cq_space *space)
{
	pthread_mutex_lock(&space->lock);
	if (space->files > 0)
		space->files--;
	space->changes++;
	pthread_mutex_unlock(&space->lock);
	atomic_store(&space->full, false);
	atomic_store(&space->news, true);
}

bool cq_space_is_full(struct cq_space *space)
{
	bool full;

	pthread_mutex_lock(&space->lock);
	full = !another_fits(space);
	pthread_mutex_unlock(&space->lock);
	return full;
}

uint64_t cq_space_files(struct cq_space *space)
{
	uint64_t files;

	pthread_mutex_lock(&space->lock);
	files = space->files;
	pthread_mutex_unlock(&space->lock);
	return files;
}

bool cq_space_relieved(struct cq_space *space)
{
	/* in a roll: only loads, as a rule */
	if (!atomic_load(&space->full) && !atomic_load(&space->starved))
		return false;
	atomic_store(&space->full, false);
	atomic_store(&space->starved, false);
	atomic_store(&space->news, true);
	return true;
}

/* Whether no file was on its way; with a number that changes when one sets out. */
static bool is_still(struct cq_space *space, uint64_t *ret_changes)
{
	bool still;

	pthread_mutex_lock(&space->lock);
	still = space->places == 0;
	*ret_changes = space->changes;
	pthread_mutex_unlock(&space->lock);
	return still;
}

/* The count of a listing, if nothing has moved since `changes` was read.  True: it is lower. */
static bool correct(struct cq_space *space, uint64_t changes, uint64_t files)
{
	bool fewer = false;

	pthread_mutex_lock(&space->lock);
	if (space->changes == changes) {
		fewer = files < space->files;
		space->files = files;
		atomic_store(&space->doubt, false);
	}
	pthread_mutex_unlock(&space->lock);
	return fewer;
}

bool cq_space_look(struct cq_space *space, int dirfd)
{
	const uint64_t now = cq_realtime_ns();
	uint64_t changed, changes;
	struct stat st;
	uint32_t *ids;
	size_t count;

	if (!is_still(space, &changes) || cq_io_stat(dirfd, &st) < 0)
		return false;
	if (!atomic_load(&space->doubt) && st.st_mtim.tv_sec == space->looked_at.tv_sec &&
	    st.st_mtim.tv_nsec == space->looked_at.tv_nsec)
		return false;
	if (cq_dir_list(dirfd, &ids, &count) < 0)
		return false;
	free(ids);
	changed = (uint64_t)st.st_mtim.tv_sec * 1000000000U + (uint64_t)st.st_mtim.tv_nsec;
	if (changed < now && now - changed > SETTLED_NS)
		space->looked_at = st.st_mtim;
	if (!correct(space, changes, count))
		return false;
	atomic_store(&space->full, false);
	atomic_store(&space->news, true);
	return true;
}
