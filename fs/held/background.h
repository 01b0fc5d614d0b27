/* SPDX-License-Identifier: Apache-2.0 */
/* background.h - the one thread for what no request does */
#ifndef CHRONFS_BACKGROUND_H
#define CHRONFS_BACKGROUND_H

struct chronfs;

/* Does what is due now.  Milliseconds until it has to be called again, -1: not before a wake. */
typedef int (*chronfs_step_fn)(struct chronfs *fs);

/* steps: those that the thread calls, up to a NULL; constant.
 *   ENOMEM
 *   EAGAIN  no thread */
int chronfs_background_start(struct chronfs *fs, const chronfs_step_fn *steps);
/* There is something to do: the steps run now. */
void chronfs_background_wake(struct chronfs *fs);
/* Ends the thread; a wake still does no harm. */
void chronfs_background_stop(struct chronfs *fs);
void chronfs_background_fini(struct chronfs *fs);

#endif
