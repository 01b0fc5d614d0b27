/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fault.h - deliberate bugs of ship and fetch, which only -Dplanted_faults=true compiles in
 *
 * wire_planted(NAME) is true if the environment has CHRONQ_PLANT=NAME, the variable of the library's
 * deliberate bugs.  docs/testing.md has the table of all of them; a test catches each.
 */
#ifndef CHRONQ_WIRE_FAULT_H
#define CHRONQ_WIRE_FAULT_H

#include <stdbool.h>

#ifdef CQ_FAULTS

#include <stdlib.h>
#include <string.h>

static inline bool wire_planted(const char *name)
{
	const char *plant =
		getenv("CHRONQ_PLANT"); // NOLINT(concurrency-mt-unsafe): no thread sets one

	return plant && strcmp(plant, name) == 0;
}

#else

static inline bool wire_planted(const char *name)
{
	(void)name;
	return false;
}

#endif

#endif
