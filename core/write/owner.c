/* SPDX-License-Identifier: Apache-2.0 */
/*
 * owner.c - whether the queue is still this writer's
 *
 * Another process may remove or replace writer.lock while it is locked, or move the queue's directory away
 * and make another one in its place.  Then a second writer can open the queue, and what this one stores is
 * in no queue, or in the second writer's.
 *
 * The check compares two names with two descriptors.  These check:
 *   a flush, after its syncs and before it stores the watermark and replies;
 *   the preparer, before it makes a segment, so directly after each roll (a roll that takes a ready
 *   segment makes no call itself);
 *   a roll that has to make its segment, before it makes it;
 *   the flusher, once a second; and close.
 *
 * Invariants
 *   A sync gets the reply 0 only if the queue was this writer's when the records were durable.
 *   A writer that has found out is poisoned for good: EIO.
 *   A next writer of this library opens the queue only when this one has stopped storing anything: the
 *   directory's lock (lock.h) keeps it out until cq_owner_let_go() has gone through every lock under which
 *   anything is stored.
 *   A directory that is moved and not replaced is still the same queue: nothing happens.
 */
#include "write/writer.h"

#include <errno.h>
#include <sys/stat.h>

#include "messages/log.h"

/* Whether the path by which the queue was opened leads to another directory.  Where it leads nowhere, the
 * queue was only moved. */
static bool has_other_directory(const cq_writer *w)
{
	struct stat ours, named;

	if (!w->path || stat(w->path, &named) < 0 || !S_ISDIR(named.st_mode))
		return false;
	if (fstat(w->dirfd, &ours) < 0) /* GCOV_EXCL_BR_LINE: of an open directory */
		return false;
	return named.st_dev != ours.st_dev || named.st_ino != ours.st_ino;
}

static void oust(cq_writer *w, const char *found)
{
	if (atomic_exchange(&w->ousted, true))
		return;
	(void)cq_writer_poison(w);
	cq_log(&w->config, CQ_ERROR,
	       "%s: another process may write to the queue; this writer accepts nothing until it is "
	       "opened again",
	       found);
	cq_worker_kick(&w->flusher); /* which lets go */
}

int cq_owner_check(cq_writer *w)
{
	int r;

	if (atomic_load(&w->ousted))
		return -EIO;
	r = cq_lock_check(w->dirfd, &w->owned);
	if (r == -ESTALE) {
		oust(w, "writer.lock was removed or replaced");
		return -EIO;
	}
	if (r == 0 && has_other_directory(w)) {
		oust(w, "the queue's directory was moved, and another one has its name");
		return -EIO;
	}
	return r;
}

void cq_owner_let_go(cq_writer *w)
{
	if (w->let_go)
		return;
	/* A thread that holds one of these locks may have begun before `ousted` was set; none begins now. */
	pthread_mutex_lock(&w->retention.lock);
	cq_mutex_lock(&w->lock);
	cq_mutex_unlock(&w->lock);
	pthread_mutex_unlock(&w->retention.lock);
	pthread_mutex_lock(&w->flush.lock);
	while (w->flush.running)
		pthread_cond_wait(&w->flush.done, &w->flush.lock);
	pthread_mutex_unlock(&w->flush.lock);
	pthread_mutex_lock(&w->preparing);
	pthread_mutex_unlock(&w->preparing);
	cq_lock_unlock(&w->owned);
	w->let_go = true;
}
