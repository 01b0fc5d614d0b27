/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fault.h - test hooks, compiled in only by -Dplanted_faults=true
 *
 * cq_planted(NAME)  is true when the environment names this deliberate bug: CHRONQ_PLANT=NAME.  The
 *                   table of planted bugs is in docs/testing.md; a test catches each.
 * cq_point(NAME)    a named place in the code.  CHRONQ_HOLD=NAME:PATH makes the first thread that
 *                   reaches it open the FIFO PATH.reached for writing (a test blocks until then), then
 *                   read the FIFO PATH.go to its end (the thread stays until the test releases it).
 *                   CHRONQ_KILL=NAME[:N] ends the process there with SIGKILL, the Nth time.
 * cq_failpoint(NAME) 0, or the negative errno that a test wants from the call NAME: set with
 *                   cq_fault_set() in the process, or CHRONQ_FAIL=NAME:ERRNO[:SKIP[:COUNT]][,NAME:...].
 */
#ifndef CQ_FAULT_H
#define CQ_FAULT_H

#include <stdbool.h>
#include <stddef.h>

#ifdef CQ_FAULTS

bool cq_planted(const char *name);
void cq_point(const char *name);
/* Called at every place, before the environment is read.  To be set while there is one thread. */
extern void (*cq_point_heard)(const char *name);
int cq_failpoint(const char *name);

/* From now on calls named `name` fail with error (a positive errno) after `skip` successes, `count`
 * times (negative: for ever), and no other calls do.  NULL: none do. */
void cq_fault_set(const char *name, int error, int skip, int count);
/* Adds a rule, up to 8.  A call fails by the first rule with its name that lets it fail. */
void cq_fault_add(const char *name, int error, int skip, int count);

/* The nth call, in the order in which each was first made since the process began or since
 * cq_fault_forget(), and how often it was made, failed or not.  NULL: there were fewer.  The name is valid
 * until the next cq_fault_forget(). */
const char *cq_fault_call(size_t nth, unsigned *ret_count);
/* How many of all calls failed on request. */
unsigned cq_fault_given(void);
void cq_fault_forget(void);

#else

static inline bool cq_planted(const char *name)
{
	(void)name;
	return false;
}

static inline void cq_point(const char *name)
{
	(void)name;
}

static inline int cq_failpoint(const char *name)
{
	(void)name;
	return 0;
}

#endif

#endif
