/* SPDX-License-Identifier: Apache-2.0 */
/*
 * import.c - chronq import: the records of JSON lines into a queue, with their numbers, times and types
 *
 * The queue's own next number decides where the import goes on, so it can be repeated: after a kill or a full disk
 * the queue holds a beginning of the records, the next run compares these with the lines, and appends the others.
 *
 * Invariant: the records of lines before the current one are appended, or are in the batch, in order.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "change/json_record.h"
#include "change/line_input.h"
#include "shared/cli.h"
#include "shared/time.h"

#define BATCH 512U
#define BATCH_BYTES (1U << 20)

struct import {
	const char *dir;
	struct cq_config config;
	bool renumbers;
	struct cli_line_input input;
	uint64_t line_number, read_bytes;
	/* the queue */
	cq_writer *writer;
	uint64_t next_seq, stream_end; /* behind the batch */
	cq_reader *reader;   /* of the records that are there already; NULL: none was compared */
	uint64_t reader_seq; /* behind the one that was compared last */
	/* not appended yet */
	struct cli_json_record batch[BATCH];
	struct cq_message messages[BATCH];
	uint64_t times[BATCH];
	size_t count, bytes;
	uint64_t appended, present;
};

static void log_message(void *arg, enum cq_level level, const char *message)
{
	(void)arg;
	if (level != CQ_NOTICE)
		cli_note("%s", message);
}

/* "chronq: standard input: line N: ...".  Returns CLI_PROBLEM. */
static int fault(const struct import *im, const char *why)
{
	cli_note("standard input: line %" PRIu64 ": %s", im->line_number, why);
	return CLI_PROBLEM;
}

/* ---- appending ---- */

static int flush_batch(struct import *im)
{
	size_t done = 0;
	int r = 0;

	while (done < im->count && r == 0) {
		struct cq_appended in;
		const ssize_t n = cq_writer_append_batch_at(
			im->writer, im->messages + done, im->times + done, im->count - done, &in);

		done += in.count;
		im->appended += in.count;
		if (n < 0)
			r = (int)n;
	}
	for (size_t i = 0; i < im->count; i++)
		cli_json_record_free(&im->batch[i]);
	im->count = im->bytes = 0;
	if (r == -EMSGSIZE)
		cli_note("%s: a record is larger than %zu bytes (--segment-size of a new queue)",
		         im->dir, cq_writer_max_payload(im->writer));
	return r < 0 ? cli_fail(im->dir, r) : CLI_OK;
}

/* Takes over the record. */
static int put(struct import *im, const struct cli_json_record *record)
{
	const size_t i = im->count++;

	im->batch[i] = *record;
	im->messages[i] = (struct cq_message){ record->payload, record->length, record->type };
	im->times[i] = record->have_time ? record->time_ns : cli_now_ns();
	im->bytes += record->length;
	im->next_seq++;
	im->stream_end += record->length;
	return im->count == BATCH || im->bytes >= BATCH_BYTES ? flush_batch(im) : CLI_OK;
}

/* ---- records that are there already ---- */

static bool same(const struct cq_record *there, const struct cli_json_record *record)
{
	return there->time_ns == record->time_ns && there->type == record->type &&
	       there->length == record->length &&
	       (!record->have_stream || !there->have_stream ||
	        there->stream_offset == record->stream_offset) &&
	       (record->length == 0 ||
	        memcmp(there->payload, record->payload, record->length) == 0);
}

/* The record's number is below the queue's next one. */
static int compare(struct import *im, const struct cli_json_record *record)
{
	struct cq_record there = { .seq = 0 };
	char why[200];
	int r = 0;

	if (!im->reader) {
		r = cq_reader_open(im->dir, NULL, CQ_START_OLDEST, CQ_READER_PASSIVE, &im->reader);
		if (r < 0)
			return cli_fail(im->dir, r);
	}
	if (record->seq != im->reader_seq || im->present == 0)
		r = cq_reader_seek_seq(im->reader, record->seq);
	if (r == 0)
		r = cq_reader_next(im->reader, &there);
	im->reader_seq = record->seq + 1;
	if (r < 0)
		return cli_fail(im->dir, r);
	if (r == 0 || there.seq != record->seq) {
		(void)snprintf(why, sizeof why,
		               "record %" PRIu64 " is below the queue's next number, %" PRIu64
		               ", and not in the queue any more: it cannot be compared",
		               record->seq, im->next_seq);
	} else if (!same(&there, record)) {
		(void)snprintf(why, sizeof why,
		               "record %" PRIu64
		               " is in the queue already, and is another one there (--renumber "
		               "appends the records behind those of the queue)",
		               record->seq);
	} else {
		im->present++;
		return CLI_OK;
	}
	return fault(im, why);
}

