/* SPDX-License-Identifier: Apache-2.0 */
/* tail.c - chronq tail: the last records, and those to come */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "shared/cli.h"

#define WAIT_MS 250 /* the longest delay until a signal or a closed output is noticed */

/*
 * A sequence number with at least `wanted` records at or behind it, from the summaries of the newest
 * segments: 1 with *ret_seq.  0: the summaries do not suffice (chronicle-rs writes none), or the beginning
 * of the queue is as good.
 */
static int find_start(cq_queue *queue, uint64_t wanted, uint64_t *ret_seq)
{
	struct cq_segment_info info = CQ_SIZED(info);
	cq_segment *segment;
	uint64_t found = 0;
	uint32_t *ids;
	size_t count;
	int r, result = 0;

	r = cq_queue_list(queue, &ids, &count);
	if (r < 0)
		return r;
	for (size_t i = count; i-- > 1 && result == 0;) {
		if (cq_segment_open(queue, ids[i], &segment) < 0)
			break;
		r = cq_segment_info(segment, CQ_SEGMENT_HEADER, &info);
		if (r == 0 && info.have_summary && !info.sealed)
			r = cq_segment_info(segment, CQ_SEGMENT_RECORDS, &info);
		cq_segment_close(segment);
		if (r < 0 || (!info.have_summary && info.sealed))
			break;
		if (!info.have_summary) /* prepared, not used yet */
			continue;
		found += info.records;
		if (found >= wanted) {
			*ret_seq = info.first_seq;
			result = 1;
		}
	}
	free(ids);
	return result;
}

/*
 * Where printing begins: behind the first `skip` records of a segment.  A place, not a number of records from
 * the start: segments may be deleted, and records appended, before the reader gets there.
 */
struct beginning {
	uint32_t segment;
	uint64_t skip;
};

/* The records of each segment that has any, in order. */
struct tally {
	struct segment_records {
		uint32_t segment;
		uint64_t records;
	} * segments;
	size_t count, room;
	uint64_t records; /* of all */
};

static int count_one(struct tally *tally, uint32_t segment)
{
	const size_t room = tally->room > 0 ? 2 * tally->room : 64;
	struct segment_records *grown;

	if (tally->count == 0 || tally->segments[tally->count - 1].segment != segment) {
		if (tally->count == tally->room) {
			grown = reallocarray(tally->segments, room, sizeof *grown);
			if (!grown) /* GCOV_EXCL_BR_LINE: no memory */
				return -ENOMEM;
			tally->segments = grown;
			tally->room = room;
		}
		tally->segments[tally->count++] = (struct segment_records){ .segment = segment };
	}
	tally->segments[tally->count - 1].records++;
	tally->records++;
	return 0;
}

/* Moves past what cq_reader_next() has failed on, as cli_step_over() does, without a message. */
static int pass(cq_reader *reader, int error)
{
	const int r = error == -EIO ? cq_reader_skip_record(reader, NULL) : 0;

	return r != 0 ? r : cq_reader_skip_segment(reader);
}

/* Counts the records from the reader's position to the end. */
static int count_records(cq_reader *reader, struct tally *tally)
{
	struct cq_record record;
	int r;

	tally->count = 0;
	tally->records = 0;
	while ((r = cq_reader_next(reader, &record)) != 0) {
		if (r > 0)
			r = count_one(tally, record.segment);
		else if ((r == -EIO || r == -EBADMSG) && pass(reader, r) <= 0)
			break;
		if (r < 0 && r != -ENODATA && r != -EIO && r != -EBADMSG)
			return r;
	}
	return 0;
}

/* Behind the beginning are `wanted` of the counted records, or all of them. */
static struct beginning find_beginning(const struct tally *tally, uint64_t wanted)
{
	struct beginning beginning = { 0 };
	size_t i = tally->count;
	uint64_t found = 0;

	while (i > 0 && found < wanted) {
		found += tally->segments[--i].records;
		beginning.segment = tally->segments[i].segment;
	}
	beginning.skip = found > wanted ? found - wanted : 0;
	return beginning;
}

/* Moves the reader before *ret_beginning.  Counts records from the place that the summaries give; if these are
 * wrong, as in a queue that two programs have written in turn, from the oldest record. */
static int place(cq_queue *queue, cq_reader *reader, uint64_t wanted,
                 struct beginning *ret_beginning)
{
	struct tally tally = { 0 };
	uint64_t seq = 0;
	int have_seq, r;

	r = have_seq = find_start(queue, wanted, &seq);
	if (have_seq > 0) {
		r = cq_reader_seek_seq(reader, seq);
		if (r == 0)
			r = count_records(reader, &tally);
		else if (r == -EIO || r == -EBADMSG) /* hidden by damage */
			r = 0;
	}
	if (r == 0 && have_seq > 0 && tally.records >= wanted) {
		r = cq_reader_seek_seq(reader, seq);
	} else if (r == 0) {
		r = cq_reader_seek_oldest(reader);
		if (r == 0)
			r = count_records(reader, &tally);
		if (r == 0)
			r = cq_reader_seek_oldest(reader);
	}
	if (r == 0)
		*ret_beginning = find_beginning(&tally, wanted);
	free(tally.segments);
	return r;
}

static bool print(const struct cq_record *record, bool json)
{
	return json ? cli_output_json(record) : cli_output_payload(record, true);
}

