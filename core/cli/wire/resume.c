/* SPDX-License-Identifier: Apache-2.0 */
/* resume.c - where shipping continues; see resume.h. */
#include "resume.h"

#include <string.h>

#include "fault.h"

bool resume_same(const struct wire_fingerprint *a, const struct wire_fingerprint *b)
{
	if (wire_planted("fingerprint_not_compared"))
		return true;
	return a->crc == b->crc && a->time_ns == b->time_ns &&
	       (a->epoch == b->epoch || a->epoch == 0 || b->epoch == 0);
}

static void stop(struct resume_plan *plan, int code, uint64_t first, uint64_t next, const char *why)
{
	*plan = (struct resume_plan){
		.action = RESUME_STOP,
		.gap_first = first,
		.seq = next,
		.code = code,
		.why = why,
	};
}

/* Ships from record `seq`, if the queue has it; missing: why not, if it was trimmed. */
static void ship_from(const struct resume_queue *queue, const struct resume_stream *stream,
                      const struct resume_options *options, uint64_t seq, const char *missing,
                      struct resume_plan *plan)
{
	*plan = (struct resume_plan){
		.action = RESUME_SHIP,
		.seq = seq,
		.gap_first = seq,
		.expected_last = stream->last_sequence,
	};
	if (seq >= queue->first_seq)
		return;
	if (!options->accept_gap) {
		stop(plan, SHIP_MISSING, seq, queue->first_seq, missing);
		return;
	}
	plan->action = RESUME_GAP;
	plan->seq = queue->first_seq;
}

/* The stream has never had a message. */
static void never_written(const struct resume_queue *queue, const struct resume_stream *stream,
                          const struct resume_options *options, struct resume_plan *plan)
{
	if (stream->about.first > queue->next_seq)
		stop(plan, SHIP_DIFFERS, queue->next_seq, stream->about.first,
		     "the queue ends before the record with which the stream begins: it has lost records");
	else
		ship_from(queue, stream, options, stream->about.first,
		          "records were deleted from the queue before they came into the stream",
		          plan);
}

/* The stream has had messages and has none now. */
static void all_expired(const struct resume_queue *queue, const struct resume_stream *stream,
                        const struct resume_options *options, struct resume_plan *plan)
{
	if (stream->messages > 0)
		stop(plan, SHIP_DIFFERS, queue->committed, queue->committed,
		     "the stream's last message was deleted: nothing says what the stream has");
	else if (queue->committed > queue->next_seq)
		stop(plan, SHIP_DIFFERS, queue->next_seq, queue->committed,
		     "the queue has lost records that the stream had");
	else
		ship_from(queue, stream, options, queue->committed,
		          "records were deleted from the queue before they came into the stream",
		          plan);
}

/* The queue does not have the record that the last message is about: `seq`. */
static void not_comparable(const struct resume_queue *queue, const struct resume_stream *stream,
                           const struct resume_options *options, uint64_t seq,
                           struct resume_plan *plan)
{
	const uint64_t next = stream->last.next;

	if (seq >= queue->next_seq)
		stop(plan, SHIP_DIFFERS, queue->next_seq, seq + 1,
		     "the stream has records that the queue has lost");
	else if (seq >= queue->first_seq && !options->accept_gap)
		stop(plan, SHIP_DAMAGED, seq, seq + 1,
		     "the stream's last record is damaged or missing in the queue, so nothing says whether it is the same");
	else
		ship_from(queue, stream, options, next,
		          "the records behind the stream's last one were deleted from the queue",
		          plan);
}

