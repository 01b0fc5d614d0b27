/* SPDX-License-Identifier: Apache-2.0 */
/* memory.c - see memory.h */
#include "memory.h"

#include <stdatomic.h>
#include <stddef.h>

#include "os/fault.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);

static _Atomic bool watched; /* by the library's threads, too */

void memory_watch(bool watch)
{
	atomic_store(&watched, watch);
}

static bool refused(void)
{
	return atomic_load(&watched) && cq_failpoint("malloc") < 0;
}

void *__wrap_malloc(size_t size)
{
	return refused() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	return refused() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
	return refused() ? NULL : __real_realloc(old, size);
}
