/* SPDX-License-Identifier: Apache-2.0 */
/* reply.c - what a server says of a message of a stream in its reply subject; see reply.h */
#include "fetch/reply.h"

#include <string.h>

#include "shared/cli.h"

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