/* The stream's last message is there. */
static void behind_last(const struct resume_queue *queue, const struct resume_stream *stream,
                        const struct resume_options *options, struct resume_plan *plan)
{
	const struct wire_head *last = &stream->last;
	const bool open = last->kind == WIRE_PART && last->next == last->first;
	const uint64_t seq = open ? last->first : last->next - 1;
	uint64_t have;

	if (last->kind == WIRE_GAP) {
		if (last->next > queue->next_seq)
			stop(plan, SHIP_DIFFERS, queue->next_seq, last->next,
			     "the stream has a gap behind which the queue has lost records");
		else
			ship_from(
				queue, stream, options, last->next,
				"the records behind the stream's last one were deleted from the queue",
				plan);
		return;
	}
	if (!queue->have_record) {
		not_comparable(queue, stream, options, seq, plan);
		return;
	}
	/* a part beyond the queue's record would continue with bytes behind it */
	if (!resume_same(&queue->record, &last->last) ||
	    (last->kind == WIRE_PART && last->part_length != queue->record_length &&
	     !wire_planted("part_length_not_compared"))) {
		stop(plan, SHIP_DIFFERS, seq, seq + 1,
		     "the stream's last record is another one than the queue's with its number");
		return;
	}
	*plan = (struct resume_plan){
		.action = RESUME_SHIP,
		.seq = last->next,
		.gap_first = last->next,
		.expected_last = stream->last_sequence,
	};
	if (!open || stream->last_size == 0)
		return; /* nothing of the next record, or so little known that it is sent from its beginning */
	have = last->part_offset + stream->last_size;
	if (have > last->part_offset && have < last->part_length)
		plan->part_offset = have;
}

void resume_decide(const struct resume_queue *queue, const struct resume_stream *stream,
                   const struct resume_options *options, struct resume_plan *ret_plan)
{
	static const uint8_t none[CQ_IDENTITY_SIZE];

	if (memcmp(queue->identity, none, sizeof none) == 0)
		stop(ret_plan, SHIP_FOREIGN, 0, 0,
		     "the queue has no identity yet: it gets one when it is opened for writing");
	else if (!stream->exists && options->had_stream)
		stop(ret_plan, SHIP_NO_STREAM, 0, 0, "the stream was deleted");
	else if (!stream->exists && !options->create)
		stop(ret_plan, SHIP_NO_STREAM, 0, 0,
		     "there is no stream of that name, and no --create");
	else if (!stream->exists)
		*ret_plan = (struct resume_plan){
			.action = RESUME_CREATE,
			.seq = queue->first_seq,
			.gap_first = queue->first_seq,
		};
	else if (stream->foreign)
		stop(ret_plan, SHIP_FOREIGN, 0, 0,
		     "the stream was not made by chronq ship, or by a later version");
	else if (memcmp(queue->identity, stream->about.identity, sizeof none) != 0)
		stop(ret_plan, SHIP_FOREIGN, 0, 0, "the stream belongs to another queue");
	else if (!options->any_format && options->format != stream->about.format)
		stop(ret_plan, SHIP_FOREIGN, 0, 0,
		     stream->about.format == STREAM_RECORDS
		             ? "the stream has one record in a message (--per-record)"
		             : "the stream has frames of records (--frame)");
	else if (options->frame_size != 0 && stream->about.frame_size != 0 &&
	         options->frame_size != stream->about.frame_size)
		stop(ret_plan, SHIP_FOREIGN, 0, 0,
		     "the stream has frames of another size (--frame)");
	else if (stream->last_sequence == 0)
		never_written(queue, stream, options, ret_plan);
	else if (!stream->have_last)
		all_expired(queue, stream, options, ret_plan);
	else
		behind_last(queue, stream, options, ret_plan);
	if (wire_planted("resume_from_local_file") && ret_plan->action == RESUME_SHIP) {
		ret_plan->seq = ret_plan->gap_first = queue->committed;
		ret_plan->part_offset = 0;
	}
}

uint32_t backoff_next_ms(struct backoff *backoff, uint32_t random)
{
	const uint32_t least = 100, most = 5000;
	uint32_t pause = most;

	/* 100 ms doubled six times is more than 5 s. */
	if (backoff->tries < 6)
		pause = least << backoff->tries++;
	pause = pause < most ? pause : most;
	return pause - pause / 10 + random % (pause / 5 + 1);
}
