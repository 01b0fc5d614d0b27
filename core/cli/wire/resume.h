/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resume.h - decides, from what a queue and a stream say, where shipping continues.  Pure.
 *
 * Invariant: the stream's last message decides, never a local file.  There is one exception, a stream that has had
 * messages and has none now, because all have expired by its max_age: shipping continues at the committed position of
 * the reader `ship`.  No message from behind this position is in the stream, so the stream has no record twice; fetch
 * passes over the records that it has.
 *
 * Nothing is written to a stream that does not exist (--create), or that would miss records without saying so
 * (--accept-gap).  No option permits writing to a stream of another queue, or of another history of this queue.
 */
#ifndef CHRONQ_RESUME_H
#define CHRONQ_RESUME_H

#include <stdbool.h>
#include <stddef.h>

#include "stream.h"
#include "wire.h"

/* Exit codes of chronq ship and fetch, beside the CLI_ ones (0 to 3). */
enum {
	SHIP_NO_STREAM =
		4, /* there is no stream of that name and no --create; or it was deleted while we ran */
	SHIP_FOREIGN =
		5, /* stream of another queue, of another format, or not made by chronq ship */
	SHIP_DIFFERS =
		6, /* the last record differs, or the stream has records that the queue has lost */
	SHIP_MISSING =
		7, /* the records behind the stream's (replica's) last one are gone; --accept-gap */
	SHIP_DAMAGED =
		8, /* gap or damaged record in the queue (ship) or in the stream (fetch); --accept-gap */
	SHIP_PROMOTED =
		9, /* fetch: the queue is no replica of this source (promoted, or of another queue) */
};

struct resume_stream {
	bool exists;
	bool foreign; /* its description, or the head of its last message, is none that this version knows */
	struct stream_about about; /* if it exists and is not foreign */
	uint64_t last_sequence, messages;
	/* The message with last_sequence.  If there is none although messages > 0, messages have expired since they were
	 * counted: ask again; if it stays so, the last message was deleted. */
	bool have_last;
	struct wire_head last;
	size_t last_size; /* bytes of its body (of a part: 0 if unknown) */
};

struct resume_queue {
	uint8_t identity[CQ_IDENTITY_SIZE]; /* all zero: it has none yet */
	uint64_t first_seq, next_seq; /* next_seq: behind the last record that may be shipped */
	uint64_t committed;           /* of the reader `ship`; first_seq if it is new */
	/* The record before stream.last.next (last is a part: record last.first) is in the queue, durable or not: */
	bool have_record;
	struct wire_fingerprint record; /* epoch 0: unknown */
	uint64_t record_length;         /* bytes of its payload */
};

struct resume_options {
	bool create, accept_gap;
	bool had_stream; /* this program has seen the stream before: it is not made again, even with create */
	bool any_format; /* the stream's own format is used, not this one: */
	enum stream_format format;
	uint64_t frame_size; /* 0: the stream's own */
};

enum resume_action { RESUME_SHIP, RESUME_CREATE, RESUME_GAP, RESUME_STOP };

struct resume_plan {
	enum resume_action action;
	uint64_t
		seq; /* SHIP, CREATE: the first record to publish; GAP: marker [gap_first, seq) first */
	uint64_t part_offset;   /* SHIP: bytes of record seq that the stream has already */
	uint64_t expected_last; /* of the first publish */
	/* GAP, and STOP with SHIP_MISSING: the queue no longer has the records [gap_first, seq).  STOP with SHIP_DIFFERS:
	 * those of the stream that differ, or that the queue has lost.  STOP with SHIP_DAMAGED: the damaged one.  Otherwise
	 * both are equal. */
	uint64_t gap_first;
	int code;        /* STOP: exit code */
	const char *why; /* STOP: constant text for people */
};

/* Whether two fingerprints are of the same record.  An epoch of 0 is unknown, and not compared. */
bool resume_same(const struct wire_fingerprint *a, const struct wire_fingerprint *b);
void resume_decide(const struct resume_queue *queue, const struct resume_stream *stream,
                   const struct resume_options *options, struct resume_plan *ret_plan);

/* Pauses between tries: 100 ms, doubled up to 5 s, with a tenth of jitter either way (random: any number).  All zero
 * after a success. */
struct backoff {
	unsigned tries;
};
uint32_t backoff_next_ms(struct backoff *backoff, uint32_t random);

#endif