struct course {
	struct cq_reader_stats before; /* after counting, before printing */
	struct beginning beginning;
	int status; /* exit code */
	int stuck;  /* the error that the reader cannot pass, since nothing follows; 0: none */
};

/* Moves past missing or damaged records: 1.  0: nothing follows (yet); the message comes once. */
static int step_over(cq_reader *reader, struct course *c, int error)
{
	int r;

	c->status = CLI_PROBLEM;
	if (error == c->stuck)
		r = pass(reader, error);
	else
		r = cli_step_over(reader, &c->before, error);
	c->stuck = r == 0 ? error : 0;
	return r;
}

/* The next record; with a queue, the end is checked (cli_at_end()). */
static int next(cq_queue *queue, cq_reader *reader, struct cq_record *ret_record)
{
	int r = cq_reader_next(reader, ret_record);

	return r == 0 && queue ? cli_at_end(queue, reader, ret_record) : r;
}

/* Printing begins behind this record. */
static bool is_left_out(struct beginning *beginning, const struct cq_record *record)
{
	if (record->segment != beginning->segment)
		return record->segment < beginning->segment;
	if (beginning->skip == 0)
		return false;
	beginning->skip--;
	return true;
}

/* Prints from the beginning to the end of the queue.  1: the output is closed, or a signal came. */
static int print_rest(cq_queue *queue, cq_reader *reader, bool json, struct course *c)
{
	struct cq_record record;
	int r;

	while ((r = next(queue, reader, &record)) != 0) {
		if (r == -ENOLINK) {
			c->status = CLI_PROBLEM;
			return 0;
		}
		if (r < 0) {
			r = step_over(reader, c, r);
			if (r <= 0)
				return r;
			continue;
		}
		c->stuck = 0;
		if (is_left_out(&c->beginning, &record))
			continue;
		if (!print(&record, json) || cli_stopped)
			return 1;
	}
	return 0;
}

static int follow(cq_reader *reader, bool json, struct course *c)
{
	int r = 0;

	while (!cli_stopped && cli_output_flush() && !cli_output_closed()) {
		if (c->stuck !=
		    0) /* only a repair or a next segment helps: nothing notifies of these */
			(void)poll(NULL, 0, WAIT_MS);
		r = cq_reader_wait(reader, WAIT_MS);
		if (r > 0)
			r = print_rest(NULL, reader, json, c);
		if (r != 0 && r != -EINTR)
			break;
	}
	return r == -EINTR ? 0 : r;
}

static int show(const char *dir, uint64_t wanted, bool follows, bool json)
{
	struct course course = { .status = CLI_OK, .before = CQ_SIZED(course.before) };
	cq_queue *queue;
	cq_reader *reader;
	int r;

	r = cq_queue_open(dir, &queue);
	if (r < 0)
		return cli_fail(dir, r);
	/* not from the end, which damage may hide: place() does not need it */
	r = cq_reader_open(dir, NULL, wanted > 0 ? CQ_START_OLDEST : CQ_START_LATEST,
	                   follows ? 0 : CQ_READER_PASSIVE, &reader);
	if (r < 0) {
		course.status = cli_fail(dir, r);
		goto close_queue;
	}
	if (follows) {
		cli_stop_on(SIGINT);
		cli_stop_on(SIGTERM);
	}
	cli_output_begin();
	if (wanted > 0) {
		r = place(queue, reader, wanted, &course.beginning);
		cq_reader_stats(reader, &course.before);
		if (r == 0)
			r = print_rest(follows ? NULL : queue, reader, json, &course);
	}
	if (r == 0 && follows)
		r = follow(reader, json, &course);
	if (r < 0)
		course.status = cli_fail(dir, r);
	course.status = cli_output_end(course.status);
	cq_reader_close(reader);
close_queue:
	cq_queue_close(queue);
	return course.status;
}

static int run_tail(const struct cli_command *command, int argc, char **argv)
{
	static const struct option options[] = {
		{ "follow", no_argument, NULL, 'f' },
		{ "lines", required_argument, NULL, 'n' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	uint64_t wanted = 10;
	bool follows = false, json = false;
	const char *dir, *rest;
	int option;

	while ((option = cli_option(argc, argv, "fn:jh", options)) != -1) {
		switch (option) {
		case 'f':
			follows = true;
			break;
		case 'n':
			if (!cli_parse_number(optarg, &rest, &wanted) || *rest != '\0') {
				cli_note("not a number of records: %s", optarg);
				return cli_usage(command);
			}
			break;
		case 'j':
			json = true;
			break;
		default:
			return cli_other_option(command, option);
		}
	}
	dir = cli_directory(argc, argv);
	return dir ? show(dir, wanted, follows, json) : cli_usage(command);
}

const struct cli_command cli_tail = {
	.name = "tail",
	.arguments = "[-f] [-n N] [--json] DIR",
	.summary = "Writes the last records of a queue to standard output, one per line.",
	.help = "  -n, --lines N    the last N records; default 10\n"
		"  -f, --follow     then the records that are appended, until SIGINT, SIGTERM or\n"
		"                   until the output is closed\n"
		"  -j, --json       one JSON object per record and line, as cat --json\n"
		"  -h, --help       this text\n"
		"\n"
		"A payload that does not end in a newline gets one, so that each record begins\n"
		"on a line of its own; chronq cat writes the exact bytes. Leaves out missing or\n"
		"damaged records, with a message and exit code 1.\n",
	.run = run_tail,
};
