/* SPDX-License-Identifier: Apache-2.0 */
/*
 * search.h - sound records behind the place where the records end
 *
 * Where a record is damaged, or missing, those behind it are no part of the queue any more: what
 * survives is a prefix.  How many they are, and which, tells whether something was lost: a killed writer
 * leaves none, for it commits in order.  So they are looked for at each place where a record can begin,
 * and from one that is sound on from record to record.
 *
 * Only records of this library are found: the 64 bits of both checksums, and numbers that can follow
 * those at the end, tell them from payload that looks like one.
 */
#ifndef CQ_SEARCH_H
#define CQ_SEARCH_H

#include <stdbool.h>
#include <stdint.h>

#include "messages/meter.h"

/* What has been found so far. */
struct cq_beyond {
	uint64_t records;
	uint64_t first_seq, last_seq; /* valid when records > 0 */
};

/* Where to look from, and what a record there has to have. */
struct cq_beyond_from {
	uint64_t offset;
	uint64_t seq;   /* at least; 0: any */
	uint32_t epoch; /* at least */
	bool placed;    /* record `seq`, with its payload at `stream`, was to begin at `offset` */
	uint64_t stream;
};

/*
 * Adds to *beyond what is found in the file fd of a segment, of which `size` bytes are there; and sets
 * from->seq and from->epoch for the segment behind it.  *ret_first: the first byte there that is not
 * zero; `size`: there is none.  Reads what is data in the file once, as long as nobody has made up headers
 * of payloads that are not there.  -EIO: it cannot be read to its end; what was found counts.
 * meter, if not NULL, is told of the way and may end it (-ECANCELED).
 */
int cq_beyond_add(int fd, uint64_t size, struct cq_beyond_from *from, struct cq_meter *meter,
                  struct cq_beyond *beyond, uint64_t *ret_first);

#endif
