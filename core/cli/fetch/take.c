/* SPDX-License-Identifier: Apache-2.0 */
/*
 * take.c - puts the records of messages into the replica; see take.h
 *
 * Invariant: a record is appended only if its number is the replica's next one and its CRC, which covers number, time,
 * type and payload, is right.
 */
#include "fetch/take.h"

#include <errno.h>

#include "wire/fault.h"

static const char *header(void *arg, const char *name)
{
	const char *value = NULL;

	return natsMsgHeader_Get(arg, name, &value) == NATS_OK ? value : NULL;
}

int take_head(natsMsg *message, struct wire_head *ret_head)
{
	return wire_head_get(header, message, ret_head);
}

/* The position in the stream of record `seq` of a sound message: that of its first record, and the payloads before. */
static uint64_t stream_of(const struct wire_head *head, const void *body, size_t size, uint64_t seq)
{
	struct wire_record record = { .seq = head->first };
	uint64_t stream = head->have_stream ? head->stream : 0;
	size_t at = 0;
	uint32_t crc;

	if (head->kind != WIRE_FRAME || !head->have_stream)
		return stream;
	for (; record.seq < seq && wire_entry_next(body, size, &at, &record, &crc) == 1;
	     record.seq++)
		stream += record.length;
	return stream;
}

/* Makes the replica, if this message has its first record.  Returns 1: it is open; 0: a later message has it. */
static int begin(struct take *take, const struct wire_head *head, const void *body, size_t size)
{
	uint64_t seq = take->have_from ? take->from : head->first;
	bool rest = head->kind == WIRE_PART && head->part_offset > 0; /* its beginning is gone */
	int r;

	if (head->next <= seq && head->first < seq)
		return 0;
	if (take->have_from && (rest || head->first > seq)) {
		take->behind = head->first + rest;
		return -ERANGE;
	}
	if (head->kind == WIRE_GAP) { /* the replica begins behind it */
		if (take->have_from)
			take->from = head->next;
		return 0;
	}
	if (rest)
		return 0;
	if (!take->replica->config.segment_size)
		take->replica->config.segment_size = take->about->segment_size;
	r = replica_open(take->replica, take->about->identity, seq,
	                 stream_of(head, body, size, seq));
	return r != 0 ? r : 1;
}

/* Records of a frame. */
static int append_frame(struct take *take, const struct wire_head *head, const void *body,
                        size_t size)
{
	struct replica *replica = take->replica;
	struct wire_record record = { .seq = head->first }, batch[REPLICA_BATCH];
	size_t at = 0, count = 0;
	uint32_t crc;
	int r = 0;

	while (r == 0 && wire_entry_next(body, size, &at, &record, &crc) == 1) {
		if (record.seq + 1 == replica->next && count == 0 &&
		    !replica_has_last(replica, &(struct wire_fingerprint){
						       .crc = crc, .time_ns = record.time_ns }))
			return -EEXIST;
		if (record.seq >= replica->next + count || wire_planted("fetch_doubles"))
			batch[count++] = record;
		if (count == REPLICA_BATCH) {
			r = replica_append(replica, batch, count);
			count = 0;
		}
		record.seq++;
	}
	return r == 0 && count > 0 ? replica_append(replica, batch, count) : r;
}

static int append_part(struct take *take, const struct wire_head *head, const void *body,
                       size_t size)
{
	struct wire_record record = take->joined;
	int r;

	take->joined.payload = NULL;
	if (record.payload && record.seq == head->first) { /* the same message again */
		r = replica_append(take->replica, &record, 1);
		if (r < 0)
			take->joined = record;
		return r;
	}
	if (head->part_offset > 0 && !take->join.active) { /* its beginning is gone */
		take->behind = head->first + 1;
		return take->gap_to >= take->behind ? 0 : -ERANGE;
	}
	r = wire_join_add(&take->join, head, body, size, &record);
	if (r != 1)
		return r;
	r = replica_append(take->replica, &record, 1);
	if (r < 0)
		take->joined = record;
	return r;
}

/* The replica is open. */
static int apply(struct take *take, const struct wire_head *head, const void *body, size_t size)
{
	struct replica *replica = take->replica;
	struct wire_record record;

	if (head->kind != WIRE_GAP && head->next == replica->next && head->next > head->first &&
	    !replica_has_last(replica, &head->last))
		return -EEXIST;
	if (head->next <= replica->next && head->first < replica->next)
		return 0; /* the replica has it */
	if (head->first > replica->next && wire_planted("fetch_closes_gaps"))
		return append_frame(take, head, body, size);
	/* a gap ends where the next message begins; it excuses no other one */
	if (head->first > replica->next && head->first != take->gap_to) {
		take->behind = head->first;
		return -ERANGE;
	}
	if (head->kind ==
	    WIRE_GAP) { /* with the next record, which says where the stream continues */
		take->gap_to = head->next;
		return 0;
	}
	if (head->first > replica->next) {
		int r = replica_skip(replica, head->first, head->have_stream ? head->stream : 0);

		if (r < 0)
			return r;
	}
	switch (head->kind) {
	case WIRE_PART:
		return append_part(take, head, body, size);
	case WIRE_RECORD:
		wire_record_of(head, body, size, &record);
		return replica_append(replica, &record, 1);
	case WIRE_FRAME:
	case WIRE_GAP: /* above */
	default:
		return append_frame(take, head, body, size);
	}
}

int take_message(struct take *take, natsMsg *message)
{
	const void *body = natsMsg_GetData(message);
	size_t size = (size_t)natsMsg_GetDataLength(message);
	struct wire_head head;
	int r;

	r = take_head(message, &head);
	if (r < 0)
		return r;
	r = wire_check(&head, body, size);
	if (r < 0)
		return r;
	if (!take->replica->writer) {
		r = begin(take, &head, body, size);
		if (r != 1)
			return r;
	}
	return apply(take, &head, body, size);
}
