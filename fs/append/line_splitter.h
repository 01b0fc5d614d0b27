/* SPDX-License-Identifier: Apache-2.0 */
/*
 * line_splitter.h - bytes that come in pieces, cut into one record per line
 *
 * A record ends behind a newline, which belongs to it, or where it has reached the limit: a longer
 * line goes on in the next record.  What no record has ended yet, the open line, is kept from one
 * piece to the next.  So the records do not depend on where the pieces were cut.
 *
 * Nothing is taken until its record has been appended somewhere: cutting changes nothing that
 * counts, chronfs_line_splitter_consume() then says how far it went, and the rest can be cut
 * again.  Knows neither FUSE nor a queue; one thread at a time.
 */
#ifndef CHRONFS_LINE_SPLITTER_H
#define CHRONFS_LINE_SPLITTER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "chronq.h"

/* Memory that several splitters share; atomic. */
struct chronfs_line_memory {
	size_t used;
	size_t most; /* constant */
};

struct chronfs_line_splitter {
	char *open;  /* the open line, which holds no newline */
	size_t used; /* its length, always below limit */
	size_t room; /* bytes of memory at `open`, taken from the budget */
	size_t limit;
	struct chronfs_line_memory *budget;
};

void chronfs_line_splitter_init(struct chronfs_line_splitter *splitter, size_t limit,
                                struct chronfs_line_memory *budget);
void chronfs_line_splitter_fini(struct chronfs_line_splitter *splitter);

/*
 * The records that end in `size` bytes at `data`, which follow the open line, `most` at most.
 * `end`: the last byte of data, or of the open line when data is empty, ends a record in any case.
 * They point into data, but for the first when there is an open line: that one is joined in the
 * splitter's memory, and stays there until the next call.  Returns how many; 0: none ends there.
 *   ENOMEM, ENOBUFS  no memory for the joined one, none left in the budget EMSGSIZE         the
 *   limit is 0: a record has no room for a byte
 */
ssize_t chronfs_line_splitter_cut(struct chronfs_line_splitter *splitter, const char *data,
                                  size_t size, bool end, struct cq_message *messages, size_t most);

/* The first `count` of these, one at least, are appended.  Returns how many bytes of data they
 * took. */
size_t chronfs_line_splitter_consume(struct chronfs_line_splitter *splitter,
                                     const struct cq_message *messages, size_t count);

/*
 * Puts data, in which no record ends, behind the open line.
 *   ENOMEM, ENOBUFS  nothing was put there
 */
int chronfs_line_splitter_keep(struct chronfs_line_splitter *splitter, const char *data,
                               size_t size);

/* Between two pieces: gives memory back that an open line has made large and none needs now. */
void chronfs_line_splitter_shrink(struct chronfs_line_splitter *splitter);

#endif
