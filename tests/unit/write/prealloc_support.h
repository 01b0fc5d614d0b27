/* SPDX-License-Identifier: Apache-2.0 */
/* prealloc_support.h - slots without a writer */
#ifndef CQ_TEST_PREALLOC_SUPPORT_H
#define CQ_TEST_PREALLOC_SUPPORT_H

#include "queue_support.h"
#include "write/prealloc.h"

static struct cq_quota ps_quota; /* without a limit; test_cap.c has those with one */

static inline void ps_init(struct qs *q, struct cq_prealloc *p, uint32_t depth, uint32_t expected)
{
	cq_quota_init(&ps_quota, 0, QS_SIZE, 0);
	cq_prealloc_init(p, q->dirfd, QS_SIZE, depth, expected, &ps_quota);
}

/* As a roll does; where it has to make the segment itself, as if it had done so. */
static inline int ps_take(struct cq_prealloc *p, uint32_t id, uint32_t wait_ms,
                          struct cq_wsegment **ret_segment, bool *ret_waited)
{
	struct cq_taken taken = { 0 };
	int r = cq_prealloc_take(p, id, wait_ms, false, &taken);

	if (taken.reserved) {
		cq_quota_settle(&ps_quota, true);
		cq_prealloc_expect(p, id + 1, 0);
	}
	*ret_segment = taken.segment;
	*ret_waited = taken.waited;
	return r;
}

#endif
