/* SPDX-License-Identifier: Apache-2.0 */
/* request.h - how long a write the kernel sends in one piece */
#ifndef CHRONFS_REQUEST_H
#define CHRONFS_REQUEST_H

#include <stddef.h>

#include "libfuse.h"

struct chronfs;

struct chronfs_request {
	size_t pages; /* of memory in one request; 0: not known yet */
};

/* Before the mount.
 *   EINVAL  any write may be split; the reason has been said */
int chronfs_request_look(struct chronfs *fs);
/* In init: sets the largest request, and with it the largest record. */
void chronfs_request_init(struct chronfs *fs, struct fuse_conn_info *conn);

#endif
