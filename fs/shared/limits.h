/* SPDX-License-Identifier: Apache-2.0 */
/* limits.h - how much of us users may hold */
#ifndef CHRONFS_LIMITS_H
#define CHRONFS_LIMITS_H

#include <stdbool.h>
#include <stddef.h>

#include "libfuse.h"

struct chronfs;

/* What there is of a kind of thing that users can hold, and the most that there may be. */
struct chronfs_share {
	size_t used; /* atomic */
	size_t most; /* constant */
};

struct chronfs_limits {
	struct chronfs_share open_files, open_dirs, open_segments;
	struct chronfs_share locks; /* and requests that wait for one */
};

/* Before anything is opened. */
void chronfs_limits_init(struct chronfs *fs);
/* False: the sender of the request may have no more of these. */
bool chronfs_share_take(struct chronfs_share *share, fuse_req_t req);
bool chronfs_share_left(const struct chronfs_share *share, fuse_req_t req);
/* Takes one, whoever it is for: what the caller has asked for by chronfs_share_left(). */
void chronfs_share_add(struct chronfs_share *share);
void chronfs_share_give(struct chronfs_share *share);
/* As it is now. */
struct chronfs_share chronfs_share_look(const struct chronfs_share *share);

#endif
