/* SPDX-License-Identifier: Apache-2.0 */
/* libfuse.h - the version of libfuse's low-level API for which chronfs is written */
#ifndef CHRONFS_LIBFUSE_H
#define CHRONFS_LIBFUSE_H

#define FUSE_USE_VERSION 312

#include <fuse_lowlevel.h>

#endif
