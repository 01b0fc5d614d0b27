/* SPDX-License-Identifier: Apache-2.0 */
/* room.h - what people are told when something finds no room: the numbers, and what sets them */
#ifndef CQ_ROOM_H
#define CQ_ROOM_H

#include "chronq.h"

/* "128 MiB", or KiB or bytes where that is not exact. */
#define CQ_SIZE_TEXT 32
void cq_size_text(char text[CQ_SIZE_TEXT], uint64_t bytes);

/* The error speaks of room. */
bool cq_room_lacks(int error);

/* A file of a segment could not be made in this directory: says WHAT, the error, and of one that speaks of
 * room how much is needed and how much there is. */
void cq_room_tell(const struct cq_config *config, enum cq_level level, const char *what, int error,
                  int dirfd, uint64_t segment_size);

/* Warns of retention that never deletes anything, since max_bytes is reached before. */
void cq_room_check(const struct cq_config *config, uint64_t segment_size);

#endif
