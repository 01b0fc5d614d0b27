/* SPDX-License-Identifier: Apache-2.0 */
/* cat.c - chronq cat: the records of a queue, all or a selection */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "read/cat.h"
#include "read/format.h"
#include "read/named.h"
#include "read/selection.h"
#include "shared/cli.h"

struct range {
	bool given;
	uint64_t first;
	uint64_t last;
};

/* A, A-B or A- */
static bool parse_range(const char *text, struct range *ret_range)
{
	struct range range = { .given = true };
	const char *rest;

	if (!cli_parse_number(text, &rest, &range.first))
		return false;
	range.last = range.first;
	if (rest[0] == '-' && rest[1] == '\0')
		range.last = UINT64_MAX;
	else if (rest[0] == '-' && !cli_parse_number(rest + 1, &rest, &range.last))
		return false;
	else if (*rest != '\0')
		return false;
	if (range.last < range.first)
		return false;
	*ret_range = range;
	return true;
}

int cli_step_over(cq_reader *reader, const struct cq_reader_stats *before, int error)
{
	struct cq_reader_stats stats = CQ_SIZED(stats);
	struct cq_record record;
	int r;

	cq_reader_stats(reader, &stats);
	switch (-error) {
	case ENODATA:
		cli_note("records are missing before segment %09" PRIu32 " offset %" PRIu64
		         " (so far: %" PRIu64 " segments, %" PRIu64 " records)",
		         stats.segment, stats.offset, stats.gap_segments - before->gap_segments,
		         stats.gap_records - before->gap_records);
		return 1;
	case EIO:
		r = cq_reader_skip_record(reader, &record);
		if (r > 0)
			cli_note("damaged at segment %09" PRIu32 " offset %" PRIu64
			         ": record %" PRIu64 " is left out",
			         stats.segment, stats.offset, record.seq);
		if (r != 0)
			return r;
		cli_note("damaged at segment %09" PRIu32 " offset %" PRIu64
		         ": the rest of this segment is left out",
		         stats.segment, stats.offset);
		return cq_reader_skip_segment(reader);
	case EBADMSG:
		cli_note("a segment file does not belong to this queue: left out");
		return cq_reader_skip_segment(reader);
	default:
		return error;
	}
}

/* A segment behind this one holds a record. */
static bool is_more_behind(cq_queue *queue, uint32_t segment)
{
	struct cq_segment_info info = CQ_SIZED(info);
	uint32_t oldest, newest, *ids;
	bool found = false;
	cq_segment *next;
	size_t count;

	if (cq_queue_ends(queue, &oldest, &newest) < 0 || newest <= segment ||
	    cq_queue_list(queue, &ids, &count) < 0)
		return false;
	/* listed, not counted up: the last name may be far away */
	for (size_t i = 0; i < count && !found; i++) {
		if (ids[i] <= segment || cq_segment_open(queue, ids[i], &next) < 0)
			continue;
		found = cq_segment_info(next, CQ_SEGMENT_RECORDS, &info) == 0 && info.records > 0;
		cq_segment_close(next);
	}
	free(ids);
	return found;
}

int cli_at_end(cq_queue *queue, cq_reader *reader, struct cq_record *ret_record)
{
	struct cq_reader_stats stats = CQ_SIZED(stats);
	int r;

	cq_reader_stats(reader, &stats);
	if (!is_more_behind(queue, stats.segment))
		return 0;
	/* a writer may have got there meanwhile */
	r = cq_reader_next(reader, ret_record);
	if (r != 0)
		return r;
	cli_note("segment %09" PRIu32
	         " is not sealed, and later segments hold records: these are left out",
	         stats.segment);
	return -ENOLINK;
}

struct course {
	const char *what; /* for the progress */
	struct range range;
	struct cli_named named;
	struct cli_selection selection;
	struct cli_style style;
};

/* The first record of the range, or of what is left of it, has come: says if it is not the range's. */
static int check_first(const char *dir, const struct range *range, uint64_t seq)
{
	if (!range->given || seq <= range->first)
		return CLI_OK;
	cli_note("%s: no record %" PRIu64 "; the next one is %" PRIu64, dir, range->first, seq);
	return CLI_PROBLEM;
}

/* 1: it was selected and written, or it was not selected; 0: the output has ended. */
static int print_selected(struct course *c, const struct cq_record *record, int *status)
{
	const int r = cli_selection_has(&c->selection, record);

	if (r < 0) {
		cli_selection_say_slow(record);
		*status = CLI_PROBLEM;
	}
	if (r > 0 && !cli_style_write(&c->style, record))
		return 0;
	return cli_named_passed(&c->named, record) && !cli_stopped;
}

