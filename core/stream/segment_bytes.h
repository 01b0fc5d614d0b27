/* SPDX-License-Identifier: Apache-2.0 */
/*
 * segment_bytes.h - the payloads of one segment, as bytes at positions
 *
 * Position 0 is the segment's first payload byte.  Padding holds no byte.  The segment is mapped, and a
 * read walks its records from the nearest of these whose position is known:
 *   read cursors    where the last few reads ended, for a caller that reads on;
 *   sparse entries  one record in each 16 KiB of the file that was walked, for all others;
 *   the segment's index file, where sparse entries are far apart.
 * So a segment is walked once, however it is read, and also while it is being written.
 *
 * Threads: many may call cq_segment_bytes_read() and cq_segment_bytes_follow() at once.  The lock guards
 * the cursors and the sparse entries; no thread holds it while it walks records or copies bytes.
 */
#ifndef CQ_SEGMENT_BYTES_H
#define CQ_SEGMENT_BYTES_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "catalog/mapped.h"
#include "chronq.h"

#define CQ_READ_CURSORS 8

/* Where a record begins, or will begin. */
struct cq_record_start {
	uint64_t offset;   /* of its header; in the file */
	uint64_t position; /* of its first payload byte */
};

#define CQ_FIRST_RECORD ((struct cq_record_start){ .offset = sizeof(struct cq_segment_header) })

struct cq_read_cursor {
	struct cq_record_start place;
	bool checked; /* the checksum of its payload was right */
};

/* The same in eight bytes: a segment is smaller than 4 GiB. */
struct cq_sparse_entry {
	uint32_t offset;
	uint32_t position;
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

/*
 * Reads payload bytes from `position` on, all that there are, but for the bytes of a damaged record
 * and those behind it.  Returns how many; 0 where the records end before that.
 *   EIO     the record that holds the byte is damaged, or the file was cut short
 *   ENOENT  the file has been deleted
 */
ssize_t cq_segment_bytes_read(struct cq_segment_bytes *segment, void *buffer, size_t length,
                              uint64_t position);

/* Goes from *place to where the records end now: 0.  EIO: to a damaged one, or the file was cut
 * short. */
int cq_segment_bytes_follow(struct cq_segment_bytes *segment, struct cq_record_start *place);

#endif
