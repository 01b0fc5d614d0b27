/* SPDX-License-Identifier: Apache-2.0 */
/* test_sigbus.c - SIGBUS: in and outside of guarded ranges, with many ranges, with handlers of the program */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel.h"
#include "os/mapping.h"
#include "os/sigbus.h"
#include "queue_support.h"

#define MANY 200U /* more than three chunks of slots */

static size_t page;
static sigjmp_buf back;
static volatile int answered;

/* A file of three pages, mapped whole and then cut to its first. */
static volatile char *cut_file(void)
{
	FILE *file = tmpfile();
	char *base;

	page = (size_t)sysconf(_SC_PAGESIZE);
	CHILD(file && ftruncate(fileno(file), (off_t)(3 * page)) == 0);
	base = mmap(NULL, 3 * page, PROT_READ, MAP_SHARED, fileno(file), 0);
	CHILD(base != MAP_FAILED);
	CHILD(ftruncate(fileno(file), (off_t)page) == 0);
	CHILD(fclose(file) == 0);
	return base;
}

static void plain(int signal)
{
	(void)signal;
	answered++;
	siglongjmp(back, 1);
}

static void informed(int signal, siginfo_t *info, void *context)
{
	(void)context;
	CHILD(signal == SIGBUS && info->si_addr);
	answered += 10;
	siglongjmp(back, 1);
}

static void guarded(struct qs *q)
{
	volatile char *base = cut_file();
	struct cq_sigbus *guard;

	(void)q;
	CHILD(cq_sigbus_add((void *)(uintptr_t)base, 3 * page, &guard) == 0);
	CHILD(base[0] == 0 && !cq_sigbus_cut(guard));
	CHILD(base[page] == 0 && cq_sigbus_cut(guard));
	CHILD(base[2 * page] == 0);
	cq_sigbus_remove(guard);
	cq_sigbus_remove(NULL);
}

/* Another thread may read the zero pages at once: the guard knows of the cut before they are there. */
static void known_before_the_zeros(struct qs *q)
{
	volatile char *base = cut_file();
	struct cq_sigbus *guard;

	(void)q;
	CHILD(signal(SIGBUS, plain) != SIG_ERR);
	CHILD(cq_sigbus_add((void *)(uintptr_t)base, 3 * page, &guard) == 0);
	if (sigsetjmp(back, 1) == 0) {
		kernel_refuse("mmap", ENOMEM, 0, 1);
		(void)base[page];
	}
	CHILD(kernel_refused() == 1 && answered == 1);
	CHILD(cq_sigbus_cut(guard));
	CHILD(base[page] == 0 && cq_sigbus_cut(guard));
	cq_sigbus_remove(guard);
}

static void cut_is_known_before_the_zeros(void **state)
{
	qs_run(known_before_the_zeros, *state);
}

static void zeros_where_it_was_cut(void **state)
{
	qs_run(guarded, *state);
}

/* cmocka and sanitizers install handlers of their own. */
static void no_handler(void)
{
	CHILD(signal(SIGBUS, SIG_DFL) != SIG_ERR);
}

static void behind_the_guard(struct qs *q)
{
	volatile char *base = cut_file();
	struct cq_sigbus *guard;

	(void)q;
	no_handler();
	CHILD(cq_sigbus_add((void *)(uintptr_t)base, 2 * page, &guard) == 0);
	(void)base[2 * page];
}

static void removed(struct qs *q)
{
	volatile char *base = cut_file();
	struct cq_sigbus *guard;

	(void)q;
	no_handler();
	CHILD(cq_sigbus_add((void *)(uintptr_t)base, 3 * page, &guard) == 0);
	cq_sigbus_remove(guard);
	(void)base[page];
}

static void sent(struct qs *q)
{
	volatile char *base = cut_file();
	struct cq_sigbus *guard;

	(void)q;
	no_handler();
	CHILD(cq_sigbus_add((void *)(uintptr_t)base, 3 * page, &guard) == 0);
	/* from a process, not from an access: no range is concerned */
	(void)raise(SIGBUS);
	(void)raise(SIGBUS);
}

/* A later handler passes on to ours, and ours to it: the loop ends, and the signal ends the process. */
static struct sigaction before;

static void pass_back(int signal, siginfo_t *info, void *context)
{
	answered++;
	CHILD(answered < 10);
	before.sa_sigaction(signal, info, context);
}

