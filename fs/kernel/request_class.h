/* SPDX-License-Identifier: Apache-2.0 */
/* request_class.h - which requests may wait for the disk; see request_class.c */
#ifndef CHRONFS_REQUEST_CLASS_H
#define CHRONFS_REQUEST_CLASS_H

#include <stddef.h>
#include <stdint.h>

#include "held/disk_requests.h"

/* opcode: of linux/fuse.h; name: of a LOOKUP, otherwise NULL. */
enum chronfs_disk_class chronfs_request_class(uint32_t opcode, uint64_t node, const char *name);

#endif
