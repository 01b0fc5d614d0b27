/* SPDX-License-Identifier: Apache-2.0 */
/*
 * options.c - fuzzing target: chronfs's command line
 *
 * Input: the arguments, separated by newlines.  The library must accept each configuration that the options
 * accept.
 */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "options/options.h"

#define MOST_ARGUMENTS 32

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct chronfs_options options = { .queue = NULL };
	char program[] = "chronfs", *argv[MOST_ARGUMENTS + 2] = { program };
	char *text = malloc(size + 1), *rest = text, *argument;
	int argc = 1, r;

	HELD_CHECK(text != NULL);
	if (size > 0)
		memcpy(text, data, size);
	text[size] = '\0';
	while (argc <= MOST_ARGUMENTS && (argument = strsep(&rest, "\n")))
		argv[argc++] = argument;
	r = chronfs_options_parse(&options, argc, argv, size % 2 == 0);
	HELD_CHECK(r >= 0);
	if (r == 0) {
		const struct cq_config *c = &options.queue_config;

		HELD_CHECK(c->spares >= 1 && c->spares <= CQ_SPARES_MAX);
		HELD_CHECK(c->segment_size == 0 ||
		           (c->segment_size >= CQ_SEGMENT_SIZE_MIN &&
		            c->segment_size <= CQ_SEGMENT_SIZE_MAX && c->segment_size % 4096 == 0));
		HELD_CHECK(c->sync != CQ_SYNC_INTERVAL || c->sync_interval_ms > 0);
		HELD_CHECK(options.help || options.version ||
		           (options.queue[0] == '/' && options.mountpoint[0] == '/'));
		chronfs_options_fini(&options);
	}
	free(text);
	return 0;
}
