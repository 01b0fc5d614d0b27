/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disk_requests.c - requests that may wait for the disk, and the threads that wait with them
 *
 * An append never waits for a read.  So at least one serving thread is always free: it reads requests
 * from the kernel, or serves one that cannot wait for the disk (kernel/request_class.c says which can).
 * A thread that would be the last free one, and has a request that may wait for the disk, first calls
 * another thread to its place, and then serves the request itself.  So the request does not wait until
 * that thread runs, and a single reader calls nobody.  Nothing is asked about the request's bytes
 * beforehand: whether they are in the page cache is known only after they were read.
 *
 * A thread that is free beside enough others rests until it is called.  Enough are CHRONFS_THREADS, and
 * some more until a second after the last call: so several readers at once cost a call a second, not
 * one for each request.
 *
 * A thread is started when one is called and none rests.  At most BUSY_MAX requests are served at a
 * time, and fewer of segments: so stats.json can be read while all readers of segments wait.  Further
 * requests are copied as they came from the kernel into a queue, and a thread that is done with one
 * takes the next from there.  A queued request takes some hundred bytes, and each process that waits
 * has one, and the kernel a few for its read-ahead.
 *
 * Requests that are served have no order: neither has the kernel's queue, from which several threads
 * take.
 *
 * A killed process should not wait for the disk.  The kernel interrupts its request.  We then reply
 * EINTR, past libfuse, while a thread may still serve the request: that thread's own reply fails with
 * ENOENT, as one to any request that is gone.  A handler that opens a file knows what that means.  Any
 * other signal does not interrupt such a request, since few programs expect EINTR of stat(2) or of a
 * read of a file.  The kernel interrupts a request only once.  So a process that had another signal
 * first waits for the disk when it is killed.
 *
 * Invariants, under the lock:
 *  1. Each thread is free, busy with a request of these, or resting.  At least one is free; one that
 *     was called counts as free from then on, since it waits only for a processor.
 *  2. A request is in one queue, or in `running`, or its thread has not come here yet or is done with
 *     it.  An INTERRUPT that finds it nowhere may have overtaken it: its number is kept in `early`,
 *     and the thread of the request looks there first.
 *  3. A request that got EINTR while it was running is marked as abandoned before the reply.  So the
 *     RELEASE of its open file, which the kernel sends after the reply, finds it, and is served after
 *     it: the thread may use the open file.
 *  4. A request is queued only while others are busy, and each of these takes one from the queues when
 *     it is done, if one is there that may be served.
 */
#include "held/disk_requests.h"

#include <errno.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "chronfs.h"
#include "held/proc.h"

#define BUSY_MAX (CHRONFS_THREADS_MAX - 1)
#define DATA_MAX (BUSY_MAX - 4)        /* of these, of the class DATA */
#define FREE_MAX (CHRONFS_THREADS + 1) /* until QUIET seconds after a call */
#define QUIET 1
#define EARLY 64        /* interrupts that are remembered */
#define RELEASE_MAX 128 /* bytes of a RELEASE */

struct disk_request {
	struct disk_request *next; /* under lock */
	struct fuse_buf bytes;     /* as it came from the kernel */
	enum chronfs_disk_class kind;
	bool abandoned;      /* under lock */
	size_t release_size; /* of the RELEASE that waits for this, 0: none; under lock */
	/* headers have eight-byte words */
	uint64_t release[RELEASE_MAX / sizeof(uint64_t)];
	uint64_t copy[]; /* of a queued request */
};

struct queue {
	struct disk_request *first, **end;
};

struct chronfs_disk_requests {
	pthread_mutex_t lock; /* of all below */
	pthread_cond_t call;  /* for a resting thread; `stop` */
	struct queue queues[CHRONFS_DISK_CLASSES];
	struct disk_request *running;
	size_t abandoned;                    /* of these; atomic, changed under lock */
	unsigned busy[CHRONFS_DISK_CLASSES]; /* threads that serve one */
	unsigned free;                       /* atomic, changed under lock */
	unsigned resting, called; /* threads; a called one is in `free`, not in `resting` */
	time_t last_call;         /* CLOCK_MONOTONIC */
	bool stop;
	uint64_t early[EARLY];
	unsigned next_early;
	unsigned threads;
	int (*start_thread)(void *arg);
	void *arg;
};

