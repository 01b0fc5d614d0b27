/* SPDX-License-Identifier: Apache-2.0 */
/* ctl.h - `ctl`, and deleting segments by unlink(2); see ctl.c */
#ifndef CHRONFS_CTL_H
#define CHRONFS_CTL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "held/parked.h"
#include "libfuse.h"
#include "shared/node_ops.h"

struct chronfs;

struct chronfs_ctl {
	struct chronfs_parked_list jobs; /* requests of ctl and unlink */
};

extern const struct chronfs_node_ops chronfs_ctl_ops;

enum chronfs_ctl_command { CHRONFS_CTL_ROLL, CHRONFS_CTL_SYNC, CHRONFS_CTL_TRIM };

/* Parses a command; *ret_seq is for CHRONFS_CTL_TRIM.  False: it is no command. */
bool chronfs_ctl_parse(const char *data, size_t size, enum chronfs_ctl_command *ret_command,
                       uint64_t *ret_seq);

/* Replies to an unlink when the segment is deleted, or with the errno that prevents that. */
void chronfs_ctl_delete_segment(fuse_req_t req, uint32_t segment);

void chronfs_ctl_init(struct chronfs *fs);
/* Does one piece of the oldest job.  A chronfs_step_fn. */
int chronfs_ctl_step(struct chronfs *fs);
void chronfs_ctl_fini(struct chronfs *fs);

#endif
