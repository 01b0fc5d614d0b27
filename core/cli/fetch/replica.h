/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replica.h - the queue that fetch fills
 *
 * Its next number is the only cursor of fetch: nothing else is kept anywhere.
 */
#ifndef CHRONQ_FETCH_REPLICA_H
#define CHRONQ_FETCH_REPLICA_H

#include <chronq.h>
#include <stdbool.h>
#include <stdint.h>

#include "wire/wire.h"

struct replica {
	char *dir;
	struct cq_config config;          /* of the writer; the caller sets what the user chose */
	bool exists;                      /* there is a queue in dir */
	uint8_t source[CQ_IDENTITY_SIZE]; /* exists: of which queue it is a replica */
	cq_writer *writer;                /* NULL: not open */
	uint64_t next;                    /* writer: the number that its next record gets */
	uint64_t appended;                /* records since the open */
	uint64_t bytes;                   /* their payloads */
	uint64_t gaps;                    /* records in gaps that were accepted since the open */
	uint64_t newest_ns;               /* appended: the time of the last record */
	uint64_t appended_ns;             /* and when that was appended, since 1970 */
	bool have_last; /* `last` is the fingerprint (without epoch) of record next - 1 */
	struct wire_fingerprint last;
};

/* Looks what is in dir.  Returns 0, or an exit code after a message: it is an ordinary queue, or cannot be read. */
int replica_look(struct replica *replica);

/* Opens it as a replica of `source`, and makes it if it does not exist, to begin at record `seq`, whose first payload
 * byte is at `stream`.  Returns 0, or an exit code after a message. */
int replica_open(struct replica *replica, const uint8_t source[CQ_IDENTITY_SIZE], uint64_t seq,
                 uint64_t stream);

/* Everything is on the disk, or an exit code is returned after a message.  A queue that was made and has no record goes.
 * Not open: nothing. */
int replica_close(struct replica *replica);

#define REPLICA_BATCH 512
/* Appends up to REPLICA_BATCH records with numbers from replica->next on.  Returns 0, or a negative errno: then some may
 * be appended, and replica->next shows how many.
 *   -EDQUOT, -ENOSPC  there is no room now */
int replica_append(struct replica *replica, const struct wire_record *records, size_t count);

/* Goes on at record `next`, whose first payload byte is at `stream` (0: unknown): those before it are a counted gap.
 * Errors as replica_append(). */
int replica_skip(struct replica *replica, uint64_t next, uint64_t stream);

/* Whether this is the last record of the replica.  Where the replica has lost it or it is damaged, everything is. */
bool replica_has_last(struct replica *replica, const struct wire_fingerprint *fingerprint);

#endif
