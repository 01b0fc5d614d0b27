/* SPDX-License-Identifier: Apache-2.0 */
/* flock.h - which process holds a lock of flock(2), according to the kernel's list */
#ifndef CQ_FLOCK_H
#define CQ_FLOCK_H

#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>

/*
 * Whether any process holds a flock on this file, and which one.  Reading the list never keeps out a process
 * that wants the lock, as taking the lock would.  The list has the device of the file's mount, which is not
 * always stat's (btrfs subvolumes): then the mount of `beside`, a descriptor of a file on it, tells; or, if
 * that is unknown, the inode number and `named` must agree (0: then the lock is not found).
 * *ret_pid: 0 or less if the process is of another pid namespace.
 */
bool cq_flock_held(int beside, const struct stat *file, pid_t named, pid_t *ret_pid);

#endif
