/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disk_requests.c - requests that may wait for the disk, and the threads that wait with them
 *
 * An append never waits for a read.  So at least one serving thread is always free of requests that
 * may read the disk (kernel/request_class.c says which these are): a serving thread serves such a
 * request itself only while another serving thread is left.  Otherwise it copies the request, as it
 * came from the kernel, into a queue, and a reading thread serves it.  Nothing is asked about the
 * request's bytes beforehand: whether they are in the page cache is known only after they were read.
 * So a single reader costs no change of threads, cold or warm.
 *
 * A reading thread is started when more requests are in the queues than reading threads are idle.
 * Some threads are kept for requests of the class STATE: stats.json can be read while all others wait.
 * Beyond that, requests stay in the queue.  A queued request takes some hundred bytes, and each
 * process that waits has one, and the kernel a few for its read-ahead.
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
 *  1. `inside` is below CHRONFS_THREADS.
 *  2. A request is in one queue, or in `running`, or its thread has not come here yet or is done with
 *     it.  An INTERRUPT that finds it nowhere may have overtaken it: its number is kept in `early`,
 *     and the thread of the request looks there first.
 *  3. A request that got EINTR while it was running is marked as abandoned before the reply.  So the
 *     RELEASE of its open file, which the kernel sends after the reply, finds it, and is served after
 *     it: the thread may use the open file.
 *  4. A queued request that could be served has an idle thread that was woken for it, or all threads
 *     that may serve it are busy and look into the queues when they are done.
 */
#include "held/disk_requests.h"

#include <errno.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chronfs.h"
#include "held/proc.h"

#define READERS 16      /* reading threads */
#define FOR_STATE 4     /* of them, that serve no request of the class DATA */
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
	size_t count;
};

struct chronfs_disk_requests {
	pthread_mutex_t lock; /* of all below */
	pthread_cond_t due;   /* a request was queued that an idle thread may serve; `stop` */
	struct queue queues[CHRONFS_DISK_CLASSES];
	struct disk_request *running;
	size_t abandoned;                    /* of these; atomic, changed under lock */
	unsigned inside;                     /* serving threads that serve one */
	unsigned busy[CHRONFS_DISK_CLASSES]; /* reading threads that serve one */
	unsigned idle;
	unsigned threads;
	bool stop;
	uint64_t early[EARLY];
	unsigned next_early;
	pthread_t thread[READERS];
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

	if (release.size > 0 && !chronfs_disk_requests_release(fs, &release))
		fuse_session_process_buf(fs->session, &release);
}

static void add(struct chronfs_disk_requests *d, struct disk_request *r)
{
	struct queue *queue = &d->queues[r->kind];

	r->next = NULL;
	*queue->end = r;
	queue->end = &r->next;
	queue->count++;
}

static struct disk_request *take(struct queue *queue, struct disk_request **link)
{
	struct disk_request *r = *link;

	*link = r->next;
	if (!*link)
		queue->end = link;
	queue->count--;
	return r;
}

/* How many of the queued requests may be served now. */
static size_t due(const struct chronfs_disk_requests *d)
{
	const size_t data = d->queues[CHRONFS_DISK_DATA].count;
	const size_t most = READERS - FOR_STATE - d->busy[CHRONFS_DISK_DATA];

	return d->queues[CHRONFS_DISK_STATE].count + (data < most ? data : most);
}

/* ---- reading threads ---- */

static struct disk_request *take_due(struct chronfs_disk_requests *d)
{
	struct queue *queue = &d->queues[CHRONFS_DISK_STATE];

	if (due(d) == 0)
		return NULL;
	if (!queue->first)
		queue = &d->queues[CHRONFS_DISK_DATA];
	return take(queue, &queue->first);
}

static void *run_reader(void *arg)
{
	struct chronfs *fs = arg;
	struct chronfs_disk_requests *d = fs->disk_requests;
	struct disk_request *r;

	pthread_mutex_lock(&d->lock);
	while (!d->stop) {
		r = take_due(d);
		if (!r) {
			d->idle++;
			pthread_cond_wait(&d->due, &d->lock);
			d->idle--;
			continue;
		}
		d->busy[r->kind]++;
		begin(d, r);
		if (d->idle > 0 && due(d) > 0) /* this thread has made room for one of DATA */
			pthread_cond_signal(&d->due);
		pthread_mutex_unlock(&d->lock);
		fuse_session_process_buf(fs->session, &r->bytes);
		pthread_mutex_lock(&d->lock);
		end(d, r);
		d->busy[r->kind]--;
		pthread_mutex_unlock(&d->lock);
		serve_release(fs, r);
		free(r);
		pthread_mutex_lock(&d->lock);
	}
	pthread_mutex_unlock(&d->lock);
	return NULL;
}

