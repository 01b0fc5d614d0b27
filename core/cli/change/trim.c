/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trim.c - chronq trim and chronq roll: deletes old segments; ends the current one
 *
 * A queue that no process writes to is opened for that.  If a mount has it, the mount's ctl does it.
 */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/cli.h"
#include "shared/mounted.h"
#include "shared/span.h"
#include "shared/time.h"

struct change {
	const char *dir;
	cq_queue *queue;
	cq_writer *writer;       /* NULL: a mount has the queue */
	struct cq_holder holder; /* then */
	struct cq_config config;
};

static void log_message(void *arg, enum cq_level level, const char *message)
{
	(void)arg;
	if (level != CQ_NOTICE)
		cli_note("%s", message);
}

/* Opens the queue, for writing if no other process does.  Returns the exit code. */
static int begin(struct change *c)
{
	struct cq_queue_info info = CQ_SIZED(info);
	int r;

	c->holder = (struct cq_holder)CQ_SIZED(c->holder);
	r = cq_queue_open(c->dir, &c->queue);
	if (r == 0)
		r = cq_queue_info(c->queue, &info);
	if (r < 0)
		return cli_fail(c->dir, r);
	if (info.segments == 0) { /* opening it to write would make one */
		cli_note("%s: there is no queue", c->dir);
		return CLI_PROBLEM;
	}
	cli_await_release(c->dir);
	r = cq_queue_holder(c->queue, &c->holder);
	if (r == 0 && !c->holder.locked)
		r = cq_writer_open(c->dir, &c->config, &c->writer);
	if (r == -EBUSY) /* it has come since */
		r = cq_queue_holder(c->queue, &c->holder);
	return r < 0 ? cli_fail(c->dir, r) : CLI_OK;
}

static int end(struct change *c, int status)
{
	const int r = c->writer ? cq_writer_close(c->writer) : 0;

	if (r < 0)
		status = cli_fail(c->dir, r);
	cq_queue_close(c->queue);
	return cli_output_end(status);
}

/* ---- roll ---- */

static int roll(struct change *c)
{
	struct cq_queue_info before = CQ_SIZED(before), after = CQ_SIZED(after);
	int r;

	r = cq_queue_position(c->queue, &before);
	if (r == 0 && c->writer)
		r = cq_writer_roll(c->writer);
	else if (r == 0)
		r = cli_mounted_do(c->dir, &c->holder, "roll");
	if (r == 0)
		r = cq_queue_position(c->queue, &after);
	if (r == -ENOLINK)
		return CLI_IO;
	if (r < 0)
		return cli_fail(c->dir, r);
	if (after.current == before.current)
		printf("nothing to roll: segment %09" PRIu32 " has no record\n", after.current);
	else
		printf("segment %09" PRIu32 " is sealed\n", after.current - 1);
	return CLI_OK;
}

/* ---- trim ---- */

struct limit {
	bool by_time;
	uint64_t seq, time_ns;
};

/* Digits alone are a sequence number. */
static bool parse_limit(const char *text, struct limit *ret_limit)
{
	struct limit limit = { .by_time = false };
	const char *rest, *fault = NULL;

	if (*text == '\0' || strspn(text, "0123456789") != strlen(text)) {
		limit.by_time = true;
		fault = cli_parse_time(text, cli_now_ns(), CLI_TWICE_FIRST, &limit.time_ns);
	} else if (!cli_parse_number(text, &rest, &limit.seq)) {
		fault = "not a sequence number";
	}
	if (fault)
		cli_note("%s: %s%s", fault, text, cli_time_examples(fault));
	else
		*ret_limit = limit;
	return fault == NULL;
}

/* The first record that is not to be deleted: that of the oldest segment which may hold one of the time. */
static int find_seq(cq_queue *queue, uint64_t time_ns, uint64_t *ret_seq)
{
	struct cq_segment_info info = CQ_SIZED(info);
	cq_segment *segment;
	uint32_t id;
	int r;

	r = cli_first_since(queue, time_ns, &id);
	if (r <= 0) {
		*ret_seq = UINT64_MAX; /* every segment is older */
		return r;
	}
	r = cq_segment_open(queue, id, &segment);
	if (r == 0) {
		r = cq_segment_info(segment, CQ_SEGMENT_HEADER, &info);
		if (r == 0 && !info.have_summary)
			r = cq_segment_info(segment, CQ_SEGMENT_RECORDS, &info);
		cq_segment_close(segment);
	}
	*ret_seq = info.first_seq;
	return r;
}

/* Deletes one segment after another; EBUSY: a named reader still needs the oldest one that is left. */
static int delete_here(struct change *c, uint64_t seq, uint64_t segments, uint64_t segment_size)
{
	uint64_t done = 0;
	int r;

	cli_meter_begin(c->dir, "deleting", segments * segment_size);
	while ((r = cq_writer_trim(c->writer, seq, 1)) > 0)
		cli_meter_at(++done * segment_size);
	cli_meter_end();
	return r;
}

