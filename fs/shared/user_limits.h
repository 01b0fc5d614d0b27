/* SPDX-License-Identifier: Apache-2.0 */
/* user_limits.h - how much of the daemon the users of a mount may hold; see user_limits.c */
#ifndef CHRONFS_USER_LIMITS_H
#define CHRONFS_USER_LIMITS_H

#include <stdbool.h>
#include <stddef.h>

#include "libfuse.h"

struct chronfs;

/* Of one kind of thing that users can hold. */
struct chronfs_user_limit {
	size_t used; /* atomic */
	size_t most; /* constant while requests are served */
};

struct chronfs_user_limits {
	struct chronfs_user_limit open_files, open_dirs, open_segments;
	struct chronfs_user_limit locks; /* also requests that wait for one */
};

/* Before the queue is opened. */
void chronfs_user_limits_init(struct chronfs *fs);
/* Takes one for the sender of the request.  False: the sender may have no more. */
bool chronfs_user_limit_take(struct chronfs_user_limit *limit, fuse_req_t req);
/* Whether the sender of the request may have one more. */
bool chronfs_user_limit_allows(const struct chronfs_user_limit *limit, fuse_req_t req);
/* Takes one without a check, after chronfs_user_limit_allows(). */
void chronfs_user_limit_add(struct chronfs_user_limit *limit);
void chronfs_user_limit_release(struct chronfs_user_limit *limit);
/* A copy of both numbers. */
struct chronfs_user_limit chronfs_user_limit_read(const struct chronfs_user_limit *limit);

#endif
