/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reader_file.h - readers/NAME.meta: the committed position of a named reader
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
		damaged; /* bit N: slot N is damaged; the reader may have been further than the other slot */
};

/* Letters, digits, '.', '_', '-'; 1 to 64; no leading dot. */
bool cq_reader_name_valid(const char *name);

/* NAME out of NAME.meta; false if that is no name of a reader's file. */
bool cq_reader_file_name_parse(char ret_name[CQ_READER_NAME_MAX + 1], const char *file);

/* Opens the file of a reader for reading and writing; `create` makes it and readers/ if missing. */
int cq_reader_file_open(int dirfd, const char *name, bool create, int *ret_fd);

/* -ENOENT: no valid position in it. */
int cq_reader_file_read(int fd, struct cq_reader_file *ret_cursor);
/* The same by the name of the reader. */
int cq_reader_file_read_named(int dirfd, const char *name, struct cq_reader_file *ret_cursor);

/*
 * Stores *cursor with a generation above its own and above the file's, which *cursor gets.
 *   EAGAIN  another process, or another handle of this one, has held the lock of the file for a second
 */
int cq_reader_file_write(int fd, struct cq_reader_file *cursor);

/* Stores a sign of life with the position that is in the file, or with that of *cursor if there is none;
 * *cursor gets what is stored.  EAGAIN: another has the lock now. */
int cq_reader_file_beat(int fd, uint64_t now_ns, struct cq_reader_file *cursor);

/* For a caller that reads the file before it decides what to store.  EAGAIN: another has the lock, and with
 * `wait` has had it for a second. */
int cq_reader_file_lock(int fd, bool wait);
void cq_reader_file_unlock(int fd);
int cq_reader_file_store_locked(int fd, struct cq_reader_file *cursor);

/* Whether, after this error, there may be a position in a reader's file that this process cannot read (EACCES,
 * EIO, ...): any but those of a file that is missing or holds none (ENOENT), or is no reader's (EBADMSG,
 * ELOOP). */
bool cq_reader_file_is_unreadable(int error);

/* Calls visit for every reader file with a valid position, and unreadable, if not NULL, for every one that
 * cannot be read (cq_reader_file_is_unreadable()); skips all other files.  EMFILE, ENFILE, ENOMEM: some may
 * not have been visited. */
typedef void (*cq_reader_file_visit_fn)(void *arg, const char *name,
                                        const struct cq_reader_file *cursor);
typedef void (*cq_reader_file_unreadable_fn)(void *arg, const char *name, int error);
int cq_reader_file_each(int dirfd, cq_reader_file_visit_fn visit,
                        cq_reader_file_unreadable_fn unreadable, void *arg);

/* Calls visit for every name that a reader's file has, whatever is in it: opens none of them. */
typedef void (*cq_reader_file_name_fn)(void *arg, const char *name);
int cq_reader_file_each_name(int dirfd, cq_reader_file_name_fn visit, void *arg);

#endif
