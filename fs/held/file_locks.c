/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file_locks.c - flock and POSIX locks
 *
 * The kernel would keep locks per inode, and each lookup of a sink makes a new inode: two processes
 * that open `append` would not exclude each other.  So chronfs keeps the locks itself, per path.
 *
 * A request for a lock that another owner holds is parked (parked.c).  The thread that drops the
 * lock gives it to the parked requests that can have it now, in the order of arrival, and replies.
 * fs->file_locks.waiters.lock also guards fs->file_locks.held: so no thread can drop a lock between
 * the check for it and the parking.
 *
 * A POSIX lock ends when its owner closes any descriptor of the file, even if a child has another
 * one.  The kernel tells this only by FLUSH, for every descriptor, and decides at the open whether it
 * sends FLUSH.  So chronfs opens a file that can be written with FLUSH, with one exception: a file
 * that is opened as a shell opens it for `>>` (sink.c), until a process of this mount first asks for
 * a POSIX lock.  A POSIX lock through such a file ends with an unlock or with the open file.
 * Files that can only be read are opened without FLUSH (FOPEN_NOFLUSH), too: they can only have read
 * locks, which never conflict, and which end the same way.
 * A flock, and a lock of an open file (F_OFD_SETLK), end with the open file.
 *
 * As in the kernel, a change of a flock that has to wait first drops the old one: otherwise two
 * processes that want to make theirs exclusive would wait for each other.  A POSIX lock whose wait
 * would close a circle of waits gets EDEADLK.
 *
 * fs->user_limits.locks (shared/user_limits.c) counts locks and parked requests.  Beyond the limit
 * a request that would add one gets ENOLCK, and so does an unlock that would cut a lock in two.
 */
#include "held/file_locks.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>

#include "chronfs.h"
#include "shared/user_limits.h"

#define TO_END INT64_MAX
#define DEADLOCK_STEPS 10 /* the longest circle that is found, as in the kernel */

struct chronfs_file_lock {
	struct chronfs_file_lock *next; /* under fs->file_locks.waiters.lock */
	uint64_t path;                  /* chronfs_node_path() */
	uint64_t owner; /* open file (flock, OFD) or process (POSIX), as the kernel numbers them */
	uint64_t fh;    /* of the open file through which it was taken */
	bool flock;     /* a flock and a POSIX lock never conflict */
	short type;     /* F_RDLCK, F_WRLCK; in a request also F_UNLCK */
	int64_t start, end; /* inclusive; under fs->file_locks.waiters.lock */
	pid_t pid;
};

struct waiter {
	struct chronfs_parked parked;     /* first */
	struct chronfs_file_lock *wanted; /* NULL: granted */
	struct chronfs_file_lock *spare;  /* for apply(); NULL: granted */
};

typedef bool (*chosen_fn)(const struct chronfs_file_lock *lock,
                          const struct chronfs_file_lock *like);

static void drop_lock(struct chronfs *fs, struct chronfs_file_lock **link)
{
	struct chronfs_file_lock *lock = *link;

	*link = lock->next;
	free(lock);
	chronfs_user_limit_release(&fs->user_limits.locks);
}

static bool same_owner(const struct chronfs_file_lock *a, const struct chronfs_file_lock *b)
{
	return a->path == b->path && a->flock == b->flock && a->owner == b->owner;
}

static bool overlaps(const struct chronfs_file_lock *a, const struct chronfs_file_lock *b)
{
	return a->start <= b->end && b->start <= a->end;
}

static const struct chronfs_file_lock *find_conflict(const struct chronfs *fs,
                                                     const struct chronfs_file_lock *wanted)
{
	for (const struct chronfs_file_lock *l = fs->file_locks.held; l; l = l->next)
		if (l->path == wanted->path && l->flock == wanted->flock &&
		    l->owner != wanted->owner && overlaps(l, wanted) &&
		    (l->type == F_WRLCK || wanted->type == F_WRLCK))
			return l;
	return NULL;
}

/*
 * Removes the range of `wanted` from its owner's locks, then adds `wanted` unless it is an unlock.
 * A lock that reaches beyond the range on both sides becomes two, and `spare` its second half.  An
 * owner's locks do not overlap, so this happens to one at most.  Consumes both.  Returns whether the
 * owner gave up an exclusive lock for a shared one: then others may get in.
 */
static bool apply(struct chronfs *fs, struct chronfs_file_lock *wanted,
                  struct chronfs_file_lock *spare)
{
	struct chronfs_file_lock **link = &fs->file_locks.held;
	bool weakened = false;

	while (*link) {
		struct chronfs_file_lock *l = *link;

		if (!same_owner(l, wanted) || !overlaps(l, wanted)) {
			link = &l->next;
			continue;
		}
		weakened |= l->type == F_WRLCK && wanted->type == F_RDLCK;
		if (l->start < wanted->start) {
			if (spare && l->end > wanted->end) { /* GCOV_EXCL_BR_LINE: one at most */
				*spare = *l;
				spare->start = wanted->end + 1;
				l->next = spare;
				spare = NULL;
				chronfs_user_limit_add(&fs->user_limits.locks);
			}
			l->end = wanted->start - 1;
			link = &l->next;
		} else if (l->end > wanted->end) {
			l->start = wanted->end + 1;
			link = &l->next;
		} else {
			drop_lock(fs, link);
		}
	}
	free(spare);
	if (wanted->type == F_UNLCK) {
		free(wanted);
	} else {
		wanted->next = fs->file_locks.held;
		fs->file_locks.held = wanted;
		chronfs_user_limit_add(&fs->user_limits.locks);
	}
	return weakened;
}

