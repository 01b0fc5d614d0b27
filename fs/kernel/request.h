/* SPDX-License-Identifier: Apache-2.0 */
/* request.h - how long a write can be that the kernel sends in one request */
#ifndef CHRONFS_REQUEST_H
#define CHRONFS_REQUEST_H

#include <stddef.h>

#include "libfuse.h"

struct chronfs;

struct chronfs_request {
	size_t pages; /* that one request may have; 0: not known yet */
};

/* Before the mount.
 *   EINVAL  the kernel might split any write; the reason has been logged */
int chronfs_request_read_limit(struct chronfs *fs);
/* In init: sets the largest request, and with it the largest record. */
void chronfs_request_init(struct chronfs *fs, struct fuse_conn_info *conn);

#endif
