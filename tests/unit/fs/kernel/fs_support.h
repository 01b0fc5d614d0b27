/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fs_support.h - the mount's handlers on a real queue, without a kernel
 *
 * libfuse's replies are replaced by ours (--wrap): a request remembers its answer, can be interrupted,
 * and says who has sent it.  So are those calls of the handlers that can fail: each can be made to.
 */
#ifndef CHRONFS_TEST_FS_SUPPORT_H
#define CHRONFS_TEST_FS_SUPPORT_H

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/statvfs.h>

#include "chronfs.h"

extern struct chronfs fs;

/* ---- the queue: sealed segments 0 and 1, the live segment 2 ---- */

extern char fs_queue[];

#define FS_SEGMENTS 3
#define FS_PAYLOAD 1000 /* bytes of each record, three of them in a segment */
#define FS_LIMIT 2000   /* longest record that the mount takes */
#define FS_MOUNTER 1000 /* user id of the mounter */

int fs_setup(void **state);
int fs_setup_read_only(void **state);
int fs_teardown(void **state); /* ends the mount, if it is there */
void fs_end(void);             /* as umount does */
/* The exit code of a mount of this queue; of one that fails nothing is left. */
int fs_mount(char *queue, bool read_only);

/* ---- requests ---- */

struct request {
	int replies;
	int error; /* 0, or a positive errno */
	struct fuse_entry_param entry;
	struct stat attr;
	struct fuse_file_info opened;
	struct flock lock;
	char *bytes; /* of the answer to a read; freed by the next fs_request() */
	size_t size; /* of these, or written, or of an attribute's value */
	off_t offset;
	unsigned events;
	struct fuse_ctx from;
	bool lost; /* nobody takes the answer to an open any more */
	bool interrupted;
	fuse_interrupt_func_t func;
	void *data;
};
extern struct request requests[4];

#define REQ(i) ((fuse_req_t)(void *)&requests[i])

/* A new request in place of the one that was there, sent by this user. */
fuse_req_t fs_request(int i, uid_t from);
/* It has one answer, with this error. */
void fs_expect(int i, int error);
void fs_interrupt(int i);

/* Node of a path of the mount, "segments/000000000.q". */
uint64_t fs_node(const char *path);
struct fuse_file_info fs_open(uint64_t node, int flags);
void fs_release(uint64_t node, struct fuse_file_info *fi);
/* Whether no open file can be found any more. */
bool fs_nothing_is_open(void);

/* Handles of poll(2) that the handlers have let go of. */
extern int handles_destroyed, handles_told;

/* ---- failing calls ---- */

extern struct fs_calls {
	bool counting;    /* from 0, in this thread */
	int made;         /* since then */
	int failing;      /* this one fails: 1, 2, ...; 0: none does */
	const char *name; /* of the one that did */
	int error;        /* that it gave, positive */
} calls;
extern int library_error; /* of the library's calls that fail: EIO if nothing else is set */

/* None fails, nothing is made up, from now on by this thread. */
void fs_calls_init(void);
/* Begins to count; ends it. */
void fs_calls_begin(int failing);
void fs_calls_end(void);

/* ---- made up: what these calls say, where that is set ---- */

extern struct fs_made_up {
	int (*extent)(uint64_t *ret_begin, uint64_t *ret_end);
	int (*next_data)(uint64_t position, uint64_t *ret_position);
	int (*next_hole)(uint64_t position, uint64_t *ret_position);
	int (*readers)(cq_reader_visit_fn visit, void *arg);
	int open_error;                      /* of cq_writer_open() */
	int append_error;                    /* of cq_writer_append() and its like */
	bool no_wait;                        /* cq_queue_await_release() looks once */
	rlim_t descriptors, descriptors_max; /* of getrlimit(), 0: the truth */
	const char *max_pages; /* text of the sysctl max_pages_limit; "none": no such file */
} made_up;

/* What was said to people since the setup. */
extern char said[1024];

#endif
