/* SPDX-License-Identifier: Apache-2.0 */
/*
 * publish.h - messages on their way to the stream, and the acknowledgements that come for them
 *
 * A generation of publishes begins at a place of the stream that the stream itself has told (ship/resync.c), and ends
 * with the first publish that fails.  Publishes of earlier generations may still reach the stream, at any time: in
 * buffers of the servers, or of a process that was killed.  Nats-Expected-Last-Sequence, on every publish, lets at most
 * one message be stored under each sequence.  It says nothing about what is in the message before.  So:
 *
 * Invariant: what a message holds that expects sequence E depends on nothing but the stream up to E and the queue:
 *   - a full message ends where the next record would not fit, and so is the same whenever it is made;
 *   - a message that is not full (a frame with the last records that there are), or that may be another one later (a
 *     gap), is `alone`: it is sent when all before it are stored, and the next one when it is stored;
 *   - so is the first one of a generation.
 * Thus a late publish of an earlier generation stores what this generation would have stored, or is refused.  Were
 * frames of any size sent one after another, a short one of this generation and the second one of an earlier
 * generation could both be stored, and the records between them be lost.
 *
 * Threads: libnats' thread for the subscription takes acknowledgements, and changes what is under `lock` only.  All
 * functions are the main thread's, except publish_wake().
 */
#ifndef CHRONQ_SHIP_PUBLISH_H
#define CHRONQ_SHIP_PUBLISH_H

#include "jet/jet.h"
#include "wire/window.h"
#include "wire/wire.h"

#define PUBLISH_MESSAGES 4096U /* that wait for their acknowledgement, at most */
#define PUBLISH_BYTES (16U << 20)

struct publish_message {
	struct wire_head head;
	const void *body;
	size_t size;
	bool alone;
	uint64_t time_ns; /* of its first record; 0: unknown */
};

/* The oldest record that is not known to be stored. */
struct publish_oldest {
	uint64_t time_ns;
	bool have_stream;
	uint64_t stream; /* its place in the queue's stream of payloads */
};

struct publish_state {
	uint64_t acked_next; /* records below it are stored */
	uint64_t sequence;   /* of the last message that is known to be stored */
	uint64_t waiting;    /* messages that are not known to be stored, with all before them */
	uint64_t unanswered; /* messages that have got no reply, neither good nor bad */
	uint64_t
		stalled_ms; /* for so long their acknowledgements have been due, and none has come */
	uint64_t sent_records; /* of all generations, also those that are sent again */
	bool failed; /* one of them was refused, or the connection was lost: the generation is over */
	struct stream_reply
		why; /* failed: the refusal.  STREAM_UNAVAILABLE without a code: the connection */
	uint64_t acked_records, acked_bytes; /* of all generations; the bytes of messages' bodies */
	int64_t acked_at; /* time of the last acknowledgement, seconds since 1970; 0: none */
};

struct publish;

/* NULL: no memory. */
struct publish *publish_new(void);
/* After publish_detach() and jet_close(): no thread of libnats uses it then. */
void publish_free(struct publish *publish);

/* Publishes through this connection from now on, until publish_detach().  -ENOMEM; -EAGAIN: it is gone. */
int publish_attach(struct publish *publish, struct jet *jet);
/* Before jet_close().  Waits until no acknowledgement is taken any more: a message that libnats' thread frees after
 * nats_CloseAndWait() would be lost memory. */
void publish_detach(struct publish *publish);

/* From now on a message is the next one behind `sequence`; the stream has the records below `next`. */
void publish_begin(struct publish *publish, uint64_t sequence, uint64_t next);

/* There is room for this message now. */
bool publish_may(struct publish *publish, const struct publish_message *message);
/* Sends it.  If that fails, so has the generation. */
void publish_send(struct publish *publish, const struct publish_message *message);

/* Waits until an acknowledgement comes or the generation fails, but no longer. */
void publish_wait(struct publish *publish, unsigned timeout_ms);
void publish_state(struct publish *publish, struct publish_state *ret_state);

/* Of the messages on their way; false: there is none. */
bool publish_oldest(struct publish *publish, struct publish_oldest *ret_oldest);

/* The connection may have changed; any thread, arg is the struct publish. */
void publish_wake(void *arg);

#endif
