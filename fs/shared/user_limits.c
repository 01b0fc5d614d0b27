/* SPDX-License-Identifier: Apache-2.0 */
/*
 * user_limits.c - how much of the daemon the users of a mount may hold
 *
 * What somebody opens or locks costs the daemon memory, and time, for some lists are walked; an open
 * segment file costs one of its descriptors, which it needs itself to write.  So these are counted, and
 * one too many is refused: ENFILE for an open, ENOLCK for a lock.  Half of each is kept for root and the
 * mounter: whoever is let in by allow_other cannot keep those out who write.
 *
 * Invariant: each success of chronfs_user_limit_take(), and each chronfs_user_limit_add(), is followed by one
 * chronfs_user_limit_release().
 */
#include "shared/user_limits.h"

#include <sys/resource.h>

#include "chronfs.h"
#include "fault.h"

#define DIRS_MAX 1024    /* each holds the list of all segments */
#define LOCKS_MAX 4096   /* each request for one looks at all, each unlock at all that wait */
#define DESCRIPTORS 1024 /* of the daemon, where there is no telling */

void chronfs_user_limits_init(struct chronfs *fs)
{
	struct rlimit limit = { .rlim_cur = DESCRIPTORS };

	/* All that we may have.  What we start, fusermount3, gets them, too: it does not mind. */
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		const struct rlimit all = { limit.rlim_max, limit.rlim_max };

		if (setrlimit(RLIMIT_NOFILE, &all) == 0)
			limit = all;
	}
	fs->user_limits.open_files.most = fs->options.max_open;
	fs->user_limits.open_dirs.most = DIRS_MAX;
	fs->user_limits.locks.most = LOCKS_MAX;
	/* The other half is for writing: 256 sealed segments that wait for their flush, and a few. */
	fs->user_limits.open_segments.most = (size_t)limit.rlim_cur / 2;
}

static bool is_privileged(const struct chronfs *fs, fuse_req_t req)
{
	const uid_t uid = fuse_req_ctx(req)->uid;

	return uid == 0 || uid == fs->uid;
}

static bool is_left(size_t used, const struct chronfs_user_limit *share, fuse_req_t req)
{
	if (chronfs_planted("holdings_unbounded") || used < share->most / 2)
		return true;
	return used < share->most && is_privileged(chronfs_of(req), req);
}

bool chronfs_user_limit_allows(const struct chronfs_user_limit *share, fuse_req_t req)
{
	return is_left(__atomic_load_n(&share->used, __ATOMIC_RELAXED), share, req);
}

bool chronfs_user_limit_take(struct chronfs_user_limit *share, fuse_req_t req)
{
	if (is_left(__atomic_fetch_add(&share->used, 1, __ATOMIC_RELAXED), share, req))
		return true;
	chronfs_user_limit_release(share);
	return false;
}

void chronfs_user_limit_add(struct chronfs_user_limit *share)
{
	__atomic_add_fetch(&share->used, 1, __ATOMIC_RELAXED);
}

void chronfs_user_limit_release(struct chronfs_user_limit *share)
{
	__atomic_sub_fetch(&share->used, 1, __ATOMIC_RELAXED);
}

struct chronfs_user_limit chronfs_user_limit_read(const struct chronfs_user_limit *share)
{
	return (struct chronfs_user_limit){
		.used = __atomic_load_n(&share->used, __ATOMIC_RELAXED),
		.most = share->most,
	};
}
