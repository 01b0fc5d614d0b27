/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mapped.h - one segment as a reader sees it: mapped read-only, while its writer may be at work
 *
 * The mapping stays valid when the file is deleted or cut short.  Offsets given to these functions are
 * multiples of 64 and not beyond the segment's size.
 */
#ifndef CQ_MAPPED_H
#define CQ_MAPPED_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

#include "chronq.h"
#include "format/format.h"
#include "format/record.h"
#include "format/walk.h"
#include "os/mapping.h"

struct cq_mapped {
	struct cq_mapping map;
	uint32_t id;
};

#define CQ_MAPPED_NONE ((struct cq_mapped){ .map = { .fd = -1 } })

/*
 * Opens a published segment.  size 0: any size that a segment can have.
 *   ENOENT   no such file
 *   EAGAIN   a file of zeros: published, but lost its header in a power cut; nothing to read
 *   EIO      it is shorter than size
 *   EBADMSG  it is no segment of that id and size
 */
int cq_mapped_open(int dirfd, uint32_t id, uint64_t size, struct cq_mapped *ret_mapped);
/* The same for a segment of a queue, with the queue's segment size. */
int cq_mapped_of(cq_queue *queue, uint32_t id, struct cq_mapped *ret_mapped);
/* The same for a caller that remembers the result: 1, and nothing mapped, if EIO is the lasting state of
 * the file (it was cut short, or its header is unreadable); EIO if a call on it failed just now. */
int cq_mapped_or_damage(cq_queue *queue, uint32_t id, struct cq_mapped *ret_mapped);
void cq_mapped_close(struct cq_mapped *mapped);

bool cq_mapped_sealed(const struct cq_mapped *mapped);

/* True with a copy of the segment's header if its summary is there and sound. */
bool cq_mapped_summary(const struct cq_mapped *mapped, struct cq_segment_header *ret_header);

/* 0: the file is there and whole, so what was read of it is right.
 *   ENOENT  it has been deleted
 *   EIO     it was cut short */
int cq_mapped_still_there(const struct cq_mapped *mapped);

/* There is no record at `offset`, but there should be one: the file was cut short, or the summary of the
 * sealed segment says that there is more. */
bool cq_mapped_ends_early(const struct cq_mapped *mapped, uint64_t offset);

/* A walk has come to the end of the segment's records: 0 if the caller may go on to the next segment,
 * -EIO if there should be more records. */
static inline int cq_mapped_check_end(const struct cq_mapped *mapped, const struct cq_walk *walk)
{
	return walk->sealed && cq_mapped_ends_early(mapped, walk->offset) ? -EIO : 0;
}

/* A copy of the record header at offset: 1 when it is sound (its payload is not looked at), 0 when
 * there is none (yet), -EIO when it is damaged.  *header is where the
 * copy is made, whatever comes of it. */
static inline int cq_mapped_header(const struct cq_mapped *mapped, uint64_t offset,
                                   struct cq_record_header *header)
{
	enum cq_record_state state;
	int r = cq_record_load(mapped->map.base, mapped->map.size, offset, header, &state);

	if (r == 0 && cq_record_fits(mapped->map.size, offset) &&
	    cq_mapping_shortened(&mapped->map)) /* GCOV_EXCL_BR_LINE: cut just then */
		return -EIO;
	return r;
}

#endif
