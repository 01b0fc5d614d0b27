/* SPDX-License-Identifier: Apache-2.0 */
/* waiting.h - how a file parks what found no room in the queue; see waiting.c */
#ifndef CHRONFS_WAITING_H
#define CHRONFS_WAITING_H

#include <errno.h>

#include "chronfs.h"

/*
 * Part of something larger, which its owner makes and fills down to the blank line; it stays in its
 * place until finish() is called, once.
 */
struct chronfs_waiting {
	fuse_req_t req; /* NULL: an orphan, which nobody waits for */
	size_t held;    /* bytes of a request's data that it keeps */
	/* Tries again, on the ticker's thread.  -EDQUOT: there was no room yet. */
	int (*attempt)(struct chronfs *fs, struct chronfs_waiting *waiting);
	/* It waits no more: the attempt gave `result`; or -EDQUOT: it has waited long enough, or there
	 * are too many; or -EINTR.  Answers and frees it.  From any thread, no lock of ours held. */
	void (*finish)(struct chronfs *fs, struct chronfs_waiting *waiting, int result);

	/* waiting.c's, under waiting_lock */
	struct chronfs_waiting *next;
	uint64_t until_ms;
	bool trying;
};

/* Whether a request waits: then another that needs room does not overtake it. */
static inline bool chronfs_waiting_any(struct chronfs *fs)
{
	return __atomic_load_n(&fs->waiting, __ATOMIC_RELAXED) != NULL;
}

/* A request with these open flags found no room: whether it may be parked, or else with which error
 * it is refused. */
static inline bool chronfs_waiting_allowed(const struct chronfs *fs, bool nonblock, int *ret_error)
{
	if (nonblock)
		*ret_error = -EAGAIN;
	else if (fs->options.full_wait_ms > 0)
		return true;
	else
		*ret_error = -EDQUOT;
	return false;
}

/* May call finish() before it returns. */
void chronfs_waiting_park(struct chronfs *fs, struct chronfs_waiting *waiting);

/* As many closed files as may have something left to append: no more are to be opened for it. */
bool chronfs_waiting_orphaned(const struct chronfs *fs);

/* When no request is served any more: a last attempt, then all requests are answered. */
void chronfs_waiting_end(struct chronfs *fs);
/* And when every file is closed: the same for orphans. */
void chronfs_waiting_fini(struct chronfs *fs);

#endif
