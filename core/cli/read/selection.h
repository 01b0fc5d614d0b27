/* SPDX-License-Identifier: Apache-2.0 */
/*
 * selection.h - which records a reading command writes: by their time, type and payload
 *
 * A record is selected if it passes all that was given: since <= time <= until, one of the types, the
 * pattern found in the payload.
 */
#ifndef CHRONQ_SELECTION_H
#define CHRONQ_SELECTION_H

#include "shared/cli.h"

struct cli_pattern;

struct cli_selection {
	bool have_since, have_until;
	uint64_t since, until;
	bool *types;                 /* of CQ_TYPE_MAX + 1; NULL: all */
	struct cli_pattern *pattern; /* NULL: all */
	bool is_any;                 /* something was given */
};

/* For a command's table of options; letters for getopt. */
#define CLI_SELECTION_LETTERS "S:U:t:g:"
#define CLI_SELECTION_OPTIONS                                                                 \
	{ "since", required_argument, NULL, 'S' }, { "until", required_argument, NULL, 'U' }, \
		{ "type", required_argument, NULL, 't' },                                     \
	{                                                                                     \
		"grep", required_argument, NULL, 'g'                                          \
	}
#define CLI_SELECTION_ARGUMENTS "[--since T] [--until T] [--type N] [--grep RE]"
#define CLI_SELECTION_HELP                                                                      \
	"  -S, --since T    records appended at T or later: \"2026-11-30 10:00\", \"10:00\",\n" \
	"                   today, \"10 min ago\", -1h, @1234567890, 2026-11-30T10:00:00Z\n"    \
	"  -U, --until T    records appended at T or before\n"                                  \
	"  -t, --type N     records of type N; N,M and N-M too; may be repeated\n"              \
	"  -g, --grep RE    records whose payload has a match of this Perl regular\n"           \
	"                   expression\n"

/* Takes one of these options.  False, after a message: its value is wrong. */
bool cli_selection_take(struct cli_selection *selection, int option, const char *value);
/* The options together.  False, after a message: nothing could be selected. */
bool cli_selection_check(const struct cli_selection *selection);
void cli_selection_free(struct cli_selection *selection);

/* 1: it is selected, 0: it is not; -E2BIG: the pattern cannot be matched with it, as that would take too long. */
int cli_selection_has(const struct cli_selection *selection, const struct cq_record *record);

/* Says that of this record. */
void cli_selection_say_slow(const struct cq_record *record);

/* Moves the reader before all records that may be selected: with `since`, behind the segments that are older. */
int cli_selection_seek(const struct cli_selection *selection, cq_queue *queue, cq_reader *reader);

/* How far reading has to go; zero at the beginning. */
struct cli_until {
	bool known;
	uint32_t last; /* the newest segment that may hold a selected record */
};

/* Whether neither this record nor a later one can be selected.  Asks the segments behind the record's when the
 * first record behind `until` comes. */
bool cli_selection_is_over(const struct cli_selection *selection, cq_queue *queue,
                           const struct cq_record *record, struct cli_until *until);

#endif
