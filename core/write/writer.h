/* SPDX-License-Identifier: Apache-2.0 */
/*
 * writer.h - the writer's state, and what the modules of this room share
 *
 * Lock order: retention lock (retire.c) > writer lock > slot lock (prealloc.h), flush lock,
 * prefault lock > quota lock (quota.h).  The three in the middle are never held together.  No lock is held
 * during a system call on a file, with these exceptions: the retention lock while segments are looked at
 * and deleted, the writer lock in a roll that found no segment prepared and while a large record or a run is
 * written (run.c), and `preparing`, for which only cq_owner_let_go() waits.  A roll waits for the preparer
 * under the writer lock.  So the preparer never takes that lock or the retention lock, and never waits for a
 * thread that holds one.
 */
#ifndef CQ_WRITER_H
#define CQ_WRITER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "catalog/catalog.h"
#include "chronq.h"
#include "files/prefault.h"
#include "files/wsegment.h"
#include "meta/control.h"
#include "meta/lock.h"
#include "os/mutex.h"
#include "os/worker.h"
#include "retention/age.h"
#include "retention/quota.h"
#include "retention/readers.h"
#include "write/flush.h"
#include "write/prealloc.h"

/* What a trim found when it read a whole segment, because the header does not say it: only the oldest segment
 * is ever asked about, so one is enough. */
struct cq_trim_read {
	bool valid;
	uint32_t id;
	struct cq_file_id file;
	int result;   /* EBADMSG: damage hides the end */
	uint64_t end; /* behind its highest number */
};

struct cq_retention {
	pthread_mutex_t lock; /* the retention lock: all but `retired`, and writer->oldest */
	struct cq_reader_table readers;
	struct cq_age age;
	int wait_ms; /* the flusher's: > 0: until all readers' files may be read again */
	uint64_t external_check_ms; /* of the last check for external deletions */
	struct cq_trim_read trim_read;
	bool warned;
	_Atomic uint64_t retired;
};

/* Large records, and records of a batch, are written by pwrite from a buffer (run.c). */
struct cq_run {
	uint8_t *buffer;
	bool stable; /* payloads do not change while they are appended: the caller's promise */
	/* constant, but for tests */
	size_t piece;        /* most that is written at once; a page at least */
	size_t least_record; /* a payload of so many bytes is written so, */
	size_t least_batch;  /* and records of a batch that take so many bytes together */
};

/* When a record is appended. */
struct cq_stamp {
	uint64_t time_ns;  /* the record's: the clock's, unless the caller gives it one */
	uint64_t clock_ns; /* the writer's sign of life */
};

struct cq_writer {
	/* constant between open and close */
	uint64_t process; /* that opened it (os/process.h) */
	struct cq_config config;
	int dirfd;
	char *path; /* of the directory when it was opened, absolute; NULL: it has none */
	struct cq_lock owned;
	bool made;  /* the directory, by this open */
	bool fresh; /* it held no queue when the lock was taken */
	uint32_t epoch;
	uint64_t segment_size;
	cq_queue *queue;

	struct cq_mutex lock; /* the writer lock: all of the following */
	struct cq_wsegment *current;
	uint64_t next_seq;
	uint64_t stream_end; /* payload bytes of the queue so far */
	uint64_t last_time;
	uint64_t records, bytes; /* since open */
	uint64_t rolls_ready, rolls_waited, rolls_fallback;
	bool unannounced; /* waiting readers have not been notified of the newest record */
	uint64_t refused; /* appends and rolls, for config.max_bytes */
	struct cq_control control;
	struct cq_run run;

	_Atomic int error;         /* 0, or why every call is refused */
	_Atomic bool ousted;       /* the queue is not this writer's any more (owner.c) */
	_Atomic bool times_given;  /* callers have given records their times (retention/age.h) */
	_Atomic bool cut_short;    /* the current segment's file was; the log does not say so yet */
	_Atomic bool closing;      /* cq_writer_close() is at work, */
	_Atomic uint64_t progress; /* and has done so many steps */
	_Atomic uint32_t oldest;   /* no published id is below it; grows under the retention lock */
	_Atomic int prepare_error; /* the last one that was reported */

	struct cq_prefault prefault; /* locks itself */
	struct cq_prealloc prealloc; /* locks itself */
	struct cq_flush flush;       /* locks itself */
	struct cq_quota quota;       /* locks itself */
	struct cq_retention retention;

	/* the flusher's; times are CLOCK_BOOTTIME */
	uint64_t last_interval_ms;
	uint64_t last_interval_seq;
	uint64_t owner_checked_ms;
	bool let_go;

	pthread_mutex_t preparing; /* the preparer's, through each step */
	struct cq_worker preparer, flusher;
};

