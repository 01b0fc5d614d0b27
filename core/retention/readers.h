/* SPDX-License-Identifier: Apache-2.0 */
/*
 * readers.h - what retention knows of the named readers
 *
 * A table with what each reader's file said when it was read last.  Reading one file takes some 8 us.
 * So what is remembered saves readings where it can only keep a segment; a deletion always has a reading
 * of all files before it (retire.c).
 *
 * A reader whose file cannot be read (EACCES, EIO, ...) keeps what it needed when its file was read last,
 * or every segment if it never was, as far back as reader_max_lag lets a reader be, and for reader_ttl at most.
 * A file that holds no position (empty, damaged, a link) is no reader.
 *
 * All of it is under the retention lock.
 */
#ifndef CQ_READERS_H
#define CQ_READERS_H

#include "retention/rules.h"

struct cq_reader_table {
	struct cq_reader_seen *readers;
	size_t count, capacity;
	uint64_t read_ms; /* CLOCK_BOOTTIME when all files were read last */
};

/* Reads all readers' files, and puts the table into the situation.  An error: a reader may be missing in
 * the table, and the situation is as before. */
int cq_reader_table_read(struct cq_reader_table *table, int dirfd, const struct cq_config *config,
                         struct cq_situation *situation);

/* Whether a reader that needed the oldest segment in the last reading needs it still.  Reads the files of
 * such readers, up to the first that does. */
bool cq_reader_table_needs_oldest(struct cq_reader_table *table, int dirfd,
                                  const struct cq_config *config,
                                  const struct cq_situation *situation);

/* Milliseconds to wait before all files are read again, for there are many; 0: none. */
int cq_reader_table_pause_ms(const struct cq_reader_table *table, uint64_t now_ms);

void cq_reader_table_fini(struct cq_reader_table *table);

#endif
