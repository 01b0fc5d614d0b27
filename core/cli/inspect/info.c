/* SPDX-License-Identifier: Apache-2.0 */
/* info.c - chronq info and chronq ls: a queue and its segments, at a glance */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/cli.h"

enum state { SEALED, ACTIVE, SPARE, DAMAGED };

struct row {
	enum state state;
	bool have_base; /* stream_base is known */
	uint64_t stream_base;
	uint64_t first_seq; /* valid when records > 0 */
	uint64_t last_seq;
	uint64_t records;
	uint64_t payload_bytes;
	uint64_t used;
	uint64_t size;
	uint64_t last_time_ns; /* 0: unknown */
};

/* By the summary if there is one; else by reading all records. */
static int fill_row(cq_segment *segment, struct row *row)
{
	struct cq_segment_info info = CQ_SIZED(info);
	int r;

	r = cq_segment_info(segment, CQ_SEGMENT_HEADER, &info);
	if (r < 0)
		return r;
	row->size = info.file_bytes;
	row->have_base = info.have_summary;
	row->stream_base = info.stream_base;
	row->last_time_ns = info.modified_ns;
	if (!info.have_content) {
		r = cq_segment_info(segment, CQ_SEGMENT_RECORDS, &info);
		if (r < 0)
			return r;
		row->last_time_ns = info.last_time_ns;
	}
	row->state = info.damaged                            ? DAMAGED
	             : info.sealed                           ? SEALED
	             : info.records > 0 || info.have_summary ? ACTIVE
	                                                     : SPARE;
	row->first_seq = info.first_seq;
	row->last_seq = info.last_seq;
	row->records = info.records;
	row->payload_bytes = info.payload_bytes;
	row->used = info.used;
	return 0;
}

/* 0; 1: the segment was deleted meanwhile.  A file that cannot be read as a segment gives a damaged row. */
static int read_row(cq_queue *queue, uint32_t id, struct row *ret_row)
{
	struct row row = { .state = DAMAGED };
	cq_segment *segment;
	int r;

	r = cq_segment_open(queue, id, &segment);
	if (r == 0) {
		r = fill_row(segment, &row);
		cq_segment_close(segment);
	}
	if (r == -ENOENT) /* deleted meanwhile */
		return 1;
	if (r < 0 && r != -EBADMSG && r != -EIO)
		return r;
	*ret_row = row;
	return 0;
}

/* ---- ls ---- */

static void print_row(uint32_t id, const struct row *row)
{
	static const char *const names[] = {
		[SEALED] = "sealed", [ACTIVE] = "active", [SPARE] = "spare", [DAMAGED] = "damaged"
	};
	char first[24] = "-", time[CLI_TIME_MAX] = "-";

	if (row->records > 0) {
		snprintf(first, sizeof first, "%" PRIu64, row->first_seq);
		cli_format_time(time, row->last_time_ns);
	}
	printf("%09" PRIu32 "  %-7s %14s %10" PRIu64 " %12" PRIu64 " %11" PRIu64 " %11" PRIu64
	       "  %s\n",
	       id, names[row->state], first, row->records, row->payload_bytes, row->used, row->size,
	       time);
}

/* Checks a segment that the listing lacks: a listing may miss one that is published while it runs, and have
 * one that is deleted. */
static bool is_missing(cq_queue *queue, uint32_t id)
{
	uint32_t oldest, newest;
	cq_segment *segment;
	int r;

	r = cq_segment_open(queue, id, &segment);
	if (r == 0)
		cq_segment_close(segment);
	return r == -ENOENT && cq_queue_ends(queue, &oldest, &newest) == 0 && oldest < id;
}

