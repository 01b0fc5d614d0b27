/* SPDX-License-Identifier: Apache-2.0 */
/*
 * writer.h - the writer's state, shared by writer*.c, background.c, flush.c and retention.c
 *
 * Lock order: writer lock > slot lock (prealloc.h), flush lock, prefault lock; these three are never
 * held together.  No lock is held during a system call on a file, but for the counted fallback of a
 * roll, under the writer lock.  A roll waits for the preparer under the writer lock; so the preparer
 * never takes that lock, nor waits for anybody who does.
 */
#ifndef CQ_WRITER_H
#define CQ_WRITER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "chronq.h"
#include "control.h"
#include "flush.h"
#include "prealloc.h"
#include "prefault.h"
#include "retention.h"
#include "segment.h"
#include "worker.h"

struct cq_writer {
	/* constant between open and close */
	struct cq_config config;
	int dirfd;
	int lockfd;
	uint32_t epoch;
	uint64_t segment_size;
	cq_queue *queue;

	pthread_mutex_t lock; /* the writer lock: all of the following */
	struct cq_active *active;
	uint64_t next_seq;
	uint64_t stream_end; /* payload bytes of the queue so far */
	uint64_t last_time;
	uint64_t records, bytes; /* since open */
	uint64_t rolls_ready, rolls_waited, rolls_fallback;
	struct cq_control control;
	_Atomic int error;         /* 0, or why nothing is accepted any more */

	struct cq_prefault prefault;   /* locks itself */
	struct cq_prealloc prealloc;   /* locks itself */
	struct cq_flush flush;         /* locks itself */
	struct cq_retention retention; /* the flusher's alone, as are the next two */
	uint64_t last_interval_ms;     /* CLOCK_BOOTTIME */
	uint64_t last_interval_seq;
	_Atomic int prepare_error;     /* the last one that was reported */
	struct cq_worker preparer, flusher;
};

/* As cq_writer_open(); without threads a test calls the two steps itself. */
int cq_writer_open_with(const char *dir, const struct cq_config *config, bool threads,
                        cq_writer **ret_writer);
int cq_writer_prepare_step(void *writer);
int cq_writer_flush_step(void *writer);

/* Sequence number behind the newest record. */
uint64_t cq_writer_appended(cq_writer *writer);

/* For cq_queue (queue.h): the last record's time of a segment that is not finalised yet. */
bool cq_writer_live_time(void *writer, uint32_t id, uint64_t *ret_time_ns);

#endif
