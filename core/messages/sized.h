/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sized.h - structures of chronq.h whose first member is their size, which may grow
 *
 * The caller's structure can be shorter than ours (an older program) or longer (a newer one). Inside the
 * library all are of our size: public functions take the caller's in, and give ours back.
 */
#ifndef CQ_SIZED_H
#define CQ_SIZED_H

#include <stddef.h>

/* 0, or EINVAL: nobody has set the size of the caller's structure. */
int cq_sized_check(const void *given);

/* Copies the caller's structure to *ours, which is of `known` bytes and is filled with what holds for
 * members that the caller's does not have. EINVAL: as above, or it has something that we do not know. */
int cq_sized_take(void *ours, size_t known, const void *given);

/* Fills the caller's structure, which cq_sized_check() has passed: with zeros what we do not know. */
void cq_sized_give(void *ret, const void *ours, size_t known);

#endif