static int list(const char *dir, cq_queue *queue)
{
	struct row row;
	uint32_t *ids;
	size_t count;
	int status = CLI_OK, r;

	r = cq_queue_list(queue, &ids, &count);
	if (r < 0)
		return cli_fail(dir, r);
	printf("%-9s  %-7s %14s %10s %12s %11s %11s  %s\n", "id", "state", "first seq", "records",
	       "payload", "used", "size", "last record");
	for (size_t i = 0; i < count && r >= 0; i++) {
		if (i > 0 && ids[i] != ids[i - 1] + 1 && is_missing(queue, ids[i] - 1)) {
			cli_note("%s: missing: there is no segment from %09" PRIu32
			         " to %09" PRIu32,
			         dir, ids[i - 1] + 1, ids[i] - 1);
			status = CLI_PROBLEM;
		}
		r = read_row(queue, ids[i], &row);
		if (r < 0)
			status = cli_fail(dir, r);
		if (r != 0)
			continue;
		print_row(ids[i], &row);
		if (row.state == DAMAGED && status == CLI_OK)
			status = CLI_PROBLEM;
	}
	free(ids);
	return status;
}

/* ---- info ---- */

static void print_holder(const struct cq_holder *holder)
{
	if (holder->locked && holder->closing && holder->pid != 0)
		printf("writer           closing, process %d\n", (int)holder->pid);
	else if (holder->locked && holder->pid != 0)
		printf("writer           running, process %d\n", (int)holder->pid);
	else if (holder->locked)
		puts("writer           running");
	else if (holder->pid != 0)
		printf("writer           none; the last was process %d\n", (int)holder->pid);
	else
		puts("writer           none");
}

static void print_hex(const char *title, const uint8_t id[CQ_IDENTITY_SIZE])
{
	fputs(title, stdout);
	for (unsigned i = 0; i < CQ_IDENTITY_SIZE; i++)
		printf("%02x", id[i]);
	putchar('\n');
}

static void print_identity(const struct cq_queue_info *info)
{
	if (info->have_identity)
		print_hex("identity         ", info->identity);
	if (info->replica)
		print_hex("replica of       ", info->source);
}

static void print_control(const struct cq_queue_info *info)
{
	char time[CLI_TIME_MAX];

	if (!info->have_control) {
		puts("position         unknown: control.meta is missing or damaged");
		return;
	}
	cli_format_time(time, info->heartbeat_ns);
	printf("position         segment %09" PRIu32 ", offset %" PRIu64 "\n", info->current,
	       info->offset);
	printf("opened           %" PRIu64 " times for writing\n", info->epoch);
	printf("last written     %s\n", info->heartbeat_ns != 0 ? time : "never");
}

static void print_reader(void *arg, const struct cq_reader_position *reader)
{
	const struct cq_queue_info *info = arg;
	char time[CLI_TIME_MAX];

	printf("reader           %s: segment %09" PRIu32 ", offset %" PRIu64, reader->name,
	       reader->segment, reader->offset);
	if (info->have_control)
		printf(", %" PRIu64 " bytes behind", reader->lag_bytes);
	if (reader->heartbeat_ns != 0) {
		cli_format_time(time, reader->heartbeat_ns);
		printf(", last seen %s", time);
	}
	putchar('\n');
}

static void print_record(const char *title, uint64_t seq, uint64_t time_ns)
{
	char time[CLI_TIME_MAX];

	cli_format_time(time, time_ns);
	printf("%s%" PRIu64 ", %s\n", title, seq, time);
}

