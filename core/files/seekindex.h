/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seekindex.h - NNNNNNNNN.idx: sparse index of a segment by sequence number, time and offset
 *
 * A hint: it is checked against its segment when it is used, and rebuilt from the segment when it is
 * missing or wrong (in memory only by readers, which change nothing).
 */
#ifndef CQ_SEEKINDEX_H
#define CQ_SEEKINDEX_H

#include <stdbool.h>
#include <stdint.h>

#include "format/format.h"
#include "messages/meter.h"

struct cq_seekindex {
	struct cq_index_header header;
	struct cq_index_entry *entries; /* header.entries of them */
};

/* Reads and checks the file: -ENOENT missing, -EBADMSG not an index of this segment. */
int cq_seekindex_read(int dirfd, uint32_t id, uint64_t segment_size,
                      struct cq_seekindex *ret_index);

/* One that cannot be read for want of bytes that never came to the disk: it is empty, or has
 * zeros where an index has none. */
bool cq_seekindex_is_hollow(int dirfd, uint32_t id);

/* Builds it by walking the segment file open as segment_fd; meter may be NULL. */
int cq_seekindex_build(int segment_fd, uint32_t id, uint64_t segment_size, struct cq_meter *meter,
                       struct cq_seekindex *ret_index);

/* Writes it under a temp name and renames it. */
int cq_seekindex_write(int dirfd, const struct cq_seekindex *index);

/* Removes it.  0 also when there is none: nothing of that name, or a directory, which nobody takes for
 * one. */
int cq_seekindex_remove(int dirfd, uint32_t id);

void cq_seekindex_fini(struct cq_seekindex *index);

#endif
