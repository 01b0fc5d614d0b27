/* SPDX-License-Identifier: Apache-2.0 */
/* payload.h - payload/NNNNNNNNN */
#ifndef CHRONFS_PAYLOAD_H
#define CHRONFS_PAYLOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "libfuse.h"
#include "shared/node_ops.h"

struct chronfs;

extern const struct chronfs_node_ops chronfs_payload_ops; /* sealed or not */

/* For a lookup or, with `listing`, for an entry of a listing.
 *   EAGAIN  it would take too long for a listing */
int chronfs_payload_entry(struct chronfs *fs, uint32_t id, bool listing,
                          struct fuse_entry_param *ret_entry);

#endif
