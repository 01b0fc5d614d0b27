/* SPDX-License-Identifier: Apache-2.0 */
/*
 * archive.c - chronq archive: runs a command with each sealed segment
 *
 * The position of the named reader says which segment comes next.  The reader reads no records: it goes from the
 * beginning of one segment to that of the next.
 *
 * Invariant: a commit behind a segment comes after a command that was given the segment has ended with 0.  So a kill
 * at any moment skips no segment; the next run gives out the one again whose command ran.
 *
 * A segment is given out when nothing will change it: it is sealed, its writer has left it, and its records are known
 * to be durable.  Else a power cut could take records from it whose numbers other records get.
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "archive/child.h"
#include "archive/sealed.h"
#include "shared/cli.h"

#define WAIT_MS 1000        /* the longest delay until a new sealed segment is noticed */
#define SYNC_MS 100         /* the same of a flush, where the command ends soon */
#define SYNC_TRIES 300      /* for so many of these it waits for one */
#define RETRY_MS_MAX 60000U /* after a command that failed */

struct archive {
	const char *dir;
	char path[PATH_MAX]; /* of the queue, absolute */
	const char *name;    /* of the reader */
	char **command;
	size_t words;
	bool follows;
	cq_queue *queue;
	cq_reader *reader;
	unsigned retry_ms; /* the pause after the next failure */
	unsigned syncs;    /* how often it has waited for a flush of this segment */
	int status;        /* exit code */
};

enum outcome {
	MOVED,    /* to the next segment */
	NONE,     /* that is sealed */
	UNSYNCED, /* there is one, whose records are not known to be durable */
	FAILED,   /* the command has, with a message */
	ENDS,     /* after a message, or a signal */
};

static enum outcome fail(struct archive *a, int error)
{
	a->status = cli_fail(a->dir, error);
	return ENDS;
}

/* ---- the named reader ---- */

static enum outcome commit(struct archive *a)
{
	const int r = cq_reader_commit(a->reader);

	if (r == 0)
		return MOVED;
	cli_note("%s: reader %s: cannot commit: %s", a->dir, a->name, cq_strerror(r));
	a->status = CLI_IO;
	return ENDS;
}

/* A sign of life while the command runs: the position is still that before its segment.  The commit after the command
 * reports what is wrong. */
static void beat(void *arg)
{
	(void)cq_reader_commit(((struct archive *)arg)->reader);
}

static void position(const struct archive *a, struct cq_reader_stats *ret_stats)
{
	*ret_stats = (struct cq_reader_stats)CQ_SIZED(*ret_stats);
	(void)cq_reader_stats(a->reader, ret_stats);
}

static enum outcome refuse(struct archive *a, uint32_t id, int error)
{
	cli_note("%s: segment %09" PRIu32 " cannot be read: %s (see chronq verify)", a->dir, id,
	         cq_strerror(error));
	a->status = CLI_IO;
	return ENDS;
}

/* Moves the reader behind the segment, of which it needs nothing more, and commits.  missing: the first segment that
 * nobody will be given if it is not there. */
static enum outcome go_on(struct archive *a, uint32_t id, uint32_t missing)
{
	struct cq_reader_stats stats;
	uint32_t next = id + 1;
	int r;

	r = cli_sealed_look(a->queue, next);
	if (r == -ENOENT) {
		r = cli_sealed_next(a->queue, id, &next);
		if (r < 0)
			return r == -ENOENT ? NONE : fail(a, r);
		r = cli_sealed_look(a->queue, next);
	}
	if (r < 0)
		return refuse(a, next, r);
	do { /* one that has no place yet moves into the segment first */
		r = cq_reader_skip_segment(a->reader);
		position(a, &stats);
	} while (r > 0 && stats.segment <= id);
	if (r < 0)
		return fail(a, r);
	if (r == 0)
		return NONE;
	if (stats.segment > missing) {
		cli_note("%s: missing: the segments %09" PRIu32 " to %09" PRIu32
		         " are gone, and not archived",
		         a->dir, missing, stats.segment - 1);
		a->status = CLI_PROBLEM;
	}
	return commit(a);
}

/* ---- the command ---- */

