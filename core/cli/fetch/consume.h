/* SPDX-License-Identifier: Apache-2.0 */
/*
 * consume.h - takes the messages of a stream one after another, as they come
 *
 * Threads  All calls belong to one thread.
 */
#ifndef CHRONQ_FETCH_CONSUME_H
#define CHRONQ_FETCH_CONSUME_H

#include "jet/jet.h"

struct consumer;

struct consumed {
	natsMsg *message;  /* natsMsg_Destroy() frees it */
	uint64_t sequence; /* in the stream */
	uint64_t pending;  /* messages behind it when it was sent */
};

/* Takes the messages from sequence `from` on, or from the first that there is behind it.
 *   -EAGAIN  not now: no leader, no quorum, no connection
 *   -EACCES  this user may not
 * why: text for people, printable; only after an error. */
int consume_open(struct jet *jet, const char *stream, uint64_t from, struct consumer **ret_consumer,
                 char why[JET_WHY_MAX]);
void consume_close(struct consumer *consumer);

/* Returns 1 with the next message, or 0 after timeout_ms (above 0).
 *   -ESTALE  messages were lost on the way, or the server that sends them does not answer: only another consumer, from
 *            behind the last message on, gets them */
int consume_next(struct consumer *consumer, int timeout_ms, struct consumed *ret_consumed);

#endif
