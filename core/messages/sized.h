/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sized.h - structures of chronq.h whose first member is their size, which may grow
 *
 * The caller's structure can be shorter than ours (an older program) or longer (a newer one).  Inside the
 * library all have our size: public functions copy the caller's in, and ours out.
 */
#ifndef CQ_SIZED_H
#define CQ_SIZED_H

#include <stddef.h>

/* 0; EINVAL: the caller has not set the size of its structure. */
int cq_sized_check(const void *given);

/* Copies the caller's structure to *ours, of `known` bytes.  Members that the caller's structure lacks keep
 * their values in *ours.  EINVAL: as above, or the caller has set a member that we do not know. */
int cq_sized_take(void *ours, size_t known, const void *given);

/* Copies ours to the caller's structure, which cq_sized_check() has passed; members that we do not know get
 * 0. */
void cq_sized_give(void *ret, const void *ours, size_t known);

#endif