static int set_environment(const struct archive *a, const char *path,
                           const struct cq_segment_info *info)
{
	char first[24], next[24];
	int r;

	(void)snprintf(first, sizeof first, "%" PRIu64, info->first_seq);
	(void)snprintf(next, sizeof next, "%" PRIu64, info->first_seq + info->records);
	r = setenv("CHRONQ_SEGMENT", path, 1) | setenv("CHRONQ_QUEUE", a->path, 1) |
	    setenv("CHRONQ_FIRST_SEQ", first, 1) | setenv("CHRONQ_NEXT_SEQ", next, 1);
	return r == 0 ? 0 : -ENOMEM; /* GCOV_EXCL_BR_LINE: no memory */
}

/* Tells how the command has failed, and what follows. */
static enum outcome say_failed(struct archive *a, const char *path, int status)
{
	char what[64], then[64] = "";

	if (a->follows)
		(void)snprintf(then, sizeof then, "; next try in %u s", a->retry_ms / 1000);
	if (WIFSIGNALED(status))
		(void)snprintf(what, sizeof what, "killed by signal %d", WTERMSIG(status));
	else
		(void)snprintf(what, sizeof what, "exit code %d", WEXITSTATUS(status));
	cli_note("%s: the command has failed with %s: %s%s", a->command[0], path, what, then);
	if (!a->follows)
		a->status = CLI_PROBLEM;
	return FAILED;
}

static enum outcome give_out(struct archive *a, uint32_t id, const struct cq_segment_info *info)
{
	char path[PATH_MAX + 16], **words = NULL;
	enum outcome outcome;
	int status = 0, r;

	(void)snprintf(path, sizeof path, "%s/%09" PRIu32 ".q", a->path, id);
	r = set_environment(a, path, info);
	if (r == 0) /* GCOV_EXCL_BR_LINE: no memory */
		words = cli_child_words(a->command, a->words, path);
	if (!words) /* GCOV_EXCL_BR_LINE: no memory */
		return fail(a, -ENOMEM);
	r = cli_child_run(words, beat, a, &status);
	cli_child_words_free(words);
	if (r < 0) {
		cli_note("cannot run %s: %s", a->command[0], strerrordesc_np(-r));
		a->status = CLI_IO;
		return ENDS;
	}
	if (status == 0) {
		outcome = go_on(a, id, id + 1);
		return outcome == NONE ? refuse(a, id + 1, -ENOENT) : outcome;
	}
	if (cli_stopped)
		return ENDS;
	if (cli_sealed_look(a->queue, id) == -ENOENT)
		return MOVED; /* deleted before the command could read it: the next step tells */
	return say_failed(a, path, status);
}

/* ---- one segment after another ---- */

static enum outcome step(struct archive *a)
{
	struct cq_segment_info info = CQ_SIZED(info);
	struct cq_reader_stats at;
	int r;

	position(a, &at);
	r = cli_sealed_inspect(a->queue, at.segment, &info);
	if (r == -ENOENT)
		return go_on(a, at.segment, at.segment);
	if (r == -EBADMSG && !cli_sealed_is_left(a->queue, at.segment)) /* being made */
		return NONE;
	if (r < 0)
		return refuse(a, at.segment, r);
	if (!info.sealed || !cli_sealed_is_left(a->queue, at.segment))
		return NONE;
	if (info.records > 0 &&
	    at.offset >= info.used) /* somebody has set the reader to this place */
		return go_on(a, at.segment, at.segment + 1);
	r = cli_sealed_is_unsynced(a->queue, &info);
	if (r < 0)
		return fail(a, r);
	return r > 0 ? UNSYNCED : give_out(a, at.segment, &info);
}

/* Whether a segment is worth waiting for that has still to be flushed. */
static bool will_be_synced(struct archive *a)
{
	struct cq_holder holder = CQ_SIZED(holder);

	if (a->syncs++ < SYNC_TRIES && cq_queue_holder(a->queue, &holder) == 0 && holder.locked)
		return true;
	cli_note(
		"%s: there is a sealed segment whose records are not known to be on the disk: it is "
		"left for the next run",
		a->dir);
	a->status = CLI_PROBLEM;
	return false;
}

