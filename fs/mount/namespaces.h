/* SPDX-License-Identifier: Apache-2.0 */
/* namespaces.h - a mount that is gone here and left somewhere else */
#ifndef CHRONFS_NAMESPACES_H
#define CHRONFS_NAMESPACES_H

#include <stdbool.h>
#include <sys/types.h>

struct chronfs;

/* Whether no mount of this queue is in our mount namespace, and one is in another, of which *ret_process
 * is a process; as far as the tables of mounts there may be read. */
bool chronfs_mounted_elsewhere(const struct chronfs *fs, pid_t *ret_process);

#endif
