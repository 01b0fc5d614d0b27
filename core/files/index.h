/* SPDX-License-Identifier: Apache-2.0 */
/*
 * index.h - NNNNNNNNN.idx: sparse index of a segment by sequence number, time and offset
 *
 * An index is a hint: its user checks it against the segment, and rebuilds it from the segment where it is
 * missing or wrong (a reader, which changes no file, only in memory).
 */
#ifndef CQ_INDEX_H
#define CQ_INDEX_H

#include <stdbool.h>
#include <stdint.h>

#include "format/format.h"
#include "format/record.h"
#include "messages/meter.h"

struct cq_index {
	struct cq_index_header header;
	struct cq_index_entry *entries; /* header.entries of them */
};

/* Reads and checks the file: -ENOENT missing, -EBADMSG not an index of this segment. */
int cq_index_read(int dirfd, uint32_t id, uint64_t segment_size, struct cq_index *ret_index);

/* The index cannot be used because some of its bytes never came to the disk: it is empty, or has a sector of
 * zeros. */
bool cq_index_is_torn(int dirfd, uint32_t id);

/* Builds it by walking the segment file open as segment_fd; meter may be NULL. */
int cq_index_build(int segment_fd, uint32_t id, uint64_t segment_size, struct cq_meter *meter,
                   struct cq_index *ret_index);

/*
 * An index held against its segment.  The caller passes the records in order.  A partial index is of some
 * of the records, each other one of all; one of an unsealed segment may end before the records do.
 */
struct cq_index_check {
	const struct cq_index *index;
	uint64_t records;            /* passed so far */
	uint64_t next;               /* entry that comes next */
	struct cq_index_header seen; /* lowest and highest values of the records */
	bool entry_misplaced; /* an entry is of a record, but not of the one that it should be of */
};

/* Returns the entry that should be of this record or of one before it, and is not; NULL: there is none. */
const struct cq_index_entry *cq_index_check_record(struct cq_index_check *check,
                                                   const struct cq_record_at *record);

/* Behind the last record. */
enum cq_index_verdict {
	CQ_INDEX_FITS,
	CQ_INDEX_TOO_LONG,    /* there is an entry behind the last record */
	CQ_INDEX_OTHER_RANGE, /* it does not cover the records */
};
enum cq_index_verdict cq_index_check_end(const struct cq_index_check *check, bool sealed);

/* Does the same with the segment file open as segment_fd; false, too, where that is damaged. */
int cq_index_fits(const struct cq_index *index, int segment_fd, bool sealed, struct cq_meter *meter,
                  bool *ret_fits);

/* Writes it under a temp name and renames it. */
int cq_index_write(int dirfd, const struct cq_index *index);

/* Removes it.  0 also when there is none: nothing has its name, or a directory, which nobody takes for an
 * index. */
int cq_index_remove(int dirfd, uint32_t id);

void cq_index_fini(struct cq_index *index);

#endif
