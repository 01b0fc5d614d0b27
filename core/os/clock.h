/* SPDX-License-Identifier: Apache-2.0 */
/* clock.h - the clocks: times of records, spans, deadlines; and a pause */
#ifndef CQ_CLOCK_H
#define CQ_CLOCK_H

#include <stdint.h>
#include <time.h>

/* The time of a record.  A clock before 1970 gives 0. */
static inline uint64_t cq_realtime_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return t.tv_sec < 0 ? 0 : (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

static inline uint64_t cq_monotonic_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

/* For spans that include the time in which the machine is suspended. */
static inline uint64_t cq_boottime_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000U + (uint64_t)t.tv_nsec / 1000000U;
}

/* CLOCK_MONOTONIC, `ms` from now: for condition variables with that clock. */
static inline struct timespec cq_deadline(uint32_t ms)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += ms / 1000;
	t.tv_nsec += (long)(ms % 1000) * 1000000L;
	if (t.tv_nsec >= 1000000000L) {
		t.tv_sec++;
		t.tv_nsec -= 1000000000L;
	}
	return t;
}

/* In a loop that waits for another thread without sleeping. */
static inline void cq_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield" ::: "memory");
#endif
}

#endif
