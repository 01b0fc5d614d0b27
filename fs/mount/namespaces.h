/* SPDX-License-Identifier: Apache-2.0 */
/* namespaces.h - a mount that was unmounted here and is left in another mount namespace */
#ifndef CHRONFS_NAMESPACES_H
#define CHRONFS_NAMESPACES_H

#include <stdbool.h>
#include <sys/types.h>

struct chronfs;

/* Whether our mount namespace has no mount of this queue, and another namespace has one; *ret_process
 * is a process there.  False also if we may not read the tables of mounts there. */
bool chronfs_mounted_elsewhere(const struct chronfs *fs, pid_t *ret_process);

#endif
