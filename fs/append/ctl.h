/* SPDX-License-Identifier: Apache-2.0 */
/* ctl.h - ctl, and deleting segments */
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
	struct chronfs_parked_list jobs; /* asked for through ctl and unlink */
	uint64_t opens;                  /* tells opens apart; atomic */
};

extern const struct chronfs_node_ops chronfs_ctl_ops;

enum chronfs_verb { CHRONFS_ROLL, CHRONFS_SYNC, CHRONFS_TRIM };

/* What a write to ctl asks for; *ret_seq with CHRONFS_TRIM.  False: nothing that has a meaning. */
bool chronfs_ctl_parse(const char *data, size_t size, enum chronfs_verb *ret_verb,
                       uint64_t *ret_seq);

/* Answers an unlink once the segment is deleted, or with the reason why it is not. */
void chronfs_ctl_delete_segment(fuse_req_t req, uint32_t segment);

void chronfs_ctl_init(struct chronfs *fs);
/* Does one piece of the work that was asked for.  As chronfs_line_timeout_step(). */
int chronfs_ctl_step(struct chronfs *fs);
void chronfs_ctl_fini(struct chronfs *fs);

#endif
