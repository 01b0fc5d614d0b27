/* SPDX-License-Identifier: Apache-2.0 */
/* dispatch.h - the table of operations */
#ifndef CHRONFS_DISPATCH_H
#define CHRONFS_DISPATCH_H

#include "libfuse.h"

extern const struct fuse_lowlevel_ops chronfs_ops;

#endif
