/* SPDX-License-Identifier: Apache-2.0 */
/*
 * locate.c - bisection over the heads of messages; see locate.h
 *
 * Invariant: of the messages that can be read, those before `low` do not reach the record; `high` is the end, a message
 * that reaches it, or one from which on nothing could be read when it was tried.
 */
#include "fetch/locate.h"

#include <errno.h>
#include <string.h>

#include "shared/cli.h"
#include "wire/fault.h"

bool locate_reaches(const struct wire_head *head, uint64_t seq)
{
	/* a part that is not its record's last one has next = first */
	return head->next > seq || (head->first >= seq && !wire_planted("parts_passed_over"));
}

static bool is_unreadable(int error)
{
	return error == -ENOENT || error == -EBADMSG || error == -EPROTONOSUPPORT;
}

/* The head of a message from *at on, before `end`: the next ones, then in doubled steps.  1: *at, *ret_head; 0: none
 * of those that were tried can be read. */
static int read_from(uint64_t *at, uint64_t end, locate_probe_fn probe, void *arg,
                     struct wire_head *ret_head)
{
	uint64_t from = *at, step = 0;
	int r;

	while (step < end - from) {
		r = probe(arg, from + step, ret_head);
		if (r == 0) {
			*at = from + step;
			return 1;
		}
		if (!is_unreadable(r))
			return r;
		step = step == 0 ? 1 : step * 2;
	}
	return 0;
}

int locate(uint64_t seq, uint64_t first, uint64_t last, uint64_t guess, locate_probe_fn probe,
           void *arg, uint64_t *ret_sequence)
{
	uint64_t low = first, high = last + 1;
	struct wire_head head;
	bool guessed = false;

	while (low < high) {
		uint64_t middle = low + (high - low) / 2, at;
		int r;

		if (guess >= low && guess < high)
			middle = guess;
		else
			guess = 0;
		at = middle;
		r = read_from(&at, high, probe, arg, &head);
		if (r < 0)
			return r;
		if (r == 0)
			high = middle;
		else if (locate_reaches(&head, seq))
			high = at;
		else
			low = at + 1;
		/* a good guess needs one more message: the one before it */
		guess = guess > low && !guessed ? high - 1 : 0;
		guessed = true;
	}
	*ret_sequence = low;
	return 0;
}

bool fetch_reply_parse(const char *reply, uint64_t *ret_sequence, uint64_t *ret_number,
                       uint64_t *ret_pending)
{
	const char *tokens[12], *rest;
	uint64_t sequence, number, pending;
	unsigned count = 0, at;

	if (!reply || strncmp(reply, "$JS.ACK.", 8) != 0)
		return false;
	for (const char *token = reply; token; count++) {
		if (count == sizeof tokens / sizeof tokens[0])
			return false;
		tokens[count] = token;
		token = strchr(token, '.');
		if (token)
			token++;
	}
	if (count != 9 && count != 11 && count != 12)
		return false;
	at = count == 9 ? 5 : 7;
	if (!cli_parse_number(tokens[at], &rest, &sequence) || *rest != '.' ||
	    !cli_parse_number(tokens[at + 1], &rest, &number) || *rest != '.' ||
	    !cli_parse_number(tokens[at + 3], &rest, &pending) || (*rest != '.' && *rest != '\0'))
		return false;
	*ret_sequence = sequence;
	*ret_number = number;
	*ret_pending = pending;
	return true;
}
