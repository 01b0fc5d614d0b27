/* SPDX-License-Identifier: Apache-2.0 */
/* format.h - the text of --format: how a record is written */
#ifndef CHRONQ_FORMAT_H
#define CHRONQ_FORMAT_H

#include "shared/cli.h"

#define CLI_FORMAT_HELP                                                                               \
	"  -F, --format F   each record as this text, with a newline if that is missing:\n"           \
	"                   %s sequence number, %t time, %n nanoseconds since 1970, %y type,\n"       \
	"                   %l length, %o stream offset, %g segment, %e epoch, %p payload,\n"         \
	"                   %x payload in hex, %b in base64, %%; \\n \\t \\0 \\\\; \\c at the end:\n" \
	"                   no newline\n"

/* How records are written: at most one of the first two. */
struct cli_style {
	bool json;
	const char *format; /* NULL: none */
	bool exact;         /* with json: everything that an import needs */
	bool line;          /* else: a payload without a newline at its end gets one */
};

/* False, after a message: the style contradicts itself, or the format has something that there is not. */
bool cli_style_check(const struct cli_style *style);
/* Writes the record in a style that has passed the check.  False: the output has failed or is closed. */
bool cli_style_write(const struct cli_style *style, const struct cq_record *record);

#endif
