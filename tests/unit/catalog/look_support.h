/* SPDX-License-Identifier: Apache-2.0 */
/* look_support.h - shared by tests that look at segments: small queues, and which files are opened meanwhile */
#ifndef CQ_TEST_LOOK_SUPPORT_H
#define CQ_TEST_LOOK_SUPPORT_H

#include <stdint.h>
#include <sys/stat.h>

#include "chronq-fs.h"
#include "queue_support.h"

#define LOOK_PER_SEGMENT 31U /* records "record N" of qs_append() */

/* A queue of so many sealed segments, closed and finalised, and one more with 5 records. */
void look_make(struct qs *q, unsigned sealed);
void look_delete_name(const char *dir, const char *name);
/* The segments from `from` up to, not including, `to`. */
void look_delete(const char *dir, uint32_t from, uint32_t to);

cq_queue *look_open(const char *dir);
struct cq_segment_attr look_attr(cq_queue *queue, uint32_t id);
/* The attributes by id are those of the opened segment. */
void look_agrees(cq_queue *queue, uint32_t id);
/* Its modification time in nanoseconds. */
uint64_t look_time(const struct stat *st);

/* A descriptor (inotify) for what is opened in the directory from now on. */
int look_watch(const char *dir);

struct look_opened {
	unsigned files;    /* of segments below a given id */
	unsigned listings; /* of the directory */
};

/* What was opened since the last call.  A close follows each open, so no two events in a row are alike
 * and none is merged. */
struct look_opened look_opened(int fd, uint32_t below);
unsigned look_opens(int fd, uint32_t below); /* the files of that */

#endif
