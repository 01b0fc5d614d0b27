/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memory.h - the library's allocations as calls that can fail: "malloc" of fault.h
 *
 * For tests that are linked with --wrap=malloc, --wrap=calloc and --wrap=realloc (memory_args in
 * meson.build).
 */
#ifndef CQ_TEST_MEMORY_H
#define CQ_TEST_MEMORY_H

#include <stdbool.h>

/* Whether what is allocated from now on is the library's; what a test allocates never fails. */
void memory_watch(bool watch);

#endif
