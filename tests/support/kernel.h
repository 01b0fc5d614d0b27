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

/* From now on this call, by the name that kernel.c gives it, is refused with this error (a positive
 * errno) `times` times after `skip` good ones; no other call is.  NULL: none is. */
void kernel_refuse(const char *call, int error, unsigned skip, unsigned times);
/* How many were, since then. */
unsigned kernel_refused(void);

/* true: from now on every allocation is a call "malloc" of fault.h, which can fail in builds with planted
 * faults.  A test switches that on around the library's work: its own allocations never fail. */
void kernel_watch_memory(bool watch);

/* How many descriptors, of the first hundred, this process has open. */
unsigned kernel_descriptors(void);

/* What fstatfs() says the file system is; then the flags of its files are kept here, too.  0: what it
 * is. */
extern long kernel_magic;
extern int kernel_flags;

/* This directory's `stat` and `locks` are read for /proc/PID/stat and /proc/locks.  NULL: not so. */
extern const char *kernel_proc;

/* Called once, in the next calloc(). */
extern void (*kernel_allocating)(void);

#endif
