/* SPDX-License-Identifier: Apache-2.0 */
/* queue.h - inside of cq_queue and cq_segment: a queue's directory, seen without changing it */
#ifndef CQ_QUEUE_H
#define CQ_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "catalog/catalog.h"
#include "chronq-fs.h"
#include "files/wsegment.h"
#include "format/format.h"

/*
 * Asks this process's writer what a segment holds: false for any that it does not write and has
 * finalised.  Called from any thread, with no lock held.  A writer that stops answering for a segment
 * has first set its file's modification time to the very last_time_ns that it answered.  So whoever
 * asks here first, and looks at the file only after a "no", sees times that never move once the
 * segment is sealed.
 */
typedef bool (*cq_counts_fn)(void *arg, uint32_t id, struct cq_segment_counts *ret_live);

/* Where the queue begins and ends, as this process's writer knows it.  Called likewise. */
struct cq_queue_bounds {
	uint32_t oldest;     /* lowest published id */
	uint32_t active;     /* the segment that is being written; those above it are empty */
	uint64_t stream_end; /* payload bytes of the queue so far, trimmed ones included */
};
typedef void (*cq_bounds_fn)(void *arg, struct cq_queue_bounds *ret_live);

struct cq_queue {
	uint64_t process; /* that opened it (os/process.h) */
	int dirfd;
	uint64_t segment_size;   /* 0: not known yet; atomic, set once */
	uint32_t oldest, newest; /* as seen last; atomic, each by itself */
	cq_counts_fn live;       /* both NULL where this process is not the writer */
	cq_bounds_fn live_queue;
	void *live_arg;
	struct cq_catalog catalog; /* locks itself */
};

struct cq_segment {
	uint64_t process; /* that opened it (os/process.h) */
	cq_queue *queue;
	uint32_t id;
	int fd;
	uint64_t size;
};

/* The writer's own view: dirfd is duplicated, live and live_queue must stay callable until
 * cq_queue_free(); cq_queue_close() leaves it alone. */
int cq_queue_open_for_writer(int dirfd, uint64_t segment_size, cq_counts_fn live,
                             cq_bounds_fn live_queue, void *live_arg, cq_queue **ret_queue);
void cq_queue_free(cq_queue *queue);

/* Bytes of a segment file of this queue; 0 as long as nothing tells. */
int cq_queue_segment_size(cq_queue *queue, uint64_t *ret_size);

/* No segment below it is there any more, as far as anybody has looked. */
uint32_t cq_queue_oldest(cq_queue *queue);

static inline bool cq_queue_writer_counts(const cq_queue *queue, uint32_t id,
                                          struct cq_segment_counts *ret_live)
{
	return queue->live && queue->live(queue->live_arg, id, ret_live);
}

/* A size that a segment of the format can have. */
bool cq_segment_size_possible(uint64_t size);

/* Opens a regular file of a possible size with a valid header for id.  EBADMSG: it is not one. */
int cq_segment_open_file(int dirfd, uint32_t id, int *ret_fd, uint64_t *ret_size);

/* Makes the file's attributes those that a reader is shown; live NULL: it is not live. */
void cq_segment_show(struct stat *st, uint64_t size, const struct cq_segment_counts *live);

/* A consistent copy of the segment's header, valid for its id (else EBADMSG), whatever a live
 * writer is doing to it.  EIO: the file was cut short. */
int cq_segment_header(cq_segment *segment, struct cq_segment_header *ret_header);

uint64_t cq_segment_size(const cq_segment *segment);

/* The header has a summary that a segment of that size can have. */
bool cq_segment_summary_possible(const struct cq_segment_header *header, uint64_t size);

#endif