static void round_and_round(struct qs *q)
{
	struct sigaction action = { .sa_sigaction = pass_back, .sa_flags = SA_SIGINFO };
	volatile char *base = cut_file();
	struct cq_sigbus *guard;

	(void)q;
	no_handler();
	CHILD(cq_sigbus_add((void *)(uintptr_t)base, page, &guard) == 0);
	CHILD(sigaction(SIGBUS, &action, &before) == 0);
	CHILD(cq_sigbus_add((void *)(uintptr_t)(base + page), page, &guard) == 0);
	(void)base[2 * page];
}

/* The kernel never ignores the signal of an access, so it ends the process. */
static void ignored(struct qs *q)
{
	volatile char *base = cut_file();
	struct cq_sigbus *guard;

	(void)q;
	CHILD(signal(SIGBUS, SIG_IGN) != SIG_ERR);
	CHILD(cq_sigbus_add((void *)(uintptr_t)base, page, &guard) == 0);
	(void)base[page];
}

/* The kernel gives no zero page: the process ends instead of repeating the access for ever. */
static void no_page_to_be_had(struct qs *q)
{
	volatile char *base = cut_file();
	struct cq_sigbus *guard;

	(void)q;
	no_handler();
	CHILD(cq_sigbus_add((void *)(uintptr_t)base, 3 * page, &guard) == 0);
	kernel_refuse("mmap", ENOMEM, 0, 1000);
	(void)base[page];
}

static void dies_of_sigbus(void **state, void (*run)(struct qs *q))
{
	const int status = qs_child(run, *state);

	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGBUS);
}

static void any_other_is_as_it_was(void **state)
{
	dies_of_sigbus(state, behind_the_guard);
	dies_of_sigbus(state, removed);
	dies_of_sigbus(state, sent);
	dies_of_sigbus(state, round_and_round);
	dies_of_sigbus(state, ignored);
	dies_of_sigbus(state, no_page_to_be_had);
}

/* Touches an address outside of all ranges; the program's own handler jumps back here. */
static void touch(volatile char *address)
{
	if (sigsetjmp(back, 1) == 0)
		(void)*address;
}

static void with_handlers(struct qs *q)
{
	struct sigaction action = { .sa_handler = plain };
	volatile char *base = cut_file();
	struct cq_sigbus *guard;

	(void)q;
	CHILD(sigaction(SIGBUS, &action, NULL) == 0);
	CHILD(cq_sigbus_add((void *)(uintptr_t)base, 2 * page, &guard) == 0);
	touch(base + 2 * page);
	CHILD(answered == 1);
	CHILD(base[page] == 0 && cq_sigbus_cut(guard));
	CHILD(answered == 1);
	cq_sigbus_remove(guard);
}

static void informed_handler(struct qs *q)
{
	struct sigaction action = { .sa_sigaction = informed, .sa_flags = SA_SIGINFO };
	volatile char *base = cut_file();
	struct cq_sigbus *guard, *other;

	(void)q;
	CHILD(cq_sigbus_add((void *)(uintptr_t)base, page, &guard) == 0);
	/* set after ours: the next range finds and keeps it */
	CHILD(sigaction(SIGBUS, &action, NULL) == 0);
	touch(base + 2 * page);
	CHILD(answered == 10);
	CHILD(cq_sigbus_add((void *)(uintptr_t)(base + page), page, &other) == 0);
	CHILD(base[page] == 0 && cq_sigbus_cut(other) && !cq_sigbus_cut(guard));
	CHILD(answered == 10);
	touch(base + 2 * page);
	CHILD(answered == 20);
	/* it did not return, and is still kept */
	touch(base + 2 * page);
	CHILD(answered == 30);
}

/* The same handler set again with SA_SIGINFO gets the information. */
static void flags_changed(struct qs *q)
{
	struct sigaction action = { .sa_sigaction = informed, .sa_flags = 0 };
	volatile char *base = cut_file();
	struct cq_sigbus *guard, *other;

	(void)q;
	CHILD(sigaction(SIGBUS, &action, NULL) == 0);
	CHILD(cq_sigbus_add((void *)(uintptr_t)base, page, &guard) == 0);
	action.sa_flags = SA_SIGINFO;
	CHILD(sigaction(SIGBUS, &action, NULL) == 0);
	CHILD(cq_sigbus_add((void *)(uintptr_t)base, page, &other) == 0);
	touch(base + 2 * page);
	CHILD(answered == 10);
}

static void the_programs_own_handler(void **state)
{
	qs_run(with_handlers, *state);
	qs_run(informed_handler, *state);
	qs_run(flags_changed, *state);
}

