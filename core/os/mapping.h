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
		*guard; /* while it is mapped: another process may cut the file short (sigbus.h) */
};

#define CQ_MAPPING_NONE ((struct cq_mapping){ .fd = -1 })

/* Creates the file, which must not exist (EEXIST: an existing one is left alone), with reserved space for
 * `size` zero bytes, and maps it read-write.  On failure no file is left. */
int cq_mapping_create_new(struct cq_mapping *ret_mapping, int dirfd, const char *name, size_t size);

/* Maps an existing regular file whole.  size 0: of any size; else EBADMSG if its size differs. */
int cq_mapping_open(struct cq_mapping *ret_mapping, int dirfd, const char *name, size_t size,
                    bool writable);

/* Faults in the pages of this range for writing, as far as they are in the file. */
int cq_mapping_populate(const struct cq_mapping *mapping, size_t offset, size_t length);

/* Pages of it were missing when they were touched: bytes that were read from them were never in the file,
 * and bytes that were stored into them are not in the file. */
static inline bool cq_mapping_cut(const struct cq_mapping *mapping)
{
	return mapping->guard && cq_sigbus_cut(mapping->guard);
}

/* The same, or the file is shorter than it was: the caller must not trust what it has read from it. */
bool cq_mapping_shortened(const struct cq_mapping *mapping);

/* Unmaps; the descriptor stays open. */
void cq_mapping_unmap(struct cq_mapping *mapping);

/* Unmaps and closes; does nothing for CQ_MAPPING_NONE. */
void cq_mapping_close(struct cq_mapping *mapping);

#endif
