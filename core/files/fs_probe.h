/* SPDX-License-Identifier: Apache-2.0 */
/* fs_probe.h - whether the file system below can hold a queue */
#ifndef CQ_FS_PROBE_H
#define CQ_FS_PROBE_H

#include <stdbool.h>

/* Tries the two things that a queue needs and some file systems lack: real space for a file before it is
 * written, and a rename that replaces nothing.  EOPNOTSUPP: one is missing.  The caller holds the writer lock
 * and has swept the directory; no file is left there.  ext4, xfs, btrfs and tmpfs are known to have both and
 * are not tried. */
int cq_fs_probe(int dirfd);

/* It is one of those four. */
bool cq_fs_is_known(int dirfd);

#endif