static const struct fuse_in_header *header_of(const struct fuse_buf *request)
{
	return request->mem;
}

/* Past libfuse, which may not know the request, or still need it. */
static void reply_error(const struct chronfs *fs, uint64_t unique, int error)
{
	const struct fuse_out_header out = { .len = sizeof out, .error = -error, .unique = unique };

	/* ENOENT: it has got its reply meanwhile */
	(void)!write(fuse_session_fd(fs->session), &out, sizeof out);
}

/* ---- open files ---- */

/* The open file that a request uses, or that a RELEASE ends.  False: it uses none. */
static bool get_fh(const struct fuse_buf *request, uint64_t *ret_fh)
{
	const struct fuse_in_header *in = header_of(request);

	switch (in->opcode) {
	case FUSE_READ:
	case FUSE_READDIR:
	case FUSE_READDIRPLUS:
	case FUSE_LSEEK:
	case FUSE_POLL:
	case FUSE_RELEASE:
	case FUSE_RELEASEDIR:
		if (request->size < sizeof *in + sizeof *ret_fh)
			return false;
		memcpy(ret_fh, in + 1, sizeof *ret_fh); /* the first member of all of them */
		return true;
	default:
		return false;
	}
}

bool chronfs_disk_requests_release(struct chronfs *fs, const struct fuse_buf *request)
{
	struct chronfs_disk_requests *d = fs->disk_requests;
	struct disk_request *r;
	uint64_t fh, its;

	if (__atomic_load_n(&d->abandoned, __ATOMIC_SEQ_CST) == 0 || !get_fh(request, &fh) ||
	    request->size > RELEASE_MAX)
		return false;
	pthread_mutex_lock(&d->lock);
	for (r = d->running; r; r = r->next)
		if (r->abandoned && get_fh(&r->bytes, &its) && its == fh &&
		    header_of(&r->bytes)->nodeid == header_of(request)->nodeid)
			break;
	if (r) {
		memcpy(r->release, request->mem, request->size);
		r->release_size = request->size;
	}
	pthread_mutex_unlock(&d->lock);
	return r != NULL;
}

/* ---- serving ---- */

/* Under the lock. */
static void begin(struct chronfs_disk_requests *d, struct disk_request *r)
{
	r->next = d->running;
	d->running = r;
}

/* Under the lock. */
static void end(struct chronfs_disk_requests *d, struct disk_request *r)
{
	struct disk_request **link = &d->running;

	while (*link != r)
		link = &(*link)->next;
	*link = r->next;
	if (r->abandoned)
		__atomic_sub_fetch(&d->abandoned, 1, __ATOMIC_SEQ_CST);
}

/* Another thread of the killed process may read the same open file. */
static void serve_release(struct chronfs *fs, struct disk_request *r)
{
	const struct fuse_buf release = { .size = r->release_size, .mem = r->release };

	if (!chronfs_disk_requests_release(fs, &release))
		fuse_session_process_buf(fs->session, &release);
}

static void add(struct chronfs_disk_requests *d, struct disk_request *r)
{
	struct queue *queue = &d->queues[r->kind];

	r->next = NULL;
	*queue->end = r;
	queue->end = &r->next;
}

static struct disk_request *take(struct queue *queue, struct disk_request **link)
{
	struct disk_request *r = *link;

	*link = r->next;
	if (!*link)
		queue->end = link;
	return r;
}

/* ---- threads ---- */

static time_t now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return t.tv_sec;
}

/* Under the lock. */
static void change_free(struct chronfs_disk_requests *d, unsigned n)
{
	__atomic_store_n(&d->free, d->free + n, __ATOMIC_RELAXED);
}

/* Under the lock. */
static int start_thread(struct chronfs_disk_requests *d)
{
	int r;

	if (d->stop || d->threads == CHRONFS_THREADS_MAX)
		return -EAGAIN;
	r = d->start_thread(d->arg);
	if (r < 0)
		return r;
	d->threads++;
	change_free(d, 1);
	return 0;
}

/* Under the lock.  False: there is none. */
static bool call_thread(struct chronfs_disk_requests *d)
{
	if (d->resting > 0) {
		d->resting--;
		d->called++;
		change_free(d, 1);
		pthread_cond_signal(&d->call);
	} else if (start_thread(d) < 0) {
		return false;
	}
	d->last_call = now();
	return true;
}

