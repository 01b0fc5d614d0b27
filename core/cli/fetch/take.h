/* SPDX-License-Identifier: Apache-2.0 */
/* take.h - puts the records of one message after another into the replica */
#ifndef CHRONQ_FETCH_TAKE_H
#define CHRONQ_FETCH_TAKE_H

#include <nats/nats.h>

#include "fetch/replica.h"
#include "wire/stream.h"
#include "wire/wire.h"

struct take {
	struct replica *replica;
	const struct stream_about *about; /* of the stream: for a new replica */
	bool have_from; /* a new replica begins at record `from`; else at the first that comes */
	uint64_t from;
	struct wire_join join;
	struct wire_record
		joined; /* payload not NULL: complete, but there was no room for it; in `join` */
	uint64_t
		behind; /* -ERANGE: the records from replica->next (`from`) to before this one are missing */
	uint64_t
		gap_to; /* records before this one may be missing, if it comes next: the source says so, or the user accepts it */
};

/* The head in the headers of a message.  Errors as wire_head_get(). */
int take_head(natsMsg *message, struct wire_head *ret_head);

/*
 * Appends what the replica does not have; opens it at the first record.  The same message may be taken again.  Returns
 * 0: the replica has everything up to this message; an exit code, after a message on stderr; or
 *   -EBADMSG, -EPROTONOSUPPORT  the message is damaged, or not of chronq ship
 *   -ERANGE                     records up to take->behind are missing, and take->gap_to is not where it continues
 *   -EEXIST                     the replica's last record is another one in the stream
 *   others                      of replica_append(): some may be appended
 */
int take_message(struct take *take, natsMsg *message);

#endif