/* Whether the limit refuses the request.  A lock always counts as one more, an unlock only if it
 * cuts a lock in two. */
static bool is_too_many(const struct chronfs *fs, fuse_req_t req,
                        const struct chronfs_file_lock *wanted)
{
	if (chronfs_user_limit_allows(&fs->user_limits.locks, req))
		return false;
	if (wanted->type != F_UNLCK)
		return true;
	for (const struct chronfs_file_lock *l = fs->file_locks.held; l; l = l->next)
		if (same_owner(l, wanted) && l->start < wanted->start && l->end > wanted->end)
			return true;
	return false;
}

/* Gives the parked requests for this file the locks that are free now.  Returns these requests; the
 * caller finishes them after it has released the lock. */
static struct chronfs_parked *grant(struct chronfs *fs, uint64_t path)
{
	struct chronfs_parked **link = &fs->file_locks.waiters.first, *granted = NULL;

	while (*link) {
		struct waiter *w = (struct waiter *)*link;

		if (w->wanted->path != path || find_conflict(fs, w->wanted)) {
			link = &w->parked.next;
			continue;
		}
		(void)chronfs_parked_take(&fs->file_locks.waiters, link);
		chronfs_user_limit_release(&fs->user_limits.locks);
		if (apply(fs, w->wanted, w->spare))
			link = &fs->file_locks.waiters.first; /* also for those before it */
		w->wanted = w->spare = NULL;
		w->parked.next = granted;
		granted = &w->parked;
	}
	return granted;
}

/* Drops the chosen locks on the file of `like`.  Returns as grant(). */
static struct chronfs_parked *drop_chosen_locks(struct chronfs *fs, chosen_fn chosen,
                                                const struct chronfs_file_lock *like)
{
	struct chronfs_file_lock **link = &fs->file_locks.held;
	bool dropped = false;

	while (*link) {
		if ((*link)->path == like->path && chosen(*link, like)) {
			drop_lock(fs, link);
			dropped = true;
		} else {
			link = &(*link)->next;
		}
	}
	return dropped ? grant(fs, like->path) : NULL;
}

/* The lock that an owner of POSIX locks waits for; NULL: none. */
static const struct chronfs_file_lock *find_wanted(const struct chronfs *fs, uint64_t owner)
{
	for (const struct chronfs_parked *p = fs->file_locks.waiters.first; p; p = p->next) {
		const struct waiter *w = (const struct waiter *)p;

		if (!w->wanted->flock && w->wanted->owner == owner)
			return w->wanted;
	}
	return NULL;
}

/*
 * Whether a chain of waits leads from the holder of the wanted lock back to its owner.  Of locks of open files
 * (F_OFD_SETLKW) the system lets such chains wait, because their owners are no processes.  The kernel does not
 * tell which locks these are; two owners in one process have locks of that kind.
 */
static bool closes_circle(const struct chronfs *fs, const struct chronfs_file_lock *wanted)
{
	const struct chronfs_file_lock *next = wanted, *holder;

	if (wanted->flock)
		return false;
	for (unsigned i = 0; i < DEADLOCK_STEPS && next; i++) {
		holder = find_conflict(fs, next);
		if (!holder || (holder->pid == next->pid && next->pid != 0))
			return false;
		if (holder->owner == wanted->owner)
			return true;
		next = find_wanted(fs, holder->owner);
	}
	return false;
}

static void file_lock_finish(struct chronfs *fs, struct chronfs_parked *parked, int result)
{
	struct waiter *w = (struct waiter *)parked;

	if (w->wanted)
		chronfs_user_limit_release(&fs->user_limits.locks);
	fuse_reply_err(parked->req, -result);
	free(w->wanted);
	free(w->spare);
	free(w);
}

static void finish_granted(struct chronfs *fs, struct chronfs_parked *granted)
{
	for (struct chronfs_parked *next; granted; granted = next) {
		next = granted->next;
		file_lock_finish(fs, granted, 0);
	}
}

/* Drops the chosen locks on the file of `like`, and replies to the requests that are granted. */
static void drop_and_grant(struct chronfs *fs, chosen_fn chosen,
                           const struct chronfs_file_lock *like)
{
	struct chronfs_parked *granted;

	pthread_mutex_lock(&fs->file_locks.waiters.lock);
	granted = drop_chosen_locks(fs, chosen, like);
	pthread_mutex_unlock(&fs->file_locks.waiters.lock);
	finish_granted(fs, granted);
}

