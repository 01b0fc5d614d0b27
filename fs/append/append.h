/* SPDX-License-Identifier: Apache-2.0 */
/* append.h - `append`: one write(2) is one record; see append.c */
#ifndef CHRONFS_APPEND_H
#define CHRONFS_APPEND_H

#include "shared/node_ops.h"

extern const struct chronfs_node_ops chronfs_append_ops;

#endif
