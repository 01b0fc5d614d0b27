/* SPDX-License-Identifier: Apache-2.0 */
/* room.h - messages about missing room: how much is needed, how much there is, which option sets it */
#ifndef CQ_ROOM_H
#define CQ_ROOM_H

#include "chronq.h"

/* "128 MiB", or KiB or bytes where that is not exact. */
#define CQ_SIZE_TEXT 32
void cq_size_text(char text[CQ_SIZE_TEXT], uint64_t bytes);

/* The error means that there is no room. */
bool cq_room_lacks(int error);

/* Logs that a segment's file could not be made in this directory: WHAT, the error, and, if there is no room,
 * how much is needed and how much there is. */
void cq_room_log(const struct cq_config *config, enum cq_level level, const char *what, int error,
                 int dirfd, uint64_t segment_size);

/* Logs a warning if retention never deletes anything because max_bytes is reached before. */
void cq_room_check(const struct cq_config *config, uint64_t segment_size);

#endif
