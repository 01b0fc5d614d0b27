/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sigbus.h - mapped files that are cut short by somebody else
 *
 * Touching a page behind the end of a mapped file raises SIGBUS.  For a guarded range the signal is
 * answered by remembering that it happened, and then by putting zero pages in the place of everything
 * from there to the end of the range: the access goes on, reads zeros, and whoever finds something
 * wrong with what it read asks cq_sigbus_cut().  So guarding costs nothing where nothing is wrong.
 *
 * The handler is installed with a guarded range, whenever it is not the one in place, and passes
 * every other SIGBUS on to the handler that was there before.
 */
#ifndef CQ_SIGBUS_H
#define CQ_SIGBUS_H

#include <stdbool.h>
#include <stddef.h>

struct cq_sigbus;

/* Guards `size` bytes of a mapping; `base` is page aligned. */
int cq_sigbus_add(void *base, size_t size, struct cq_sigbus **ret_guard);

/* Before the range is unmapped.  NULL: nothing. */
void cq_sigbus_remove(struct cq_sigbus *guard);

/* Pages of the range were missing when they were touched. */
bool cq_sigbus_cut(const struct cq_sigbus *guard);

#endif