/* ---- lines ---- */

/* The next line with a record: 1; 0: the input has ended, or a signal came; else -1, with *status. */
static int next_record(struct import *im, struct cli_json_record *ret_record, int *status)
{
	char why[CLI_JSON_FAULT_MAX];
	const char *line;
	size_t length;
	int r;

	r = cli_line_input_next(&im->input, false, &line, &length);
	if (r == -EAGAIN) { /* what has come does not wait for more */
		*status = im->count > 0 ? flush_batch(im) : CLI_OK;
		if (*status != CLI_OK)
			return -1;
		r = cli_line_input_next(&im->input, true, &line, &length);
	}
	if (r == 0 || r == -EINTR)
		return 0;
	if (r < 0) {
		*status = cli_fail("standard input", r);
		return -1;
	}
	im->line_number++;
	im->read_bytes += length + 1;
	cli_meter_at(im->read_bytes);
	if (!cli_json_record_parse(line, length, ret_record, why)) {
		*status = fault(im, why);
		return -1;
	}
	if (!im->renumbers && (!ret_record->have_seq || !ret_record->have_time)) {
		*status = fault(im, ret_record->have_seq
		                            ? "time_ns is missing (--renumber does without it)"
		                            : "seq is missing (--renumber does without it)");
		cli_json_record_free(ret_record);
		return -1;
	}
	return 1;
}

/* Takes over the record. */
static int take(struct import *im, struct cli_json_record *record)
{
	char why[200];
	int r;

	if (im->renumbers || (record->seq == im->next_seq &&
	                      (!record->have_stream || record->stream_offset == im->stream_end)))
		return put(im, record);
	if (record->seq < im->next_seq - im->count) {
		r = compare(im, record);
	} else {
		if (record->seq == im->next_seq)
			(void)snprintf(why, sizeof why,
			               "stream_offset is %" PRIu64 ", and the queue is at %" PRIu64,
			               record->stream_offset, im->stream_end);
		else
			(void)snprintf(why, sizeof why,
			               "record %" PRIu64
			               " comes where the queue's next number is %" PRIu64
			               ": others are missing, or out of order (--renumber)",
			               record->seq, im->next_seq);
		r = fault(im, why);
	}
	cli_json_record_free(record);
	return r;
}

/* ---- all ---- */

/* A queue without a segment begins with the first record. */
static int open_queue(struct import *im, const struct cli_json_record *first)
{
	struct cq_queue_info info = CQ_SIZED(info);
	struct cq_stats stats = CQ_SIZED(stats);
	cq_queue *queue;
	int r;

	cli_await_release(im->dir);
	r = cq_queue_open(im->dir, &queue);
	if (r == 0) {
		r = cq_queue_info(queue, &info);
		cq_queue_close(queue);
	}
	if (r < 0 && r != -ENOENT)
		return cli_fail(im->dir, r);
	if (info.segments == 0 && !im->renumbers && first->seq > 0) {
		im->config.begin_seq = first->seq;
		im->config.begin_stream = first->have_stream ? first->stream_offset : 0;
	}
	r = cq_writer_open(im->dir, &im->config, &im->writer);
	if (r == -EINVAL) {
		if (im->config.begin_seq > 0)
			return fault(im, "no queue can begin with such a seq or stream_offset; or "
			                 "--segment-size is wrong");
		cli_note(
			"%s: --segment-size must be that of the queue, or for a new queue a multiple of "
			"%llu from %llu to %llu",
			im->dir, CQ_SEGMENT_SIZE_MIN, CQ_SEGMENT_SIZE_MIN, CQ_SEGMENT_SIZE_MAX);
		return CLI_USAGE;
	}
	if (r == 0)
		r = cq_writer_stats(im->writer, &stats);
	if (r < 0)
		return cli_fail(im->dir, r);
	im->next_seq = stats.next_seq;
	im->stream_end = stats.stream_end;
	return CLI_OK;
}

