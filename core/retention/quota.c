/* SPDX-License-Identifier: Apache-2.0 */
/* quota.c - how many segment files the queue has and may have; see quota.h */
#include "retention/quota.h"

#include <stdlib.h>

#include "files/dir.h"
#include "os/clock.h"
#include "os/fault.h"
#include "os/io.h"

/* A directory's time may stay the same over changes that follow each other closely (two seconds on the
 * coarsest file systems).  Only an older time says that nothing has changed since. */
#define SETTLED_NS 2000000000U

void cq_quota_init(struct cq_quota *quota, uint64_t max_bytes, uint64_t segment_size,
                   uint64_t files)
{
	*quota = (struct cq_quota){
		.limit = max_bytes > 0 ? max_bytes / segment_size : UINT64_MAX,
		.files = files,
	};
	pthread_mutex_init(&quota->lock, NULL);
}

void cq_quota_fini(struct cq_quota *quota)
{
	pthread_mutex_destroy(&quota->lock);
}

/* Under lock. */
static bool another_fits(const struct cq_quota *quota)
{
	return quota->files + quota->reservations < quota->limit || cq_planted("cap_ignored");
}

bool cq_quota_reserve(struct cq_quota *quota)
{
	bool fits;

	pthread_mutex_lock(&quota->lock);
	fits = another_fits(quota);
	if (fits) {
		quota->reservations++;
		quota->changes++;
	}
	pthread_mutex_unlock(&quota->lock);
	return fits;
}

void cq_quota_settle(struct cq_quota *quota, bool made)
{
	pthread_mutex_lock(&quota->lock);
	quota->reservations--;
	quota->files += made;
	quota->changes++;
	pthread_mutex_unlock(&quota->lock);
}

void cq_quota_deleted(struct cq_quota *quota)
{
	pthread_mutex_lock(&quota->lock);
	if (quota->files > 0)
		quota->files--;
	quota->changes++;
	pthread_mutex_unlock(&quota->lock);
	atomic_store(&quota->at_limit, false);
	atomic_store(&quota->wake_pending, true);
}

bool cq_quota_exhausted(struct cq_quota *quota)
{
	bool full;

	pthread_mutex_lock(&quota->lock);
	full = !another_fits(quota);
	pthread_mutex_unlock(&quota->lock);
	return full;
}

uint64_t cq_quota_files(struct cq_quota *quota)
{
	uint64_t files;

	pthread_mutex_lock(&quota->lock);
	files = quota->files;
	pthread_mutex_unlock(&quota->lock);
	return files;
}

bool cq_quota_note_room(struct cq_quota *quota)
{
	/* a roll comes here: usually two loads */
	if (!atomic_load(&quota->at_limit) && !atomic_load(&quota->disk_full))
		return false;
	atomic_store(&quota->at_limit, false);
	atomic_store(&quota->disk_full, false);
	atomic_store(&quota->wake_pending, true);
	return true;
}

/* Whether no file is on its way; with a number that grows when that changes. */
static bool is_at_rest(struct cq_quota *quota, uint64_t *ret_changes)
{
	bool at_rest;

	pthread_mutex_lock(&quota->lock);
	at_rest = quota->reservations == 0;
	*ret_changes = quota->changes;
	pthread_mutex_unlock(&quota->lock);
	return at_rest;
}

/* Takes over the count of a listing, if `changes` has not grown since.  True: it is lower. */
static bool correct(struct cq_quota *quota, uint64_t changes, uint64_t files)
{
	bool fewer = false;

	pthread_mutex_lock(&quota->lock);
	if (quota->changes == changes) { /* GCOV_EXCL_BR_LINE: else one just then */
		fewer = files < quota->files;
		quota->files = files;
		atomic_store(&quota->recount_needed, false);
	}
	pthread_mutex_unlock(&quota->lock);
	return fewer;
}

bool cq_quota_recount(struct cq_quota *quota, int dirfd)
{
	const uint64_t now = cq_realtime_ns();
	uint64_t changed, changes;
	struct stat st;
	uint32_t *ids;
	size_t count;

	if (!is_at_rest(quota, &changes) || cq_io_stat(dirfd, &st) < 0)
		return false;
	if (!atomic_load(&quota->recount_needed) && st.st_mtim.tv_sec == quota->counted_at.tv_sec &&
	    st.st_mtim.tv_nsec == quota->counted_at.tv_nsec)
		return false;
	if (cq_dir_list(dirfd, &ids, &count) < 0)
		return false;
	free(ids);
	changed = (uint64_t)st.st_mtim.tv_sec * 1000000000U + (uint64_t)st.st_mtim.tv_nsec;
	if (changed < now && now - changed > SETTLED_NS)
		quota->counted_at = st.st_mtim;
	if (!correct(quota, changes, count))
		return false;
	atomic_store(&quota->at_limit, false);
	atomic_store(&quota->wake_pending, true);
	return true;
}
