/* SPDX-License-Identifier: Apache-2.0 */
/*
 * payload.h - the payloads of one segment, as bytes at positions
 *
 * Position 0 is the segment's first payload byte.  Padding counts nothing.  A segment is mapped,
 * and its records are walked from one whose place is known:
 *   spots  where somebody left off reading, a few, for those who read on;
 *   marks  one record in each 16 KiB of the file that was walked, for everybody else;
 *   the segment's index file, where marks are far apart.
 * So a segment is walked once, however it is read, and also while it is being written.
 *
 * Threads: cq_payload_read() and cq_payload_follow() may be called by many at once.  The lock
 * guards spots and marks; it is held neither while records are walked nor while bytes are copied.
 */
#ifndef CQ_PAYLOAD_H
#define CQ_PAYLOAD_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "catalog/mapped.h"
#include "chronq.h"

#define CQ_PAYLOAD_SPOTS 8

/* Between two records. */
struct cq_place {
	uint64_t offset;   /* of the one that follows; in the file */
	uint64_t position; /* of its first payload byte */
};

#define CQ_PLACE_BEGINNING ((struct cq_place){ .offset = sizeof(struct cq_segment_header) })

struct cq_spot {
	struct cq_place place;
	bool checked; /* the payload of the record there has borne its checksum out */
};

/* A place, in eight bytes: a segment is smaller than 4 GiB. */
struct cq_mark {
	uint32_t offset;
	uint32_t position;
};

struct cq_payload {
	cq_queue *queue;
	struct cq_mapped view;

	/* the shelf's (shelf.h) */
	unsigned users;
	uint64_t used; /* when it was last taken, by a count of takings */

	pthread_mutex_t lock; /* the following */
	struct cq_spot spots[CQ_PAYLOAD_SPOTS];
	unsigned next_spot;    /* the one that was set the longest time ago, or nearly so */
	struct cq_mark *marks; /* ascending; no two in the same 16 KiB */
	size_t mark_count, mark_capacity;
};

/* Errors as cq_mapped_open(). */
int cq_payload_open(cq_queue *queue, uint32_t id, struct cq_payload **ret_payload);
void cq_payload_close(struct cq_payload *payload);

/*
 * Reads payload bytes from `position` on, all that there are, but for the bytes of a damaged record
 * and those behind it.  Returns how many; 0 where the records end before that.
 *   EIO     the record that holds the byte is damaged, or the file was cut short
 *   ENOENT  the file has been deleted
 */
ssize_t cq_payload_read(struct cq_payload *payload, void *buffer, size_t length, uint64_t position);

/* Goes from *place to where the records end now: 0.  EIO: to a damaged one, or the file was cut
 * short. */
int cq_payload_follow(struct cq_payload *payload, struct cq_place *place);

#endif