static void set_lock(fuse_req_t req, const struct chronfs_file_lock *request, bool wait)
{
	struct chronfs *fs = chronfs_of(req);
	struct chronfs_file_lock *wanted = malloc(sizeof *wanted);
	struct chronfs_file_lock *spare = malloc(sizeof *spare);
	struct waiter *waiter = malloc(sizeof *waiter);
	struct chronfs_parked *granted = NULL;
	bool parked = false;
	int r = 0;

	if (!wanted || !spare || !waiter) {
		r = -ENOMEM;
		goto out;
	}
	*wanted = *request;
	*waiter = (struct waiter){ { .req = req, .finish = file_lock_finish }, wanted, spare };
	if (wait)
		chronfs_parked_catch_interrupt(&fs->file_locks.waiters, req);

	pthread_mutex_lock(&fs->file_locks.waiters.lock);
	if (is_too_many(fs, req, wanted)) {
		r = -ENOLCK;
	} else if (wanted->type == F_UNLCK || !find_conflict(fs, wanted)) {
		(void)apply(fs, wanted, spare);
		wanted = spare = NULL;
		granted = grant(fs, request->path); /* a weaker lock lets others in */
	} else {
		if (wanted->flock)
			granted = drop_chosen_locks(fs, same_owner, wanted);
		if (!wait)
			r = -EAGAIN;
		else if (closes_circle(fs, wanted))
			r = -EDEADLK;
		else
			r = chronfs_parked_add(&fs->file_locks.waiters, &waiter->parked);
		if (r == 0) {
			chronfs_user_limit_add(&fs->user_limits.locks);
			parked = true;
		}
	}
	pthread_mutex_unlock(&fs->file_locks.waiters.lock);
	finish_granted(fs, granted);
	if (parked)
		return;
out:
	free(wanted);
	free(spare);
	free(waiter);
	fuse_reply_err(req, -r);
}

void chronfs_op_flock(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi, int op)
{
	struct chronfs_file_lock request = {
		.path = chronfs_node_path(node),
		.owner = fi->lock_owner,
		.fh = fi->fh,
		.flock = true,
		.end = TO_END,
	};

	switch (op & ~LOCK_NB) {
	case LOCK_SH:
		request.type = F_RDLCK;
		break;
	case LOCK_EX:
		request.type = F_WRLCK;
		break;
	case LOCK_UN:
		request.type = F_UNLCK;
		break;
	default:
		fuse_reply_err(req, EINVAL);
		return;
	}
	set_lock(req, &request, !(op & LOCK_NB));
}

static struct chronfs_file_lock posix_request(fuse_ino_t node, const struct fuse_file_info *fi,
                                              const struct flock *lock)
{
	/* the kernel sends absolute ranges */
	return (struct chronfs_file_lock){
		.path = chronfs_node_path(node),
		.owner = fi->lock_owner,
		.fh = fi->fh,
		.type = lock->l_type,
		.start = lock->l_start,
		.end = lock->l_len > 0 ? lock->l_start + lock->l_len - 1 : TO_END,
		.pid = lock->l_pid,
	};
}

void chronfs_op_getlk(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi,
                      struct flock *lock)
{
	struct chronfs *fs = chronfs_of(req);
	struct chronfs_file_lock wanted = posix_request(node, fi, lock);
	const struct chronfs_file_lock *held;
	struct flock reply = *lock;

	reply.l_type = F_UNLCK;
	pthread_mutex_lock(&fs->file_locks.waiters.lock);
	held = find_conflict(fs, &wanted);
	if (held) {
		reply.l_type = held->type;
		reply.l_whence = SEEK_SET;
		reply.l_start = held->start;
		reply.l_len = held->end == TO_END ? 0 : held->end - held->start + 1;
		reply.l_pid = held->pid;
	}
	pthread_mutex_unlock(&fs->file_locks.waiters.lock);
	fuse_reply_lock(req, &reply);
}

void chronfs_op_setlk(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi,
                      struct flock *lock, int sleep)
{
	const struct chronfs_file_lock request = posix_request(node, fi, lock);

	__atomic_store_n(&chronfs_of(req)->file_locks.posix_used, true, __ATOMIC_RELAXED);
	set_lock(req, &request, sleep != 0);
}

void chronfs_file_locks_close(struct chronfs *fs, uint64_t node, uint64_t owner)
{
	const struct chronfs_file_lock like = { .path = chronfs_node_path(node), .owner = owner };

	drop_and_grant(fs, same_owner, &like);
}

static bool is_of_open_file(const struct chronfs_file_lock *lock,
                            const struct chronfs_file_lock *like)
{
	return lock->fh == like->fh;
}

void chronfs_file_locks_release(struct chronfs *fs, uint64_t node, const struct fuse_file_info *fi)
{
	const struct chronfs_file_lock like = { .path = chronfs_node_path(node), .fh = fi->fh };

	drop_and_grant(fs, is_of_open_file, &like);
}

void chronfs_file_locks_init(struct chronfs *fs)
{
	chronfs_parked_init(&fs->file_locks.waiters, fs);
}

void chronfs_file_locks_fini(struct chronfs *fs)
{
	while (fs->file_locks.held)
		drop_lock(fs, &fs->file_locks.held);
	chronfs_parked_fini(&fs->file_locks.waiters);
}
