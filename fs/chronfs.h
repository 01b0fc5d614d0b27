/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chronfs.h - the mount: its one state
 *
 * fs/ knows the queue through chronq.h and the kernel through libfuse's low-level API.  Each kind of
 * node (node.h) has a table of what it does (shared/kind.h); kernel/ops.c only chooses among them.  What a
 * module gives to others is in its own header.
 * Handlers run on several threads at once.  Two rules hold for all of them:
 *   - no thread that serves requests waits for a flush, for room or for a lock: such a request is
 *     parked and answered later (pending.c, parked.c, poll.c);
 *   - no reply is sent while one of our mutexes is held: the reply may end the life of what the mutex
 *     guards, and the client's next request may need it.
 */
#ifndef CHRONFS_H
#define CHRONFS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "append/framer.h"
#include "chronq.h"
#include "held/parked.h"
#include "libfuse.h"
#include "mount/options.h"
#include "node.h"
#include "shared/limits.h"

#define CHRONFS_MAX_WRITE (1U << 20) /* largest WRITE request that we let the kernel send */
#define CHRONFS_SINK_BLKSIZE 65536   /* Python and awk take it as their buffer size */
#define CHRONFS_LINES_MEMORY ((size_t)256 << 20) /* for open lines of all files */

/* Seconds that the kernel may trust what it was told without asking again. */
#define CHRONFS_NAME_TIMEOUT 1.0 /* a sealed segment's name: retention may take it */
#define CHRONFS_FROZEN_TIMEOUT \
	3600. /* attributes that never change: a sealed segment's, a sink's */

#define CHRONFS_OPENED_BITS 12
#define CHRONFS_OPENED_BUCKETS (1U << CHRONFS_OPENED_BITS)

#define CHRONFS_ASKED 32 /* lookups of `stream` that are remembered until the open */

enum chronfs_exit {
	CHRONFS_EXIT_OK = 0,
	CHRONFS_EXIT_OPTIONS = 1,
	CHRONFS_EXIT_NO_MOUNTPOINT = 2,
	CHRONFS_EXIT_SETUP = 3,
	CHRONFS_EXIT_MOUNT = 4,
	CHRONFS_EXIT_DAEMON = 5,
	CHRONFS_EXIT_SIGNALS = 6,
	CHRONFS_EXIT_LOOP = 7,
	CHRONFS_EXIT_LOCKED = 10,
	CHRONFS_EXIT_CORRUPT = 11,
	CHRONFS_EXIT_VERSION = 12,
	CHRONFS_EXIT_STOPPED = 13, /* a signal came before the mount answered */
};

struct chronfs_backings;
struct chronfs_lines_file;
struct chronfs_lock;
struct chronfs_opened;
struct chronfs_poller;
struct chronfs_ticker;

struct chronfs {
	struct chronfs_options
		options;   /* constant once the session runs, as all down to the next blank */
	cq_writer *writer; /* NULL: read-only mount */
	cq_queue *queue;   /* the writer's, or our own on a read-only mount */
	cq_stream *stream; /* its payload bytes */
	int queue_fd;      /* its directory, for statfs and times */
	uid_t uid;         /* of the mounter: owns everything here */
	gid_t gid;
	struct timespec mount_time;
	struct fuse_session *session;
	size_t write_limit;            /* largest payload of one record; set by init */
	size_t request_pages;          /* of memory in one request; 0: not known yet */
	int ready_fd;                  /* init tells the waiting parent here; -1: nobody waits */
	struct chronfs_ticker *ticker; /* ticker.c */
	struct chronfs_backings *backings; /* passthrough.c; NULL: no passthrough */

	/* What users hold of us (shared/limits.h). */
	struct chronfs_share open_files, open_dirs, open_segments, locks_held;

	uint64_t lookups;        /* numbers the lookups of sinks; atomic */
	uint64_t opens;          /* numbers what is opened, to tell opens apart; atomic */
	size_t metrics_size;     /* of what was last read of metrics, 0: nothing yet; atomic */
	struct chronfs_log *log; /* takes our messages; NULL: they are written at once */
	struct {                 /* progress.c; of the thread that opens the queue */
		time_t said, notified;
		bool terminal;
	} progress;

	pthread_mutex_t publish_lock; /* guards the four below */
	struct timespec
		queue_changed;     /* the queue directory's mtime when we last listed it; 0: it may
	                                * not tell of a further change */
	uint32_t oldest, newest;   /* segments then; newest < oldest: none */
	struct timespec published; /* when the set of segments changed: what directories show */

	struct chronfs_parked_list lock_waiters; /* its lock guards the next, too */
	struct chronfs_lock *locks;              /* held */

	pthread_mutex_t opened_lock;                            /* guards the three below */
	struct chronfs_opened *opened[CHRONFS_OPENED_BUCKETS];  /* open files, by their nodes */
	struct chronfs_opened *holders[CHRONFS_OPENED_BUCKETS]; /* of `stream`, by process */
	struct chronfs_copies {                                 /* of `stream`: streamcopy.c */
		uint64_t last;       /* node that the name led to last; 0: none */
		uint64_t begin, end; /* positions, as they were told of it */
		unsigned next;       /* numbers the others */
		unsigned cached;     /* open files that are */
		unsigned next_asked;
		struct chronfs_asked {  /* threads that have looked the name up, and not opened */
			pid_t thread;   /* 0: none */
			uint64_t node;  /* that it was led to */
			uint64_t begin; /* its first position */
			bool sent_away; /* it is to ask again for a node of its own */
		} asked[CHRONFS_ASKED];
	} copies;

	pthread_mutex_t sinks_lock; /* guards the two below */
	/* Files that may have an open line, by the time of their last write. */
	struct chronfs_lines_file *lines_first, *lines_last;

	struct chronfs_budget lines_memory; /* of open lines */
	uint64_t lines_open;                /* files with an open line; atomic, as is the next */
	uint64_t lines_bytes;               /* of these lines */

	struct chronfs_parked_list waiting; /* for room */
	struct chronfs_parked_list orphans; /* what closed files have left to append */

	pthread_mutex_t pollers_lock;   /* guards the one below */
	struct chronfs_poller *pollers; /* files that somebody polls; atomic to look whether any */

	struct chronfs_parked_list jobs; /* asked for through ctl and unlink */

	struct chronfs_counters {     /* since the mount; atomic */
		uint64_t too_long;    /* writes refused with EMSGSIZE */
		uint64_t full;        /* with EDQUOT or EAGAIN for want of room in the queue */
		uint64_t no_space;    /* with ENOSPC */
		uint64_t interrupted; /* with EINTR */
		uint64_t failed;      /* with any other error */
		uint64_t waited;      /* writes that waited for room */
		uint64_t partials;    /* records that do not end in a newline, from append.lines */
		uint64_t partials_lost; /* of these, not appended when their file was closed */
		uint64_t read_errors;   /* reads that gave EIO */
	} counters;
};

/* Before anything else: the state of a mount that has not begun.  What the options, the queue and the
 * system say comes later. */
void chronfs_init(struct chronfs *fs);

static inline struct chronfs *chronfs_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

static inline void chronfs_count(uint64_t *counter)
{
	__atomic_add_fetch(counter, 1, __ATOMIC_RELAXED);
}

/* On a clock that is never set. */
static inline uint64_t chronfs_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

#endif
