/* SPDX-License-Identifier: Apache-2.0 */
/* line_input.c - see line_input.h */
#include "change/line_input.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/cli.h"

#define READ_SIZE (256U << 10)
#define STOP_MS 1000

static int make_room(struct cli_line_input *in)
{
	size_t larger = in->capacity > 0 ? 2 * in->capacity : 2 * (size_t)READ_SIZE;
	char *buffer;

	if (in->begin > 0) {
		memmove(in->buffer, in->buffer + in->begin, in->used - in->begin);
		in->used -= in->begin;
		in->scanned -= in->begin;
		in->begin = 0;
	}
	if (in->capacity - in->used >= READ_SIZE)
		return 0;
	buffer = realloc(in->buffer, larger);
	if (!buffer)
		return -ENOMEM;
	in->buffer = buffer;
	in->capacity = larger;
	return 0;
}

static int read_more(struct cli_line_input *in, bool waits)
{
	struct pollfd fd = { .fd = STDIN_FILENO, .events = POLLIN };
	ssize_t n;
	int r;

	/* A signal that comes just before a read would not end it: the caller looks for one each second. */
	r = poll(&fd, 1, waits ? STOP_MS : 0);
	if (r < 0)
		return -errno;
	if (r == 0)
		return waits ? -EINTR : -EAGAIN;
	r = make_room(in);
	if (r < 0)
		return r;
	n = read(STDIN_FILENO, in->buffer + in->used, in->capacity - in->used);
	if (n < 0)
		return -errno;
	in->used += (size_t)n;
	in->ended = n == 0;
	return 0;
}

int cli_line_input_next(struct cli_line_input *in, bool waits, const char **ret_line,
                        size_t *ret_length)
{
	const char *newline = NULL;
	int r;

	for (;;) {
		if (cli_stopped)
			return -EINTR;
		if (in->used > in->scanned)
			newline = memchr(in->buffer + in->scanned, '\n', in->used - in->scanned);
		in->scanned = in->used;
		if (newline || in->ended)
			break;
		r = read_more(in, waits);
		if (r < 0 && r != -EINTR)
			return r;
	}
	if (!newline && in->used == in->begin)
		return 0;
	*ret_line = in->buffer + in->begin;
	*ret_length = (newline ? (size_t)(newline - in->buffer) : in->used) - in->begin;
	in->begin += *ret_length + (newline ? 1 : 0);
	in->scanned = in->begin;
	return 1;
}

void cli_line_input_free(struct cli_line_input *in)
{
	free(in->buffer);
	in->buffer = NULL;
}
