/* SPDX-License-Identifier: Apache-2.0 */
/* libfuse.h - libfuse's low-level API, in the version that we are written for */
#ifndef CHRONFS_LIBFUSE_H
#define CHRONFS_LIBFUSE_H

#define FUSE_USE_VERSION 312

#include <fuse_lowlevel.h>

#endif
