/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reader_file.h - readers/NAME.meta: where a named reader stands
 *
 * Two slots, written alternately, each with a CRC: a reader killed while it commits keeps its
 * previous position.  Older files of 8 bytes (offset) or 16 bytes (segment, offset) are read.
 */
#ifndef CQ_READER_FILE_H
#define CQ_READER_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "chronq.h"
#include "format/format.h"

struct cq_reader_file {
	uint64_t segment;
	uint64_t offset;
	uint64_t heartbeat_ns;
	uint64_t generation;
	unsigned
		damaged; /* bit N: slot N is damaged; the reader may have been further than the other says */
};

/* Letters, digits, '.', '_', '-'; 1 to 64; no leading dot. */
bool cq_reader_name_valid(const char *name);

/* NAME out of NAME.meta; false if a file of that name is no reader's. */
bool cq_reader_file_name_parse(char ret_name[CQ_READER_NAME_MAX + 1], const char *file);

/* Opens the file of a reader for reading and writing; makes it and readers/ if asked. */
int cq_reader_file_open(int dirfd, const char *name, bool create, int *ret_fd);

/* Whether cq_reader_file_open() could make such a file where there is none: 0, EACCES, EROFS. */
int cq_reader_file_may_create(int dirfd);

/* -ENOENT: no valid position in it. */
int cq_reader_file_read(int fd, struct cq_reader_file *ret_cursor);

/* What the file of this reader says, without opening it for longer. */
int cq_reader_file_look(int dirfd, const char *name, struct cq_reader_file *ret_cursor);

/* Stores *cursor with a generation above its own and above the file's; *cursor gets it. */
int cq_reader_file_write(int fd, struct cq_reader_file *cursor);

/* Calls visit for every readable reader file; files that are not readers' positions are skipped. */
typedef void (*cq_reader_file_visit_fn)(void *arg, const char *name,
                                        const struct cq_reader_file *cursor);
int cq_reader_file_each(int dirfd, cq_reader_file_visit_fn visit, void *arg);

#endif
