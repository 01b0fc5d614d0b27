/* SPDX-License-Identifier: Apache-2.0 */
/* wakes.h - counts the calls that wake waiters; for tests that are linked with --wrap=syscall */
#ifndef CQ_TEST_WAKES_H
#define CQ_TEST_WAKES_H

/* Futexes that were woken; the library calls the system by syscall(). */
extern unsigned wake_calls;

#endif
