/* SPDX-License-Identifier: Apache-2.0 */
/* queue.h - inside of cq_queue: a queue's directory, seen without changing it */
#ifndef CQ_QUEUE_H
#define CQ_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "chronq.h"
#include "format.h"

/*
 * Time of the last record of a segment that this process is writing, or has written and not yet
 * finalised; false for any other segment.  A writer that stops answering for a segment has first
 * set the file's modification time to the very time that it answered, so that what
 * cq_segment_stat() tells never moves once the segment is sealed.  Called from any thread, with no
 * lock held.
 */
typedef bool (*cq_live_time_fn)(void *arg, uint32_t id, uint64_t *ret_time_ns);

struct cq_queue {
	int dirfd;
	uint64_t segment_size; /* 0: not known yet; atomic, set once */
	cq_live_time_fn live_time;
	void *live_arg;
};

/* The writer's own view: dirfd is duplicated, live_time must stay callable until
 * cq_queue_close(). */
int cq_queue_open_for_writer(int dirfd, uint64_t segment_size, cq_live_time_fn live_time,
                             void *live_arg, cq_queue **ret_queue);

/* Bytes of a segment file of this queue; 0 as long as nothing tells. */
int cq_queue_segment_size(cq_queue *queue, uint64_t *ret_size);

/* A consistent copy of the segment's header, valid for its id (else EBADMSG), whatever a live
 * writer is doing to it.  EIO: the file was cut short. */
int cq_segment_header(cq_segment *segment, struct cq_segment_header *ret_header);

uint64_t cq_segment_size(const cq_segment *segment);

#endif
