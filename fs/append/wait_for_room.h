/* SPDX-License-Identifier: Apache-2.0 */
/* wait_for_room.h - appends that wait for room in a full queue; see wait_for_room.c */
#ifndef CHRONFS_WAIT_FOR_ROOM_H
#define CHRONFS_WAIT_FOR_ROOM_H

#include <stdbool.h>
#include <stdint.h>

#include "held/parked.h"

struct chronfs;

struct chronfs_room_waits {
	struct chronfs_parked_list requests;
	struct chronfs_parked_list leftovers; /* open lines of closed files */
};

/*
 * The first member of what its owner allocates for a wait, and fills down to the blank line.  Its
 * finish() gets the result of an attempt, or
 *   -EDQUOT  it has waited long enough, or too many bytes wait -EINTR   it was interrupted
 */
struct chronfs_room_wait {
	struct chronfs_parked parked; /* first; without a request it is a leftover */
	/* Tries again.  Called by the background thread, and at the end of the mount.  -EDQUOT: no
	 * room yet. */
	int (*attempt)(struct chronfs *fs, struct chronfs_room_wait *wait);

	uint64_t until_ms; /* for wait_for_room.c */
};

/* Whether a request waits: then no other request may take room before it. */
bool chronfs_room_wait_any(const struct chronfs *fs);

/* Whether a request that found no room may be parked.  False: *ret_error is the error for its
 * reply. */
bool chronfs_room_wait_allowed(const struct chronfs *fs, bool nonblock, int *ret_error);

void chronfs_room_wait_init(struct chronfs *fs);

/* May call finish() before it returns. */
void chronfs_room_wait_park(struct chronfs *fs, struct chronfs_room_wait *wait);

/* Whether there are so many leftovers that no file may be opened that could add one. */
bool chronfs_room_wait_too_many_leftovers(struct chronfs *fs);

/* After the last request: finishes every parked request after a last attempt. */
void chronfs_room_wait_end_requests(struct chronfs *fs);
/* After the last file is closed: the same for leftovers. */
void chronfs_room_wait_fini(struct chronfs *fs);

/* Tries again, and finishes waits that succeed or have lasted long enough.  A chronfs_step_fn. */
int chronfs_room_wait_step(struct chronfs *fs);
/* How many requests wait, and the bytes of their data. */
void chronfs_room_wait_count(struct chronfs *fs, uint64_t *ret_writes, uint64_t *ret_bytes);

#endif