/* Prints what is selected, up to the end of the queue.  Returns the exit code. */
static int print_range(const char *dir, cq_queue *queue, cq_reader *reader, struct course *c)
{
	const struct cq_reader_stats nothing = CQ_SIZED(nothing);
	const struct range *range = &c->range;
	struct cli_until until = { .known = false };
	struct cq_record record;
	bool any = false;
	int status = CLI_OK, r;

	for (;;) {
		r = cq_reader_next(reader, &record);
		if (r == 0)
			r = cli_at_end(queue, reader, &record);
		if (r == -ENOLINK)
			status = CLI_PROBLEM;
		if (r == 0 || r == -ENOLINK)
			break;
		if (r < 0) {
			status = CLI_PROBLEM;
			r = cli_step_over(reader, &nothing, r);
			if (r < 0)
				return cli_fail(dir, r);
			if (r == 0)
				break;
			continue;
		}
		if (range->given && record.seq > range->last)
			break;
		if (!any && check_first(dir, range, record.seq) != CLI_OK)
			status = CLI_PROBLEM;
		any = true;
		if (c->named.name ? cli_named_ends_before(&c->named, &c->selection, &record)
		                  : cli_selection_is_over(&c->selection, queue, &record, &until))
			break;
		cli_meter_at_record(&record);
		if (!print_selected(c, &record, &status))
			break;
	}
	if (range->given && !any) {
		cli_note("%s: no record %" PRIu64, dir, range->first);
		status = CLI_PROBLEM;
	}
	return status;
}

/* Opens the reader, and moves it to where printing begins.  CLI_OK, or the exit code, after a message. */
static int open_reader(const char *dir, cq_queue *queue, struct course *c, cq_reader **ret_reader)
{
	cq_reader *reader;
	int r;

	if (c->named.name)
		return cli_named_open(&c->named, dir, ret_reader);
	r = cq_reader_open(dir, NULL, CQ_START_OLDEST, CQ_READER_PASSIVE, &reader);
	if (r < 0)
		return cli_fail(dir, r);
	r = c->range.given ? cq_reader_seek_seq(reader, c->range.first)
	                   : cli_selection_seek(&c->selection, queue, reader);
	if (r < 0) {
		cq_reader_close(reader);
		return cli_fail(dir, r);
	}
	*ret_reader = reader;
	return CLI_OK;
}

static int print_queue(const char *dir, struct course *c)
{
	cq_queue *queue;
	cq_reader *reader;
	int r;

	r = cq_queue_open(dir, &queue);
	if (r < 0)
		return cli_fail(dir, r);
	r = open_reader(dir, queue, c, &reader);
	if (r != CLI_OK)
		goto close_queue;
	cli_output_begin();
	cli_meter_begin_reading(dir, c->what, queue, reader);
	r = print_range(dir, queue, reader, c);
	r = cli_output_end(cli_named_end(&c->named, r));
	cq_reader_close(reader);
close_queue:
	cq_queue_close(queue);
	return r;
}

int cli_cat_all(const char *dir, const char *what, const struct cli_style *style)
{
	struct course course = { .what = what, .style = *style };

	return print_queue(dir, &course);
}

/* Returns CLI_OK; or else, or with *ret_done, the exit code. */
static int take_options(const struct cli_command *command, int argc, char **argv, struct course *c,
                        bool *ret_done)
{
	static const struct option options[] = {
		{ "seq", required_argument, NULL, 's' },
		CLI_SELECTION_OPTIONS,
		{ "format", required_argument, NULL, 'F' },
		CLI_NAMED_OPTIONS,
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	int option;

	while ((option = cli_option(argc, argv,
	                            "s:" CLI_SELECTION_LETTERS "F:" CLI_NAMED_LETTERS "jh",
	                            options)) != -1) {
		switch (option) {
		case 's':
			if (!parse_range(optarg, &c->range)) {
				cli_note("not a range of sequence numbers: %s", optarg);
				return cli_usage(command);
			}
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
	if (c->named.name && c->range.given) {
		cli_note("a named reader has its own position: --seq does not go with --reader");
		return cli_usage(command);
	}
	if (!cli_selection_check(&c->selection) || !cli_style_check(&c->style) ||
	    !cli_named_check(&c->named))
		return cli_usage(command);
	return CLI_OK;
}

static int run_cat(const struct cli_command *command, int argc, char **argv)
{
	struct course course = { .what = "reading", .range = { .last = UINT64_MAX } };
	bool done = false;
	const char *dir;
	int r;

	r = take_options(command, argc, argv, &course, &done);
	if (r == CLI_OK && !done) {
		dir = cli_directory(argc, argv);
		r = dir ? print_queue(dir, &course) : cli_usage(command);
	}
	cli_selection_free(&course.selection);
	return r;
}

const struct cli_command cli_cat = {
	.name = "cat",
	.arguments = "[--seq A[-[B]] | " CLI_NAMED_ARGUMENTS "]\n"
		     "                  " CLI_SELECTION_ARGUMENTS "\n"
		     "                  [--format F | --json] DIR",
	.summary = "Writes the payloads of all records to standard output, one after another.",
	.help = "  -s, --seq A      record A alone\n"
		"  -s, --seq A-B    records A to B, by sequence number\n"
		"  -s, --seq A-     record A and all after it\n" CLI_NAMED_HELP CLI_SELECTION_HELP
			CLI_FORMAT_HELP
		"  -j, --json       one JSON object per record and line: seq, time_ns, type,\n"
		"                   length, and payload, or payload_base64 where it is not\n"
		"                   UTF-8\n"
		"  -h, --help       this text\n"
		"\n"
		"Writes exactly the bytes that were appended, with nothing between records.\n"
		"Changes nothing in the directory but the position of a named reader. Leaves out\n"
		"missing or damaged records, with a message and exit code 1; also if the first\n"
		"record of a range is missing.\n"
		"Of several options for a selection, a record must pass all. If none does, that\n"
		"is no error.\n",
	.run = run_cat,
};
