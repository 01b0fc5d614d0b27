/* SPDX-License-Identifier: Apache-2.0 */
/* lines.h - an open file of append.lines; lines.c, line_timeout.c and line_leftover.c share it */
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
	pthread_mutex_t lock;
	/* Files that may have an open line, in the order of their last write; under lock. */
	struct chronfs_lines_file *first, *last;
	/* When the background thread looks at the first file again, at the latest; UINT64_MAX: not
	 * until it is woken.  Under lock. */
	uint64_t looks_ms;

	struct chronfs_line_memory memory;
	uint64_t open;  /* files with an open line; atomic */
	uint64_t bytes; /* of these lines; atomic */
};

struct chronfs_lines_file {
	struct chronfs_sink_file sink; /* first */
	/* Of a closed file whose open line could not be appended. */
	struct chronfs_room_wait leftover;

	/* Held while lines are appended, and never while a request is replied to or parked.  Lock
	 * order: this one > fs->lines.lock, the lock of a list of parked requests, the library's
	 * locks. */
	pthread_mutex_t lock;
	struct chronfs_line_splitter splitter; /* under lock */
	uint64_t owner;   /* lock owner of the last write that left something; under lock */
	bool nonblock;    /* that write's O_NONBLOCK; under lock */
	unsigned parked;  /* requests of this file that wait for room; under lock */
	size_t accounted; /* bytes of its open line in fs->lines.bytes; under lock */

	uint64_t due_ms; /* when line_timeout ends its open line; under lock and fs->lines.lock */

	/* Neighbours in the list fs->lines.first; under fs->lines.lock. */
	struct chronfs_lines_file *earlier, *later;
	bool listed; /* under fs->lines.lock */
	/* Of the open file or its leftover, and of the background thread; under fs->lines.lock. */
	unsigned references;
};

/* Under file->lock: appends the open line as a record.  `behind`: other requests wait for room, so
 * acts as if there were none (-EDQUOT). */
int chronfs_lines_commit(struct chronfs *fs, struct chronfs_lines_file *file, bool behind);

/* Drops a reference; the last one frees the file. */
void chronfs_lines_unref(struct chronfs *fs, struct chronfs_lines_file *file);

extern const struct chronfs_node_ops chronfs_lines_ops;

void chronfs_lines_init(struct chronfs *fs);
void chronfs_lines_fini(struct chronfs *fs);

/* How many open files have an open line, and the bytes of these lines. */
void chronfs_lines_count(struct chronfs *fs, uint64_t *ret_files, uint64_t *ret_bytes);

/* ---- line_timeout.c ---- */

/* Under file->lock: starts the timeout of its open line, if it has one. */
void chronfs_line_timeout_start(struct chronfs *fs, struct chronfs_lines_file *file);
void chronfs_line_timeout_cancel(struct chronfs *fs, struct chronfs_lines_file *file);

/* Appends the open lines whose time is over.  A chronfs_step_fn. */
int chronfs_line_timeout_step(struct chronfs *fs);

/* ---- line_leftover.c ---- */

/* After the last close, and without a timeout: appends the open line now or when there is room.
 * Consumes the open file's reference. */
void chronfs_line_leftover_append(struct chronfs *fs, struct chronfs_lines_file *file);

#endif
