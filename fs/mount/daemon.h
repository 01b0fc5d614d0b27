/* SPDX-License-Identifier: Apache-2.0 */
/* daemon.h - going to the background, signals */
#ifndef CHRONFS_DAEMON_H
#define CHRONFS_DAEMON_H

#include <stdbool.h>

#include "libfuse.h"

struct chronfs;

/* Before any file is opened: makes sure that no file gets the number of a standard stream. */
int chronfs_daemon_streams(void);

/* Forks.  Returns CHRONFS_EXIT_OK in the child, or an exit code after logging the reason.  The parent
 * waits until the mount answers or the child ends, and exits. */
int chronfs_daemon_fork(struct chronfs *fs);

/* When the mount is ready: lets the parent exit, and leaves its terminal. */
void chronfs_daemon_ready(struct chronfs *fs);

/* Blocks the signals that end the mount, in this thread and those that it starts. */
int chronfs_signals_block(void);
/* Whether one of them has come and no thread has taken it yet. */
bool chronfs_signals_pending(void);
struct chronfs_signals;
/* Starts the thread that takes them: it makes the session and its loop, in the calling thread, end. */
int chronfs_signals_start(struct fuse_session *session, struct chronfs_signals **ret_signals);
void chronfs_signals_stop(struct chronfs_signals *signals);

#endif
