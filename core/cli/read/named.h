/* SPDX-License-Identifier: Apache-2.0 */
/*
 * named.h - cat and tail for a named reader: where they begin, and when they commit
 *
 * Invariant: a commit comes after a flush of standard output that succeeded, and takes in only records that were
 * given to the output, or left out on purpose, before that flush.  So a kill at any moment, or an output that
 * fails, skips no record; the next run repeats at most those since the last commit.
 */
#ifndef CHRONQ_NAMED_H
#define CHRONQ_NAMED_H

#include "read/selection.h"
#include "shared/cli.h"

struct cli_named {
	const char *name; /* NULL: no named reader; then nothing is committed */
	bool once;        /* commit at the end alone */
	const char *dir;
	cq_reader *reader;
	uint64_t bytes; /* passed since the last commit */
	uint64_t seq;   /* of the record that was passed last, if `passed` */
	bool passed;
	bool ahead;       /* the reader has taken a record that was not passed */
	uint32_t segment; /* the position that was committed last */
	uint64_t offset;
	bool failed; /* a commit has failed, and a message has said so */
};

/* For a command's table of options; letters for getopt. */
#define CLI_NAMED_LETTERS "r:C:"
#define CLI_NAMED_OPTIONS                              \
	{ "reader", required_argument, NULL, 'r' },    \
	{                                              \
		"commit", required_argument, NULL, 'C' \
	}
#define CLI_NAMED_ARGUMENTS "[--reader NAME [--commit batch|end]]"
#define CLI_NAMED_HELP                                                                       \
	"  -r, --reader NAME  from the position of this named reader on, which moves\n"      \
	"                   behind what was written; a new one begins with the oldest\n"     \
	"                   record. SIGINT and SIGTERM end the output behind a record\n"     \
	"  -C, --commit batch|end  when the position moves: batch (default: each 256 KiB,\n" \
	"                   and at the end of the queue), or end (once, after everything)\n"

/* Takes one of these options.  False, after a message: its value is wrong. */
bool cli_named_take(struct cli_named *named, int option, const char *value);
/* The options together.  False, after a message: --commit alone. */
bool cli_named_check(const struct cli_named *named);

/* Opens the named reader at its position.  CLI_OK, or the exit code, after a message. */
int cli_named_open(struct cli_named *named, const char *dir, cq_reader **ret_reader);

/* The record was given to the output, or left out on purpose: commits if a batch is full.  False: the output or the
 * commit has failed. */
bool cli_named_passed(struct cli_named *named, const struct cq_record *record);

/* Whether the output ends before this record, which is later than `until`.  Then it is not passed, whatever comes
 * behind it: the next run begins with it. */
bool cli_named_ends_before(struct cli_named *named, const struct cli_selection *selection,
                           const struct cq_record *record);

/* Flushes, and commits unless that comes at the end.  False: one of these has failed. */
bool cli_named_commit(struct cli_named *named);

/* The last commit.  Returns status, or CLI_IO if a commit has failed. */
int cli_named_end(struct cli_named *named, int status);

#endif
