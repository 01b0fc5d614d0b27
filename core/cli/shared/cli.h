/* SPDX-License-Identifier: Apache-2.0 */
/* cli.h - shared by the subcommands of chronq */
#ifndef CHRONQ_CLI_H
#define CHRONQ_CLI_H

#include <chronq.h>
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

/* Exit codes of every subcommand. */
enum {
	CLI_OK = 0,
	CLI_PROBLEM = 1, /* it ran, and found damage in the queue or had nothing to do */
	CLI_USAGE = 2,
	CLI_IO = 3, /* something could not be opened, read or written */
};

struct cli_command {
	const char *name;
	const char *arguments; /* behind the name, for the usage line */
	const char *summary;   /* one line */
	const char *help;      /* options, then explanations */
	int (*run)(const struct cli_command *command, int argc, char **argv);
};

extern const struct cli_command cli_info, cli_ls, cli_cat, cli_tail, cli_append, cli_archive,
	cli_verify, cli_repair, cli_promote, cli_readers, cli_trim, cli_roll, cli_export,
	cli_import, cli_stat;

/* ---- common.c ---- */

/* "chronq: SUBJECT: text of the error" on stderr; returns CLI_IO.  error is negative. */
int cli_fail(const char *subject, int error);
/* The same for a call on a named reader; names the process that uses it, for EBUSY. */
int cli_fail_reader(const char *dir, const char *name, int error);
/* "chronq: MESSAGE" on stderr. */
void cli_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The usage line on stderr, after a message; returns CLI_USAGE. */
int cli_usage(const struct cli_command *command);
/* getopt_long() with messages of our form.  '?': it has written one. */
int cli_option(int argc, char **argv, const char *letters, const struct option *options);
/* Options that all subcommands have: 'h' prints the help, '?' the usage.  Returns the exit code. */
int cli_other_option(const struct cli_command *command, int option);
/* The operand DIR behind the options; NULL, after a message: there is none, or more than one. */
char *cli_directory(int argc, char **argv);

/* To be called before opening a queue for writing.  Waits up to a second for a writer that is ending, such as
 * the daemon of a mount that was just unmounted, and longer while that is closing the queue and advances. The
 * open that follows shows whether it has released the lock. */
void cli_await_release(const char *dir);

/* A number in decimal digits; false: there is none, or it is too large. */
bool cli_parse_number(const char *text, const char **ret_rest, uint64_t *ret_number);
/* N, NK, NM or NG: bytes. */
bool cli_parse_size(const char *text, uint64_t *ret_size);

/* From now on this signal sets cli_stopped and interrupts system calls. */
extern volatile sig_atomic_t cli_stopped;
void cli_stop_on(int signal);

/* UTC, with nanoseconds: 2026-01-31T23:59:59.123456789Z */
#define CLI_TIME_MAX 40
void cli_format_time(char text[CLI_TIME_MAX], uint64_t time_ns);

/*
 * ---- progress.c ----
 *
 * One line on standard error, if that is a terminal: it appears after a second, changes five times a second, and is
 * removed before a message and at the end.  There is one meter at a time.
 */

/* Begins: "chronq: SUBJECT: WHAT, 35 %, 512 MiB/s, 12 s left".  total: bytes, 0: unknown.  Both texts must stay. */
void cli_meter_begin(const char *subject, const char *what, uint64_t total);
/* So many bytes are done. */
void cli_meter_at(uint64_t done);
/* Removes the line until the next change. */
void cli_meter_clear(void);
void cli_meter_end(void);

/* The same for records that are read from a queue, from this place of the reader to the end that the queue has now.
 * Does nothing if standard output is a terminal: that shows the records. */
void cli_meter_begin_reading(const char *dir, const char *what, cq_queue *queue,
                             const cq_reader *reader);
void cli_meter_at_record(const struct cq_record *record);

/* A cq_progress_fn with the same line; arg is the queue's directory, not const.  Never ends the call. */
int cli_progress(void *arg, const struct cq_progress *progress);

/* ---- read/cat.c ---- */

/* After cq_reader_next() has failed: writes a message, and moves past missing or damaged records.  before:
 * the reader's statistics when the output began.  Returns 1 to continue; 0: nothing follows; or the error if
 * it is another one. */
int cli_step_over(cq_reader *reader, const struct cq_reader_stats *before, int error);

/*
 * When the reader finds no next record: whether it is at the end of the queue.  0: it is; 1 with a record,
 * or an error as cq_reader_next(): there is one now; -ENOLINK, after a message: there are records behind an
 * unsealed segment, which no writer will continue.
 */
int cli_at_end(cq_queue *queue, cq_reader *reader, struct cq_record *ret_record);

/* ---- output.c ---- */

/* Gives standard output a large buffer.  For a closed output see cli_output_end(). */
void cli_output_begin(void);
/* Writes these bytes.  False: the output has failed or is closed; so do the others. */
bool cli_output_bytes(const void *bytes, size_t length);
/* Writes the payload unchanged, or (line) with a newline if it does not end in one. */
bool cli_output_payload(const struct cq_record *record, bool line);
/* One JSON object on a line.  exact: with its stream offset, and with numbers that no JSON reader cuts off. */
bool cli_output_json(const struct cq_record *record, bool exact);
/* False: this or an earlier write has failed. */
bool cli_output_flush(void);
/* The other end of standard output is closed. */
bool cli_output_closed(void);
/* Flushes; returns status, or CLI_IO after a message if a write failed.  A closed output is no error. */
int cli_output_end(int status);

#endif
