/* SPDX-License-Identifier: Apache-2.0 */
/* mounted.h - changes to a queue that a mount has: its ctl carries them out */
#ifndef CHRONQ_MOUNTED_H
#define CHRONQ_MOUNTED_H

#include <chronq.h>

/*
 * Writes the command to the ctl of the mount whose daemon holds the queue, and waits for its end.  0: it is done;
 * EBUSY: the mount refused it.  ENOLINK, after a message that says which process has the queue and what to do: there
 * is no such mount here, or its ctl cannot be written to.
 */
int cli_mounted_do(const char *dir, const struct cq_holder *holder, const char *command);

#endif
