/* SPDX-License-Identifier: Apache-2.0 */
/* mount8.h - the command line when mount(8) calls */
#ifndef CHRONFS_MOUNT8_H
#define CHRONFS_MOUNT8_H

#include "options/options.h"

/* Whether we were called by a name that mount(8) looks for. */
bool chronfs_mount8_called(const char *program);

/* As chronfs_options_parse(), from the arguments that mount(8) gives. */
int chronfs_mount8_parse(struct chronfs_options *ret_options, int argc, char **argv);

#endif
