/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sigbus.h - mapped files that another process cuts short
 *
 * Touching a page behind the end of a mapped file raises SIGBUS.  In a guarded range the handler records
 * that it happened, then replaces everything from that page to the end of the range by zero pages: the
 * access continues and reads zeros.  A caller that finds an error in what it read asks cq_sigbus_cut().
 * So a guard costs nothing while nothing is wrong.
 *
 * Adding a range installs the handler, unless it is in place.  It passes every other SIGBUS on to the
 * handler that was there before.
 */
#ifndef CQ_SIGBUS_H
#define CQ_SIGBUS_H

#include <stdbool.h>
#include <stddef.h>

struct cq_sigbus;

/* Guards `size` bytes of a mapping; `base` is page aligned. */
int cq_sigbus_add(void *base, size_t size, struct cq_sigbus **ret_guard);

/* To be called before the range is unmapped.  NULL: does nothing. */
void cq_sigbus_remove(struct cq_sigbus *guard);

/* Pages of the range were missing when they were touched. */
bool cq_sigbus_cut(const struct cq_sigbus *guard);

#endif
