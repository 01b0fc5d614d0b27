/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source.h - the queue that is shipped: its records in order, and the position that is committed
 *
 * Two readers: one takes the records, the named one is always at the committed position.  So a commit neither moves
 * the first one nor ends what its payloads are valid for, and a sign of life needs no place to be found.
 *
 * Invariant: source_peek() gives the record with number `next` or none; a record that is missing or damaged is a hole,
 * which only source_pass_hole() passes.
 */
#ifndef CHRONQ_SHIP_SOURCE_H
#define CHRONQ_SHIP_SOURCE_H

#include <chronq.h>

#include "wire/resume.h"

#define SOURCE_READER "ship" /* the named reader */
#define SOURCE_BATCH 1024U

struct source {
	const char *dir;
	bool visible; /* records that are not durable are shipped, too */
	cq_queue *queue;
	cq_reader *reader; /* takes the records */
	cq_reader *named;
	uint8_t identity[CQ_IDENTITY_SIZE];
	uint64_t segment_size;
	uint64_t next;      /* number of the record that source_peek() gives */
	uint64_t limit;     /* records below it may be shipped */
	uint64_t committed; /* records below it are committed */
	struct cq_record batch[SOURCE_BATCH];
	size_t at, count; /* of the batch: where `next` is */
	uint64_t
		hole_end; /* records from next to hole_end - 1 are not there; 0: no hole is known */
	bool damaged;     /* the hole is damage, the records are not just missing */
	bool at_end; /* source_peek() gave none, as the queue has none: numbers up to `limit` have no record */
	struct {
		bool known;
		uint32_t epoch;
		uint64_t time_ns;
		size_t length;
	} before; /* of record next - 1, as it was taken */
	uint64_t back_to;
	bool passing; /* the reader is at or before `next`: what is before it is passed over */
};

/* Whether each number was given once.  EILSEQ: chronicle-rs, which counts from 0 at each open, gave some again, in
 * segment *ret_segment. */
int source_check_numbers(cq_queue *queue, uint32_t *ret_segment);

/* Takes the named reader.  Returns CLI_OK or, after a message, an exit code. */
int source_open(struct source *source, const char *dir, bool visible);
void source_close(struct source *source);

/* What resume_decide() has to know of the queue.  `last`: the number of the record whose fingerprint counts, if any; the
 * next source_peek() needs a source_seek() before it.  Errors as cq_queue_info() and the seeks. */
int source_describe(struct source *source, bool have_last, uint64_t last,
                    struct resume_queue *ret_queue);

/* The record with this number comes next.  A commit that is ahead of it is taken back. */
int source_seek(struct source *source, uint64_t seq);

/*
 * The next record that may be shipped.  1 with *ret_record, valid until the next call on this source except
 * source_peek() and source_advance(); 0: none now.
 *   ENODATA  `next` begins a hole
 *   EILSEQ   the record behind the one before has the number back_to, which is lower: the queue has lost records
 *            and given their numbers again
 *   others   as cq_reader_next()
 */
int source_peek(struct source *source, const struct cq_record **ret_record);
void source_advance(struct source *source);
void source_pass_hole(struct source *source);

/* Waits until there may be a next record, for at most so long.  0, or an error other than EINTR. */
int source_wait(struct source *source, int timeout_ms);

/* What the queue has now: source->limit is looked up, and the end of its stream of payloads, which may take
 * milliseconds. */
int source_look(struct source *source, uint64_t *ret_next_seq, uint64_t *ret_stream_end);

/* Records below seq are committed; or those below a lower one, where damage hides the place.  With an unchanged seq it
 * is a sign of life.
 *   EIO     damage hides all places from the committed one to this one
 *   others  as cq_reader_commit() */
int source_commit(struct source *source, uint64_t seq);

/* CRC of a record, as messages have it. */
uint32_t source_crc(const struct cq_record *record);

#endif
