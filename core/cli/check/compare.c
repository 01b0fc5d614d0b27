/* SPDX-License-Identifier: Apache-2.0 */
/* compare.c - see compare.h */
#include "check/compare.h"

#include <stddef.h>

#include "wire/fault.h"

/* A side, with its item that is not compared yet. */
struct cursor {
	struct compare_side *side;
	struct compare_item item; /* valid with have; item.first: what is left of it */
	bool have;
};

struct comparing {
	struct cursor stream, queue;
	uint64_t at;               /* all below is compared */
	struct compare_range open; /* not reported yet; empty: first = next */
	void (*range)(void *arg, const struct compare_range *range);
	void *arg;
	struct compare_result *result;
};

const char *compare_text(enum compare_finding finding)
{
	static const char *const texts[COMPARE_FINDINGS] = {
		[COMPARE_SAME] = "the same",
		[COMPARE_DIFFERENT] = "different",
		[COMPARE_QUEUE_ONLY] = "only in the queue",
		[COMPARE_STREAM_ONLY] = "only in the stream",
		[COMPARE_NEITHER] = "in neither",
		[COMPARE_ACCEPTED] = "missing, which was accepted",
		[COMPARE_QUEUE_DAMAGED] = "damaged in the queue",
		[COMPARE_STREAM_DAMAGED] = "damaged in the stream",
		[COMPARE_REPEATED] = "again in the stream",
	};

	return texts[finding];
}

static void report(struct comparing *c)
{
	const struct compare_range *range = &c->open;
	const uint64_t numbers = range->next - range->first;

	if (numbers == 0)
		return;
	c->result->numbers[range->finding] += numbers;
	if (!range->expected)
		c->result->faults += numbers;
	c->range(c->arg, range);
	c->open.first = c->open.next;
}

static void add(struct comparing *c, enum compare_finding finding, uint64_t first, uint64_t next,
                bool expected)
{
	struct compare_range *open = &c->open;

	if (open->first == open->next || open->finding != finding || open->expected != expected ||
	    open->next != first) {
		report(c);
		*open = (struct compare_range){ .finding = finding,
			                        .first = first,
			                        .expected = expected };
	}
	open->next = next;
}

/* Has an item of this side that is not compared yet, or none as there are no more. */
static int fill(struct comparing *c, struct cursor *cursor)
{
	struct compare_item *item = &cursor->item;
	int r;

	while (!cursor->have) {
		r = cursor->side->next(cursor->side->arg, item);
		if (r <= 0)
			return r;
		if (item->first < c->at) {
			const uint64_t next = item->next < c->at ? item->next : c->at;

			add(c, COMPARE_REPEATED, item->first, next, false);
			item->first = next;
		}
		cursor->have = item->first < item->next;
	}
	return 0;
}

/* Whether the side has the number at `at`, and the number up to which that stays so, at most `limit`. */
static bool has(const struct cursor *cursor, uint64_t at, uint64_t *limit)
{
	const uint64_t change = !cursor->have             ? *limit
	                        : cursor->item.first > at ? cursor->item.first
	                                                  : cursor->item.next;

	if (change < *limit)
		*limit = change;
	return cursor->have && cursor->item.first <= at;
}

static enum compare_finding judge(const struct compare_item *stream,
                                  const struct compare_item *queue)
{
	if (stream && stream->state == COMPARE_DAMAGED)
		return COMPARE_STREAM_DAMAGED;
	if (stream && stream->state == COMPARE_GAP)
		return queue && queue->state == COMPARE_RECORD ? COMPARE_QUEUE_ONLY
		                                               : COMPARE_ACCEPTED;
	if (queue && queue->state == COMPARE_DAMAGED)
		return COMPARE_QUEUE_DAMAGED;
	if (stream && queue)
		return stream->crc == queue->crc || wire_planted("check_believes_numbers")
		               ? COMPARE_SAME
		               : COMPARE_DIFFERENT;
	return stream ? COMPARE_STREAM_ONLY : queue ? COMPARE_QUEUE_ONLY : COMPARE_NEITHER;
}

/* Up to where the finding is expected, since a side has deleted its older records; 0: nowhere. */
static uint64_t expected_below(const struct comparing *c, enum compare_finding finding)
{
	const uint64_t stream = c->stream.side->begins, queue = c->queue.side->begins;

	switch (finding) {
	case COMPARE_SAME:
	case COMPARE_ACCEPTED:
		return UINT64_MAX;
	case COMPARE_QUEUE_ONLY:
		return stream;
	case COMPARE_STREAM_ONLY:
		return queue;
	case COMPARE_NEITHER:
		return stream < queue ? stream : queue;
	case COMPARE_DIFFERENT:
	case COMPARE_QUEUE_DAMAGED:
	case COMPARE_STREAM_DAMAGED:
	case COMPARE_REPEATED:
	case COMPARE_FINDINGS:
		break;
	}
	return 0;
}

static void leave_behind(struct cursor *cursor, uint64_t at)
{
	if (!cursor->have || cursor->item.first >= at)
		return;
	cursor->item.first = at;
	cursor->have = at < cursor->item.next;
}

/* Compares the numbers from `at` on, as far as both sides say the same of them. */
static void step(struct comparing *c)
{
	uint64_t next = UINT64_MAX, below;
	const bool in_stream = has(&c->stream, c->at, &next),
		   in_queue = has(&c->queue, c->at, &next);
	const enum compare_finding finding =
		judge(in_stream ? &c->stream.item : NULL, in_queue ? &c->queue.item : NULL);

	below = expected_below(c, finding);
	if (below > c->at && below < next)
		next = below;
	add(c, finding, c->at, next, below > c->at);
	c->at = next;
	leave_behind(&c->stream, next);
	leave_behind(&c->queue, next);
}

/* The first number that a side says something of. */
static uint64_t lowest(const struct comparing *c)
{
	if (!c->queue.have || (c->stream.have && c->stream.item.first < c->queue.item.first))
		return c->stream.item.first;
	return c->queue.item.first;
}

int compare(struct compare_side *stream, struct compare_side *queue,
            void (*range)(void *arg, const struct compare_range *range), void *arg,
            struct compare_result *result)
{
	struct comparing c = {
		.stream.side = stream,
		.queue.side = queue,
		.range = range,
		.arg = arg,
		.result = result,
	};
	bool begun = false;
	int r;

	*result = (struct compare_result){ .faults = 0 };
	for (;;) {
		r = fill(&c, &c.stream);
		if (r == 0)
			r = fill(&c, &c.queue);
		if (r < 0 || (!c.stream.have && !c.queue.have))
			break;
		if (!begun)
			c.at = lowest(&c);
		begun = true;
		step(&c);
	}
	report(&c);
	return r;
}
