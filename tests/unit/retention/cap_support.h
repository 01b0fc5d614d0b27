/* SPDX-License-Identifier: Apache-2.0 */
/* cap_support.h - a queue with a limit, and a count of the calls of config.space */
#ifndef CQ_TEST_CAP_SUPPORT_H
#define CQ_TEST_CAP_SUPPORT_H

#include "queue_support.h"

#define PER_SEGMENT ((unsigned)SUPPORT_PER_SEGMENT)
#define PATIENCE_S 120

/* For the next open: this max_bytes, and config.space is counted from 0. */
void cap_limit(struct qs *q, uint64_t max_bytes);

int cap_times_told(void);
void cap_await_told(void);

/* The files on the disk, which the writer knows of. */
unsigned cap_files(struct qs *q);

int cap_append_one(struct qs *q);

/* Until it is refused; returns how many went in. */
unsigned cap_fill(struct qs *q, bool prepare, unsigned most_files);

#endif
