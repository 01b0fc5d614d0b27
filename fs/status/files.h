/* SPDX-License-Identifier: Apache-2.0 */
/* files.h - stats.json and metrics as files; stats.h has the fields in them */
#ifndef CHRONFS_STATUS_FILES_H
#define CHRONFS_STATUS_FILES_H

#include <stddef.h>

#include "shared/node_ops.h"

struct chronfs_status_files {
	size_t metrics_size; /* of the last text of metrics, 0: none was made yet; atomic */
};

extern const struct chronfs_node_ops chronfs_stats_ops;
extern const struct chronfs_node_ops chronfs_metrics_ops;

#endif
