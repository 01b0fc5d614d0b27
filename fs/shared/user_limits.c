/* SPDX-License-Identifier: Apache-2.0 */
/*
 * user_limits.c - how much of the daemon the users of a mount may hold
 *
 * An open file or a lock costs the daemon memory, and time, since it walks some lists.  An open
 * segment file costs one of the daemon's descriptors, which it needs to write.  So chronfs counts
 * these, and refuses one too many: ENFILE for an open, ENOLCK for a lock.  Users that allow_other lets
 * in can fill half of a limit.  The owner of the files, members of their group if it may append, and
 * members of ctl's group can fill three quarters: nobody else keeps them out.  Root and the mounter can
 * fill all of it.
 *
 * Invariant: each success of chronfs_user_limit_take(), and each chronfs_user_limit_add(), is
 * followed by one chronfs_user_limit_release().
 */
#include "shared/user_limits.h"

#include <sys/resource.h>
#include <sys/stat.h>

#include "chronfs.h"
#include "fault.h"

#define DIRS_MAX 1024  /* each holds the list of all segments */
#define LOCKS_MAX 4096 /* a request for a lock walks all locks, an unlock all requests that wait */
#define DESCRIPTORS 1024 /* of the daemon, if getrlimit() fails */
#define GROUPS 256       /* of a sender that are looked at */

void chronfs_user_limits_init(struct chronfs *fs)
{
	struct rlimit limit = { .rlim_cur = DESCRIPTORS };

	/* as many as are allowed; fusermount3, which we start, inherits them and does not mind */
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		const struct rlimit all = { limit.rlim_max, limit.rlim_max };

		if (setrlimit(RLIMIT_NOFILE, &all) == 0)
			limit = all;
	}
	fs->user_limits.open_files.most = fs->options.max_open;
	fs->user_limits.open_dirs.most = DIRS_MAX;
	fs->user_limits.locks.most = LOCKS_MAX;
	/* the other half is for writing: 256 sealed segments that wait for their sync, and a few */
	fs->user_limits.open_segments.most = (size_t)limit.rlim_cur / 2;
}

static bool is_privileged(const struct chronfs *fs, fuse_req_t req)
{
	const uid_t uid = fuse_req_ctx(req)->uid;

	return uid == 0 || uid == fs->uid;
}

static bool has_rights(const struct chronfs_access *access, gid_t gid)
{
	return (gid == access->gid && !(access->umask & S_IWGRP)) ||
	       (gid == access->ctl_gid && access->ctl_shared);
}

/* Whether the options let the sender append or command as owner or as member of a group.  Asks /proc
 * for the sender's groups, so only when half of a limit is used. */
static bool is_trusted(const struct chronfs *fs, fuse_req_t req)
{
	const struct chronfs_access *access = &fs->options.access;
	const struct fuse_ctx *sender = fuse_req_ctx(req);
	gid_t groups[GROUPS];
	int count;

	if (sender->uid == access->uid || has_rights(access, sender->gid))
		return true;
	if ((access->umask & S_IWGRP) && !access->ctl_shared)
		return false;
	count = fuse_req_getgroups(req, GROUPS, groups); /* all that there are, or an error */
	for (int i = 0; i < count && i < GROUPS; i++)
		if (has_rights(access, groups[i]))
			return true;
	return false;
}

static bool is_left(size_t used, const struct chronfs_user_limit *limit, fuse_req_t req)
{
	const struct chronfs *fs = chronfs_of(req);

	if (chronfs_planted("holdings_unbounded") || used < limit->most / 2)
		return true;
	if (used >= limit->most)
		return false;
	return is_privileged(fs, req) ||
	       (used < limit->most - limit->most / 4 && is_trusted(fs, req));
}

bool chronfs_user_limit_allows(const struct chronfs_user_limit *limit, fuse_req_t req)
{
	return is_left(__atomic_load_n(&limit->used, __ATOMIC_RELAXED), limit, req);
}

bool chronfs_user_limit_take(struct chronfs_user_limit *limit, fuse_req_t req)
{
	if (is_left(__atomic_fetch_add(&limit->used, 1, __ATOMIC_RELAXED), limit, req))
		return true;
	chronfs_user_limit_release(limit);
	return false;
}

void chronfs_user_limit_add(struct chronfs_user_limit *limit)
{
	__atomic_add_fetch(&limit->used, 1, __ATOMIC_RELAXED);
}

void chronfs_user_limit_release(struct chronfs_user_limit *limit)
{
	__atomic_sub_fetch(&limit->used, 1, __ATOMIC_RELAXED);
}

struct chronfs_user_limit chronfs_user_limit_read(const struct chronfs_user_limit *limit)
{
	return (struct chronfs_user_limit){
		.used = __atomic_load_n(&limit->used, __ATOMIC_RELAXED),
		.most = limit->most,
	};
}
