/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chronfs.h - the mount: its one state, and what its files give each other
 *
 * fs/ knows the queue through chronq.h and the kernel through libfuse's low-level API.  Each kind of
 * node (node.h) has a table of what it does, in a file of its own; ops.c only chooses among them.
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
#include "libfuse.h"
#include "mount/options.h"
#include "node.h"
#include "shared/parked.h"

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

	/* What users hold of us (limits.c). */
	struct chronfs_share {
		size_t used; /* atomic */
		size_t most; /* constant */
	} open_files, open_dirs, open_segments, locks_held;

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

/* ---- ops.c: the table of operations, and what is common to all kinds ---- */

extern const struct fuse_lowlevel_ops chronfs_ops;

/*
 * What the nodes of one kind do.  An operation that is NULL does what its comment says.
 */
struct chronfs_kind_ops {
	/* Attributes, and for how many seconds the kernel may keep them (preset: 0). */
	int (*stat)(struct chronfs *fs, uint64_t node, struct stat *ret_stat, double *ret_timeout);

	/* Files only.  The open flags that every read-only file refuses are refused already. */
	void (*open)(fuse_req_t req, uint64_t node, struct fuse_file_info *fi);
	void (*read)(fuse_req_t req, uint64_t node, size_t size, off_t offset,
	             struct fuse_file_info *fi); /* NULL: end of file */
	void (*write)(fuse_req_t req, uint64_t node, const char *data, size_t size, off_t offset,
	              struct fuse_file_info *fi); /* NULL: a read-only file */
	void (*lseek)(fuse_req_t req, uint64_t node, off_t offset, int whence,
	              struct fuse_file_info *fi); /* NULL: no holes */
	/* poll(2) events that hold now, of those in question. */
	unsigned (*ready)(struct chronfs *fs, uint64_t node, const struct fuse_file_info *fi,
	                  unsigned events); /* NULL: all of them */
	/* One descriptor is being closed.  Before the answer the closing process's locks are dropped
	 * by chronfs_locks_close(). */
	void (*flush)(fuse_req_t req, uint64_t node, struct fuse_file_info *fi); /* NULL: success */
	void (*fsync)(fuse_req_t req, uint64_t node,
	              struct fuse_file_info *fi); /* NULL: the queue is flushed */
	void (*release)(struct chronfs *fs, uint64_t node,
	                struct fuse_file_info *fi); /* NULL: nothing to free */

	/* Value of an extended attribute, at most CHRONFS_XATTR_MAX bytes: its length or -ENODATA. */
	ssize_t (*xattr)(struct chronfs *fs, uint64_t node, const char *name,
	                 char *value); /* NULL: it has none */
	/* Names of those that are listed, each with its zero byte. */
	const char *(*xattr_list)(struct chronfs *fs, uint64_t node,
	                          size_t *ret_size); /* NULL: none is */

	unsigned attributes; /* FS_*_FL, as lsattr shows them */
	bool sink; /* setting its times or cutting it to nothing is accepted and ignored */
};

#define CHRONFS_XATTR_MAX 64

/* The operations of a node's kind; NULL: there is no such kind. */
const struct chronfs_kind_ops *chronfs_kind_of(uint64_t node);

/* Attributes that are alike for all nodes: inode number, mode, owner, links, times `when`. */
void chronfs_attr(const struct chronfs *fs, uint64_t node, mode_t mode, struct timespec when,
                  struct stat *ret_stat);

/* Answers an open that has succeeded; its release is called here when none will come: the open was
 * interrupted, or is one too many. */
void chronfs_reply_open(fuse_req_t req, uint64_t node, struct fuse_file_info *fi);

/* Answers a read from a buffer that is filled by `fill` (as pread).  With `whole`, what cannot be
 * filled up to the end of the file is an error, for the kernel takes a short answer for the end. */
typedef ssize_t (*chronfs_fill_fn)(void *arg, void *buffer, size_t length, uint64_t offset);
void chronfs_reply_read(fuse_req_t req, chronfs_fill_fn fill, void *arg, size_t size, off_t offset,
                        bool whole);

/* ---- xattr.c ---- */

void chronfs_op_getxattr(fuse_req_t req, fuse_ino_t node, const char *name, size_t size);
void chronfs_op_listxattr(fuse_req_t req, fuse_ino_t node, size_t size);
void chronfs_op_setxattr(fuse_req_t req, fuse_ino_t node, const char *name, const char *value,
                         size_t size, int flags);