/* What comes after a step that has not moved.  False: the command ends. */
static bool rest(struct archive *a, enum outcome outcome)
{
	if (outcome == ENDS || (!a->follows && outcome != UNSYNCED))
		return false;
	if (!a->follows) {
		if (!will_be_synced(a))
			return false;
		cli_child_pause(SYNC_MS);
	} else if (outcome == FAILED) {
		for (unsigned ms = 0; ms < a->retry_ms && !cli_stopped; ms += WAIT_MS) {
			cli_child_pause(WAIT_MS);
			beat(a);
		}
		a->retry_ms = a->retry_ms < RETRY_MS_MAX / 2 ? 2 * a->retry_ms : RETRY_MS_MAX;
	} else {
		cli_child_pause(WAIT_MS);
	}
	return cli_stopped || commit(a) == MOVED;
}

/* Waits for the queue's first segment.  False: there is none. */
static bool await_queue(struct archive *a)
{
	uint32_t oldest, newest;

	while (cq_queue_ends(a->queue, &oldest, &newest) == -ENOENT && !cli_stopped) {
		if (!a->follows)
			return false;
		cli_child_pause(WAIT_MS);
	}
	return !cli_stopped;
}

static int go_through(struct archive *a)
{
	enum outcome outcome;
	int r;

	r = cq_reader_open(a->dir, a->name, CQ_START_RESUME_OR_OLDEST, 0, &a->reader);
	if (r < 0)
		return cli_fail_reader(a->dir, a->name, r);
	do {
		outcome = step(a);
		if (outcome == MOVED) {
			a->syncs = 0;
			a->retry_ms = WAIT_MS;
		}
	} while ((outcome == MOVED || rest(a, outcome)) && !cli_stopped);
	cq_reader_close(a->reader);
	return a->status;
}

static int archive(struct archive *a)
{
	int r;

	if (!realpath(a->dir, a->path))
		return cli_fail(a->dir, -errno);
	r = cq_queue_open(a->dir, &a->queue);
	if (r < 0)
		return cli_fail(a->dir, r);
	cli_child_begin();
	r = await_queue(a) ? go_through(a) : CLI_OK;
	cq_queue_close(a->queue);
	return r;
}

/* The words behind "--", which begin the command; they are no operands or options of ours. */
static bool split(int *argc, char **argv, struct archive *a)
{
	for (int i = 1; i < *argc; i++) {
		if (strcmp(argv[i], "--") == 0 && i + 1 < *argc) {
			a->command = argv + i + 1;
			a->words = (size_t)(*argc - i - 1);
			*argc = i;
			return true;
		}
	}
	return false;
}

static int run_archive(const struct cli_command *command, int argc, char **argv)
{
	static const struct option options[] = {
		{ "follow", no_argument, NULL, 'f' },
		{ "reader", required_argument, NULL, 'r' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct archive a = { .name = "archive", .retry_ms = WAIT_MS };
	const bool have_command = split(&argc, argv, &a);
	int option;

	while ((option = cli_option(argc, argv, "fr:h", options)) != -1) {
		if (option == 'f')
			a.follows = true;
		else if (option == 'r')
			a.name = optarg;
		else
			return cli_other_option(command, option);
	}
	a.dir = cli_directory(argc, argv);
	if (a.dir && !have_command)
		cli_note("no command given: it comes behind --");
	return a.dir && have_command ? archive(&a) : cli_usage(command);
}

const struct cli_command cli_archive = {
	.name = "archive",
	.arguments = "[-f] [--reader NAME] DIR -- COMMAND...",
	.summary = "Runs a command with each sealed segment, oldest first.",
	.help = "  -r, --reader NAME  from the position of this named reader on, which moves behind\n"
		"                     each segment with which the command has succeeded; default\n"
		"                     archive. A new one begins with the oldest segment\n"
		"  -f, --follow       then the segments to come, until SIGINT or SIGTERM; a command\n"
		"                     that fails is run again, after 1 s and up to 60 s\n"
		"  -h, --help         this text\n"
		"\n"
		"In COMMAND {} is the segment's path, and {/} the last part of it; if it has\n"
		"neither, the path is its last argument. The environment has CHRONQ_SEGMENT (the\n"
		"path), CHRONQ_QUEUE (the directory), CHRONQ_FIRST_SEQ and CHRONQ_NEXT_SEQ (the\n"
		"numbers of the segment's first record, and of the one behind its last).\n"
		"\n"
		"Retention keeps the segments that the reader has still to read. Where a command\n"
		"was cut off, it is run again with the same segment. Without --follow the first\n"
		"command that fails ends this one, with exit code 1; so do, at the end, segments\n"
		"that were deleted before they were archived.\n",
	.run = run_archive,
};
