/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check.c - see check.h
 *
 * A shipper may run meanwhile.  Which records the queue has is asked before the stream is: so a shipper that keeps up
 * is not behind, and what it ships later is not compared.
 */
#include "check/check.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "check/queue_side.h"
#include "check/stream_side.h"
#include "shared/cli.h"
#include "wire/resume.h"

struct check {
	const struct check_options *options;
	struct queue_side queue;
	struct stream_side stream;
	uint64_t unreadable; /* messages */
};

static void print_numbers(const char *one, uint64_t first, uint64_t next)
{
	cli_meter_clear(); /* standard output may be the same terminal */
	if (next - first == 1)
		printf("%s %" PRIu64, one, first);
	else
		printf("%ss %" PRIu64 " to %" PRIu64, one, first, next - 1);
}

/* Why records that one side does not have are no fault. */
static const char *explain(const struct compare_range *range)
{
	static const char *const texts[COMPARE_FINDINGS] = {
		[COMPARE_QUEUE_ONLY] = ": the stream begins behind them",
		[COMPARE_STREAM_ONLY] = ": the queue begins behind them",
		[COMPARE_NEITHER] = ": both begin behind them",
	};

	return range->expected && texts[range->finding] ? texts[range->finding] : "";
}

static void print_range(void *arg, const struct compare_range *range)
{
	(void)arg;
	print_numbers("record", range->first, range->next);
	printf(": %s%s\n", compare_text(range->finding), explain(range));
}

static void print_unreadable(void *arg, uint64_t first, uint64_t next)
{
	struct check *check = arg;

	check->unreadable += next - first;
	print_numbers("message", first, next);
	puts(" of the stream: lost, or not of chronq ship");
}

static int print_summary(const struct check *check, const struct compare_result *result)
{
	const char *between = ": ";
	const bool same = result->faults == 0 && check->unreadable == 0;

	fputs(same ? "sound" : "not as it should be", stdout);
	for (enum compare_finding i = COMPARE_SAME; i < COMPARE_FINDINGS; i++) {
		if (result->numbers[i] == 0 && i != COMPARE_SAME)
			continue;
		printf("%s%" PRIu64 " %s", between, result->numbers[i], compare_text(i));
		between = ", ";
	}
	if (check->unreadable > 0)
		printf("; %" PRIu64 " messages of the stream cannot be read", check->unreadable);
	putchar('\n');
	return same ? CLI_OK : CLI_PROBLEM;
}

static int compare_both(struct check *check)
{
	struct queue_side *queue = &check->queue;
	struct stream_side *stream = &check->stream;
	struct compare_result result;
	uint64_t next;
	int r;

	r = stream_side_begin(stream, queue->committed, &next);
	if (r != CLI_OK)
		return r;
	r = queue_side_begin(queue, stream->side.begins,
	                     next > queue->expected ? next : queue->expected);
	if (r < 0)
		return cli_fail(check->options->dir, r);
	r = compare(&stream->side, &queue->side, print_range, NULL, &result);
	if (queue->error < 0)
		return cli_fail(check->options->dir, queue->error);
	return r < 0 ? CLI_IO : print_summary(check, &result);
}

/* The stream is this queue's; or a replica's source's. */
static bool is_of_queue(const struct check *check)
{
	const uint8_t *identity = check->stream.about.identity;

	return memcmp(identity, check->queue.identity, CQ_IDENTITY_SIZE) == 0 ||
	       (check->queue.replica &&
	        memcmp(identity, check->queue.source, CQ_IDENTITY_SIZE) == 0);
}

int check_run(const struct check_options *options)
{
	struct check check = {
		.options = options,
		.stream.unreadable = print_unreadable,
		.stream.unreadable_arg = &check,
	};
	int r = queue_side_open(&check.queue, options->dir, options->visible);

	if (r != CLI_OK)
		goto close_queue;
	r = stream_side_open(&check.stream, options->ship);
	if (r == CLI_OK && !is_of_queue(&check)) {
		cli_note("%s: the stream is of another queue than %s", options->ship->url.name,
		         options->dir);
		r = SHIP_FOREIGN;
	}
	if (r == CLI_OK)
		r = compare_both(&check);
	stream_side_close(&check.stream);
	(void)nats_CloseAndWait(1000);
close_queue:
	queue_side_close(&check.queue);
	return r;
}
