/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fault.h - deliberate bugs of the mount, compiled in only by -Dplanted_faults=true
 *
 * chronfs_planted(NAME) is true when the environment names this one: CHRONQ_PLANT=NAME, the variable
 * that the library's own faults have.  The table of them is in docs/testing.md; each is caught by a test.
 */
#ifndef CHRONFS_FAULT_H
#define CHRONFS_FAULT_H

#include <stdbool.h>

#ifdef CQ_FAULTS

#include <stdlib.h>
#include <string.h>

static inline bool chronfs_planted(const char *name)
{
	const char *plant = getenv("CHRONQ_PLANT");

	return plant && strcmp(plant, name) == 0;
}

#else

static inline bool chronfs_planted(const char *name)
{
	(void)name;
	return false;
}

#endif

#endif
