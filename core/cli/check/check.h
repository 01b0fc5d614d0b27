/* SPDX-License-Identifier: Apache-2.0 */
/* check.h - chronq ship --check: compares a queue with its stream, and changes nothing */
#ifndef CHRONQ_CHECK_H
#define CHRONQ_CHECK_H

#include "jet/options.h"

struct check_options {
	const char *dir;
	const struct ship_options *ship; /* servers and stream */
	bool visible; /* records that are not durable are expected in the stream, too */
};

/* Prints ranges and a summary.  Returns the exit code: CLI_OK if the stream has what it should have, CLI_PROBLEM if it
 * does not; CLI_IO, SHIP_NO_STREAM, SHIP_FOREIGN: it could not be compared. */
int check_run(const struct check_options *options);

#endif