static int import_lines(struct import *im)
{
	struct cli_json_record record;
	int status = CLI_OK, r;

	r = next_record(im, &record, &status);
	if (r == 0 && !cli_stopped) {
		cli_note("%s: nothing to import", im->dir);
		return CLI_PROBLEM;
	}
	if (r > 0) {
		status = open_queue(im, &record);
		if (status != CLI_OK)
			cli_json_record_free(&record);
	}
	while (r > 0 && status == CLI_OK) {
		status = take(im, &record);
		if (status == CLI_OK)
			r = next_record(im, &record, &status);
	}
	/* what came before a wrong line is appended, too */
	if (im->count > 0 && (r = flush_batch(im)) != CLI_OK)
		status = r;
	if (cli_stopped && status == CLI_OK) {
		cli_note("interrupted");
		status = CLI_PROBLEM;
	}
	return status;
}

static int import_all(struct import *im)
{
	struct stat st;
	int status, r = 0;

	cli_stop_on(SIGINT);
	cli_stop_on(SIGTERM);
	cli_stop_on(SIGHUP);
	cli_meter_begin(im->dir, "importing",
	                fstat(STDIN_FILENO, &st) == 0 && S_ISREG(st.st_mode) ? (uint64_t)st.st_size
	                                                                     : 0);
	status = import_lines(im);
	cli_meter_end();
	cq_reader_close(im->reader);
	if (im->writer)
		r = im->appended == 0 ? cq_writer_discard(im->writer) : cq_writer_close(im->writer);
	if (r < 0)
		status = cli_fail(im->dir, r);
	if (im->present > 0)
		cli_note("%s: %" PRIu64 " of the records were there already", im->dir, im->present);
	if (status != CLI_OK)
		cli_note("%s: records imported: %" PRIu64 "%s", im->dir, im->appended,
		         im->renumbers ? ""
		                       : "; another run with the same input continues behind them");
	cli_line_input_free(&im->input);
	return status;
}

static int run_import(const struct cli_command *command, int argc, char **argv)
{
	static const struct option options[] = {
		{ "renumber", no_argument, NULL, 'r' },
		{ "segment-size", required_argument, NULL, 's' },
		{ "trust-files", no_argument, NULL, 't' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	static struct import im; /* large */
	char *dir;
	int option;

	cq_config_init(&im.config);
	im.config.log = log_message;
	im.config.progress = cli_progress;
	while ((option = cli_option(argc, argv, "rs:th", options)) != -1) {
		switch (option) {
		case 'r':
			im.renumbers = true;
			break;
		case 's':
			if (!cli_parse_size(optarg, &im.config.segment_size) ||
			    im.config.segment_size == 0) {
				cli_note("not a size: %s", optarg);
				return cli_usage(command);
			}
			break;
		case 't':
			im.config.trust_files = true;
			break;
		default:
			return cli_other_option(command, option);
		}
	}
	dir = cli_directory(argc, argv);
	im.dir = im.config.progress_arg = dir;
	return dir ? import_all(&im) : cli_usage(command);
}

const struct cli_command cli_import = {
	.name = "import",
	.arguments = "[--renumber] [--segment-size N[K|M|G]] [--trust-files] DIR",
	.summary = "Appends the records of JSON lines on standard input, as export writes them.",
	.help = "  -r, --renumber         append behind the queue's last record with new numbers,\n"
		"                         whatever the lines say; seq, time_ns (the present) and\n"
		"                         type (1) may be missing\n"
		"  -s, --segment-size N   bytes of a segment file, a multiple of 4096, for a new\n"
		"                         queue (default 128M)\n"
		"  -t, --trust-files      accept files that everybody may write to\n"
		"  -h, --help             this text\n"
		"\n"
		"Keeps number, time and type of each record, and the order. A new queue begins\n"
		"with the first line's number and stream_offset. In another queue the numbers\n"
		"must continue: records with lower numbers are compared with those that are\n"
		"there, and left out if they are the same. So an import that was interrupted is\n"
		"continued by repeating it. Exit code 1 at the first line that is wrong, which a\n"
		"message names; the records before it are appended.\n",
	.run = run_import,
};
