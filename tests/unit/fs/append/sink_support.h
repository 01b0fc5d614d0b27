/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sink_support.h - append and append.lines without a mount
 *
 * The linker replaces libfuse's replies and the writer's calls by ours (--wrap).  The writer is a
 * list of records with room for a number of them.  A request remembers its reply and can be
 * interrupted.  Tests call the steps of the background thread.
 */
#ifndef CHRONFS_TEST_SINK_SUPPORT_H
#define CHRONFS_TEST_SINK_SUPPORT_H

#include "chronfs.h"

#define LIMIT 1000   /* longest record */
#define MEMORY 4400U /* for open lines */
#define MOST_RECORDS 64

extern struct chronfs fs;

extern struct request {
	int replies;
	int result; /* NONE, 0, or a positive errno */
	size_t written;
	struct fuse_ctx from;
	bool interrupted;
	fuse_interrupt_func_t func;
	void *data;
} requests[8];

extern struct queue {
	char records[MOST_RECORDS][LIMIT + 1]; /* as strings */
	size_t count;
	size_t room; /* for so many more records */
	int error;   /* of an append without room */
	struct cq_sync_request *sync;
	int interrupt; /* this request is interrupted during the next append; NONE */
	bool no_memory;
	char said[256]; /* the last message to a person */
} queue;

/* A test starts and ends as a mount does. */
void sink_mount(void);
int sink_setup(void **state);
int sink_teardown(void **state);
#define TEST(name) cmocka_unit_test_setup_teardown(name, sink_setup, sink_teardown)

#define REQ(i) ((fuse_req_t)(void *)&requests[i])
#define APPEND chronfs_node(CHRONFS_APPEND, 1)
#define LINES chronfs_node(CHRONFS_LINES, 2)

struct fuse_file_info opened(uint64_t node);
void released(uint64_t node, struct fuse_file_info *fi);

/* These return the reply to request i: a number of bytes, ERROR(errno), or NONE before the
 * reply. */
#define NONE (-1)
#define ERROR(e) (-1000L - (e))
long reply_to(int i);
long write_flags(int i, uint64_t node, const struct fuse_file_info *fi, const char *text,
                 uint64_t owner, int flags);
long write_text(int i, uint64_t node, const struct fuse_file_info *fi, const char *text);
long flush(int i, const struct fuse_file_info *fi, uint64_t owner);
long fsync_lines(int i, const struct fuse_file_info *fi);
/* The events. */
long poll_sink(int i, uint64_t node, const struct fuse_file_info *fi, unsigned events);

void interrupt(int i);

/* Ends the sync that the writer was asked for, with this result. */
void synced(int result);

/* The records so far, each with a bar behind it.  Clears them. */
const char *records(void);

#endif
