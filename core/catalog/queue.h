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
 * Asks this process's writer what a segment holds.  False: the writer has not begun it, or has given its file
 * the final times.  Called from any thread, with none of the writer's locks held.
 *
 * Before a writer answers false for a segment that it wrote, it sets the file's modification time to the
 * last_time_ns of its earlier answers.  So a caller that reads the seal first, then asks here, and looks at
 * the file's times only after a false, sees times that never move once the segment is sealed.  (A caller that
 * reads the seal after a false may meet a segment that was begun and sealed in between.)
 */
typedef bool (*cq_counts_fn)(void *arg, uint32_t id, struct cq_segment_counts *ret_counts);

/* Where the queue begins and ends, as this process's writer knows it.  Called in the same way. */
struct cq_queue_bounds {
	uint32_t oldest;     /* lowest published id */
	uint32_t active;     /* the segment that is being written; those above it are empty */
	uint64_t stream_end; /* payload bytes of the queue so far, trimmed ones included */
};
typedef void (*cq_bounds_fn)(void *arg, struct cq_queue_bounds *ret_bounds);

struct cq_queue {
	uint64_t process; /* that opened it (os/process.h) */
	int dirfd;
	uint64_t segment_size;   /* 0: not known yet; atomic, set once */
	uint32_t oldest, newest; /* as seen last; atomic, each by itself */
	cq_counts_fn counts;     /* both NULL if this process is not the writer */
	cq_bounds_fn bounds;
	void *writer;
	struct cq_catalog catalog; /* has its own locks */
};

struct cq_segment {
	uint64_t process; /* that opened it (os/process.h) */
	cq_queue *queue;
	uint32_t id;
	int fd;
	uint64_t size;
};

/* A handle for the writer's own queue: dirfd is duplicated; counts and bounds must stay callable until
 * cq_queue_free(), which the writer calls.  cq_queue_close() does nothing with it. */
int cq_queue_open_for_writer(int dirfd, uint64_t segment_size, cq_counts_fn counts,
                             cq_bounds_fn bounds, void *writer, cq_queue **ret_queue);
void cq_queue_free(cq_queue *queue);

/* Bytes of a segment file of this queue; 0 while neither a segment nor control.meta tells. */
int cq_queue_segment_size(cq_queue *queue, uint64_t *ret_size);

/* The lowest id that was there at the last look: all below it are gone. */
uint32_t cq_queue_oldest(cq_queue *queue);

static inline bool cq_queue_writer_counts(const cq_queue *queue, uint32_t id,
                                          struct cq_segment_counts *ret_counts)
{
	return queue->counts && queue->counts(queue->writer, id, ret_counts);
}

/* A size that a segment of the format can have. */
bool cq_segment_size_possible(uint64_t size);

/* Opens a regular file of a possible size with a valid header for id.  EBADMSG: it is not one. */
int cq_segment_open_file(int dirfd, uint32_t id, int *ret_fd, uint64_t *ret_size);

/* Changes a file's attributes to those that users see.  counts NULL: this process does not write it. */
void cq_segment_show(struct stat *st, uint64_t size, const struct cq_segment_counts *counts);

/* A consistent copy of the segment's header, also while a writer changes it.  EBADMSG: it is not valid for
 * the segment's id.  EIO: the file was cut short. */
int cq_segment_read_header(cq_segment *segment, struct cq_segment_header *ret_header);

uint64_t cq_segment_size(const cq_segment *segment);

/* The header has a summary that a segment of that size can have. */
bool cq_segment_summary_possible(const struct cq_segment_header *header, uint64_t size);

#endif
