/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fault.h - deliberate bugs of the mount, which only -Dplanted_faults=true compiles in
 *
 * chronfs_planted(NAME) is true if the environment has CHRONQ_PLANT=NAME, the variable of the
 * library's deliberate bugs.  docs/testing.md has the table of all of them; a test catches each.
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