void chronfs_op_removexattr(fuse_req_t req, fuse_ino_t node, const char *name);

/* ---- dir.c: directories, the root ---- */

extern const struct chronfs_kind_ops chronfs_root_ops;

/* Collects directory entries until the reply's buffer is full. */
struct chronfs_listing {
	fuse_req_t req;
	char *buffer;
	size_t size;
	size_t used;
	bool plus; /* READDIRPLUS: attributes go along */
};

/* Adds one entry, after which a scan goes on at `cookie`.  entry->ino 0 in a listing that is `plus`
 * leaves the kernel to look the name up.  Returns false when the buffer is full. */
bool chronfs_listing_add(struct chronfs_listing *listing, const char *name,
                         const struct fuse_entry_param *entry, uint64_t cookie);

void chronfs_op_opendir(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi);
void chronfs_op_readdir(fuse_req_t req, fuse_ino_t node, size_t size, off_t offset,
                        struct fuse_file_info *fi);
void chronfs_op_readdirplus(fuse_req_t req, fuse_ino_t node, size_t size, off_t offset,
                            struct fuse_file_info *fi);
void chronfs_op_releasedir(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi);
void chronfs_op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);

/* Attributes of the root, segments/ and payload/. */
int chronfs_dir_stat(struct chronfs *fs, uint64_t node, struct stat *ret_stat, double *ret_timeout);

/* ---- segmentdir.c: segments/ and payload/, whose names are made of segment ids ---- */

extern const struct chronfs_kind_ops chronfs_segments_ops;
extern const struct chronfs_kind_ops chronfs_payloads_ops;

struct chronfs_segmentdir; /* one that is open */

/* -ENOENT: not the name, or not the file, of a segment of this queue.  dir: which directory. */
int chronfs_segmentdir_lookup(struct chronfs *fs, uint64_t dir, const char *name,
                              struct fuse_entry_param *ret_entry);
int chronfs_segmentdir_open(struct chronfs_segmentdir **ret_dir);
/* Adds the segments whose cookie is above `after`; after 0: the list is made anew. */
int chronfs_segmentdir_list(struct chronfs *fs, uint64_t dir, struct chronfs_segmentdir *open,
                            struct chronfs_listing *listing, uint64_t after);
void chronfs_segmentdir_close(struct chronfs_segmentdir *open);
/* Id of the segment that is called `name` in directory `dir`. */
bool chronfs_segmentdir_parse(uint64_t dir, const char *name, uint32_t *ret_id);

/* ---- sink.c, lines.c: append and append.lines ---- */

extern const struct chronfs_kind_ops chronfs_append_ops;
extern const struct chronfs_kind_ops chronfs_lines_ops;

/* Gives a new node of a sink's kind (or of ctl). */
void chronfs_sink_entry(struct chronfs *fs, enum chronfs_kind kind,
                        struct fuse_entry_param *ret_entry);

/* Commits what has waited long enough for the rest of its line.  Milliseconds until it has to be
 * called again, -1: not before somebody writes. */
int chronfs_lines_step(struct chronfs *fs);

/* When no request is served any more: answers those that wait for room, then closes every open file,
 * which commits the open lines; says what is lost. */
void chronfs_sinks_fini(struct chronfs *fs);

/* How many open files have an open line, and the bytes of these lines. */
void chronfs_lines_figures(struct chronfs *fs, uint64_t *ret_files, uint64_t *ret_bytes);

/* ---- waiting.c: what waits for room in the queue ---- */

/* Tries again, answers what went through or has waited too long.  As chronfs_lines_step(). */
int chronfs_waiting_step(struct chronfs *fs);
/* How many requests wait, and the bytes that they hold. */
void chronfs_waiting_figures(struct chronfs *fs, uint64_t *ret_writes, uint64_t *ret_bytes);

/* ---- opened.c: open files that have to be found by their node ---- */

/* The first part of what such a file keeps: its handle leads to it. */
struct chronfs_opened {
	struct chronfs_opened *next, **link; /* in fs->opened, under opened_lock */
	uint64_t node;
};

