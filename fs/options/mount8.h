/* SPDX-License-Identifier: Apache-2.0 */
/* mount8.h - the command line of the mount(8) helper */
#ifndef CHRONFS_MOUNT8_H
#define CHRONFS_MOUNT8_H

#include "options/options.h"

/* Whether the program has a name under which mount(8) calls it. */
bool chronfs_mount8_called(const char *program);

/* Like chronfs_options_parse(), from the arguments of mount(8). */
int chronfs_mount8_parse(struct chronfs_options *ret_options, int argc, char **argv);

#endif
