/* SPDX-License-Identifier: Apache-2.0 */
/* counters.h - counters since the mount */
#ifndef CHRONFS_COUNTERS_H
#define CHRONFS_COUNTERS_H

#include <stdint.h>

struct chronfs_counters {       /* atomic */
	uint64_t too_long;      /* writes refused with EMSGSIZE */
	uint64_t full;          /* with EDQUOT or EAGAIN for want of room in the queue */
	uint64_t no_space;      /* with ENOSPC */
	uint64_t interrupted;   /* with EINTR */
	uint64_t failed;        /* with any other error */
	uint64_t waited;        /* writes that waited for room */
	uint64_t partials;      /* records that do not end in a newline, from append.lines */
	uint64_t partials_lost; /* of these, not appended when their file was closed */
	uint64_t read_errors;   /* reads that gave EIO */
};

static inline void chronfs_count(uint64_t *counter)
{
	__atomic_add_fetch(counter, 1, __ATOMIC_RELAXED);
}

#endif
