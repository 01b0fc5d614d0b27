/* SPDX-License-Identifier: Apache-2.0 */
/* cat.c - chronq cat: the records of a queue, from its oldest or from a sequence number on */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* Prints the records in the range, up to the end of the queue.  Returns the exit code. */
static int print_range(const char *dir, cq_queue *queue, cq_reader *reader,
                       const struct range *range, bool json)
{
	const struct cq_reader_stats nothing = CQ_SIZED(nothing);
	struct cq_record record;
	bool any = false, done;
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
		if (range->given && !any && record.seq > range->first) {
			cli_note("%s: no record %" PRIu64 "; the next one is %" PRIu64, dir,
			         range->first, record.seq);
			status = CLI_PROBLEM;
		}
		any = true;
		done = json ? cli_output_json(&record) : cli_output_payload(&record, false);
		if (!done)
			break;
	}
	if (range->given && !any) {
		cli_note("%s: no record %" PRIu64, dir, range->first);
		status = CLI_PROBLEM;
	}
	return status;
}

static int run_cat(const struct cli_command *command, int argc, char **argv)
{
	static const struct option options[] = {
		{ "seq", required_argument, NULL, 's' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct range range = { .last = UINT64_MAX };
	bool json = false;
	const char *dir;
	cq_queue *queue;
	cq_reader *reader;
	int option, r;

	while ((option = cli_option(argc, argv, "s:jh", options)) != -1) {
		switch (option) {
		case 's':
			if (!parse_range(optarg, &range)) {
				cli_note("not a range of sequence numbers: %s", optarg);
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
	if (!dir)
		return cli_usage(command);
	r = cq_queue_open(dir, &queue);
	if (r < 0)
		return cli_fail(dir, r);
	r = cq_reader_open(dir, NULL, CQ_START_OLDEST, CQ_READER_PASSIVE, &reader);
	if (r < 0) {
		r = cli_fail(dir, r);
		goto close_queue;
	}
	cli_output_begin();
	if (range.given)
		r = cq_reader_seek_seq(reader, range.first);
	r = r < 0 ? cli_fail(dir, r)
	          : cli_output_end(print_range(dir, queue, reader, &range, json));
	cq_reader_close(reader);
close_queue:
	cq_queue_close(queue);
	return r;
}

const struct cli_command cli_cat = {
	.name = "cat",
	.arguments = "[--seq A[-[B]]] [--json] DIR",
	.summary = "Writes the payloads of all records to standard output, one after another.",
	.help = "  -s, --seq A      record A alone\n"
		"  -s, --seq A-B    records A to B, by sequence number\n"
		"  -s, --seq A-     record A and all after it\n"
		"  -j, --json       one JSON object per record and line: seq, time_ns, type,\n"
		"                   length, and payload, or payload_base64 where it is not\n"
		"                   UTF-8\n"
		"  -h, --help       this text\n"
		"\n"
		"Writes exactly the bytes that were appended, with nothing between records.\n"
		"Changes nothing in the directory. Leaves out missing or damaged records, with\n"
		"a message and exit code 1; also if the first record of a range is missing.\n",
	.run = run_cat,
};
