/* SPDX-License-Identifier: Apache-2.0 */
/* tail.c - chronq tail: the last records, and those to come */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "read/format.h"
#include "read/named.h"
#include "read/selection.h"
#include "shared/cli.h"
#include "shared/time.h"

#define WAIT_MS 250 /* the longest delay until a signal or a closed output is noticed */
#define ALL UINT64_MAX
#define FURTHER 16 /* times as many records are looked at where too few were selected */

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

/* The selected records of each segment that has any, in order. */
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

/* Counts the selected records from the reader's position to the end. */
static int count_records(cq_queue *queue, cq_reader *reader, const struct cli_selection *selection,
                         struct tally *tally)
{
	struct cli_until until = { .known = false };
	struct cq_record record;
	int r;

	tally->count = 0;
	tally->records = 0;
	while ((r = cq_reader_next(reader, &record)) != 0) {
		if (r > 0 && cli_selection_is_over(selection, queue, &record, &until))
			break;
		if (r > 0)
			r = cli_selection_has(selection, &record) > 0
			            ? count_one(tally, record.segment)
			            : 0;
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

/*
 * Moves the reader to a place with at least `among` records behind it, by the summaries, and counts those that are
 * selected.  1; 0: the summaries do not tell, or damage hides the place.
 */
static int count_among(cq_queue *queue, cq_reader *reader, const struct cli_selection *selection,
                       uint64_t among, struct tally *tally, uint64_t *ret_seq)
{
	int r;

	r = find_start(queue, among, ret_seq);
	if (r <= 0)
		return r;
	r = cq_reader_seek_seq(reader, *ret_seq);
	if (r == -EIO || r == -EBADMSG)
		return 0;
	if (r == 0)
		r = count_records(queue, reader, selection, tally);
	return r < 0 ? r : 1;
}

/* Moves the reader before *ret_beginning.  Counts records from the place that the summaries give, and from
 * further back while too few are selected; if the summaries are wrong, as in a queue that two programs have
 * written in turn, from the oldest record. */
static int place(cq_queue *queue, cq_reader *reader, const struct cli_selection *selection,
                 uint64_t wanted, struct beginning *ret_beginning)
{
	struct tally tally = { 0 };
	uint64_t seq = 0, among = wanted;
	int r = 1;

	if (wanted == ALL) { /* nothing is to be left out */
		r = cq_reader_seek_oldest(reader);
		return r < 0 ? r : cli_selection_seek(selection, queue, reader);
	}
	while (r > 0 && tally.records < wanted) {
		r = count_among(queue, reader, selection, among, &tally, &seq);
		if (r > 0 && tally.records < wanted && !selection->is_any)
			r = 0;
		among = among > ALL / FURTHER ? ALL : among * FURTHER;
	}
	if (r > 0) {
		r = cq_reader_seek_seq(reader, seq);
	} else if (r == 0) {
		r = cq_reader_seek_oldest(reader);
		if (r == 0)
			r = cli_selection_seek(selection, queue, reader);
		if (r == 0)
			r = count_records(queue, reader, selection, &tally);
		if (r == 0)
			r = cq_reader_seek_oldest(reader);
		if (r == 0)
			r = cli_selection_seek(selection, queue, reader);
	}
	if (r == 0)
		*ret_beginning = find_beginning(&tally, wanted);
	free(tally.segments);
	return r;
}

struct course {
	struct cli_named named;
	uint64_t wanted;
	bool follows;
	struct cli_selection selection;
	struct cli_style style;
	struct cli_until until;
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

/* 1: the record was written, or is not to be; 0: the output is closed, or a signal came. */
static int print_one(struct course *c, const struct cq_record *record)
{
	const int r = cli_selection_has(&c->selection, record);

	if (r < 0) {
		cli_selection_say_slow(record);
		c->status = CLI_PROBLEM;
	}
	if (r > 0 && !is_left_out(&c->beginning, record) && !cli_style_write(&c->style, record))
		return 0;
	return cli_named_passed(&c->named, record) && !cli_stopped;
}

/* Prints from the beginning to the end of the queue.  1: the output is closed, a signal came, or a named reader has
 * to end here. */
static int print_rest(cq_queue *queue, cq_reader *reader, struct course *c)
{
	struct cq_record record;
	int r;

	while ((r = next(c->follows ? NULL : queue, reader, &record)) != 0) {
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
		if (c->named.name && cli_named_ends_before(&c->named, &c->selection, &record))
			return 1;
		if (!c->follows && cli_selection_is_over(&c->selection, queue, &record, &c->until))
			return 0;
		if (!print_one(c, &record))
			return 1;
	}
	return 0;
}

/* Ends when a record of now would not be selected, too. */
static int follow(cq_queue *queue, cq_reader *reader, struct course *c)
{
	bool over = false;
	int r = 0;

	while (!over && !cli_stopped && cli_named_commit(&c->named) && !cli_output_closed()) {
		over = c->selection.have_until && cli_now_ns() > c->selection.until;
		if (c->stuck != 0 && !over)
			/* only a repair or a next segment helps: nothing notifies of these */
			(void)poll(NULL, 0, WAIT_MS);
		r = cq_reader_wait(reader, over ? 0 : WAIT_MS);
		if (r > 0)
			r = print_rest(queue, reader, c);
		if (r != 0 && r != -EINTR)
			break;
	}
	return r == -EINTR ? 0 : r;
}

/* Opens the reader that prints: the named one, or one for the last records.  CLI_OK, or the exit code. */
static int open_reader(const char *dir, struct course *c, cq_reader **ret_reader)
{
	int r;

	if (c->named.name)
		return cli_named_open(&c->named, dir, ret_reader);
	/* not from the end, which damage may hide: place() does not need it */
	r = cq_reader_open(dir, NULL, c->wanted > 0 ? CQ_START_OLDEST : CQ_START_LATEST,
	                   c->follows ? 0 : CQ_READER_PASSIVE, ret_reader);
	return r < 0 ? cli_fail(dir, r) : CLI_OK;
}

static int show(const char *dir, struct course *c)
{
	cq_queue *queue;
	cq_reader *reader;
	int r;

	r = cq_queue_open(dir, &queue);
	if (r < 0)
		return cli_fail(dir, r);
	c->status = open_reader(dir, c, &reader);
	if (c->status != CLI_OK)
		goto close_queue;
	if (c->follows) {
		cli_stop_on(SIGINT);
		cli_stop_on(SIGTERM);
	}
	cli_output_begin();
	if (c->wanted > 0) { /* always with a named reader */
		if (!c->named.name)
			r = place(queue, reader, &c->selection, c->wanted, &c->beginning);
		cq_reader_stats(reader, &c->before);
		if (r == 0)
			r = print_rest(queue, reader, c);
	}
	if (r == 0 && c->follows)
		r = follow(queue, reader, c);
	if (r < 0)
		c->status = cli_fail(dir, r);
	c->status = cli_output_end(cli_named_end(&c->named, c->status));
	cq_reader_close(reader);
close_queue:
	cq_queue_close(queue);
	return c->status;
}

/* Returns CLI_OK; or else, or with *ret_done, the exit code. */
static int take_options(const struct cli_command *command, int argc, char **argv, struct course *c,
                        bool *ret_done)
{
	static const struct option options[] = {
		{ "follow", no_argument, NULL, 'f' },
		{ "lines", required_argument, NULL, 'n' },
		CLI_SELECTION_OPTIONS,
		{ "format", required_argument, NULL, 'F' },
		CLI_NAMED_OPTIONS,
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	bool have_wanted = false;
	const char *rest;
	int option;

	while ((option = cli_option(argc, argv,
	                            "fn:" CLI_SELECTION_LETTERS "F:" CLI_NAMED_LETTERS "jh",
	                            options)) != -1) {
		switch (option) {
		case 'f':
			c->follows = true;
			break;
		case 'n':
			if (!cli_parse_number(optarg, &rest, &c->wanted) || *rest != '\0') {
				cli_note("not a number of records: %s", optarg);
				return cli_usage(command);
			}
			have_wanted = true;
			break;
		case 'S':
		case 'U':
		case 't':
		case 'g':
			if (!cli_selection_take(&c->selection, option, optarg))
				return cli_usage(command);
			break;
		case 'F':
			c->style.format = optarg;
			break;
		case 'r':
		case 'C':
			if (!cli_named_take(&c->named, option, optarg))
				return cli_usage(command);
			break;
		case 'j':
			c->style.json = true;
			break;
		default:
			*ret_done = true;
			return cli_other_option(command, option);
		}
	}
	if (c->selection.have_since && !have_wanted)
		c->wanted = ALL;
	if (c->named.name && have_wanted) {
		cli_note("a named reader has its own position: --lines does not go with --reader");
		return cli_usage(command);
	}
	if (!cli_selection_check(&c->selection) || !cli_style_check(&c->style) ||
	    !cli_named_check(&c->named))
		return cli_usage(command);
	return CLI_OK;
}

static int run_tail(const struct cli_command *command, int argc, char **argv)
{
	struct course course = { .wanted = 10,
		                 .style = { .line = true },
		                 .status = CLI_OK,
		                 .before = CQ_SIZED(course.before) };
	bool done = false;
	const char *dir;
	int r;

	r = take_options(command, argc, argv, &course, &done);
	if (r == CLI_OK && !done) {
		dir = cli_directory(argc, argv);
		r = dir ? show(dir, &course) : cli_usage(command);
	}
	cli_selection_free(&course.selection);
	return r;
}

const struct cli_command cli_tail = {
	.name = "tail",
	.arguments = "[-f] [-n N | " CLI_NAMED_ARGUMENTS "]\n"
		     "                   " CLI_SELECTION_ARGUMENTS "\n"
		     "                   [--format F | --json] DIR",
	.summary = "Writes the last records of a queue to standard output, one per line.",
	.help = "  -n, --lines N    the last N of the selected records; default 10, with --since\n"
		"                   all\n"
		"  -f, --follow     then the records that are appended, until SIGINT, SIGTERM or\n"
		"                   until the output is closed; with --until, until that time has\n"
		"                   passed\n" CLI_NAMED_HELP CLI_SELECTION_HELP CLI_FORMAT_HELP
		"  -j, --json       one JSON object per record and line, as cat --json\n"
		"  -h, --help       this text\n"
		"\n"
		"A payload that does not end in a newline gets one, so that each record begins\n"
		"on a line of its own; chronq cat writes the exact bytes. Leaves out missing or\n"
		"damaged records, with a message and exit code 1.\n",
	.run = run_tail,
};
