/* SPDX-License-Identifier: Apache-2.0 */
/* daemon.h - going to the background, signals */
#ifndef CHRONFS_DAEMON_H
#define CHRONFS_DAEMON_H

#include <stdbool.h>

#include "libfuse.h"

struct chronfs;

/* Before any file is opened: takes care that none gets the number of a standard stream. */
int chronfs_daemon_streams(void);

/* Forks.  In the child: 0.  In the parent: waits until the mount answers or the child ends, and
 * exits. */
int chronfs_daemon_fork(struct chronfs *fs);

/* The mount answers: lets the parent go and leaves its terminal. */
void chronfs_daemon_ready(struct chronfs *fs);

/* The signals that end the mount, blocked in every thread but the one that waits for them. */
int chronfs_signals_block(void);
/* One of them has come, and nobody has taken it yet. */
bool chronfs_signals_pending(void);
struct chronfs_signals;
int chronfs_signals_start(struct fuse_session *session, struct chronfs_signals **ret_signals);
void chronfs_signals_stop(struct chronfs_signals *signals);

#endif
