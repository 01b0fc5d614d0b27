/* SPDX-License-Identifier: Apache-2.0 */
/* mounted.h - a queue that a mount has: its ctl carries out changes, its stats.json has what only the writer knows */
#ifndef CHRONQ_MOUNTED_H
#define CHRONQ_MOUNTED_H

#include <chronq.h>
#include <stdbool.h>

/*
 * Writes the command to the ctl of the mount whose daemon holds the queue, and waits for its end.  0: it is done;
 * EBUSY: the mount refused it.  ENOLINK, after a message that says which process has the queue and what to do: there
 * is no such mount here, or its ctl cannot be written to.
 */
int cli_mounted_do(const char *dir, const struct cq_holder *holder, const char *command);

/* How many flushes the mount that this process serves has done.  False: there is no such mount to be seen here. */
bool cli_mounted_syncs(pid_t pid, uint64_t *ret_syncs);

#endif