/* Under the lock. */
static int start_reader(struct chronfs *fs)
{
	struct chronfs_disk_requests *d = fs->disk_requests;
	int r;

	r = pthread_create(&d->thread[d->threads], NULL, run_reader, fs);
	if (r != 0)
		return -r;
	(void)pthread_setname_np(d->thread[d->threads], "chronfs-read");
	d->threads++;
	return 0;
}

/* Without a further thread, the request waits for one of those that there are. */
static void wake_reader(struct chronfs *fs)
{
	struct chronfs_disk_requests *d = fs->disk_requests;

	if (due(d) > d->idle && d->threads < READERS)
		(void)start_reader(fs);
	if (d->idle > 0)
		pthread_cond_signal(&d->due);
}

/* ---- serving threads ---- */

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

static void serve_here(struct chronfs *fs, enum chronfs_disk_class kind,
                       const struct fuse_buf *request)
{
	struct chronfs_disk_requests *d = fs->disk_requests;
	struct disk_request r = { .kind = kind, .bytes = *request };

	begin(d, &r);
	pthread_mutex_unlock(&d->lock);
	fuse_session_process_buf(fs->session, request);
	pthread_mutex_lock(&d->lock);
	end(d, &r);
	d->inside--;
	pthread_mutex_unlock(&d->lock);
	serve_release(fs, &r);
}

void chronfs_disk_requests_serve(struct chronfs *fs, enum chronfs_disk_class kind,
                                 const struct fuse_buf *request)
{
	struct chronfs_disk_requests *d = fs->disk_requests;
	const uint64_t unique = header_of(request)->unique;
	struct disk_request *r;
	bool early;

	pthread_mutex_lock(&d->lock);
	early = take_early(d, unique);
	if (d->inside < CHRONFS_THREADS - 1 && !early) {
		d->inside++;
		serve_here(fs, kind, request);
		return;
	}
	r = copy_request(kind, request);
	if (r) {
		add(d, r);
		wake_reader(fs);
	}
	pthread_mutex_unlock(&d->lock);
	if (!r)
		reply_error(fs, unique, ENOMEM);
	else if (early)
		(void)chronfs_disk_requests_interrupt(fs, unique);
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

int chronfs_disk_requests_start(struct chronfs *fs)
{
	struct chronfs_disk_requests *d = calloc(1, sizeof *d);
	int r;

	if (!d)
		return -ENOMEM;
	for (int kind = 0; kind < CHRONFS_DISK_CLASSES; kind++)
		d->queues[kind].end = &d->queues[kind].first;
	pthread_mutex_init(&d->lock, NULL);
	pthread_cond_init(&d->due, NULL);
	fs->disk_requests = d;
	pthread_mutex_lock(&d->lock);
	r = start_reader(fs);
	pthread_mutex_unlock(&d->lock);
	if (r < 0)
		chronfs_disk_requests_stop(fs);
	return r;
}

void chronfs_disk_requests_stop(struct chronfs *fs)
{
	struct chronfs_disk_requests *d = fs->disk_requests;
	struct disk_request *r;

	if (!d)
		return;
	pthread_mutex_lock(&d->lock);
	d->stop = true;
	pthread_cond_broadcast(&d->due);
	pthread_mutex_unlock(&d->lock);
	for (int kind = 0; kind < CHRONFS_DISK_CLASSES; kind++) {
		while (d->queues[kind].first) {
			r = take(&d->queues[kind], &d->queues[kind].first);
			reply_error(fs, header_of(&r->bytes)->unique, ENOTCONN);
			free(r);
		}
	}
	for (unsigned i = 0; i < d->threads; i++)
		pthread_join(d->thread[i], NULL);
	fs->disk_requests = NULL;
	pthread_cond_destroy(&d->due);
	pthread_mutex_destroy(&d->lock);
	free(d);
}
