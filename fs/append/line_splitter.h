/* SPDX-License-Identifier: Apache-2.0 */
/*
 * line_splitter.h - splits bytes that come in pieces into one record for each line
 *
 * A record ends behind a newline, which belongs to it, or where it reaches the size limit: the rest
 * of a longer line is the next record.  The splitter keeps the open line, which no record has ended
 * yet, from one piece to the next.  So the records do not depend on where the pieces were cut.
 *
 * The splitter takes no byte before its record has been appended.  chronfs_line_splitter_cut()
 * changes nothing that matters; chronfs_line_splitter_consume() then says how many records were
 * appended, and the rest can be cut again.  The splitter knows neither FUSE nor a queue.  One
 * thread at a time uses it.
 */
#ifndef CHRONFS_LINE_SPLITTER_H
#define CHRONFS_LINE_SPLITTER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "chronq.h"

/* What several splitters may allocate together. */
struct chronfs_line_memory {
	size_t used; /* bytes; atomic */
	size_t most; /* constant */
};

struct chronfs_line_splitter {
	char *open;  /* the open line, which holds no newline */
	size_t used; /* its length, always below limit */
	size_t room; /* bytes allocated at `open`, counted in memory->used */
	size_t limit;
	struct chronfs_line_memory *memory;
};

void chronfs_line_splitter_init(struct chronfs_line_splitter *splitter, size_t limit,
                                struct chronfs_line_memory *memory);
void chronfs_line_splitter_fini(struct chronfs_line_splitter *splitter);

/*
 * Gives the records, `most` at most, that end in the `size` bytes at `data`; these bytes follow the
 * open line.  `end`: the last byte of data, or of the open line if data is empty, ends a record in
 * any case.  Records point into data.  Only a record that begins with the open line lies in the
 * splitter's memory, and stays there until the next call.  Returns how many records end there.
 *   ENOMEM    no memory for a record that begins with the open line
 *   ENOBUFS   the splitters together have used up their memory
 *   EMSGSIZE  the limit is 0: a record has no room for a byte
 */
ssize_t chronfs_line_splitter_cut(struct chronfs_line_splitter *splitter, const char *data,
                                  size_t size, bool end, struct cq_message *messages, size_t most);

/* The first `count` of these records, at least one, are appended.  Returns how many bytes of data
 * they took. */
size_t chronfs_line_splitter_consume(struct chronfs_line_splitter *splitter,
                                     const struct cq_message *messages, size_t count);

/*
 * Adds data, in which no record ends, to the open line.
 *   ENOMEM, ENOBUFS  added nothing
 */
int chronfs_line_splitter_keep(struct chronfs_line_splitter *splitter, const char *data,
                               size_t size);

/* Between two pieces: frees memory that a long open line needed and an empty one does not. */
void chronfs_line_splitter_shrink(struct chronfs_line_splitter *splitter);

#endif
