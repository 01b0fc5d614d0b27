/* SPDX-License-Identifier: Apache-2.0 */
/* proc.h - what /proc says of a client's process or thread */
#ifndef CHRONFS_PROC_H
#define CHRONFS_PROC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define CHRONFS_PROC_TEXT 1024

/* The first bytes of a file of /proc/PID; "" if it cannot be read. */
void chronfs_proc_read(pid_t pid, const char *name, char text[CHRONFS_PROC_TEXT]);
/* Field `number` of /proc/PID/stat, from the third on.  0: not known. */
uint64_t chronfs_proc_stat_field(pid_t pid, int number);
/* Whether SIGKILL is pending for the thread: so the kernel ends it, by whatever signal. */
bool chronfs_proc_is_killed(pid_t thread);

#endif