static bool is_too_many(const struct chronfs_disk_requests *d, enum chronfs_disk_class kind)
{
	if (d->free <= CHRONFS_THREADS)
		return false;
	return kind == CHRONFS_DISK_NEVER || d->free > FREE_MAX || now() > d->last_call + QUIET;
}

void chronfs_disk_requests_rest(struct chronfs *fs, enum chronfs_disk_class kind)
{
	struct chronfs_disk_requests *d = fs->disk_requests;

	if (__atomic_load_n(&d->free, __ATOMIC_RELAXED) <= CHRONFS_THREADS)
		return;
	pthread_mutex_lock(&d->lock);
	if (!d->stop && is_too_many(d, kind)) {
		change_free(d, -1U);
		d->resting++;
		while (d->called == 0 && !d->stop)
			pthread_cond_wait(&d->call, &d->lock);
		if (d->called > 0) {
			d->called--;
		} else {
			d->resting--;
			change_free(d, 1);
		}
	}
	pthread_mutex_unlock(&d->lock);
}

/* ---- beginning and ending a request ---- */

static struct disk_request *copy_request(enum chronfs_disk_class kind,
                                         const struct fuse_buf *request)
{
	struct disk_request *r = malloc(sizeof *r + request->size);

	if (!r)
		return NULL;
	*r = (struct disk_request){ .kind = kind };
	memcpy(r->copy, request->mem, request->size);
	r->bytes.size = request->size;
	r->bytes.mem = r->copy;
	return r;
}

/* Under the lock: whether an INTERRUPT came first. */
static bool take_early(struct chronfs_disk_requests *d, uint64_t unique)
{
	for (size_t i = 0; i < EARLY; i++) {
		if (d->early[i] == unique) {
			d->early[i] = 0;
			return true;
		}
	}
	return false;
}

/* Under the lock. */
static bool may_begin(struct chronfs_disk_requests *d, enum chronfs_disk_class kind)
{
	if (kind == CHRONFS_DISK_DATA && d->busy[kind] == DATA_MAX)
		return false;
	return d->free > 1 || call_thread(d);
}

/* Under the lock, by a thread that is done with a request. */
static struct disk_request *take_next(struct chronfs_disk_requests *d)
{
	struct queue *queue = &d->queues[CHRONFS_DISK_STATE];

	if (!queue->first && d->busy[CHRONFS_DISK_DATA] < DATA_MAX)
		queue = &d->queues[CHRONFS_DISK_DATA];
	return queue->first && !d->stop ? take(queue, &queue->first) : NULL;
}

/* Under the lock, without it meanwhile. */
static void serve(struct chronfs *fs, struct disk_request *r)
{
	struct chronfs_disk_requests *d = fs->disk_requests;

	d->busy[r->kind]++;
	begin(d, r);
	pthread_mutex_unlock(&d->lock);
	fuse_session_process_buf(fs->session, &r->bytes);
	pthread_mutex_lock(&d->lock);
	end(d, r);
	d->busy[r->kind]--;
	if (r->release_size == 0)
		return;
	pthread_mutex_unlock(&d->lock);
	serve_release(fs, r);
	pthread_mutex_lock(&d->lock);
}

void chronfs_disk_requests_serve(struct chronfs *fs, enum chronfs_disk_class kind,
                                 const struct fuse_buf *request)
{
	struct chronfs_disk_requests *d = fs->disk_requests;
	struct disk_request here = { .kind = kind, .bytes = *request }, *r;
	const struct fuse_in_header *in = header_of(request);
	bool early;

	pthread_mutex_lock(&d->lock);
	early = take_early(d, in->unique);
	if (early) {
		pthread_mutex_unlock(&d->lock);
		if (chronfs_proc_is_killed((pid_t)in->pid)) {
			reply_error(fs, in->unique, EINTR);
			return;
		}
		pthread_mutex_lock(&d->lock);
	}
	if (may_begin(d, kind)) {
		change_free(d, -1U);
		serve(fs, &here);
		while ((r = take_next(d))) {
			serve(fs, r);
			free(r);
		}
		change_free(d, 1);
		pthread_mutex_unlock(&d->lock);
		return;
	}
	r = copy_request(kind, request);
	if (r)
		add(d, r);
	pthread_mutex_unlock(&d->lock);
	if (!r)
		reply_error(fs, in->unique, ENOMEM);
}

