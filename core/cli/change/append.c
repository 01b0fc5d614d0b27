/* SPDX-License-Identifier: Apache-2.0 */
/*
 * append.c - chronq append: the lines of standard input as records
 *
 * Invariant: bytes [0, done) of the buffer are appended, [done, used) are not yet; of these,
 * [done, scanned) hold no newline.  Every byte that was read is appended before the program ends,
 * in order and once, whether the input's end, an error of a read or a signal ends it.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/cli.h"

#define READ_SIZE (256U << 10)
#define BATCH 512

struct input {
	char *buffer;
	size_t capacity;
	size_t done, scanned, used;
	bool split; /* pieces of the line at `done` have been appended */
	bool ended;
};

struct output {
	cq_writer *writer;
	size_t limit; /* of one record */
	struct cq_message batch[BATCH];
	size_t count;
	uint64_t records; /* in the queue */
	uint64_t durable; /* of these, known to be on the disk */
	uint64_t splits;  /* lines that were too long for one record */
};

static void log_message(void *arg, enum cq_level level, const char *message)
{
	(void)arg;
	(void)level;
	cli_note("%s", message);
}

static int flush_batch(struct output *out)
{
	size_t done = 0;

	while (done < out->count) {
		struct cq_appended in;
		ssize_t n = cq_writer_append_batch(out->writer, out->batch + done,
		                                   out->count - done, &in);

		done += in.count;
		out->records += in.count;
		if (in.durable)
			out->durable = out->records;
		if (n < 0)
			return (int)n;
	}
	out->count = 0;
	return 0;
}

/* The caller keeps the bytes in place until the next flush. */
static int put_pieces(struct output *out, const char *bytes, size_t length)
{
	int r = 0;

	while (length > 0 && r == 0) {
		size_t n = length < out->limit ? length : out->limit;

		out->batch[out->count++] = (struct cq_message){ .payload = bytes,
			                                        .length = n,
			                                        .type = CQ_TYPE_DEFAULT };
		bytes += n;
		length -= n;
		if (out->count == BATCH)
			r = flush_batch(out);
	}
	return r;
}

/* Appends complete lines, and the rest if the input has ended.  Of a rest that is longer than a record can
 * be, it appends pieces of that length; it keeps at least one byte, so that the newline does not become a
 * record of its own when it comes.  EMSGSIZE: no record can hold a byte. */
static int put_lines(struct input *in, struct output *out)
{
	const char *newline;
	size_t rest, take;
	int r = 0;

	if (out->limit == 0 && in->used > in->done)
		return -EMSGSIZE;
	while (r == 0 &&
	       (newline = memchr(in->buffer + in->scanned, '\n', in->used - in->scanned)) != NULL) {
		size_t end = (size_t)(newline - in->buffer) + 1;

		if (end - in->done > out->limit && !in->split)
			out->splits++;
		r = put_pieces(out, in->buffer + in->done, end - in->done);
		in->done = in->scanned = end;
		in->split = false;
	}
	in->scanned = in->used;
	rest = in->used - in->done;
	if (r == 0 && rest > 0) {
		if (rest > out->limit && !in->split) {
			out->splits++;
			in->split = true;
		}
		take = in->ended ? rest : (rest - 1) / out->limit * out->limit;
		r = put_pieces(out, in->buffer + in->done, take);
		in->done += take;
	}
	return r == 0 ? flush_batch(out) : r;
}

/* Makes room for a read: removes appended bytes, and enlarges the buffer for a long line. */
static int make_room(struct input *in)
{
	char *larger;

	if (in->done > 0) {
		memmove(in->buffer, in->buffer + in->done, in->used - in->done);
		in->scanned -= in->done;
		in->used -= in->done;
		in->done = 0;
	}
	if (in->capacity - in->used >= READ_SIZE)
		return 0;
	larger = realloc(in->buffer, in->capacity * 2);
	if (!larger)
		return -ENOMEM;
	in->buffer = larger;
	in->capacity *= 2;
	return 0;
}

/* Waits for input or a signal, and reads once.  Signals are unblocked only while it waits, so that none
 * comes between the check of cli_stopped and the wait. */
static int read_some(struct input *in, const sigset_t *waiting)
{
	struct pollfd fd = { .fd = STDIN_FILENO, .events = POLLIN };
	ssize_t n;

	if (ppoll(&fd, 1, NULL, waiting) < 0 && errno != EINTR) /* GCOV_EXCL_BR_LINE: no memory */
		return -errno;
	if (cli_stopped) {
		in->ended = true;
		return 0;
	}
	if (fd.revents == 0) /* GCOV_EXCL_BR_LINE: input, or a signal above */
		return 0;
	n = read(STDIN_FILENO, in->buffer + in->used, in->capacity - in->used);
	if (n < 0)
		return errno == EINTR || errno == EAGAIN ? 0 : -errno;
	in->used += (size_t)n;
	in->ended = n == 0;
	return 0;
}