/* These with opened_lock held. */
void chronfs_opened_add(struct chronfs *fs, struct chronfs_opened *file);
void chronfs_opened_remove(struct chronfs_opened *file);
/* An open file of the node, and the next one of the same node.  NULL: there is none (more). */
struct chronfs_opened *chronfs_opened_find(struct chronfs *fs, uint64_t node);
struct chronfs_opened *chronfs_opened_next(const struct chronfs_opened *file);
/* The same for struct chronfs_holder, whose `node` is a process. */
void chronfs_holder_add(struct chronfs *fs, struct chronfs_opened *holder);
struct chronfs_opened *chronfs_holder_find(struct chronfs *fs, uint64_t process);
/* When no request is served any more: releases those that are still open. */
void chronfs_opened_fini(struct chronfs *fs);

/* ---- stream.c, payload.c, segments.c: what can be read ---- */

extern const struct chronfs_kind_ops chronfs_stream_ops;
extern const struct chronfs_kind_ops chronfs_payload_live_ops;
extern const struct chronfs_kind_ops chronfs_payload_sealed_ops;
extern const struct chronfs_kind_ops chronfs_segment_live_ops;
extern const struct chronfs_kind_ops chronfs_segment_sealed_ops;

/* The inode number that this thread is given for `stream`. */
int chronfs_stream_ino(struct chronfs *fs, pid_t thread, uint64_t *ret_ino);
/* For a lookup by this thread. */
int chronfs_stream_entry(struct chronfs *fs, pid_t thread, struct fuse_entry_param *ret_entry);
/* EAGAIN: it would take too long for a listing. */
int chronfs_payload_entry(struct chronfs *fs, uint32_t id, bool listing,
                          struct fuse_entry_param *ret_entry);
int chronfs_segment_entry(struct chronfs *fs, uint32_t id, bool listing,
                          struct fuse_entry_param *ret_entry);

/* Attributes of segment `id`, as a node of the kind `live` or, once it is sealed, `sealed`. */
int chronfs_segment_look(struct chronfs *fs, uint32_t id, enum chronfs_kind live,
                         enum chronfs_kind sealed, struct cq_segment_attr *ret_attr,
                         uint64_t *ret_node, struct stat *ret_stat);
/* An entry for that; one of a sealed segment may be remembered. */
void chronfs_segment_fill(uint64_t node, const struct stat *st, struct fuse_entry_param *ret_entry);

/* ---- streamcopy.c: which of the nodes of `stream` its name leads to ---- */

/* The node for a lookup by this thread, which is told that `stream` goes from `begin` to `end`.  own:
 * others are told another beginning. */
uint64_t chronfs_copy_choose(struct chronfs *fs, uint64_t begin, uint64_t end, pid_t thread,
                             bool own);
/* The kernel is told another end of the node. */
void chronfs_copy_told(struct chronfs *fs, uint64_t node, uint64_t end);
/* Takes in an open file of file->node.  *ret_cached: `cached`, it may be, and there is no reason not to.
 *   ESTALE  not taken in: the name is to be looked up again */
int chronfs_copy_admit(struct chronfs *fs, struct chronfs_opened *file, pid_t thread, bool cached,
                       bool *ret_cached);
void chronfs_copy_leave(struct chronfs *fs, struct chronfs_opened *file, bool cached);

/* ---- streambegin.c: where `stream` begins for a process that has it open ---- */

/* An open file of `stream`, as what its process holds. */
struct chronfs_holder {
	struct chronfs_opened opened; /* first; `node` is the process */
	uint64_t started;             /* when that was, as the kernel counts */
	uint64_t begin;               /* position of byte 0 */
};

/* A thread has opened `stream`, which begins at `begin` for it. */
void chronfs_begin_hold(struct chronfs *fs, struct chronfs_holder *holder, pid_t thread,
                        uint64_t begin);
void chronfs_begin_let_go(struct chronfs *fs, struct chronfs_holder *holder);
/* Where the path begins for this thread; `begin`: for a process that does not have it open. */
uint64_t chronfs_begin_for(struct chronfs *fs, pid_t thread, uint64_t begin);

/* ---- segmentxattr.c: what segments and payloads say of themselves ---- */

ssize_t chronfs_segment_xattr(struct chronfs *fs, uint64_t node, const char *name, char *value);
const char *chronfs_segment_xattr_list(struct chronfs *fs, uint64_t node, size_t *ret_size);

/* ---- passthrough.c: reads that the kernel does without us ---- */

/* In init: asks the kernel for it where the options, libfuse and our rights allow. */
void chronfs_passthrough_init(struct chronfs *fs, struct fuse_conn_info *conn);
/* Lets the kernel read `fd` for an open of `node`.  False: it cannot, and *fi is as it was.  True or
 * false, each open is to be followed by a release. */
