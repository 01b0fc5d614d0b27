/* SPDX-License-Identifier: Apache-2.0 */
/* wakes.c - see wakes.h */
#include "wakes.h"

#include <linux/futex.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

unsigned wake_calls;

long __real_syscall(long number, ...);
long __wrap_syscall(long number, uint32_t *word, int operation, uint32_t value,
                    const struct timespec *timeout, uint32_t *word2, uint32_t value3);
long __wrap_syscall(long number, uint32_t *word, int operation, uint32_t value,
                    const struct timespec *timeout, uint32_t *word2, uint32_t value3)
{
	if (number == SYS_futex && operation == FUTEX_WAKE)
		wake_calls++;
	return __real_syscall(number, word, operation, value, timeout, word2, value3);
}