/* The oldest and the newest record, and the payload between them if the summaries have it. */
static int print_bounds(cq_queue *queue, cq_reader *reader)
{
	struct row oldest = { 0 }, newest = { 0 };
	struct cq_record record;
	uint32_t *ids;
	size_t count, i;
	int r;

	r = cq_reader_next(reader, &record);
	if (r <= 0) {
		puts(r == 0 ? "records          none"
		            : "records          damaged (see chronq verify)");
		return r == -EIO || r == -EBADMSG || r == -ENODATA ? CLI_PROBLEM : r;
	}
	print_record("oldest record    ", record.seq, record.time_ns);
	r = cq_queue_list(queue, &ids, &count);
	if (r < 0)
		return r;
	for (i = count; i > 0 && r >= 0 && newest.records == 0; i--)
		r = read_row(queue, ids[i - 1], &newest);
	if (r >= 0 && i > 0)
		r = read_row(queue, ids[0], &oldest);
	else
		oldest = newest;
	free(ids);
	if (r < 0)
		return r;
	if (newest.records > 0)
		print_record("newest record    ", newest.last_seq, newest.last_time_ns);
	if (oldest.have_base && newest.have_base)
		printf("payload          %" PRIu64 " bytes\n",
		       newest.stream_base + newest.payload_bytes - oldest.stream_base);
	return newest.state == DAMAGED ? CLI_PROBLEM : 0;
}

static int show_info(const char *dir, cq_queue *queue)
{
	struct cq_queue_info info = CQ_SIZED(info);
	struct cq_holder holder = CQ_SIZED(holder);
	cq_reader *reader;
	int r;

	r = cq_queue_info(queue, &info);
	if (r == 0)
		r = cq_queue_holder(queue, &holder);
	if (r == 0)
		r = cq_reader_open(dir, NULL, CQ_START_OLDEST, CQ_READER_PASSIVE, &reader);
	if (r < 0)
		return cli_fail(dir, r);
	if (info.segment_size == 0)
		puts("segment size     unknown");
	else
		printf("segment size     %" PRIu64 " bytes\n", info.segment_size);
	if (info.segments == 0)
		puts("segments         none");
	else
		printf("segments         %" PRIu64 ": %09" PRIu32 " to %09" PRIu32 "\n",
		       info.segments, info.oldest, info.newest);
	print_holder(&holder);
	print_identity(&info);
	if (info.have_durable)
		printf("durable          the records below %" PRIu64 "\n", info.durable_seq);
	print_control(&info);
	r = cq_queue_readers(queue, print_reader, &info);
	if (r < 0)
		printf("readers          unknown: %s\n", cq_strerror(r));
	r = print_bounds(queue, reader);
	cq_reader_close(reader);
	return r < 0 ? cli_fail(dir, r) : r;
}

/* ---- both ---- */

static int run_info(const struct cli_command *command, int argc, char **argv)
{
	static const struct option options[] = { { "help", no_argument, NULL, 'h' }, { 0 } };
	const char *dir;
	cq_queue *queue;
	int option, r;

	option = cli_option(argc, argv, "h", options);
	if (option != -1)
		return cli_other_option(command, option);
	dir = cli_directory(argc, argv);
	if (!dir)
		return cli_usage(command);
	r = cq_queue_open(dir, &queue);
	if (r < 0)
		return cli_fail(dir, r);
	cli_output_begin();
	r = command == &cli_ls ? list(dir, queue) : show_info(dir, queue);
	cq_queue_close(queue);
	return cli_output_end(r);
}

const struct cli_command cli_info = {
	.name = "info",
	.arguments = "DIR",
	.summary = "Shows a queue: geometry, writer, readers, oldest and newest record.",
	.help = "  -h, --help       this text\n"
		"\n"
		"\"position\" is the position of the writer, the last one if it has ended. A line\n"
		"for each named reader has its position, and how many bytes of segment files it\n"
		"is behind the writer. Exit code 1 if the records cannot be read.\n",
	.run = run_info,
};

const struct cli_command cli_ls = {
	.name = "ls",
	.arguments = "DIR",
	.summary = "Lists the segments.",
	.help = "  -h, --help       this text\n"
		"\n"
		"A line per segment: id; state (sealed, active, spare: prepared and not used\n"
		"yet, or damaged); sequence number of its first record; records; payload bytes;\n"
		"bytes used and size of the file; time of the last record. The header of a\n"
		"sealed segment has all this; other segments, and those of chronicle-rs, are\n"
		"read whole. Exit code 1 if one is damaged, or missing between others.\n",
	.run = run_info,
};
