/* SPDX-License-Identifier: Apache-2.0 */
/*
 * poll.c - poll(2), select(2), epoll(7)
 *
 * Who polls and finds nothing leaves a handle; when something may have changed the background thread asks the
 * file again and tells the kernel of those that are ready, which then asks us anew.  On a read-only
 * mount nobody tells us of a change, so the background thread looks at intervals while somebody polls.
 *
 * Invariants: a poller is in fs->polls.first from before its answer "not ready" until it has been told;
 * who takes it out, under the mutex, tells and frees it.  A change that comes before it is in the
 * list is seen by the look at the file that follows; one that comes after finds it there.
 */
#include "held/poll.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include "chronfs.h"
#include "held/background.h"
#include "shared/node_ops.h"

#define LOOK_INTERVAL_MS 50
#define ALWAYS (POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM) /* what holds for an ordinary file */

struct chronfs_poller {
	struct chronfs_poller *next;
	struct fuse_pollhandle *handle;
	uint64_t node;
	struct fuse_file_info fi;
	unsigned events;
};

static unsigned ready(struct chronfs *fs, uint64_t node, const struct fuse_file_info *fi,
                      unsigned events)
{
	const struct chronfs_node_ops *ops = chronfs_ops_of_node(node);

	return ops && ops->ready ? ops->ready(fs, node, fi, events) : events & ALWAYS;
}

static void free_poller(struct chronfs_poller *poller)
{
	fuse_pollhandle_destroy(poller->handle);
	free(poller);
}

/* Replaces an older handle of the same open file: the kernel uses the newest. */
static void add_poller(struct chronfs *fs, struct chronfs_poller *poller)
{
	struct chronfs_poller **link, *old = NULL;

	pthread_mutex_lock(&fs->polls.lock);
	for (link = &fs->polls.first; *link; link = &(*link)->next) {
		if ((*link)->fi.fh == poller->fi.fh && (*link)->node == poller->node) {
			old = *link;
			__atomic_store_n(link, old->next, __ATOMIC_SEQ_CST);
			poller->events |= old->events;
			break;
		}
	}
	poller->next = fs->polls.first;
	__atomic_store_n(&fs->polls.first, poller, __ATOMIC_SEQ_CST);
	pthread_mutex_unlock(&fs->polls.lock);
	if (old)
		free_poller(old);
}

void chronfs_op_poll(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi,
                     struct fuse_pollhandle *handle)
{
	struct chronfs *fs = chronfs_of(req);
	const unsigned events = fi->poll_events ? fi->poll_events : ALWAYS;
	struct chronfs_poller *poller = NULL;
	unsigned now;

	if (handle) {
		poller = calloc(1, sizeof *poller);
		if (!poller) {
			fuse_pollhandle_destroy(handle);
			fuse_reply_err(req, ENOMEM);
			return;
		}
		poller->handle = handle;
		poller->node = node;
		poller->fi = *fi;
		poller->events = events;
		add_poller(fs, poller);
		if (!fs->writer)
			chronfs_background_wake(fs);
	}
	now = ready(fs, node, fi, events);
	fuse_reply_poll(req, now);
}

void chronfs_poll_changed(struct chronfs *fs)
{
	if (__atomic_load_n(&fs->polls.first, __ATOMIC_SEQ_CST))
		chronfs_background_wake(fs);
}

/* Takes out those that `chosen` says; they are the caller's. */
static struct chronfs_poller *take_pollers(struct chronfs *fs,
                                           bool (*chosen)(struct chronfs *fs,
                                                          const struct chronfs_poller *poller,
                                                          uint64_t node, uint64_t fh),
                                           uint64_t node, uint64_t fh)
{
	struct chronfs_poller **link, *taken = NULL;

	pthread_mutex_lock(&fs->polls.lock);
	for (link = &fs->polls.first; *link;) {
		struct chronfs_poller *p = *link;

		if (!chosen(fs, p, node, fh)) {
			link = &p->next;
			continue;
		}
		__atomic_store_n(link, p->next, __ATOMIC_SEQ_CST);
		p->next = taken;
		taken = p;
	}
	pthread_mutex_unlock(&fs->polls.lock);
	return taken;
}

static bool is_ready(struct chronfs *fs, const struct chronfs_poller *poller, uint64_t node,
                     uint64_t fh)
{
	(void)node;
	(void)fh;
	return ready(fs, poller->node, &poller->fi, poller->events) != 0;
}

/* A handle is unique among those of one node only. */
static bool is_of(struct chronfs *fs, const struct chronfs_poller *poller, uint64_t node,
                  uint64_t fh)
{
	(void)fs;
	return poller->node == node && poller->fi.fh == fh;
}

static bool is_any(struct chronfs *fs, const struct chronfs_poller *poller, uint64_t node,
                   uint64_t fh)
{
	(void)fs;
	(void)poller;
	(void)node;
	(void)fh;
	return true;
}

static void end(struct chronfs_poller *taken, bool tell)
{
	while (taken) {
		struct chronfs_poller *next = taken->next;

		if (tell)
			(void)fuse_lowlevel_notify_poll(taken->handle);
		free_poller(taken);
		taken = next;
	}
}

int chronfs_poll_step(struct chronfs *fs)
{
	if (!__atomic_load_n(&fs->polls.first, __ATOMIC_SEQ_CST))
		return -1;
	end(take_pollers(fs, is_ready, 0, 0), true);
	return fs->writer ? -1 : LOOK_INTERVAL_MS;
}

void chronfs_poll_release(struct chronfs *fs, uint64_t node, const struct fuse_file_info *fi)
{
	if (__atomic_load_n(&fs->polls.first, __ATOMIC_SEQ_CST))
		end(take_pollers(fs, is_of, node, fi->fh), false);
}

void chronfs_poll_init(struct chronfs *fs)
{
	pthread_mutex_init(&fs->polls.lock, NULL);
}

void chronfs_poll_fini(struct chronfs *fs)
{
	end(take_pollers(fs, is_any, 0, 0), false);
	pthread_mutex_destroy(&fs->polls.lock);
}
