/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire.h - how records are put into messages of a stream, and taken out again.  Pure: no network, no queue, no clock.
 *
 * A message has headers and a body.  Its kind is one of
 *
 *   record  one record; the body is its payload, so that other tools see one message a record
 *   frame   one or more records with consecutive numbers, each with its own header and CRC (below)
 *   part    a piece of one record that is larger than a message may be
 *   gap     no record: those from first to next - 1 are not in the queue, and it was accepted that they are missing
 *
 * Headers, each at most once.  Numbers are decimal without leading zeros, a CRC is eight hex digits in lower case, so
 * that a head has one text:
 *
 *   Chronq-Kind    record, frame, part or gap
 *   Chronq-First   sequence number of the first record in the message (gap: the first that is missing)
 *   Chronq-Next    number behind the last record that this message completes.  A part that is not the last one of
 *                  its record has Next = First, the last one has First + 1
 *   Chronq-Stream  position of the first payload byte of record First in the queue's stream; left out if unknown
 *   Chronq-Epoch, Chronq-Time, Chronq-CRC   fingerprint of the last record (of the record that a part belongs to):
 *                  the writer's epoch (0: unknown), the record's time in ns, wire_crc().  A gap has none.
 *   Chronq-Type    kinds record and part: the record's type
 *   Chronq-Part    kind part: OFFSET/LENGTH, bytes of the record before this part, and of the whole record
 *
 * Body of a frame: for each record 20 bytes, little endian, then the payload:
 *   u32 length, u32 crc (wire_crc()), u64 time_ns, u16 type, u16 zero
 * Body of a part: at least one byte.  Body of a gap: empty.
 *
 * Messages come from servers that others may write to.  All that is not exactly as above is -EBADMSG; no sum of
 * numbers that were accepted overflows; and memory is allocated for bytes that have come, not for what a header says.
 */
#ifndef CHRONQ_WIRE_H
#define CHRONQ_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum wire_kind { WIRE_RECORD, WIRE_FRAME, WIRE_PART, WIRE_GAP };

/* Sequence numbers are below it; `next` and stream positions are at most this. */
#define WIRE_COUNT_MAX (1ULL << 62)

struct wire_record {
	uint64_t seq, time_ns;
	const void *payload; /* length 0: may be NULL */
	size_t length;
	uint16_t type; /* at most CQ_TYPE_MAX */
};

struct wire_fingerprint {
	uint32_t epoch;
	uint32_t crc;
	uint64_t time_ns;
};

struct wire_head {
	enum wire_kind kind;
	uint64_t first, next;
	bool have_stream;
	uint64_t stream;
	struct wire_fingerprint last;      /* not for WIRE_GAP */
	uint16_t type;                     /* WIRE_RECORD, WIRE_PART */
	uint64_t part_offset, part_length; /* WIRE_PART */
};

/* CRC-32 of 24 bytes and the payload.  The 24 bytes, little endian: u64 sequence number, u64 time, u32 length,
 * u16 type, u16 zero.  The payload is at most CQ_SEGMENT_SIZE_MAX bytes. */
uint32_t wire_crc(const struct wire_record *record);
/* The same in steps: first of the 24 bytes alone, then of each piece of the payload. */
uint32_t wire_crc_begin(const struct wire_record *record);
uint32_t wire_crc_more(uint32_t crc, const void *piece, size_t size);

/* Calls put(arg, name, value) for each header of this head. Returns 0 or put's first error.
 *   EINVAL  wire_head_get() would refuse this head: put was not called */
int wire_head_put(const struct wire_head *head,
                  int (*put)(void *arg, const char *name, const char *value), void *arg);

/* The head from the headers that get(arg, name) gives (NULL: no such header).  Members that the kind does not have
 * are 0.  *ret_head is written only on success.
 *   EBADMSG          a header is missing, malformed, contradicts another one, or is none of this kind
 *   EPROTONOSUPPORT  a kind that this version does not know */
int wire_head_get(const char *(*get)(void *arg, const char *name), void *arg,
                  struct wire_head *ret_head);

#define WIRE_ENTRY_SIZE 20U

/* Stores one entry with its payload at `to` (WIRE_ENTRY_SIZE + record->length bytes); returns the bytes, and the
 * record's CRC in *ret_crc.  The CRC is that of the bytes in `to`: the payload may change meanwhile. */
size_t wire_entry_put(void *to, const struct wire_record *record, uint32_t *ret_crc);

/* Walks over a frame's body: *at is the read position, 0 at first; record->seq has to be set by the caller to the
 * entry's number (the CRC covers it).  Returns 1 with the rest of *record, whose payload is in the body, and
 * *ret_crc; 0: the end.
 *   EBADMSG  damaged or cut short; *record and *at are as they were */
int wire_entry_next(const void *body, size_t size, size_t *at, struct wire_record *record,
                    uint32_t *ret_crc);

/* Checks a whole message, with a head of wire_head_get(): kind against body, number of entries = next - first, each
 * CRC, fingerprint = last record's.  0 or -EBADMSG.  A part's body is checked for its bounds only: its CRC is of the
 * whole record. */
int wire_check(const struct wire_head *head, const void *body, size_t size);

/* The record of a message of kind record, which wire_check() has passed. */
void wire_record_of(const struct wire_head *head, const void *body, size_t size,
                    struct wire_record *ret_record);

/* ---- join.c ---- */

/* Joins the parts of one record, which come in order.  All zero at first, but for crc_only. */
struct wire_join {
	struct wire_head head; /* of the part that was added last */
	uint8_t *bytes;
	size_t have, room;
	bool active; /* a record has begun and is not complete */
	bool crc_only; /* the owner's: no bytes are kept, and the record that comes of it has the payload NULL */
	uint32_t crc; /* of what has come */
};

/*
 * Adds a message of kind part.  Returns 1: the record is complete, *ret_record is valid until the next call (its CRC
 * was checked); 0: more parts are needed.  A part with offset 0 begins a record, also where another one is not
 * complete: that one is dropped.  Takes memory for the bytes that have come, at most twice as much, and keeps it for
 * the next record.
 *   EBADMSG  no part, wire_check() would refuse it, or it does not continue the part before: the join is as it was, a
 *            sound copy of the message may follow.  Or the record is complete and its CRC is wrong: the record is
 *            dropped (active is false), since any of its parts may be damaged
 *   ENOMEM   the join is as it was
 */
int wire_join_add(struct wire_join *join, const struct wire_head *head, const void *body,
                  size_t size, struct wire_record *ret_record);

/* Drops what has come, and frees the memory.  crc_only stays. */
void wire_join_free(struct wire_join *join);

#endif
