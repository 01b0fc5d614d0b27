/* SPDX-License-Identifier: Apache-2.0 */
/*
 * poll.c - poll(2), select(2), epoll(7)
 *
 * A process that polls a file which is not ready leaves a handle.  When something may have changed,
 * the background thread asks the files and notifies the kernel of those that are ready; the kernel
 * then polls again.  On a read-only mount nothing tells the daemon of a change, so the background
 * thread asks the files at intervals while they are polled: the longer nothing has come, the less
 * often, so that a change is seen late by an eighth of the time that it took, and by a second at most.
 *
 * Invariants: a poller is in fs->polls.first before the daemon replies "not ready" and until it is
 * notified.  The thread that removes it, under the lock, notifies and frees it.  The poller is in
 * the list before the daemon asks the file: so an earlier change shows in the file, and a later one
 * finds the poller in the list.
 */
#include "held/poll.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <time.h>

#include "chronfs.h"
#include "held/background.h"
#include "shared/node_ops.h"

#define READ_ONLY_MS_MIN 50
#define READ_ONLY_MS_MAX 1000
#define ALWAYS (POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM) /* the events of a regular file */

struct chronfs_poller {
	/* all under fs->polls.lock */
	struct chronfs_poller *next;
	struct fuse_pollhandle *handle;
	uint64_t node;
	struct fuse_file_info fi;
	unsigned events;
};

static unsigned ready_events(struct chronfs *fs, uint64_t node, const struct fuse_file_info *fi,
                             unsigned events)
{
	const struct chronfs_node_ops *ops = chronfs_ops_of_node(node);

	return ops && ops->ready ? ops->ready(fs, node, fi, events) : events & ALWAYS;
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Under the lock: in how many milliseconds to ask again.  -1: when somebody says so. */
static int next_step(const struct chronfs *fs)
{
	uint64_t wait;

	if (fs->writer || !fs->polls.first)
		return -1;
	wait = (now_ms() - fs->polls.changed_ms) / 8;
	return wait < READ_ONLY_MS_MIN   ? READ_ONLY_MS_MIN
	       : wait > READ_ONLY_MS_MAX ? READ_ONLY_MS_MAX
	                                 : (int)wait;
}

/* Under the lock: the link to the poller of this open file; *link is NULL if there is none.
 * Handles are unique only among the open files of one node. */
static struct chronfs_poller **find_poller(struct chronfs *fs, uint64_t node, uint64_t fh)
{
	struct chronfs_poller **link = &fs->polls.first;

	while (*link && ((*link)->node != node || (*link)->fi.fh != fh))
		link = &(*link)->next;
	return link;
}

/* Under the lock. */
static struct chronfs_poller *remove_poller(struct chronfs_poller **link)
{
	struct chronfs_poller *poller = *link;

	__atomic_store_n(link, poller->next, __ATOMIC_SEQ_CST);
	return poller;
}

static void free_poller(struct chronfs_poller *poller)
{
	fuse_pollhandle_destroy(poller->handle);
	free(poller);
}

/* Takes over the handle, in place of an older one of the same open file: the kernel uses the
 * newest.  False: no memory. */
static bool add_poller(struct chronfs *fs, uint64_t node, const struct fuse_file_info *fi,
                       unsigned events, struct fuse_pollhandle *handle)
{
	struct fuse_pollhandle *unused = handle;
	struct chronfs_poller *poller;

	pthread_mutex_lock(&fs->polls.lock);
	poller = *find_poller(fs, node, fi->fh);
	if (!poller) {
		poller = calloc(1, sizeof *poller);
		if (poller) {
			if (!fs->polls.first)
				fs->polls.changed_ms = now_ms();
			poller->next = fs->polls.first;
			__atomic_store_n(&fs->polls.first, poller, __ATOMIC_SEQ_CST);
		}
	}
	if (poller) {
		unused = poller->handle;
		poller->handle = handle;
		poller->node = node;
		poller->fi = *fi;
		poller->events |= events;
	}
	pthread_mutex_unlock(&fs->polls.lock);
	if (unused)
		fuse_pollhandle_destroy(unused);
	return poller != NULL;
}

void chronfs_op_poll(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi,
                     struct fuse_pollhandle *handle)
{
	struct chronfs *fs = chronfs_of(req);
	const unsigned events = fi->poll_events ? fi->poll_events : ALWAYS;

	if (handle && !add_poller(fs, node, fi, events, handle)) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	if (handle && !fs->writer)
		chronfs_background_wake(fs);
	fuse_reply_poll(req, ready_events(fs, node, fi, events));
}

void chronfs_poll_changed(struct chronfs *fs)
{
	if (__atomic_load_n(&fs->polls.first, __ATOMIC_SEQ_CST))
		chronfs_background_wake(fs);
}

int chronfs_poll_step(struct chronfs *fs)
{
	struct chronfs_poller **link = &fs->polls.first, *ready = NULL, *poller;
	int next;

	if (!__atomic_load_n(&fs->polls.first, __ATOMIC_SEQ_CST))
		return -1;
	pthread_mutex_lock(&fs->polls.lock);
	while ((poller = *link)) {
		if (ready_events(fs, poller->node, &poller->fi, poller->events) == 0) {
			link = &poller->next;
			continue;
		}
		(void)remove_poller(link);
		poller->next = ready;
		ready = poller;
		fs->polls.changed_ms = now_ms();
	}
	next = next_step(fs);
	pthread_mutex_unlock(&fs->polls.lock);
	while ((poller = ready)) {
		ready = poller->next;
		(void)fuse_lowlevel_notify_poll(poller->handle);
		free_poller(poller);
	}
	return next;
}

void chronfs_poll_release(struct chronfs *fs, uint64_t node, const struct fuse_file_info *fi)
{
	struct chronfs_poller **link, *poller = NULL;

	if (!__atomic_load_n(&fs->polls.first, __ATOMIC_SEQ_CST))
		return;
	pthread_mutex_lock(&fs->polls.lock);
	link = find_poller(fs, node, fi->fh);
	if (*link)
		poller = remove_poller(link);
	pthread_mutex_unlock(&fs->polls.lock);
	if (poller)
		free_poller(poller);
}

void chronfs_poll_init(struct chronfs *fs)
{
	pthread_mutex_init(&fs->polls.lock, NULL);
}

void chronfs_poll_fini(struct chronfs *fs)
{
	while (fs->polls.first)
		free_poller(remove_poller(&fs->polls.first));
	pthread_mutex_destroy(&fs->polls.lock);
}
