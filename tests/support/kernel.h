/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kernel.h - system calls and allocations that fail on request, below core/os/io.c
 *
 * A test that is linked with the options `kernel_args` of support/meson.build gets these calls from
 * kernel.c, in every build: those of core/os/io.c that no limit and no file makes fail, and what
 * sigbus.c, process.c and lock.c ask of the system.  Without a request they are the system's.
 */
#ifndef CQ_TEST_KERNEL_H
#define CQ_TEST_KERNEL_H

#include <stdbool.h>

/* From now on this call, by the name that kernel.c gives it, fails with this error (a positive
 * errno) `times` times after `skip` successes, and no other call does.  NULL: no call fails. */
void kernel_refuse(const char *call, int error, unsigned skip, unsigned times);
/* How many calls have failed since then. */
unsigned kernel_refused(void);

/* true: from now on every allocation is a call "malloc" of fault.h, which can fail in builds with planted
 * faults.  A test switches that on around the library's work: its own allocations never fail. */
void kernel_watch_memory(bool watch);

/* How many descriptors, of the first hundred, this process has open. */
unsigned kernel_descriptors(void);

/* What fstatfs() returns as the type of the file system; the flags of its files are then kept here, too.  0: the
 * real one. */
extern long kernel_magic;
extern int kernel_flags;

/* The directory whose `stat` and `locks` replace /proc/PID/stat and /proc/locks.  NULL: none. */
extern const char *kernel_proc;

/* If set, the next calloc() calls it, once. */
extern void (*kernel_allocating)(void);

#endif
