/* SPDX-License-Identifier: Apache-2.0 */
/* wait_for_room.h - how a file parks what found no room in the queue; see wait_for_room.c */
#ifndef CHRONFS_WAIT_FOR_ROOM_H
#define CHRONFS_WAIT_FOR_ROOM_H

#include <stdbool.h>
#include <stdint.h>

#include "held/parked.h"

struct chronfs;

struct chronfs_room_waits {
	struct chronfs_parked_list requests;
	struct chronfs_parked_list leftovers; /* what closed files have left to append */
};

/*
 * Part of something larger, which its owner makes and fills down to the blank line.  Its finish()
 * gets what the attempt gave; or -EDQUOT: it has waited long enough, or there are too many; or
 * -EINTR.
 */
struct chronfs_room_wait {
	struct chronfs_parked parked; /* first; without a request it is a leftover */
	/* Tries again, on the background thread.  -EDQUOT: there was no room yet. */
	int (*attempt)(struct chronfs *fs, struct chronfs_room_wait *wait);

	uint64_t until_ms; /* wait_for_room.c's */
};

/* Whether a request waits: then another that needs room does not overtake it. */
bool chronfs_room_wait_any(const struct chronfs *fs);

/* A request with these open flags found no room: whether it may be parked, or else with which error
 * it is refused. */
bool chronfs_room_wait_allowed(const struct chronfs *fs, bool nonblock, int *ret_error);

void chronfs_room_wait_init(struct chronfs *fs);

/* May call finish() before it returns. */
void chronfs_room_wait_park(struct chronfs *fs, struct chronfs_room_wait *wait);

/* As many closed files as may have something left to append: no more are to be opened for it. */
bool chronfs_room_wait_too_many_leftovers(struct chronfs *fs);

/* When no request is served any more: a last attempt, then all requests are answered. */
void chronfs_room_wait_end_requests(struct chronfs *fs);
/* And when every file is closed: the same for leftovers. */
void chronfs_room_wait_fini(struct chronfs *fs);

/* Tries again, answers what went through or has waited too long.  As
 * chronfs_line_timeout_step(). */
int chronfs_room_wait_step(struct chronfs *fs);
/* How many requests wait, and the bytes that they hold. */
void chronfs_room_wait_count(struct chronfs *fs, uint64_t *ret_writes, uint64_t *ret_bytes);

#endif
