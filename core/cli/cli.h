/* SPDX-License-Identifier: Apache-2.0 */
/* cli.h - shared by the subcommands of chronq */
#ifndef CHRONQ_CLI_H
#define CHRONQ_CLI_H

#include <chronq.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>

/* Exit codes of every subcommand. */
enum {
	CLI_OK = 0,
	CLI_PROBLEM =
		1, /* it ran, and something is wrong with the queue or there was nothing to do */
	CLI_USAGE = 2,
	CLI_IO = 3, /* something could not be opened, read or written */
};

struct cli_command {
	const char *name;
	const char *arguments; /* behind the name, for the usage line */
	const char *summary;   /* one line */
	const char *help;      /* options and what else there is to know */
	int (*run)(const struct cli_command *command, int argc, char **argv);
};

extern const struct cli_command cli_info, cli_ls, cli_cat, cli_tail, cli_append, cli_verify,
	cli_repair;

/* ---- common.c ---- */

/* "chronq: SUBJECT: what the errno means" on stderr; returns CLI_IO.  error is negative. */
int cli_fail(const char *subject, int error);
/* "chronq: MESSAGE" on stderr. */
void cli_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* After an option that getopt_long() has complained of, or a wrong number of arguments. */
int cli_usage(const struct cli_command *command);
/* getopt_long(), whose complaints are written as ours are: '?' when it has. */
int cli_option(int argc, char **argv, const char *letters, const struct option *options);
/* What ends every subcommand, as its exit code: 'h' prints its help, '?' its usage. */
int cli_other_option(const struct cli_command *command, int option);
/* The one operand DIR behind the options, or NULL. */
char *cli_directory(int argc, char **argv);

/* Before a queue is written to: gives a writer that is ending, such as the daemon of a mount that was
 * unmounted just now, a second to let go, and longer while it is closing the
 * queue and gets on.  Whether it has is for the next call to tell. */
void cli_await_release(const char *dir);

/* Decimal digits only; false if it is anything else or too large. */
bool cli_parse_number(const char *text, const char **ret_rest, uint64_t *ret_number);
/* N, NK, NM or NG: bytes. */
bool cli_parse_size(const char *text, uint64_t *ret_size);

/* UTC, with nanoseconds: 2026-01-31T23:59:59.123456789Z */
#define CLI_TIME_MAX 40
void cli_format_time(char text[CLI_TIME_MAX], uint64_t time_ns);

/* ---- progress.c ---- */

/* A cq_progress_fn; arg is the queue's directory, not const.  Says on a terminal, once a second, how far
 * it is, and goes on. */
int cli_progress(void *arg, const struct cq_progress *progress);

/* ---- cat.c ---- */

/* After cq_reader_next() has failed: says so, and goes past what is missing or damaged.  before: what
 * the reader had counted when the output began.
 * Returns 1 to go on, 0 when nothing follows, or the error when it is another one. */
int cli_step_over(cq_reader *reader, const struct cq_reader_stats *before, int error);

/*
 * Where the reader has come to the end: whether that is the queue's.  0: it is; 1 with a record, or an
 * error as cq_reader_next(), when there is more after all; -ENOLINK, after a message, when records stand
 * behind an unsealed segment, which no writer goes on in.
 */
int cli_at_end(cq_queue *queue, cq_reader *reader, struct cq_record *ret_record);

/* ---- output.c ---- */

/* A large buffer for standard output; a reader that goes away is no error, see cli_output_end(). */
void cli_output_begin(void);
/* Writes the payload, as it is or (line) with a newline where it does not end in one.  False: the
 * output takes no more. */
bool cli_output_payload(const struct cq_record *record, bool line);
/* One JSON object on a line. */
bool cli_output_json(const struct cq_record *record);
bool cli_output_flush(void);
/* Nobody reads the other end any more. */
bool cli_output_closed(void);
/* Flushes; returns status, or CLI_IO after a message if something could not be written. */
int cli_output_end(int status);

#endif
