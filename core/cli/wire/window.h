/* SPDX-License-Identifier: Apache-2.0 */
/*
 * window.h - messages that were published and are not acknowledged, and what may be committed.  Pure: the caller
 * passes the time (any clock that does not go backwards), and locks.
 *
 * A message gets an index when it is added, which is never used again: an acknowledgement of a message from before a
 * reset finds nothing.  Acknowledgements come in any order; what counts is the prefix without a hole.
 */
#ifndef CHRONQ_WINDOW_H
#define CHRONQ_WINDOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct window_message {
	uint64_t sequence; /* that it must get in the stream */
	uint64_t next;     /* behind the last record that it completes */
	uint64_t at_ns;    /* when it was published */
	size_t bytes;
	bool acknowledged;
};

struct window {
	struct window_message *ring; /* message with index i: ring[i % size] */
	size_t size;                 /* most messages */
	size_t most_bytes;
	uint64_t first,
		end; /* indexes: of the oldest outstanding message, and of the next one to be added */
	size_t bytes;         /* from first to end, also of acknowledged ones */
	uint64_t next;        /* behind the last record of the acknowledged prefix */
	uint64_t progress_ns; /* when the last acknowledgement came */
	uint64_t acknowledged_messages, acknowledged_bytes; /* in all, not reset */
};

/* messages, bytes: at most so many are outstanding; a single message may be larger.  -ENOMEM. */
int window_init(struct window *window, size_t messages, size_t bytes);
void window_free(struct window *window);
/* Forgets all messages: nothing is outstanding, and what comes for them is ignored.  The stream has all records
 * below `next`. */
void window_reset(struct window *window, uint64_t next);

bool window_has_room(const struct window *window, size_t bytes);
/* Returns the index.  Only if there is room. */
uint64_t window_add(struct window *window, uint64_t sequence, uint64_t next, size_t bytes,
                    uint64_t now_ns);
/* A message was stored under this sequence of the stream.
 *   -ENOENT   no such message is outstanding: acknowledged before, or from before a reset
 *   -EBADMSG  that is not the sequence that it must have: it stays outstanding, and the stream has to be asked */
int window_acknowledge(struct window *window, uint64_t index, uint64_t sequence, uint64_t now_ns);

static inline bool window_is_empty(const struct window *window)
{
	return window->first == window->end;
}

/* How long ago the oldest outstanding message was published; 0: there is none. */
uint64_t window_age_ns(const struct window *window, uint64_t now_ns);
/* For how long acknowledgements have been due and none has come; 0: none is due. */
uint64_t window_stalled_ns(const struct window *window, uint64_t now_ns);

/*
 * Which records were acknowledged at least `span_ns` ago.  Errs on the side of "later", by less than a
 * thirtieth of the span.  All zero but span_ns at first.
 */
#define WINDOW_KEPT_SLOTS 32U

struct window_kept {
	uint64_t span_ns;
	/* At at_ns all records below next were acknowledged.  Oldest first from `first`; the last one is still being
	 * filled, since since_ns. */
	struct {
		uint64_t at_ns, next;
	} slots[WINDOW_KEPT_SLOTS];
	size_t first, count;
	uint64_t since_ns;
	bool have_due;
	uint64_t due; /* records below were acknowledged long enough ago */
};

/* All records below `next` are acknowledged. */
void window_kept_add(struct window_kept *kept, uint64_t next, uint64_t now_ns);
/* The servers have lost what is not below `next`. */
void window_kept_cut(struct window_kept *kept, uint64_t next);
/* True: *ret_next, below which all records were acknowledged at least a span ago. */
bool window_kept_due(struct window_kept *kept, uint64_t now_ns, uint64_t *ret_next);

#endif
