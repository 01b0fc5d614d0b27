/* SPDX-License-Identifier: Apache-2.0 */
/* line_input.h - the lines of standard input, of any length */
#ifndef CHRONQ_LINE_INPUT_H
#define CHRONQ_LINE_INPUT_H

#include <stdbool.h>
#include <stddef.h>

struct cli_line_input { /* all zero at the beginning */
	char *buffer;
	size_t capacity, begin, used; /* bytes [begin, used) have been read and not given out */
	size_t scanned;               /* of these, [begin, scanned) hold no newline */
	bool ended;
};

/*
 * The next line, without its newline, valid until the next call: 1.  0: the input has ended.  EAGAIN: no whole line
 * has come yet, and `waits` is false.  EINTR: a signal has set cli_stopped.  Other errors are those of read(2), or
 * ENOMEM.
 */
int cli_line_input_next(struct cli_line_input *input, bool waits, const char **ret_line,
                        size_t *ret_length);
void cli_line_input_free(struct cli_line_input *input);

#endif
