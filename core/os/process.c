/* SPDX-License-Identifier: Apache-2.0 */
/* process.c - detects that this process was forked after a handle was opened; see process.h */
#include "os/process.h"

#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>

uint64_t *cq_process_word;

/* Atomic.  The last number of this process or of those that it was forked from.  A child inherits it, and
 * so never gets one of their numbers. */
static uint64_t last_number;

static int make_word(void)
{
	uint64_t *none = NULL;
	void *page = mmap(NULL, sizeof *none, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
	                  -1, 0);

	if (page == MAP_FAILED)
		return -errno;
	(void)madvise(page, sizeof *none, MADV_WIPEONFORK);
	if (!__atomic_compare_exchange_n(/* GCOV_EXCL_BR_LINE: a race lost */
	                                 &cq_process_word, &none, page, false, __ATOMIC_ACQ_REL,
	                                 __ATOMIC_ACQUIRE))
		munmap(page, sizeof *none);
	return 0;
}

int cq_process_number(uint64_t *ret_number)
{
	uint64_t *word = __atomic_load_n(&cq_process_word, __ATOMIC_ACQUIRE);
	uint64_t number = 0, next;
	int r;

	if (!word) {
		r = make_word();
		if (r < 0)
			return r;
		word = __atomic_load_n(&cq_process_word, __ATOMIC_ACQUIRE);
	}
	next = __atomic_add_fetch(&last_number, 1, __ATOMIC_RELAXED);
	if (__atomic_compare_exchange_n(word, &number, next, false, __ATOMIC_RELAXED,
	                                __ATOMIC_RELAXED))
		number = next;
	*ret_number = number;
	return 0;
}
