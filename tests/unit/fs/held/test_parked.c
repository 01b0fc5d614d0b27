/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_parked.c - parked requests, with three threads: one parks, one interrupts, one works
 *
 * The linker replaces libfuse by ours (--wrap).  As in libfuse, an interruption first marks the
 * request, and then calls the function that was set, under a lock of the request.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>

#include "chronfs.h"
#include "held/parked.h"

#define REQUESTS 3000

static struct chronfs fs;
static struct chronfs_parked_list list;

static struct request {
	struct chronfs_parked parked; /* first */
	pthread_mutex_t lock;
	fuse_interrupt_func_t func; /* under lock */
	void *data;                 /* under lock */
	bool interrupted;           /* atomic */
	int finished;               /* atomic */
	int result;
} requests[REQUESTS];
static int parking;  /* requests below this number are being or have been parked; atomic */
static int finished; /* how many requests; atomic */

void __wrap_fuse_req_interrupt_func(fuse_req_t req, fuse_interrupt_func_t func, void *data);
int __wrap_fuse_req_interrupted(fuse_req_t req);

static struct request *of(fuse_req_t req)
{
	return (struct request *)(void *)req;
}

void __wrap_fuse_req_interrupt_func(fuse_req_t req, fuse_interrupt_func_t func, void *data)
{
	struct request *r = of(req);

	pthread_mutex_lock(&r->lock);
	r->func = func;
	r->data = data;
	if (__atomic_load_n(&r->interrupted, __ATOMIC_SEQ_CST))
		func(req, data);
	pthread_mutex_unlock(&r->lock);
}

int __wrap_fuse_req_interrupted(fuse_req_t req)
{
	return __atomic_load_n(&of(req)->interrupted, __ATOMIC_SEQ_CST);
}

static void interrupt(struct request *r)
{
	pthread_mutex_lock(&r->lock);
	__atomic_store_n(&r->interrupted, true, __ATOMIC_SEQ_CST);
	if (r->func)
		r->func((fuse_req_t)(void *)r, r->data);
	pthread_mutex_unlock(&r->lock);
}

static void finish(struct chronfs *of_, struct chronfs_parked *parked, int result)
{
	struct request *r = (struct request *)parked;

	(void)of_;
	r->result = result;
	__atomic_add_fetch(&r->finished, 1, __ATOMIC_SEQ_CST);
	__atomic_add_fetch(&finished, 1, __ATOMIC_SEQ_CST);
}

static void *park_all(void *arg)
{
	(void)arg;
	for (int i = 0; i < REQUESTS; i++) {
		struct chronfs_parked *parked = &requests[i].parked;
		int r;

		__atomic_store_n(&parking, i + 1, __ATOMIC_SEQ_CST);
		chronfs_parked_catch_interrupt(&list, parked->req);
		pthread_mutex_lock(&list.lock);
		r = chronfs_parked_add(&list, parked);
		pthread_mutex_unlock(&list.lock);
		if (r < 0)
			finish(&fs, parked, r);
	}
	return NULL;
}

static void *interrupt_all(void *arg)
{
	(void)arg;
	for (int i = 0; i < REQUESTS; i++) {
		while (__atomic_load_n(&parking, __ATOMIC_SEQ_CST) <= i)
			sched_yield();
		interrupt(&requests[i]);
	}
	return NULL;
}

/* Only its interruption ends every third request. */
static void *work(void *arg)
{
	(void)arg;
	while (__atomic_load_n(&finished, __ATOMIC_SEQ_CST) < REQUESTS) {
		struct chronfs_parked *first = chronfs_parked_begin_attempt(&list);

		if (first)
			(void)chronfs_parked_end_attempt(&list, first,
			                                 first->held % 3 == 0 ? 1 : 0);
		else
			sched_yield();
	}
	return NULL;
}

static void each_request_is_finished_once(void **state)
{
	void *(*const all[])(void *) = { park_all, interrupt_all, work };
	pthread_t threads[3];

	(void)state;
	chronfs_parked_init(&list, &fs);
	for (int i = 0; i < REQUESTS; i++) {
		pthread_mutex_init(&requests[i].lock, NULL);
		requests[i].parked.req = (fuse_req_t)(void *)&requests[i];
		requests[i].parked.held = (size_t)i;
		requests[i].parked.finish = finish;
	}
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, all[i], NULL), 0);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < REQUESTS; i++) {
		assert_int_equal(requests[i].finished, 1);
		assert_true(requests[i].result == -EINTR || (requests[i].result == 0 && i % 3 > 0));
	}
	assert_null(list.first);
	assert_int_equal(list.count + list.held, 0);
	chronfs_parked_fini(&list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_request_is_finished_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
