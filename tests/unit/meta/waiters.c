/* SPDX-License-Identifier: Apache-2.0 */
/* waiters.c - see waiters.h */
#include "waiters.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "format/format.h"

unsigned wake_calls;

long __real_syscall(long number, ...);
long __wrap_syscall(long number, uint32_t *word, int operation, uint32_t value,
                    const struct timespec *timeout, uint32_t *word2, uint32_t value3);
long __wrap_syscall(long number, uint32_t *word, int operation, uint32_t value,
                    const struct timespec *timeout, uint32_t *word2, uint32_t value3)
{
	/* of readers: the page is a mapping's first */
	if (number == SYS_futex && operation == FUTEX_WAKE &&
	    (uintptr_t)word % 512 == offsetof(struct cq_control_page, notify_seq))
		wake_calls++;
	return __real_syscall(number, word, operation, value, timeout, word2, value3);
}

void waiter_start(struct waiter *w, struct qs *q, void (*run)(struct qs *q, int say))
{
	int said[2];

	assert_int_equal(pipe(said), 0);
	w->pid = support_fork();
	assert_true(w->pid >= 0);
	if (w->pid == 0) {
		run(q, said[1]);
		_exit(0);
	}
	close(said[1]);
	w->said = said[0];
	waiter_sleeps(w);
}

void waiter_says(const struct waiter *w, char what)
{
	struct pollfd fd = { .fd = w->said, .events = POLLIN };
	char byte;

	assert_int_equal(poll(&fd, 1, 120000), 1);
	assert_int_equal(read(w->said, &byte, 1), 1);
	assert_int_equal(byte, what);
}

void waiter_sleeps(const struct waiter *w)
{
	waiter_says(w, 'w');
	qs_await_sleep(w->pid, w->pid);
}

void waiter_hold(const struct waiter *w)
{
	int status;

	assert_int_equal(kill(w->pid, SIGSTOP), 0);
	assert_int_equal(waitpid(w->pid, &status, WUNTRACED), w->pid);
	assert_true(WIFSTOPPED(status));
}

void waiter_resume(const struct waiter *w)
{
	assert_int_equal(kill(w->pid, SIGCONT), 0);
}

void waiter_kill(const struct waiter *w)
{
	int status;

	assert_int_equal(kill(w->pid, SIGKILL), 0);
	assert_int_equal(waitpid(w->pid, &status, 0), w->pid);
	close(w->said);
}
