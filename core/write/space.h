/* SPDX-License-Identifier: Apache-2.0 */
/*
 * space.h - how many segment files the queue has and may have, and who was refused one
 *
 * Nobody but the queue's writer makes segment files.  Whoever of its threads makes one reserves a
 * place for it first, and then says that the file is there or gives the place back.  Files and
 * places together never exceed `most`: so, by this writer's doing, neither do the files on the
 * disk.
 *
 * Files are deleted by retention, by those who trim, and by strangers.  The first two say so; what
 * strangers have done is found by cq_space_look(), which counts the directory.  Until then the
 * count is too high, never too low.
 *
 * The flags say what the background threads have to do for an append that was refused; the one that
 * raises a flag wakes them (roll.c).  `news` is the message to config.space: whoever takes
 * it down calls, which is the flusher or a thread that trims, holding no lock (background.c).
 */
#ifndef CQ_SPACE_H
#define CQ_SPACE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct cq_space {
	uint64_t most; /* constant: segment files; UINT64_MAX: no limit */

	pthread_mutex_t lock; /* taken under any other lock, none is taken under it */
	/* under lock */
	uint64_t files;   /* published */
	uint64_t places;  /* reserved: files on their way */
	uint64_t changes; /* tells whether the two stood still */

	_Atomic bool full;    /* an append was refused for `most`; no room has been seen since */
	_Atomic bool starved; /* one was refused by the disk; nothing has been prepared since */
	_Atomic bool news;    /* trying again is worth it, and nobody has been told */
	_Atomic bool doubt;   /* the count is known to be wrong */

	/* under the retention lock */
	struct timespec looked_at; /* the directory's time when it was counted */
};

/* max_bytes 0: no limit. */
void cq_space_init(struct cq_space *space, uint64_t max_bytes, uint64_t segment_size,
                   uint64_t files);
void cq_space_fini(struct cq_space *space);

/* A place for one more file; false if there is none.  Ends with one of the two below. */
bool cq_space_reserve(struct cq_space *space);
void cq_space_made(struct cq_space *space);
void cq_space_release(struct cq_space *space);

/* A file is gone. */
void cq_space_deleted(struct cq_space *space);

bool cq_space_is_full(struct cq_space *space);
uint64_t cq_space_files(struct cq_space *space);

/* A segment was prepared, or a roll has succeeded: the flags go down.  True if an append had been
 * refused meanwhile: there is news. */
bool cq_space_relieved(struct cq_space *space);

/* Under the retention lock, so that no deletion of ours is under way: counts the directory, unless
 * nothing has changed there.  True if files are gone that nobody spoke of: there is news. */
bool cq_space_look(struct cq_space *space, int dirfd);

#endif
