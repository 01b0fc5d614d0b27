/* SPDX-License-Identifier: Apache-2.0 */
/* queue_side.c - see queue_side.h */
#include "check/queue_side.h"

#include <errno.h>
#include <string.h>

#include "shared/cli.h"
#include "wire/wire.h"

#define BATCH_BYTES (4U << 20)

static void find_committed(struct queue_side *side)
{
	struct cq_reader_info info = CQ_SIZED(info);

	side->committed = UINT64_MAX;
	if (cq_queue_reader(side->queue, "ship", &info) == 0 && info.have_seq)
		side->committed = info.seq;
}

static int look(struct queue_side *side, bool visible)
{
	struct cq_queue_info info = CQ_SIZED(info);
	int r = cq_queue_info(side->queue, &info);

	if (r < 0)
		return cli_fail(side->dir, r);
	if (!info.have_identity) {
		cli_note("%s: no writer of this version has opened the queue yet", side->dir);
		return CLI_IO;
	}
	if (!info.have_bounds) {
		cli_note("%s: damage hides which records the queue has (chronq verify)", side->dir);
		return CLI_IO;
	}
	memcpy(side->identity, info.identity, sizeof side->identity);
	side->replica = info.replica;
	memcpy(side->source, info.source, sizeof side->source);
	side->side.begins = info.first_seq;
	side->expected = info.next_seq;
	if (!visible && info.have_durable && info.durable_seq < info.next_seq)
		side->expected = info.durable_seq;
	if (side->expected <
	    info.first_seq) /* retention has deleted what is not known to be durable */
		side->expected = info.first_seq;
	return CLI_OK;
}

int queue_side_open(struct queue_side *side, const char *dir, bool visible)
{
	int r;

	side->dir = dir;
	r = cq_queue_open(dir, &side->queue);
	if (r < 0)
		return cli_fail(dir, r);
	r = look(side, visible);
	if (r != CLI_OK)
		return r;
	r = cq_reader_open(dir, NULL, CQ_START_OLDEST, CQ_READER_PASSIVE, &side->reader);
	if (r < 0)
		return cli_fail(dir, r);
	find_committed(side);
	return CLI_OK;
}

void queue_side_close(struct queue_side *side)
{
	cq_reader_close(side->reader);
	cq_queue_close(side->queue);
}

/* Records before the next one are gone.  If retention has deleted them, the queue begins later now. */
static void look_for_trims(struct queue_side *side, uint64_t next)
{
	struct cq_queue_info info = CQ_SIZED(info);

	if (cq_queue_info(side->queue, &info) == 0 && info.have_bounds && info.first_seq >= next)
		side->side.begins = next;
}

/* After an error of the reader.  1: it may be called again; 0: there is nothing behind the damage; or the error. */
static int pass(struct queue_side *side, int error)
{
	struct cq_record record;
	int r = 0;

	if (error == -ENODATA)
		return 1; /* the next record tells how many are missing */
	if (error != -EIO && error != -EBADMSG)
		return error;
	side->damaged = true;
	if (error == -EIO)
		r = cq_reader_skip_record(side->reader, &record);
	if (r == 0)
		r = cq_reader_skip_segment(side->reader);
	return r;
}

/* Reads more.  1: the batch has records; 0: there are no more. */
static int fill(struct queue_side *side)
{
	ssize_t n;
	int r;

	side->at = side->count = 0;
	for (;;) {
		n = cq_reader_next_batch(side->reader, side->batch, QUEUE_SIDE_BATCH, BATCH_BYTES);
		if (n >= 0)
			break;
		r = pass(side, (int)n);
		if (r <= 0)
			return r;
	}
	side->count = (size_t)n;
	return n > 0;
}

static int give(struct queue_side *side, enum compare_state state, uint64_t next, uint32_t crc,
                struct compare_item *ret_item)
{
	*ret_item = (struct compare_item){
		.state = state, .first = side->next, .next = next, .crc = crc
	};
	side->next = next;
	return 1;
}

/* At the end: what is damaged there is an item, too. */
static int end(struct queue_side *side, struct compare_item *ret_item)
{
	if (!side->damaged || side->next >= side->expected)
		return 0;
	side->damaged = false;
	return give(side, COMPARE_DAMAGED, side->expected, 0, ret_item);
}

static int next_item(void *arg, struct compare_item *ret_item)
{
	struct queue_side *side = arg;
	const struct cq_record *record;
	struct wire_record copy;
	int r;

	if (side->skip_to > side->next)
		return give(side, COMPARE_RECORD, side->skip_to, 0, ret_item);
	if (side->next >= side->limit)
		return 0;
	if (side->at == side->count) {
		r = fill(side);
		if (r <= 0)
			return r < 0 ? side->error = r : end(side, ret_item);
	}
	record = &side->batch[side->at];
	if (record->seq >= side->limit)
		return end(side, ret_item);
	if (record->seq > side->next && side->damaged) {
		side->damaged = false;
		return give(side, COMPARE_DAMAGED, record->seq, 0, ret_item);
	}
	if (record->seq < side->next)
		return side->error = -EBADMSG; /* numbers go back: no stream can have that */
	if (record->seq > side->next)
		look_for_trims(side, record->seq);
	side->damaged = false;
	side->at++;
	side->next = record->seq;
	copy = (struct wire_record){
		.seq = record->seq,
		.time_ns = record->time_ns,
		.payload = record->payload,
		.length = record->length,
		.type = record->type,
	};
	return give(side, COMPARE_RECORD, record->seq + 1, wire_crc(&copy), ret_item);
}

int queue_side_begin(struct queue_side *side, uint64_t stream_begins, uint64_t limit)
{
	side->side.next = next_item;
	side->side.arg = side;
	side->next = side->side.begins;
	side->limit = limit;
	if (stream_begins > limit)
		stream_begins = limit;
	if (stream_begins <= side->next)
		return cq_reader_seek_seq(side->reader, side->next);
	side->skip_to = stream_begins;
	return cq_reader_seek_seq(side->reader, stream_begins);
}
