/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chronfs.h - the state of a mount
 *
 * fs/ knows the queue through chronq.h and the kernel through libfuse's low-level API.  Each kind
 * of node (nodes.h) has a table of its operations (shared/node_ops.h); kernel/dispatch.c chooses
 * the table.  A module's own header declares what others may use.
 *
 * Handlers run on several threads at once.  Three rules hold for all of them:
 *   - a handler never waits for a sync, for room or for a lock: it parks the request, and
 *     another thread replies later (wait_for_sync.c, parked.c, poll.c)
 *   - a handler that reads the disk has its requests in kernel/request_class.c, and holds no lock
 *     meanwhile that a request needs which does not read the disk
 *   - no thread replies while it holds one of our mutexes: the reply may end the life of what the
 *     mutex guards, and the client's next request may need the mutex.
 */
#ifndef CHRONFS_H
#define CHRONFS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "append/ctl.h"
#include "append/lines.h"
#include "append/sink.h"
#include "append/wait_for_room.h"
#include "chronq-fs.h"
#include "held/file_locks.h"
#include "held/open_files.h"
#include "held/poll.h"
#include "kernel/request.h"
#include "libfuse.h"
#include "mount/progress.h"
#include "nodes.h"
#include "options/options.h"
#include "shared/counters.h"
#include "shared/directory.h"
#include "shared/user_limits.h"
#include "status/files.h"
#include "stream/stream_inodes.h"

/* For how many seconds the kernel may keep a reply. */
/* a sealed segment's name: retention may delete the file; a sink's; the root's attributes */
#define CHRONFS_NAME_TIMEOUT 1.0
#define CHRONFS_FROZEN_TIMEOUT \
	3600. /* attributes that never change: a sealed segment's, a sink's */

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
	CHRONFS_EXIT_STOPPED = 13, /* a signal came before the mount served requests */
};

struct chronfs_backings;
struct chronfs_log_queue;
struct chronfs_background;
struct chronfs_disk_requests;

struct chronfs {
	/* What all modules share; constant while requests are served. */
	struct chronfs_options options;
	cq_writer *writer; /* NULL: read-only mount */
	cq_queue *queue;   /* the writer's; on a read-only mount our own */
	cq_stream *stream; /* the queue's payload bytes */
	int queue_fd;      /* the queue's directory, for statfs and times */
	uid_t uid;         /* of the mounter; options.access has the owner of the files */
	gid_t gid;
	struct timespec mount_time;
	struct fuse_session *session;
	size_t write_limit; /* largest payload of one record */
	int ready_fd;       /* a parent waits for a message here; -1: no parent waits */

	/* One struct for each module, which defines, starts and ends it. */
	struct chronfs_log_queue *log_queue; /* NULL: messages are written at once */
	struct chronfs_user_limits user_limits;
	struct chronfs_counters counters;
	struct chronfs_directory directory;
	struct chronfs_background *background;
	struct chronfs_disk_requests *disk_requests; /* NULL: no request is served */
	struct chronfs_open_files open_files;
	struct chronfs_file_locks file_locks;
	struct chronfs_polls polls;
	struct chronfs_sinks sinks;
	struct chronfs_lines lines;
	struct chronfs_room_waits room_waits;
	struct chronfs_ctl ctl;
	struct chronfs_stream_inodes stream_inodes;
	struct chronfs_backings *backings; /* NULL: no passthrough */
	struct chronfs_status_files status_files;
	struct chronfs_request request;
	struct chronfs_progress_state progress;
};

/* Before any other call: starts the modules that need neither options nor a queue. */
void chronfs_init(struct chronfs *fs);

/* After the last request and the background thread, before the writer is closed: replies to the
 * requests that are parked in our lists and closes the open files, which appends their open
 * lines. */
void chronfs_fini(struct chronfs *fs);

static inline struct chronfs *chronfs_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

/* Milliseconds on a clock that is never set. */
static inline uint64_t chronfs_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

#endif