/* ---- interrupts ---- */

/* Under the lock: the link to the request, and its queue; NULL: it is running. */
static struct disk_request **find(struct chronfs_disk_requests *d, uint64_t unique,
                                  struct queue **ret_queue)
{
	struct disk_request **link;

	for (int kind = CHRONFS_DISK_STATE; kind < CHRONFS_DISK_CLASSES; kind++) {
		*ret_queue = &d->queues[kind];
		for (link = &(*ret_queue)->first; *link; link = &(*link)->next)
			if (header_of(&(*link)->bytes)->unique == unique)
				return link;
	}
	*ret_queue = NULL;
	for (link = &d->running; *link; link = &(*link)->next)
		if (header_of(&(*link)->bytes)->unique == unique)
			return link;
	return NULL;
}

/* Its process is killed: takes it from its queue, or marks it as abandoned.  False: it is done. */
static bool abandon(struct chronfs_disk_requests *d, uint64_t unique)
{
	struct disk_request **link, *queued = NULL;
	struct queue *queue;

	pthread_mutex_lock(&d->lock);
	link = find(d, unique, &queue);
	if (link && queue) {
		queued = take(queue, link);
	} else if (link && !(*link)->abandoned) {
		(*link)->abandoned = true;
		__atomic_add_fetch(&d->abandoned, 1, __ATOMIC_SEQ_CST);
	}
	pthread_mutex_unlock(&d->lock);
	free(queued);
	return link != NULL;
}

bool chronfs_disk_requests_interrupt(struct chronfs *fs, uint64_t unique)
{
	struct chronfs_disk_requests *d = fs->disk_requests;
	struct disk_request **link;
	struct queue *queue;
	pid_t thread = 0;

	pthread_mutex_lock(&d->lock);
	link = find(d, unique, &queue);
	if (link)
		thread = (pid_t)header_of(&(*link)->bytes)->pid;
	else
		d->early[d->next_early++ % EARLY] = unique;
	pthread_mutex_unlock(&d->lock);
	if (link && chronfs_proc_is_killed(thread) && abandon(d, unique))
		reply_error(fs, unique, EINTR);
	return link != NULL;
}

/* ---- the beginning and the end ---- */

int chronfs_disk_requests_start(struct chronfs *fs, int (*start)(void *arg), void *arg)
{
	struct chronfs_disk_requests *d = calloc(1, sizeof *d);
	int r = 0;

	if (!d)
		return -ENOMEM;
	for (int kind = 0; kind < CHRONFS_DISK_CLASSES; kind++)
		d->queues[kind].end = &d->queues[kind].first;
	d->start_thread = start;
	d->arg = arg;
	pthread_mutex_init(&d->lock, NULL);
	pthread_cond_init(&d->call, NULL);
	fs->disk_requests = d;
	pthread_mutex_lock(&d->lock);
	while (r == 0 && d->threads < CHRONFS_THREADS)
		r = start_thread(d);
	pthread_mutex_unlock(&d->lock);
	return r;
}

void chronfs_disk_requests_stop(struct chronfs *fs)
{
	struct chronfs_disk_requests *d = fs->disk_requests;

	if (!d)
		return;
	pthread_mutex_lock(&d->lock);
	d->stop = true;
	pthread_cond_broadcast(&d->call);
	pthread_mutex_unlock(&d->lock);
}

void chronfs_disk_requests_free(struct chronfs *fs)
{
	struct chronfs_disk_requests *d = fs->disk_requests;
	struct disk_request *r;

	if (!d)
		return;
	for (int kind = 0; kind < CHRONFS_DISK_CLASSES; kind++) {
		while (d->queues[kind].first) {
			r = take(&d->queues[kind], &d->queues[kind].first);
			reply_error(fs, header_of(&r->bytes)->unique, ENOTCONN);
			free(r);
		}
	}
	fs->disk_requests = NULL;
	pthread_cond_destroy(&d->call);
	pthread_mutex_destroy(&d->lock);
	free(d);
}
