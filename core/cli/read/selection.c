/* SPDX-License-Identifier: Apache-2.0 */
/*
 * selection.c - see selection.h
 *
 * A queue's clock may have been set back, so times need not ascend.  Each segment says which times it holds
 * (cq_segment_times()): so all selected records are found, older segments are passed over, and the output ends
 * as soon as no later segment can hold one.
 */
#include "read/selection.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "read/pattern.h"
#include "shared/span.h"
#include "shared/time.h"

/* ---- options ---- */

static bool take_time(const char *value, enum cli_twice twice, bool *have, uint64_t *ret)
{
	const char *fault = cli_parse_time(value, cli_now_ns(), twice, ret);

	*have = fault == NULL;
	if (fault)
		cli_note("%s: %s%s", fault, value, cli_time_examples(fault));
	return *have;
}

/* N, N-M, and several with commas between them. */
static bool take_types(struct cli_selection *s, const char *value)
{
	uint64_t first, last;
	const char *at = value;

	if (!s->types)
		s->types = calloc(CQ_TYPE_MAX + 1, sizeof *s->types);
	if (!s->types) { /* GCOV_EXCL_BR_LINE: no memory */
		cli_fail("--type", -ENOMEM);
		return false;
	}
	for (;;) {
		if (!cli_parse_number(at, &at, &first))
			break;
		last = first;
		if (*at == '-' && !cli_parse_number(at + 1, &at, &last))
			break;
		if (last < first || last > CQ_TYPE_MAX)
			break;
		for (uint64_t type = first; type <= last; type++)
			s->types[type] = true;
		if (*at == '\0')
			return true;
		if (*at++ != ',')
			break;
	}
	cli_note("not a record type, which is 0 to %u, nor a list of them: %s", CQ_TYPE_MAX, value);
	return false;
}

bool cli_selection_take(struct cli_selection *s, int option, const char *value)
{
	s->is_any = true;
	switch (option) {
	case 'S':
		return take_time(value, CLI_TWICE_FIRST, &s->have_since, &s->since);
	case 'U':
		return take_time(value, CLI_TWICE_SECOND, &s->have_until, &s->until);
	case 't':
		return take_types(s, value);
	default:
		if (s->pattern) {
			cli_note("more than one --grep: join them with |");
			return false;
		}
		s->pattern = cli_pattern_new(value);
		return s->pattern != NULL;
	}
}

bool cli_selection_check(const struct cli_selection *s)
{
	if (!s->have_since || !s->have_until || s->since <= s->until)
		return true;
	cli_note("--until is before --since");
	return false;
}

void cli_selection_free(struct cli_selection *s)
{
	free(s->types);
	cli_pattern_free(s->pattern);
	s->types = NULL;
	s->pattern = NULL;
}

/* ---- records ---- */

int cli_selection_has(const struct cli_selection *s, const struct cq_record *record)
{
	if ((s->have_since && record->time_ns < s->since) ||
	    (s->have_until && record->time_ns > s->until) || (s->types && !s->types[record->type]))
		return 0;
	return s->pattern ? cli_pattern_find(s->pattern, record->payload, record->length) : 1;
}

void cli_selection_say_slow(const struct cq_record *record)
{
	cli_note("record %" PRIu64 " is left out: --grep takes too long for its payload",
	         record->seq);
}

int cli_selection_seek(const struct cli_selection *s, cq_queue *queue, cq_reader *reader)
{
	return s->have_since ? cli_seek_since(queue, reader, s->since) : 0;
}

bool cli_selection_is_over(const struct cli_selection *s, cq_queue *queue,
                           const struct cq_record *record, struct cli_until *until)
{
	if (!s->have_until)
		return false;
	if (!until->known && record->time_ns > s->until) {
		until->last = cli_last_until(queue, record->segment, s->until);
		until->known = true;
	}
	return until->known && record->segment > until->last;
}
