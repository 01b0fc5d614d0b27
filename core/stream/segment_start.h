/* SPDX-License-Identifier: Apache-2.0 */
/*
 * segment_start.h - one segment whose payloads and records are read, and where a read begins to walk
 *
 * Padding holds no byte and is no record.  The segment is mapped, and a read walks its records from the
 * nearest of these whose position and number are known:
 *   read cursors    where the last few reads ended, for a caller that reads on;
 *   sparse entries  one record in each 16 KiB of the file that was walked, for all others;
 *   the segment's index file, where sparse entries are far apart.
 * So a segment is walked once, however it is read, and also while it is being written.
 *
 * Threads: many may read and follow at once.  The lock guards the cursors and the sparse entries; no thread
 * holds it while it walks records or copies bytes.
 */
#ifndef CQ_SEGMENT_START_H
#define CQ_SEGMENT_START_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "catalog/mapped.h"
#include "chronq.h"
#include "format/walk.h"

#define CQ_READ_CURSORS 8

/* Where a record begins, or will begin. */
struct cq_record_start {
	uint64_t offset;   /* of its header; in the file */
	uint64_t position; /* of its first payload byte */
	uint64_t number;   /* how many records are before it */
};

#define CQ_FIRST_RECORD ((struct cq_record_start){ .offset = sizeof(struct cq_segment_header) })

struct cq_read_cursor {
	struct cq_record_start place;
	bool checked; /* the checksum of its payload was right */
};

/* The same in twelve bytes: a segment is smaller than 4 GiB. */
struct cq_sparse_entry {
	uint32_t offset;
	uint32_t position;
	uint32_t number;
};

struct cq_segment_bytes {
	cq_queue *queue;
	struct cq_mapped mapped;

	/* of the mapping cache (mapping_cache.h) */
	unsigned users;
	uint64_t used; /* when it was last taken, by a count of takings */

	pthread_mutex_t lock; /* the following */
	struct cq_read_cursor cursors[CQ_READ_CURSORS];
	unsigned next_cursor;           /* the one that was set longest ago, or nearly so */
	struct cq_sparse_entry *sparse; /* ascending; no two in the same 16 KiB */
	size_t sparse_count, sparse_capacity;
};

/* Errors as cq_mapped_open(). */
int cq_segment_bytes_open(cq_queue *queue, uint32_t id, struct cq_segment_bytes **ret_segment);
void cq_segment_bytes_close(struct cq_segment_bytes *segment);

#define CQ_SPARSE_SHIFT 14 /* 16 KiB of file */

/* What a read looks for: the record that holds the byte at a position, or the record of a number. */
enum cq_start_by { CQ_BY_POSITION, CQ_BY_NUMBER };

struct cq_segment_start {
	struct cq_read_cursor cursor;
	unsigned slot; /* which cursor that is; CQ_READ_CURSORS: none */
	uint64_t next; /* offset of the first sparse entry behind the value */
};

/* A known record at or before `value`, the nearest one that is cheap to find. */
struct cq_segment_start cq_segment_start_find(struct cq_segment_bytes *segment, enum cq_start_by by,
                                              uint64_t value);

/* A read that began at `from` ended here.  Replaces the cursor at which it began, if that is still
 * there. */
void cq_segment_start_keep(struct cq_segment_bytes *segment, const struct cq_segment_start *from,
                           const struct cq_read_cursor *cursor);

/* Without memory for the entry, a later read walks the way again. */
void cq_sparse_entry_add(struct cq_segment_bytes *segment, const struct cq_record_start *place);

static inline bool cq_same_stretch(uint64_t a, uint64_t b)
{
	return a >> CQ_SPARSE_SHIFT == b >> CQ_SPARSE_SHIFT;
}

/* Moves *place behind a record of a walk. */
static inline void cq_record_start_pass(struct cq_segment_bytes *segment,
                                        struct cq_record_start *place,
                                        const struct cq_record_at *record)
{
	const uint64_t from = place->offset;

	place->offset = record->end;
	place->position += record->length;
	place->number++;
	if (!cq_same_stretch(from, place->offset) && place->offset < segment->mapped.map.size)
		cq_sparse_entry_add(segment, place);
}

#endif