/* Returns the exit code. */
static int append_input(const char *dir, struct output *out)
{
	struct sigaction before;
	struct input in = { .capacity = 2 * (size_t)READ_SIZE };
	sigset_t waiting, blocked;
	int status = CLI_OK, read_error = 0, r = 0;

	in.buffer = malloc(in.capacity);
	if (!in.buffer) /* GCOV_EXCL_BR_LINE: fails only without memory from the start */
		return cli_fail(dir, -ENOMEM);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGINT);
	sigaddset(&blocked, SIGTERM);
	sigaddset(&blocked, SIGHUP);
	sigprocmask(SIG_BLOCK, &blocked, &waiting);
	cli_stop_on(SIGINT);
	cli_stop_on(SIGTERM);
	/* nohup(1) ignores it: then it stays ignored */
	(void)sigaction(SIGHUP, NULL, &before);
	if (before.sa_handler != SIG_IGN)
		cli_stop_on(SIGHUP);
	while (r == 0 && !in.ended) {
		read_error = make_room(&in);
		if (read_error == 0)
			read_error = read_some(&in, &waiting);
		if (read_error < 0)
			in.ended = true; /* the bytes that were read are appended nevertheless */
		r = put_lines(&in, out);
	}
	free(in.buffer);
	if (read_error < 0)
		status = cli_fail("standard input", read_error);
	if (r < 0)
		status = cli_fail(dir, r);
	return status;
}

/* After an error the caller must know what to append again. */
static void say_how_many(const char *dir, const struct output *out)
{
	if (out->durable == out->records)
		cli_note("%s: records appended: %" PRIu64, dir, out->records);
	else
		cli_note("%s: records appended: %" PRIu64 "; the last %" PRIu64
		         " of them may not be on the disk",
		         dir, out->records, out->records - out->durable);
}

static int append(const char *dir, const struct cq_config *config)
{
	struct output out = { .count = 0 };
	int status, r;

	cli_await_release(dir);
	r = cq_writer_open(dir, config, &out.writer);
	if (r == -EINVAL) {
		cli_note("%s: --segment-size must be that of the queue, or for a new queue a "
		         "multiple of %llu from %llu to %llu",
		         dir, CQ_SEGMENT_SIZE_MIN, CQ_SEGMENT_SIZE_MIN, CQ_SEGMENT_SIZE_MAX);
		return CLI_USAGE;
	}
	if (r == -ENOSPC || r == -EDQUOT || r == -EFBIG)
		cli_note("%s: a new queue can have smaller segments (--segment-size)", dir);
	if (r < 0)
		return cli_fail(dir, r);
	out.limit = cq_writer_max_payload(out.writer);
	status = append_input(dir, &out);
	/* without a record no new queue is made */
	r = out.records == 0 ? cq_writer_discard(out.writer) : cq_writer_close(out.writer);
	if (r < 0)
		status = cli_fail(dir, r);
	else
		out.durable = out.records;
	if (status != CLI_OK)
		say_how_many(dir, &out);
	if (out.splits > 0)
		cli_note("%s: split lines of more than %zu bytes: %" PRIu64
		         " (the segment size less 128 is the longest record)",
		         dir, out.limit, out.splits);
	if (status == CLI_OK && out.records == 0) {
		cli_note("%s: nothing to append", dir);
		status = CLI_PROBLEM;
	}
	return status;
}

static int run_append(const struct cli_command *command, int argc, char **argv)
{
	static const struct option options[] = {
		{ "segment-size", required_argument, NULL, 's' },
		{ "sync", no_argument, NULL, 'S' },
		{ "trust-files", no_argument, NULL, 't' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct cq_config config;
	char *dir;
	int option;

	cq_config_init(&config);
	config.log = log_message;
	while ((option = cli_option(argc, argv, "s:Sth", options)) != -1) {
		switch (option) {
		case 's':
			if (!cli_parse_size(optarg, &config.segment_size) ||
			    config.segment_size == 0) {
				cli_note("not a size: %s", optarg);
				return cli_usage(command);
			}
			break;
		case 'S':
			config.sync = CQ_SYNC_ALWAYS;
			break;
		case 't':
			config.trust_files = true;
			break;
		default:
			return cli_other_option(command, option);
		}
	}
	dir = cli_directory(argc, argv);
	config.progress = cli_progress;
	config.progress_arg = dir;
	return dir ? append(dir, &config) : cli_usage(command);
}

const struct cli_command cli_append = {
	.name = "append",
	.arguments = "[--segment-size N[K|M|G]] [--sync] [--trust-files] DIR",
	.summary = "Appends the lines of standard input to a queue, each as one record.",
	.help = "  -s, --segment-size N   bytes of a segment file, a multiple of 4096, for a new\n"
		"                         queue (default 128M)\n"
		"  -S, --sync             sync what was read to the disk before reading more;\n"
		"                         default: sync once, at the end\n"
		"  -t, --trust-files      accept files that everybody may write to\n"
		"  -h, --help             this text\n"
		"\n"
		"Makes the queue if there is none. A record keeps its newline, so that chronq\n"
		"cat gives back exactly the input; a last line without one is a record too. A\n"
		"line that is too long for a segment becomes several records, with a message.\n"
		"SIGINT, SIGTERM and SIGHUP end the input. Exit code 1 if there was nothing to\n"
		"append: then no queue is made. After an error a message says how many records\n"
		"are appended, and how many of them may not be on the disk; do not append these\n"
		"again.\n",
	.run = run_append,
};
