/* SPDX-License-Identifier: Apache-2.0 */
/* mountpoint.h - checks the mount point before we mount there */
#ifndef CHRONFS_MOUNTPOINT_H
#define CHRONFS_MOUNTPOINT_H

#include <stdbool.h>

struct chronfs;

/* Unmounts a dead mount of this queue there, with -o recover.  Returns CHRONFS_EXIT_OK if we can mount
 * there, otherwise an exit code after logging the reason. */
int chronfs_mountpoint_check(struct chronfs *fs);
/* Whether the table of mounts in this file of /proc has a chronfs mount with that source. */
bool chronfs_table_has_mount(const char *path, const char *source);

#endif
