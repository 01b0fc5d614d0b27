/* SPDX-License-Identifier: Apache-2.0 */
/*
 * identity.h - identity.meta: which queue this is, and of which one it is a replica
 *
 * The file is made complete under a temp name, synced, and named; from then on only a promotion replaces it.
 *
 * Invariant: an identity that somebody has been given is the queue's for ever, whatever is killed or loses
 * power.  So `settled` is stored when the name is on the disk, and nobody is given an identity that is not
 * settled.  A writer that finds one that is not settles it: it may have been named, and cannot have been given.
 */
#ifndef CQ_IDENTITY_H
#define CQ_IDENTITY_H

#include <stdbool.h>
#include <stdint.h>

#include "chronq.h"

struct cq_identity {
	uint8_t id[CQ_IDENTITY_SIZE];
	uint8_t source
		[CQ_IDENTITY_SIZE]; /* of the queue of which this is a replica; all zero: of none */
	bool settled;
};

/* For sources: all zero. */
bool cq_identity_is_none(const uint8_t id[CQ_IDENTITY_SIZE]);

#define CQ_IDENTITY_TEXT (2 * CQ_IDENTITY_SIZE + 1)
/* As hexadecimal digits. */
void cq_identity_print(char text[CQ_IDENTITY_TEXT], const uint8_t id[CQ_IDENTITY_SIZE]);

/* -ENOENT: there is none.  -EBADMSG: the file is damaged, or is no regular file. */
int cq_identity_read(int dirfd, struct cq_identity *ret_identity);

/* The following are for the holder of the queue's lock. */

/* Makes the file, settled, with a new identity; all zero, `source` says that it is no replica.  `replace`: where
 * there is one, which is damaged.  After an error there is none, or one that is not settled. */
int cq_identity_make(int dirfd, const uint8_t source[CQ_IDENTITY_SIZE], bool replace);

/* Settles one that is not. */
int cq_identity_settle(int dirfd);

/* The same identity, and no replica any more: before or after, nothing between. */
int cq_identity_promote(int dirfd, const struct cq_identity *identity);

#endif
