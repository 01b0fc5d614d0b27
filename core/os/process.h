/* SPDX-License-Identifier: Apache-2.0 */
/*
 * process.h - detects that this process was forked after a handle was opened
 *
 * Each handle keeps the number of the process that opened it.  The number of this process is in a
 * page that reads zero in every child (MADV_WIPEONFORK), so a child is detected however it was made:
 * by fork(), by _Fork(), by the system call.  Kernels before Linux 4.14 have no such pages: there no child
 * is detected.
 *
 * pthread_atfork() would not do: _Fork() and clone() call no handler, and a handler that the program
 * registered before would run before ours.  Nor would getpid(): it costs a system call for each append.
 */
#ifndef CQ_PROCESS_H
#define CQ_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

/* The number of this process: never 0, and higher than that of any process which it was forked from.
 * Any thread; takes no lock, so a child may call it whatever the parent's threads were doing. */
int cq_process_number(uint64_t *ret_number);

/* This process's number, 0 in a child that has none yet; NULL before the first cq_process_number().  Both
 * atomic, only for the following. */
extern uint64_t *cq_process_word __attribute__((visibility("hidden")));

/* Another process was given this number: this one is a child that was forked since then. */
static inline bool cq_process_forked(uint64_t number)
{
	const uint64_t *word = __atomic_load_n(&cq_process_word, __ATOMIC_RELAXED);

	return __builtin_expect(__atomic_load_n(word, __ATOMIC_RELAXED) != number, 0);
}

#endif
