/* SPDX-License-Identifier: Apache-2.0 */
/* helper.h - the command line when mount(8) calls */
#ifndef CHRONFS_HELPER_H
#define CHRONFS_HELPER_H

#include "mount/options.h"

/* Whether we were called by a name that mount(8) looks for. */
bool chronfs_helper_called(const char *program);

/* As chronfs_options_parse(), from the arguments that mount(8) gives. */
int chronfs_helper_parse(struct chronfs_options *ret_options, int argc, char **argv);

#endif