bool chronfs_passthrough_open(struct chronfs *fs, uint64_t node, int fd, struct fuse_file_info *fi);
/* The open has ended, or was interrupted. */
void chronfs_passthrough_release(struct chronfs *fs, uint64_t node);
/* Whether segments are read so now. */
bool chronfs_passthrough_on(struct chronfs *fs);
void chronfs_passthrough_fini(struct chronfs *fs);

/* ---- info.c: stats.json and metrics; stats.h: the figures in them ---- */

/* When the queue was last written to: the time of its newest record; on a read-only mount that of
 * its current segment.  The time of the mount while there is none. */
struct timespec chronfs_last_change(struct chronfs *fs);

extern const struct chronfs_kind_ops chronfs_stats_ops;
extern const struct chronfs_kind_ops chronfs_metrics_ops;

/* ---- ctl.c: ctl, and deleting segments by unlink ---- */

extern const struct chronfs_kind_ops chronfs_ctl_ops;

enum chronfs_verb { CHRONFS_ROLL, CHRONFS_SYNC, CHRONFS_TRIM };

/* What a write to ctl asks for; *ret_seq with CHRONFS_TRIM.  False: nothing that has a meaning. */
bool chronfs_ctl_parse(const char *data, size_t size, enum chronfs_verb *ret_verb,
                       uint64_t *ret_seq);

void chronfs_op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name);
void chronfs_ctl_init(struct chronfs *fs);
/* Does one piece of the work that was asked for.  As chronfs_lines_step(). */
int chronfs_ctl_step(struct chronfs *fs);
void chronfs_ctl_fini(struct chronfs *fs);

/* ---- poll.c ---- */

void chronfs_op_poll(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi,
                     struct fuse_pollhandle *handle);
/* Something was appended, or room was made: whoever polls is told, by the ticker.  Cheap when nobody
 * polls. */
void chronfs_poll_changed(struct chronfs *fs);
/* An open file ends: it is not polled any more. */
void chronfs_poll_release(struct chronfs *fs, uint64_t node, const struct fuse_file_info *fi);
/* As chronfs_lines_step(). */
int chronfs_poll_step(struct chronfs *fs);
void chronfs_poll_fini(struct chronfs *fs);

/* ---- ticker.c: the one thread for what no request does ---- */

int chronfs_ticker_start(struct chronfs *fs);
/* There is something to do: the steps run now. */
void chronfs_ticker_wake(struct chronfs *fs);
/* Ends the thread; a wake still does no harm. */
void chronfs_ticker_stop(struct chronfs *fs);
void chronfs_ticker_fini(struct chronfs *fs);

/* ---- pending.c: requests that wait for a flush ---- */

struct chronfs_pending;

/* NULL: no memory.  For a write, made before the append, so that running out of memory appends
 * nothing. */
struct chronfs_pending *chronfs_pending_new(fuse_req_t req);
void chronfs_pending_free(struct chronfs_pending *pending);

/* Answers the request once everything appended so far is durable: as a write of `written` bytes, or
 * with plain success when that is 0; with the error of the flush if it failed.  Consumes *pending. */
void chronfs_pending_sync(struct chronfs *fs, struct chronfs_pending *pending, size_t written);

void chronfs_op_fsync(fuse_req_t req, fuse_ino_t node, int datasync, struct fuse_file_info *fi);
void chronfs_op_fsyncdir(fuse_req_t req, fuse_ino_t node, int datasync, struct fuse_file_info *fi);

/* ---- locks.c: flock and POSIX locks ---- */

void chronfs_op_flock(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi, int op);
void chronfs_op_getlk(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi,
                      struct flock *lock);
void chronfs_op_setlk(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi,
                      struct flock *lock, int sleep);
void chronfs_locks_init(struct chronfs *fs);
/* A process, by its lock owner, closes a descriptor of a file: drops its POSIX locks on that. */
void chronfs_locks_close(struct chronfs *fs, uint64_t node, uint64_t owner);
/* Drops what was locked through an open file that ends. */
void chronfs_locks_release(struct chronfs *fs, uint64_t node, const struct fuse_file_info *fi);
/* When no request is served any more. */
void chronfs_locks_fini(struct chronfs *fs);

/* ---- limits.c: how much of us users may hold ---- */

