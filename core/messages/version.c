/* SPDX-License-Identifier: Apache-2.0 */
/*
 * version.c - the version of the library that a program has met
 *
 * The number is in one place, meson.build; chronq.h repeats it for programs that ask when they are
 * compiled, and does not compile here unless it is the same.
 */
#include "chronq.h"

#if CHRONQ_VERSION_MAJOR != CQ_PROJECT_MAJOR || CHRONQ_VERSION_MINOR != CQ_PROJECT_MINOR || \
	CHRONQ_VERSION_PATCH != CQ_PROJECT_PATCH
#error "chronq.h has another version than meson.build"
#endif

const char *cq_version(void)
{
	return CHRONQ_VERSION;
}
