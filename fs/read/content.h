/* SPDX-License-Identifier: Apache-2.0 */
/* content.h - payload/NNNNNNNNN and records/NNNNNNNNN: what a segment holds */
#ifndef CHRONFS_CONTENT_H
#define CHRONFS_CONTENT_H

#include <stdbool.h>
#include <stdint.h>

#include "libfuse.h"
#include "shared/node_ops.h"

struct chronfs;

extern const struct chronfs_node_ops chronfs_content_ops; /* of both, sealed or not */

/* For a lookup or, with `listing`, for an entry of a listing, of either directory.
 *   EAGAIN  it would take too long for a listing */
int chronfs_payload_entry(struct chronfs *fs, uint32_t id, bool listing,
                          struct fuse_entry_param *ret_entry);
int chronfs_records_entry(struct chronfs *fs, uint32_t id, bool listing,
                          struct fuse_entry_param *ret_entry);

#endif