/* As cq_writer_open(); without threads a test calls the two steps below itself. */
int cq_writer_open_with(const char *dir, const struct cq_config *config, bool threads,
                        cq_writer **ret_writer);
int cq_writer_prepare_step(void *writer);
int cq_writer_flush_step(void *writer);

/* Under the writer lock: the last record, at `offset` of the current segment, is counted. */
static inline void cq_writer_landmark(cq_writer *w, uint64_t offset)
{
	const uint64_t before = w->current->records - 1;

	if (__builtin_expect(before % CQ_LANDMARK_STRIDE == 0, 0) && before > 0)
		cq_control_landmark(&w->control, before, w->next_seq - 1, offset);
}

/* Under the writer lock: seals the current segment; the next one becomes current. */
int cq_writer_roll_locked(cq_writer *writer);

/* Under the writer lock: notifies waiting readers of the records that they were not notified of yet. */
void cq_writer_announce(cq_writer *writer);

/* -ENOMEM. */
int cq_run_init(struct cq_run *run);
void cq_run_fini(struct cq_run *run);

/* Under the writer lock: the record fits behind the tail of the current segment. */
int cq_run_place(cq_writer *writer, uint16_t type, const struct iovec *iov, size_t length,
                 struct cq_stamp stamp);

/* Under the writer lock: how many of these messages, at least one, are appended in the same way.  *ret_run: by
 * cq_run_append(); else one by one. */
size_t cq_run_choose(const cq_writer *writer, const struct cq_message *messages, size_t count,
                     bool *ret_run);

/* Under the writer lock: appends all of the messages, as chosen, or none. */
int cq_run_append(cq_writer *writer, const struct cq_message *messages, size_t count,
                  struct cq_stamp stamp);

/* From now on every call gets EIO.  False: an earlier error has done that already. */
bool cq_writer_poison(cq_writer *writer);

/* Under the writer lock: the current segment's file was cut short.  Poisons the writer; -EIO. */
int cq_writer_cut_short(cq_writer *writer);

/* 0: the queue is this writer's.  EIO: it is not any more; the writer is poisoned, and the log says why.
 * Any other error: the check could not be made, which a sync takes for a failure.  For any thread, also
 * under the writer lock (owner.c). */
int cq_owner_check(cq_writer *writer);

/* The flusher's, of an ousted writer: lets the next writer in once nothing is stored any more. */
void cq_owner_let_go(cq_writer *writer);

/* A step of a close is done (close.c).  Does nothing before a close. */
void cq_writer_progress(cq_writer *writer);

/* In a close, before a file is synced: writes its first `size` bytes out in steps.  An error is that of a
 * failed sync. */
int cq_writer_write_out(cq_writer *writer, int fd, uint64_t size);

/* Ends the threads, and frees all that an open has made after recovery (close.c). */
void cq_writer_free_state(cq_writer *writer);

/* Whether a directory, whose lock is held, has nothing of a queue but the lock. */
bool cq_unmake_possible(int dirfd);

/* Under the queue's lock: removes the queue, if this writer has made it (close.c). */
void cq_unmake(cq_writer *writer);

/* The flusher's: deletes some of the oldest segments with their indexes, and checks whether others have
 * deleted any.  Returns how many it deleted; 0: nothing to do. */
int cq_retire_step(cq_writer *writer);

/* After how many milliseconds it wants to be called again. */
int cq_retire_due(cq_writer *writer);

/* Under the retention lock: all of the situation but oldest_age_ms.  Reads all readers' files: an error
 * where a reader may be missing.  -ENOENT: no segment is there. */
int cq_retire_look(cq_writer *writer, struct cq_situation *ret_situation);

/* Under the retention lock: the lowest id that is there. */
int cq_retire_find_oldest(cq_writer *writer, uint32_t *ret_id);

/* Under the retention lock: deletes the oldest segment, `id`, and its index. */
int cq_retire_delete(cq_writer *writer, uint32_t id);

/* index.meta, for chronicle-rs's writer. */
int cq_writer_store_position(cq_writer *writer);

/* Without any lock: calls config.space if that is due (quota.h). */
void cq_writer_call_space(cq_writer *writer);

/* Sequence number behind the newest record. */
uint64_t cq_writer_appended(cq_writer *writer);

/* For cq_queue (queue.h): a segment that is not finalized yet; and the bounds of the queue. */
struct cq_segment_counts;
struct cq_queue_bounds;
bool cq_writer_counts(void *writer, uint32_t id, struct cq_segment_counts *ret_counts);
void cq_writer_bounds(void *writer, struct cq_queue_bounds *ret_bounds);

#endif
