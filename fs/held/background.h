/* SPDX-License-Identifier: Apache-2.0 */
/* background.h - the background thread; see background.c */
#ifndef CHRONFS_BACKGROUND_H
#define CHRONFS_BACKGROUND_H

struct chronfs;

/* Does what is due now.  Returns in how many milliseconds it must be called again; -1: after a
 * wake. */
typedef int (*chronfs_step_fn)(struct chronfs *fs);

/* Starts the thread, which calls `steps`: a constant array with a NULL at its end.
 *   ENOMEM
 *   EAGAIN  no thread */
int chronfs_background_start(struct chronfs *fs, const chronfs_step_fn *steps);
/* After a change that makes a step due: runs the steps now. */
void chronfs_background_wake(struct chronfs *fs);
/* Ends the thread.  A wake is still allowed. */
void chronfs_background_stop(struct chronfs *fs);
void chronfs_background_fini(struct chronfs *fs);

#endif
