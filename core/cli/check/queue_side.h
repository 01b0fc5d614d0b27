/* SPDX-License-Identifier: Apache-2.0 */
/* queue_side.h - the records of a queue as items of a comparison (compare.h) */
#ifndef CHRONQ_QUEUE_SIDE_H
#define CHRONQ_QUEUE_SIDE_H

#include <chronq.h>
#include <stddef.h>

#include "check/compare.h"

#define QUEUE_SIDE_BATCH 512U

struct queue_side {
	struct compare_side side;
	const char *dir;
	cq_queue *queue;
	cq_reader *reader;
	uint8_t identity[CQ_IDENTITY_SIZE];
	bool replica; /* of the queue with this identity, whose records it has: */
	uint8_t source[CQ_IDENTITY_SIZE];
	uint64_t expected; /* records below it are expected in the stream */
	uint64_t
		committed; /* of the reader `ship`; UINT64_MAX: there is none, or its place is not known */
	uint64_t next;    /* below it all is given */
	uint64_t limit;   /* it ends there */
	uint64_t skip_to; /* records below it are given as one item, without being read; then 0 */
	bool damaged;     /* what is between `next` and the next record cannot be read */
	struct cq_record batch[QUEUE_SIDE_BATCH];
	size_t at, count;
	int error; /* with which the comparison ended here */
};

/* Opens the queue, which is not changed.  visible: also records that are not durable are expected.  Returns CLI_OK or,
 * after a message, an exit code. */
int queue_side_open(struct queue_side *side, const char *dir, bool visible);
void queue_side_close(struct queue_side *side);

/* The comparison begins at the queue's first record, and ends before `limit`.  Records below stream_begins are not
 * read.  0 or an error. */
int queue_side_begin(struct queue_side *side, uint64_t stream_begins, uint64_t limit);

#endif
