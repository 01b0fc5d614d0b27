/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mutex.h - a lock whose release is a full barrier
 *
 * Otherwise as a pthread_mutex_t.  That one's release is no such barrier (glibc's is a plain store while the
 * process has one thread), and a barrier beside it costs as much as the release.
 *
 * `state` is a futex word.  A thread sleeps only while it is CQ_MUTEX_AWAITED, and who takes the lock after a
 * sleep leaves it so, since others may sleep too.
 */
#ifndef CQ_MUTEX_H
#define CQ_MUTEX_H

#include <linux/futex.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { CQ_MUTEX_FREE, CQ_MUTEX_HELD, CQ_MUTEX_AWAITED };

struct cq_mutex {
	uint32_t state; /* atomic; all zero is a free one */
};

/* The rest of a lock that another thread holds. */
static inline void cq_mutex_wait(struct cq_mutex *mutex)
{
	while (__atomic_exchange_n(&mutex->state, CQ_MUTEX_AWAITED, __ATOMIC_ACQUIRE) !=
	       CQ_MUTEX_FREE)
		(void)syscall(SYS_futex, &mutex->state, FUTEX_WAIT_PRIVATE, CQ_MUTEX_AWAITED, NULL,
		              NULL, 0);
}

static inline void cq_mutex_lock(struct cq_mutex *mutex)
{
	uint32_t state = CQ_MUTEX_FREE;

	if (!__atomic_compare_exchange_n(&mutex->state, &state, CQ_MUTEX_HELD, false,
	                                 __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
		cq_mutex_wait(mutex);
}

/* And a full barrier: what is stored before it is visible to other threads and processes before anything
 * after it is loaded. */
static inline void cq_mutex_unlock(struct cq_mutex *mutex)
{
	const uint32_t state = __atomic_exchange_n(&mutex->state, CQ_MUTEX_FREE, __ATOMIC_SEQ_CST);

#if defined(__x86_64__) || defined(__i386__)
	__atomic_signal_fence(__ATOMIC_SEQ_CST); /* the exchange is a locked instruction */
#else
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
	if (state == CQ_MUTEX_AWAITED)
		(void)syscall(SYS_futex, &mutex->state, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

#endif