static void many(struct qs *q)
{
	struct cq_sigbus *guards[MANY];
	volatile char *files[MANY];

	(void)q;
	for (unsigned i = 0; i < MANY; i++) {
		files[i] = cut_file();
		CHILD(cq_sigbus_add((void *)(uintptr_t)files[i], 3 * page, &guards[i]) == 0);
	}
	for (unsigned i = 0; i < MANY; i += 2)
		CHILD(files[i][page] == 0);
	for (unsigned i = 0; i < MANY; i++)
		CHILD(cq_sigbus_cut(guards[i]) == (i % 2 == 0));
	/* free slots are reused */
	for (unsigned i = 0; i < MANY; i++)
		cq_sigbus_remove(guards[i]);
	CHILD(cq_sigbus_add((void *)(uintptr_t)files[1], 3 * page, &guards[1]) == 0);
	CHILD(!cq_sigbus_cut(guards[1]) && files[1][page] == 0 && cq_sigbus_cut(guards[1]));
}

static void more_ranges_than_one_chunk(void **state)
{
	qs_run(many, *state);
}

/* All slots of the first chunk are taken.  While a thread allocates the second one, another thread adds it. */
static struct cq_sigbus *last, *others;
static volatile char *last_file, *other_file;

static void *add_other(void *none)
{
	CHILD(cq_sigbus_add((void *)(uintptr_t)other_file, 3 * page, &others) == 0);
	return none;
}

static void meanwhile(void)
{
	pthread_t thread;

	CHILD(pthread_create(&thread, NULL, add_other, NULL) == 0);
	CHILD(pthread_join(thread, NULL) == 0);
}

static void two_at_once(struct qs *q)
{
	struct cq_sigbus *full[64];

	(void)q;
	last_file = cut_file();
	other_file = cut_file();
	for (unsigned i = 0; i < 64; i++)
		CHILD(cq_sigbus_add((void *)(uintptr_t)last_file, page, &full[i]) == 0);
	kernel_allocating = meanwhile;
	CHILD(cq_sigbus_add((void *)(uintptr_t)last_file, 3 * page, &last) == 0);
	CHILD(!kernel_allocating && last != others);
	CHILD(last_file[page] == 0 && cq_sigbus_cut(last) && !cq_sigbus_cut(others));
	CHILD(other_file[page] == 0 && cq_sigbus_cut(others));
}

static void two_threads_make_room(void **state)
{
	qs_run(two_at_once, *state);
}

/* A file that cannot be guarded is not mapped: the call returns an error. */
static void cannot_be_guarded(struct qs *q)
{
	struct cq_mapping m = CQ_MAPPING_NONE;
	struct sigaction action = { .sa_handler = plain };
	struct cq_sigbus *guard;

	page = (size_t)sysconf(_SC_PAGESIZE);
	CHILD(sigaction(SIGBUS, &action, NULL) == 0);
	kernel_refuse("malloc", ENOMEM, 0, 1); /* to remember that handler */
	CHILD(cq_mapping_create_new(&m, q->dirfd, "file", page) == -ENOMEM);
	CHILD(kernel_refused() == 1);
	kernel_refuse("sigaction", EINVAL, 0, 1);
	CHILD(cq_mapping_create_new(&m, q->dirfd, "file", page) == -EINVAL);
	kernel_refuse("sigaction", EINVAL, 1, 1);
	CHILD(cq_mapping_create_new(&m, q->dirfd, "file", page) == -EINVAL);
	CHILD(kernel_refused() == 1);
	CHILD(!m.base && m.fd == -1 && !support_exists(q->dir, "file"));
	CHILD(cq_mapping_create_new(&m, q->dirfd, "file", page) == 0);
	for (unsigned i = 1; i < 64; i++)
		CHILD(cq_sigbus_add((void *)(uintptr_t)m.base, page, &guard) == 0);
	kernel_refuse("calloc", ENOMEM, 0, 1);
	CHILD(cq_sigbus_add((void *)(uintptr_t)m.base, page, &guard) == -ENOMEM);
	CHILD(kernel_refused() == 1);
	CHILD(cq_sigbus_add((void *)(uintptr_t)m.base, page, &guard) == 0);
}

static void no_guard_no_mapping(void **state)
{
	qs_run(cannot_be_guarded, *state);
}

static const struct CMUnitTest tests[] = {
	QS_TEST(zeros_where_it_was_cut),     QS_TEST(cut_is_known_before_the_zeros),
	QS_TEST(any_other_is_as_it_was),     QS_TEST(the_programs_own_handler),
	QS_TEST(more_ranges_than_one_chunk), QS_TEST(two_threads_make_room),
	QS_TEST(no_guard_no_mapping),
};

QS_MAIN(tests)
