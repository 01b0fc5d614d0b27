/* SPDX-License-Identifier: Apache-2.0 */
/* mountpoint.h - what stands at the mount point before us */
#ifndef CHRONFS_MOUNTPOINT_H
#define CHRONFS_MOUNTPOINT_H

#include <stdbool.h>

struct chronfs;

/* Takes away a dead mount of ours there, if that is wanted.  Returns 0 when we can mount there, else
 * the exit code, having said why not. */
int chronfs_mountpoint_check(struct chronfs *fs);
/* Whether the table of mounts in this file of /proc has a mount of ours of that source. */
bool chronfs_table_has_mount(const char *path, const char *source);

#endif
