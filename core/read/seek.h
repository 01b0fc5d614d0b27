/* SPDX-License-Identifier: Apache-2.0 */
/* seek.h - what the ways to seek share */
#ifndef CQ_SEEK_H
#define CQ_SEEK_H

#include <stddef.h>
#include <stdint.h>

#include "read/reader.h"

/* The segments up to the newest that holds a record or is sealed: those behind it are spares. */
struct cq_listing {
	uint32_t *ids;
	size_t count;
};

/* Places the reader, or returns -ENOENT when a segment is not there any more. */
typedef int (*cq_seek_fn)(cq_reader *reader, const struct cq_listing *listing, uint64_t target,
                          void *arg);

/* Lists the segments and lets `seek` do its work on them, again while segments go meanwhile. */
int cq_seek_run(cq_reader *reader, cq_seek_fn seek, uint64_t target, void *arg);

int cq_seek_place(cq_reader *reader, uint32_t id, uint64_t offset);
/* At a committed position, as far as its records are there.  Errors as cq_mapped_open(). */
int cq_seek_place_committed(cq_reader *reader, uint32_t id, uint64_t offset);

/* Behind the newest record.  Not for a seek that has already found that none of the records fits: it would
 * pass over those that came since, unless the last segment is sealed. */
int cq_seek_place_end(cq_reader *reader, const struct cq_listing *listing);

#endif
