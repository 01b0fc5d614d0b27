/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fs_support.h - the mount's handlers on a real queue, without a kernel
 *
 * The tests replace libfuse's replies (--wrap): a request remembers its reply, can be interrupted, and
 * has a sender.  They also replace the handlers' calls that can fail, and can make each of them fail.
 */
#ifndef CHRONFS_TEST_FS_SUPPORT_H
#define CHRONFS_TEST_FS_SUPPORT_H

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/statvfs.h>

#include "chronfs.h"

extern struct chronfs fs;

/* ---- the queue: sealed segments 0 and 1, the live segment 2, two readers at the end: other-reader, some ---- */

extern char fs_queue[];

#define FS_SEGMENTS 3
#define FS_PAYLOAD 1000 /* bytes of each record, three of them in a segment */
#define FS_LIMIT 2000   /* longest record that the mount takes */
#define FS_MOUNTER 1000 /* user id of the mounter */
#define FS_OWNER 1001   /* owner and group of the files */
#define FS_GROUP 2001
#define FS_NO_GROUP 2999 /* one that has no rights here */

int fs_setup(void **state);
int fs_setup_read_only(void **state);
int fs_teardown(void **state); /* ends the mount, if there is one */
void fs_end(void);             /* as umount does */
/* The exit code of a mount of this queue; a mount that fails leaves nothing. */
int fs_mount(char *queue, bool read_only);

/* ---- requests ---- */

struct request {
	int replies;
	int error; /* 0, or a positive errno */
	struct fuse_entry_param entry;
	struct stat attr;
	struct fuse_file_info opened;
	struct flock lock;
	char *bytes; /* of the reply to a read; freed by the next fs_request() */
	size_t size; /* of these, or written, or of an attribute's value */
	off_t offset;
	unsigned events;
	struct fuse_ctx from;
	int group_count;  /* supplementary groups of the sender; below zero: -errno */
	gid_t last_group; /* of these; the others have no rights */
	bool lost;        /* the open was interrupted: the kernel does not take the reply */
	bool interrupted;
	fuse_interrupt_func_t func;
	void *data;
	void (*when_read)(
		void); /* called when the kernel has the bytes of the reply, before libfuse returns */
};
extern struct request requests[4];

#define REQ(i) ((fuse_req_t)(void *)&requests[i])

/* Makes a new request of this user, in place of the one before. */
fuse_req_t fs_request(int i, uid_t from);
/* Checks that the request has exactly one reply, with this error. */
void fs_expect(int i, int error);
void fs_interrupt(int i);

/* The node of a path in the mount, such as "segments/000000000.q". */
uint64_t fs_node(const char *path);
struct fuse_file_info fs_open(uint64_t node, int flags);
void fs_release(uint64_t node, struct fuse_file_info *fi);
/* Whether there is no open file. */
bool fs_nothing_is_open(void);

/* Handles of poll(2) that the handlers have destroyed. */
extern int handles_destroyed, handles_told;

/* ---- failing calls ---- */

extern struct fs_calls {
	bool counting;    /* in this thread */
	int made;         /* calls since counting began */
	int failing;      /* the call that fails: 1, 2, ...; 0: none */
	const char *name; /* of the call that failed */
	int error;        /* its errno, positive */
} calls;
extern int library_error; /* of failing calls of the library; EIO if a test sets no other */

/* From now on no call of this thread fails, and no answer is made up. */
void fs_calls_init(void);
/* Begin and end counting. */
void fs_calls_begin(int failing);
void fs_calls_end(void);

/* ---- made-up answers of these calls, where set ---- */

extern struct fs_made_up {
	int (*extent)(uint64_t *ret_begin, uint64_t *ret_end);
	int (*next_data)(uint64_t position, uint64_t *ret_position);
	int (*next_hole)(uint64_t position, uint64_t *ret_position);
	int (*readers)(cq_reader_visit_fn visit, void *arg);
	void (*reader)(struct cq_reader_info *info); /* changes what cq_queue_reader() gives */
	int open_error;                              /* of cq_writer_open() and cq_queue_open() */
	int append_error;                            /* of cq_writer_append() and _append_batch() */
	const struct cq_holder *holder;      /* of the writer's lock, however long one waits */
	bool no_wait;                        /* cq_queue_await_release() looks once */
	rlim_t descriptors, descriptors_max; /* of getrlimit(); 0: the real ones */
	const char *max_pages; /* text of the sysctl max_pages_limit; "none": no such file */
} made_up;

/* The messages since the setup. */
extern char said[1024];

#endif
