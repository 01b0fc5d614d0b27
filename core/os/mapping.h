/* SPDX-License-Identifier: Apache-2.0 */
/* mapping.h - one memory-mapped file: its descriptor, its bytes, its size */
#ifndef CQ_MAPPING_H
#define CQ_MAPPING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "os/sigbus.h"

struct cq_mapping {
	int fd;
	size_t size;
	uint8_t *base;
	struct cq_sigbus
		*guard; /* while it is mapped: somebody may cut the file short (sigbus.h) */
};

#define CQ_MAPPING_NONE ((struct cq_mapping){ .fd = -1 })

/* Creates the file, which must not exist (EEXIST: it is left alone), with real space for size
 * bytes, all zero, and maps it read-write.  On failure no file is left. */
int cq_mapping_create_new(struct cq_mapping *ret_mapping, int dirfd, const char *name, size_t size);

/* Maps an existing regular file whole.  size 0: whatever it is; else EBADMSG if it differs. */
int cq_mapping_open(struct cq_mapping *ret_mapping, int dirfd, const char *name, size_t size,
                    bool writable);

/* Faults the pages of this range in for writing, as far as they are in the file. */
int cq_mapping_populate(const struct cq_mapping *mapping, size_t offset, size_t length);

/* Pages of it were missing when they were touched: what was read there was never in the file, and what
 * was stored there is not either. */
static inline bool cq_mapping_cut(const struct cq_mapping *mapping)
{
	return mapping->guard && cq_sigbus_cut(mapping->guard);
}

/* The same, or the file is shorter than it was: what was read from it is not to be believed. */
bool cq_mapping_shortened(const struct cq_mapping *mapping);

/* Unmaps; the descriptor stays open. */
void cq_mapping_unmap(struct cq_mapping *mapping);

/* Unmaps and closes; does nothing for CQ_MAPPING_NONE. */
void cq_mapping_close(struct cq_mapping *mapping);

#endif