/* Before anything is opened. */
void chronfs_limits_init(struct chronfs *fs);
/* False: the sender of the request may have no more of these. */
bool chronfs_share_take(struct chronfs_share *share, fuse_req_t req);
bool chronfs_share_left(const struct chronfs_share *share, fuse_req_t req);
/* Takes one, whoever it is for: what the caller has asked for by chronfs_share_left(). */
void chronfs_share_add(struct chronfs_share *share);
void chronfs_share_give(struct chronfs_share *share);
/* As it is now. */
struct chronfs_share chronfs_share_look(const struct chronfs_share *share);

/* ---- refuse.c: what this file system does not do ---- */

void chronfs_refuse_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                          dev_t rdev);
void chronfs_refuse_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode);
void chronfs_refuse_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                           struct fuse_file_info *fi);
void chronfs_refuse_symlink(fuse_req_t req, const char *target, fuse_ino_t parent,
                            const char *name);
void chronfs_refuse_link(fuse_req_t req, fuse_ino_t node, fuse_ino_t parent, const char *name);
void chronfs_refuse_rename(fuse_req_t req, fuse_ino_t parent, const char *name,
                           fuse_ino_t new_parent, const char *new_name, unsigned int flags);
void chronfs_refuse_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name);
void chronfs_refuse_fallocate(fuse_req_t req, fuse_ino_t node, int mode, off_t offset, off_t length,
                              struct fuse_file_info *fi);

/* ---- usage.c ---- */

void chronfs_usage_print(const char *program);
void chronfs_usage_print_helper(const char *program); /* called by mount(8) */
void chronfs_usage_print_version(void);

/* ---- request.c: how long a write the kernel sends in one piece ---- */

/* Before the mount.
 *   EINVAL  any write may be split; the reason has been said */
int chronfs_request_look(struct chronfs *fs);
/* In init: sets the largest request, and with it the largest record. */
void chronfs_request_init(struct chronfs *fs, struct fuse_conn_info *conn);

/* ---- mountpoint.c: what stands at the mount point before us ---- */

/* Takes away a dead mount of ours there, if that is wanted.  Returns 0 when we can mount there, else
 * the exit code, having said why not. */
int chronfs_mountpoint_check(struct chronfs *fs);
/* Whether the table of mounts in this file of /proc has a mount of ours of that source. */
bool chronfs_table_has_mount(const char *path, const char *source);

/* ---- namespaces.c: a mount that is gone here and left somewhere else ---- */

/* Whether no mount of this queue is in our mount namespace, and one is in another, of which *ret_process
 * is a process; as far as the tables of mounts there may be read. */
bool chronfs_mounted_elsewhere(const struct chronfs *fs, pid_t *ret_process);

/* ---- queue.c ---- */

/* Returns 0, or the exit code, having said what is wrong. */
int chronfs_queue_open(struct chronfs *fs);
/* When no request is served any more, also after a failed open: answers what is parked.  Everything
 * is flushed when this returns, or the error has been said.  A queue that was made for a mount that never
 * served goes again. */
int chronfs_queue_close(struct chronfs *fs, bool served);

/* ---- messages.c: to people, on stderr or in the log of the system ---- */

void chronfs_say(struct chronfs *fs, enum cq_level level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void chronfs_say_message(void *arg, enum cq_level level, const char *message); /* a cq_log_fn */
/* The same before there is a mount: of the command line. */
void chronfs_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* A line on stdout, escaped as they are. */
void chronfs_print(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* From now on libfuse's messages take the same way as ours.  NULL: no more. */
void chronfs_take_fuse_messages(struct chronfs *fs);
/* Libfuse's messages are left out, or not any more.  While there is one thread. */
void chronfs_quiet_fuse(bool quiet);

/* ---- daemon.c: going to the background, signals ---- */

/* Before any file is opened: takes care that none gets the number of a standard stream. */
int chronfs_daemon_streams(void);

/* Forks.  In the child: 0.  In the parent: waits until the mount answers or the child ends, and
 * exits. */
int chronfs_daemon_fork(struct chronfs *fs);

/* The mount answers: lets the parent go and leaves its terminal. */
void chronfs_daemon_ready(struct chronfs *fs);

/* The signals that end the mount, blocked in every thread but the one that waits for them. */
int chronfs_signals_block(void);
/* One of them has come, and nobody has taken it yet. */
bool chronfs_signals_pending(void);
struct chronfs_signals;
int chronfs_signals_start(struct fuse_session *session, struct chronfs_signals **ret_signals);
void chronfs_signals_stop(struct chronfs_signals *signals);

#endif
