/* SPDX-License-Identifier: Apache-2.0 */
/*
 * option_access.h - the options uid=, gid=, umask= and ctl_gid=
 *
 * Each function takes the value behind the '=' of an option.  It returns 0, or -1 after printing what
 * is wrong with the value; then the result is unchanged.
 */
#ifndef CHRONFS_OPTION_ACCESS_H
#define CHRONFS_OPTION_ACCESS_H

#include <sys/types.h>

/* A number, or a name that the system knows.  Only while the process has one thread. */
int chronfs_take_user(const char *option, uid_t *ret_uid);
int chronfs_take_group(const char *option, gid_t *ret_gid);
/* An octal number from 0 to 777. */
int chronfs_take_umask(const char *option, mode_t *ret_umask);

#endif