/* All records of the segment are below seq, and it is sealed. */
static bool is_below(cq_queue *queue, uint32_t id, uint64_t seq)
{
	struct cq_segment_info info = CQ_SIZED(info);
	cq_segment *segment;
	bool below = false;

	if (cq_segment_open(queue, id, &segment) < 0)
		return false;
	if (cq_segment_info(segment, CQ_SEGMENT_HEADER, &info) == 0)
		below = info.sealed && info.have_content && info.last_seq < seq;
	cq_segment_close(segment);
	return below;
}

struct kept {
	const char *dir;
	uint32_t oldest;
};

static void say_reader(void *arg, const struct cq_reader_position *reader)
{
	const struct kept *kept = arg;

	if (reader->segment <= kept->oldest)
		cli_note("%s: the named reader %s has still to read segment %09" PRIu32
		         ": that and later ones stay",
		         kept->dir, reader->name, kept->oldest);
}

static int trim(struct change *c, const struct limit *limit)
{
	struct cq_queue_info before = CQ_SIZED(before), after = CQ_SIZED(after);
	uint64_t seq = limit->seq;
	char command[32];
	bool kept;
	int r;

	r = cq_queue_info(c->queue, &before);
	if (r == 0 && limit->by_time)
		r = find_seq(c->queue, limit->time_ns, &seq);
	if (r < 0)
		return cli_fail(c->dir, r);
	(void)snprintf(command, sizeof command, "trim %" PRIu64, seq);
	if (c->writer)
		r = delete_here(c, seq, before.segments, before.segment_size);
	else
		r = cli_mounted_do(c->dir, &c->holder, command);
	if (r == -ENOLINK)
		return CLI_IO;
	kept = r == -EBUSY;
	if (kept)
		r = 0;
	if (r == 0)
		r = cq_queue_info(c->queue, &after);
	if (r < 0)
		return cli_fail(c->dir, r);
	if (after.oldest == before.oldest)
		puts("no segment deleted");
	else
		printf("deleted: segments %09" PRIu32 " to %09" PRIu32 "\n", before.oldest,
		       after.oldest - 1);
	kept = kept || (!c->writer && after.oldest < after.current &&
	                is_below(c->queue, after.oldest, seq));
	if (kept)
		(void)cq_queue_readers(c->queue, say_reader,
		                       &(struct kept){ c->dir, after.oldest });
	return kept ? CLI_PROBLEM : CLI_OK;
}

/* ---- both ---- */

static int run_change(const struct cli_command *command, int argc, char **argv)
{
	static const struct option options[] = {
		{ "before", required_argument, NULL, 'b' },
		{ "trust-files", no_argument, NULL, 't' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	const bool is_trim = command == &cli_trim;
	struct change c = { .queue = NULL };
	struct limit limit = { .seq = 0 };
	bool have_limit = false;
	int option, status;
	char *dir;

	cq_config_init(&c.config);
	c.config.log = log_message;
	c.config.progress = cli_progress;
	while ((option = cli_option(argc, argv, is_trim ? "b:th" : "th",
	                            is_trim ? options : options + 1)) != -1) {
		switch (option) {
		case 'b':
			if (!parse_limit(optarg, &limit))
				return cli_usage(command);
			have_limit = true;
			break;
		case 't':
			c.config.trust_files = true;
			break;
		default:
			return cli_other_option(command, option);
		}
	}
	dir = cli_directory(argc, argv);
	if (dir && is_trim && !have_limit)
		cli_note("--before is missing: which segments are to be deleted?");
	if (!dir || have_limit != is_trim)
		return cli_usage(command);
	c.dir = c.config.progress_arg = dir;
	cli_output_begin();
	status = begin(&c);
	if (status == CLI_OK)
		status = is_trim ? trim(&c, &limit) : roll(&c);
	return end(&c, status);
}

const struct cli_command cli_trim = {
	.name = "trim",
	.arguments = "--before SEQ|TIME [--trust-files] DIR",
	.summary = "Deletes the oldest segments.",
	.help = "  -b, --before SEQ    segments whose records are all below this number\n"
		"  -b, --before TIME   segments whose records are all older: \"7 days ago\",\n"
		"                      2026-11-30, as --since of cat\n"
		"  -t, --trust-files   accept files that everybody may write to\n"
		"  -h, --help          this text\n"
		"\n"
		"Deletes whole segments, oldest first, and never the current one. If a mount has\n"
		"the queue, its ctl does it. A named reader keeps the segments that it has still\n"
		"to read: a message names it, and the exit code is 1.\n",
	.run = run_change,
};

const struct cli_command cli_roll = {
	.name = "roll",
	.arguments = "[--trust-files] DIR",
	.summary = "Ends the current segment: the next record begins another one.",
	.help = "  -t, --trust-files   accept files that everybody may write to\n"
		"  -h, --help          this text\n"
		"\n"
		"A sealed segment can be trimmed, and never changes again. A segment without a\n"
		"record stays. If a mount has the queue, its ctl does it.\n",
	.run = run_change,
};
