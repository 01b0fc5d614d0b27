/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chronfs.h - the mount: its one state, and what its files give each other
 *
 * fs/ knows the queue through chronq.h and the kernel through libfuse's low-level API.  Handlers run
 * on several threads at once.  Two rules hold for all of them:
 *   - no thread that serves requests waits for a flush or a lock: such a request is parked and
 *     answered later (pending.c, locks.c);
 *   - no reply is sent while one of our mutexes is held: the reply may end the life of what the mutex
 *     guards, and the client's next request may need it.
 */
#ifndef CHRONFS_H
#define CHRONFS_H

#define FUSE_USE_VERSION 312

#include <fuse_lowlevel.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "chronq.h"
#include "node.h"

#define CHRONFS_MAX_WRITE (1U << 20) /* largest WRITE request that we let the kernel send */
#define CHRONFS_SINK_BLKSIZE 65536   /* Python and awk take it as their buffer size */

/* Seconds that the kernel may trust what it was told without asking again. */
#define CHRONFS_NAME_TIMEOUT 1.0     /* a sealed segment's name: retention may take it */
#define CHRONFS_SEALED_TIMEOUT 3600. /* a sealed segment's attributes: frozen */

enum chronfs_sync { CHRONFS_SYNC_NONE, CHRONFS_SYNC_INTERVAL, CHRONFS_SYNC_ALWAYS };

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
};

/* What the command line says. */
struct chronfs_options {
	char *queue;      /* absolute path */
	char *mountpoint; /* absolute path */
	bool foreground;
	bool debug;
	bool help;
	bool version;
	bool read_only;
	char writing[64]; /* an option was given that needs a writer: its text */
	enum chronfs_sync sync;
	struct cq_config queue_config;
	struct fuse_args args; /* what is left for libfuse */
};

struct chronfs_lock;
struct chronfs_waiter;

struct chronfs {
	struct chronfs_options
		options;   /* constant once the session runs, as all down to the next blank */
	cq_writer *writer; /* NULL: read-only mount */
	cq_queue *queue;   /* the writer's, or our own on a read-only mount */
	int queue_fd;      /* its directory, for statfs and times */
	uid_t uid;         /* of the mounter: owns everything here */
	gid_t gid;
	struct timespec mount_time;
	struct fuse_session *session;
	size_t write_limit; /* largest payload of one write; set by init */
	int ready_fd;       /* init tells the waiting parent here; -1: nobody waits */

	uint64_t lookups; /* numbers the lookups of sinks; atomic */
	uint64_t opens;   /* numbers the opens of sinks; atomic */
	bool use_syslog;  /* atomic: messages go there, since nobody reads our stderr any more */

	pthread_mutex_t publish_lock;  /* guards the four below */
	struct timespec queue_changed; /* the queue directory's mtime when we last listed it */
	uint32_t oldest, newest;       /* segments then; newest < oldest: none */
	struct timespec published;     /* when the set of segments changed: what directories show */

	pthread_mutex_t locks_lock;     /* guards the two below */
	struct chronfs_lock *locks;     /* held */
	struct chronfs_waiter *waiters; /* parked requests for locks, oldest first */
};

static inline struct chronfs *chronfs_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

/* ---- ops.c: the table of operations, and what is common to all kinds ---- */

extern const struct fuse_lowlevel_ops chronfs_ops;

/* Attributes that are alike for all nodes: inode number, mode, owner, links, times `when`. */
void chronfs_attr(const struct chronfs *fs, uint64_t node, mode_t mode, struct timespec when,
                  struct stat *ret_stat);

/* ---- dir.c: directories ---- */

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

/* Attributes of the root and of segments/. */
int chronfs_dir_stat(struct chronfs *fs, uint64_t node, struct stat *ret_stat);

/* ---- sink.c: append ---- */

