/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop.c - the threads that serve requests
 *
 * Each reads a request from the kernel and serves it, in place of fuse_session_loop_mt(): only here is
 * a request seen before libfuse has begun it.  A request that may wait for the disk goes through
 * held/disk_requests.c, which also says how many threads there are.
 *
 * The beginning: no thread reads a request before the first ones have all started, or the session has exited
 * because one could not.  Whoever gets a reply takes the mount for one that works.
 *
 * The end: a thread learns of an unmount from the kernel; a signal makes the session exit and
 * interrupts the main thread (mount/daemon.c).  The main thread then cancels the threads.  A thread can
 * be cancelled only while it waits for a request, so each request that was read is served.
 */
#include "kernel/loop.h"

#include <errno.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>

#include "chronfs.h"
#include "held/disk_requests.h"
#include "kernel/request_class.h"

struct loop;

struct serving_thread {
	pthread_t thread;
	struct loop *loop;
	struct fuse_buf request; /* libfuse allocates its memory at the first one */
};

struct loop {
	struct chronfs *fs;
	pthread_mutex_t starting; /* held until the first threads are there */
	sem_t ended;              /* a thread has */
	int error;                /* of one of them; atomic */
	unsigned started;
	struct serving_thread threads[CHRONFS_THREADS_MAX];
};

static void serve(struct chronfs *fs, const struct fuse_buf *request)
{
	const struct fuse_in_header *in = request->mem;
	const void *arguments = in + 1;
	enum chronfs_disk_class kind = CHRONFS_DISK_NEVER;

	switch (in->opcode) {
	case FUSE_INTERRUPT:
		if (chronfs_disk_requests_interrupt(
			    fs, ((const struct fuse_interrupt_in *)arguments)->unique))
			return;
		break;
	case FUSE_RELEASE:
	case FUSE_RELEASEDIR:
		if (chronfs_disk_requests_release(fs, request))
			return;
		break;
	default:
		kind = chronfs_request_class(in->opcode, in->nodeid, arguments);
		break;
	}
	if (kind == CHRONFS_DISK_NEVER)
		fuse_session_process_buf(fs->session, request);
	else
		chronfs_disk_requests_serve(fs, kind, request);
	chronfs_disk_requests_rest(fs, kind);
}

static void *run_serving(void *arg)
{
	struct serving_thread *t = arg;
	struct fuse_session *session = t->loop->fs->session;
	int r = 1;

	/* itself: to name another one, a file would be written, also by a read-only mount */
	(void)pthread_setname_np(pthread_self(), "chronfs-serve");
	(void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	pthread_mutex_lock(&t->loop->starting);
	pthread_mutex_unlock(&t->loop->starting);
	while (!fuse_session_exited(session)) {
		(void)pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
		r = fuse_session_receive_buf(session, &t->request);
		(void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
		if (r == -EINTR)
			continue;
		if (r <= 0)
			break;
		serve(t->loop->fs, &t->request);
	}
	if (r < 0 && r != -EINTR)
		__atomic_store_n(&t->loop->error, r, __ATOMIC_RELAXED);
	fuse_session_exit(session);
	sem_post(&t->loop->ended);
	return NULL;
}

static int start_thread(void *arg)
{
	struct loop *loop = arg;
	struct serving_thread *t = &loop->threads[loop->started];
	int r;

	t->loop = loop;
	r = pthread_create(&t->thread, NULL, run_serving, t);
	if (r != 0)
		return -r;
	loop->started++;
	return 0;
}

int chronfs_loop(struct chronfs *fs)
{
	struct loop loop = { .fs = fs };
	int r;

	sem_init(&loop.ended, 0, 0);
	pthread_mutex_init(&loop.starting, NULL);
	pthread_mutex_lock(&loop.starting);
	r = chronfs_disk_requests_start(fs, start_thread, &loop);
	if (r < 0)
		fuse_session_exit(fs->session);
	pthread_mutex_unlock(&loop.starting);
	while (r == 0 && !fuse_session_exited(fs->session))
		(void)sem_wait(&loop.ended); /* also ends when it is interrupted */
	fuse_session_exit(fs->session);
	chronfs_disk_requests_stop(fs);
	for (unsigned i = 0; i < loop.started; i++)
		(void)pthread_cancel(loop.threads[i].thread);
	for (unsigned i = 0; i < loop.started; i++) {
		(void)pthread_join(loop.threads[i].thread, NULL);
		free(loop.threads[i].request.mem);
	}
	chronfs_disk_requests_free(fs);
	pthread_mutex_destroy(&loop.starting);
	sem_destroy(&loop.ended);
	return r < 0 ? r : loop.error;
}
