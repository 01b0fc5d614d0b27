/* SPDX-License-Identifier: Apache-2.0 */
/* user_limits.h - how much of us users may hold */
#ifndef CHRONFS_USER_LIMITS_H
#define CHRONFS_USER_LIMITS_H

#include <stdbool.h>
#include <stddef.h>

#include "libfuse.h"

struct chronfs;

/* What there is of a kind of thing that users can hold, and the most that there may be. */
struct chronfs_user_limit {
	size_t used; /* atomic */
	size_t most; /* constant */
};

struct chronfs_user_limits {
	struct chronfs_user_limit open_files, open_dirs, open_segments;
	struct chronfs_user_limit locks; /* and requests that wait for one */
};

/* Before anything is opened. */
void chronfs_user_limits_init(struct chronfs *fs);
/* False: the sender of the request may have no more of these. */
bool chronfs_user_limit_take(struct chronfs_user_limit *share, fuse_req_t req);
bool chronfs_user_limit_allows(const struct chronfs_user_limit *share, fuse_req_t req);
/* Takes one, whoever it is for: what the caller has asked for by chronfs_user_limit_allows(). */
void chronfs_user_limit_add(struct chronfs_user_limit *share);
void chronfs_user_limit_release(struct chronfs_user_limit *share);
/* As it is now. */
struct chronfs_user_limit chronfs_user_limit_read(const struct chronfs_user_limit *share);

#endif