void chronfs_sink_entry(struct chronfs *fs, struct fuse_entry_param *ret_entry);
void chronfs_sink_stat(const struct chronfs *fs, uint64_t node, struct stat *ret_stat);
void chronfs_sink_open(fuse_req_t req, struct fuse_file_info *fi);
void chronfs_op_write(fuse_req_t req, fuse_ino_t node, const char *data, size_t size, off_t offset,
                      struct fuse_file_info *fi);

/* ---- segments.c: segments/ ---- */

struct chronfs_segments_dir; /* one open segments/ */

/* -ENOENT: not the name, or not the file, of a segment of this queue. */
int chronfs_segments_lookup(struct chronfs *fs, const char *name,
                            struct fuse_entry_param *ret_entry);
int chronfs_segment_stat(struct chronfs *fs, uint64_t node, struct stat *ret_stat);
void chronfs_segment_open(fuse_req_t req, uint64_t node, struct fuse_file_info *fi);
void chronfs_segment_read(fuse_req_t req, size_t size, off_t offset, struct fuse_file_info *fi);
void chronfs_segment_lseek(fuse_req_t req, off_t offset, int whence, struct fuse_file_info *fi);
void chronfs_segment_release(struct fuse_file_info *fi);

int chronfs_segments_opendir(struct chronfs_segments_dir **ret_dir);
/* Adds the segments whose cookie is above `after`; after 0: the list is made anew. */
int chronfs_segments_list(struct chronfs *fs, struct chronfs_segments_dir *dir,
                          struct chronfs_listing *listing, uint64_t after);
void chronfs_segments_closedir(struct chronfs_segments_dir *dir);

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

/* ---- locks.c: flock and POSIX locks ---- */

void chronfs_op_flock(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi, int op);
void chronfs_op_getlk(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi,
                      struct flock *lock);
void chronfs_op_setlk(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi,
                      struct flock *lock, int sleep);
/* Drops what was locked through an open file that ends. */
void chronfs_locks_release(struct chronfs *fs, uint64_t node, const struct fuse_file_info *fi);
/* When no request is served any more. */
void chronfs_locks_fini(struct chronfs *fs);

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
void chronfs_refuse_remove(fuse_req_t req, fuse_ino_t parent, const char *name);
void chronfs_refuse_setxattr(fuse_req_t req, fuse_ino_t node, const char *name, const char *value,
                             size_t size, int flags);
void chronfs_refuse_removexattr(fuse_req_t req, fuse_ino_t node, const char *name);
void chronfs_refuse_getxattr(fuse_req_t req, fuse_ino_t node, const char *name, size_t size);
void chronfs_refuse_listxattr(fuse_req_t req, fuse_ino_t node, size_t size);
void chronfs_refuse_fallocate(fuse_req_t req, fuse_ino_t node, int mode, off_t offset, off_t length,
                              struct fuse_file_info *fi);

/* ---- options.c ---- */

/* Returns 0, or an exit code after saying on stderr what is wrong. */
int chronfs_options_parse(struct chronfs_options *ret_options, int argc, char **argv);
void chronfs_options_fini(struct chronfs_options *options);
void chronfs_options_help(const char *program);

/* ---- daemon.c: going to the background, signals, messages ---- */

/* Forks.  In the child: 0, with the pipe for the readiness in *ret_ready_fd.  In the parent: waits
 * until the mount answers or the child ends, and exits. */
int chronfs_daemon_fork(const char *mountpoint, int *ret_ready_fd);

/* The mount answers: lets the parent go and leaves its terminal. */
void chronfs_daemon_ready(struct chronfs *fs);

void chronfs_say(struct chronfs *fs, enum cq_level level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void chronfs_log(void *arg, enum cq_level level, const char *message); /* a cq_log_fn */

/* The signals that end the mount, blocked in every thread but the one that waits for them. */
int chronfs_signals_block(void);
struct chronfs_signals;
int chronfs_signals_start(struct fuse_session *session, struct chronfs_signals **ret_signals);
void chronfs_signals_stop(struct chronfs_signals *signals);

#endif
