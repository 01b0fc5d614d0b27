/* SPDX-License-Identifier: Apache-2.0 */
/* waiters.h - processes that wait for the writer, and a count of the calls that wake them */
#ifndef CQ_TEST_WAITERS_H
#define CQ_TEST_WAITERS_H

#include "queue_support.h"

/* Calls of FUTEX_WAKE in a test that is linked with --wrap=syscall: the library uses syscall(). */
extern unsigned wake_calls;

/* A process that writes a byte to a pipe for what it does: 'w' when it is about to wait. */
struct waiter {
	pid_t pid;
	int said;
};

/* Starts it, and returns when it sleeps for the first time. */
void waiter_start(struct waiter *w, struct qs *q, void (*run)(struct qs *q, int say));
/* Returns when it has written this byte: within two minutes, a fifth of its longest sleep. */
void waiter_says(const struct waiter *w, char what);
/* Returns when it has written 'w' and sleeps. */
void waiter_sleeps(const struct waiter *w);
/* Stops it, as if a busy machine did not run it, until waiter_resume(). */
void waiter_hold(const struct waiter *w);
void waiter_resume(const struct waiter *w);
void waiter_kill(const struct waiter *w);

#endif
