/* SPDX-License-Identifier: Apache-2.0 */
/* lines.h - an open file of append.lines, as lines*.c share it */
#ifndef CHRONFS_LINES_H
#define CHRONFS_LINES_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "append/line_splitter.h"
#include "append/sink.h"
#include "append/wait_for_room.h"

struct chronfs_lines_file;

struct chronfs_lines {
	pthread_mutex_t lock; /* guards the two below */
	/* Files that may have an open line, by the time of their last write. */
	struct chronfs_lines_file *first, *last;

	struct chronfs_line_memory memory; /* of open lines */
	uint64_t open;                     /* files with an open line; atomic, as is the next */
	uint64_t bytes;                    /* of these lines */
};

struct chronfs_lines_file {
	struct chronfs_sink_file sink; /* first */
	struct chronfs_room_wait
		leftover; /* when the file is closed and its open line is not appended */

	/* Held while lines are appended, never while a request is answered or parked.  Lock order: this
	 * one > fs->lines.lock, those of parked requests, the library's. */
	pthread_mutex_t lock;
	/* under lock */
	struct chronfs_line_splitter splitter;
	uint64_t owner;   /* lock owner of the last write that left something */
	bool nonblock;    /* that write's O_NONBLOCK */
	unsigned parked;  /* requests of this file that wait for room */
	size_t accounted; /* bytes of its open line in fs->lines.bytes */

	uint64_t due_ms; /* under both locks: when its open line has waited long enough */
	/* under fs->lines.lock */
	struct chronfs_lines_file *earlier, *later; /* from fs->lines.first on, if it is listed */
	bool listed;
	unsigned
		references; /* the open file's, or its leftover's; and that of who looks whether it is due */
};

/* Under the file's lock: appends the open line as a record.  behind: others wait for room, so it is as if
 * there were none (EDQUOT). */
int chronfs_lines_commit(struct chronfs *fs, struct chronfs_lines_file *file, bool behind);

/* Under the file's lock: from now on its open line, if it has one, waits for its end. */
void chronfs_line_timeout_start(struct chronfs *fs, struct chronfs_lines_file *file);

/* It does not any more. */
void chronfs_line_timeout_cancel(struct chronfs *fs, struct chronfs_lines_file *file);

/* Its last descriptor is closed, and it is not listed: appends the open line, now or when there is room, and
 * gives the open file's reference back. */
void chronfs_line_leftover_append(struct chronfs *fs, struct chronfs_lines_file *file);

/* Gives a reference back; the last one frees the file. */
void chronfs_lines_unref(struct chronfs *fs, struct chronfs_lines_file *file);

extern const struct chronfs_node_ops chronfs_lines_ops;

void chronfs_lines_init(struct chronfs *fs);
void chronfs_lines_fini(struct chronfs *fs);

/* Commits what has waited long enough for the rest of its line.  Milliseconds until it has to be
 * called again, -1: not before somebody writes. */
int chronfs_line_timeout_step(struct chronfs *fs);

/* How many open files have an open line, and the bytes of these lines. */
void chronfs_lines_count(struct chronfs *fs, uint64_t *ret_files, uint64_t *ret_bytes);

#endif
