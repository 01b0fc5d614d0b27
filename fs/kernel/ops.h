/* SPDX-License-Identifier: Apache-2.0 */
/* ops.h - the table of operations */
#ifndef CHRONFS_OPS_H
#define CHRONFS_OPS_H

#include "libfuse.h"

extern const struct fuse_lowlevel_ops chronfs_ops;

#endif
