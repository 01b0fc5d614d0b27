/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sigbus.c - SIGBUS in guarded ranges; see sigbus.h
 *
 * The handler runs at any moment in any thread, so the ranges are in slots that it can walk without
 * a lock: chunks of slots are only ever added.  A slot's `start` is 0 when free and CLAIMED while
 * it is being filled; its owner stores `start` last and clears it first.  A thread faults in a range
 * that it may access, so no other thread changes that slot meanwhile.  Of all other slots the handler
 * must only not take one for a match, which its second load of `start` ensures.
 *
 * The handler stays installed, and other code may hold its address; so libchronq.so is never unloaded
 * (-z nodelete, in meson.build).
 */
#include "os/sigbus.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define CHUNK_SLOTS 64
#define CLAIMED 1U

struct cq_sigbus {
	uintptr_t start;
	uintptr_t end;
	bool cut;
};

struct chunk {
	struct cq_sigbus slots[CHUNK_SLOTS];
	struct chunk *next;
};

/* A handler that was there before ours.  None is ever freed: our handler may be reading it. */
struct earlier {
	struct sigaction action;
	struct earlier *next;
};

static struct chunk first_chunk;
static uintptr_t page_mask;            /* atomic; set before the handler is installed */
static struct earlier *latest_earlier; /* atomic; the one to pass on to */
static struct earlier *all_earlier;    /* atomic; only ever added to */
/* The signal that this thread passes on, and where on its stack: a handler need not return.  Initial-exec:
 * the variable exists from the thread's beginning; the first access in another model may allocate memory,
 * which no handler may. */
static __thread struct {
	const siginfo_t *info;
	uintptr_t frame;
} passing __attribute__((tls_model("initial-exec")));

static struct cq_sigbus *slot_of(uintptr_t address)
{
	struct chunk *c;

	for (c = &first_chunk; c; c = __atomic_load_n(&c->next, __ATOMIC_ACQUIRE)) {
		for (size_t i = 0; i < CHUNK_SLOTS; i++) {
			struct cq_sigbus *g = &c->slots[i];
			uintptr_t start = __atomic_load_n(&g->start, __ATOMIC_ACQUIRE);
			uintptr_t end = __atomic_load_n(&g->end, __ATOMIC_ACQUIRE);

			if (start > CLAIMED && address >= start && address < end &&
			    __atomic_load_n(&g->start, /* GCOV_EXCL_BR_LINE: given up just now */
			                    __ATOMIC_RELAXED) == start)
				return g;
		}
	}
	return NULL;
}

static void pass_on(int signal, siginfo_t *info, void *context)
{
	/* set before our handler is installed */
	const struct sigaction *a = &__atomic_load_n(&latest_earlier, __ATOMIC_ACQUIRE)->action;
	const uintptr_t frame = (uintptr_t)__builtin_frame_address(0);
	/* The same signal, further down the stack: a later handler passes on to ours, and ours to it. */
	const bool round = info == passing.info && frame < passing.frame;

	if (round || a->sa_handler == SIG_DFL || a->sa_handler == SIG_IGN) {
		/* when we return, the access is repeated and ends the process as it would without us */
		sigaction(signal, &(struct sigaction){ .sa_handler = SIG_DFL }, NULL);
		return;
	}
	passing.info = info;
	passing.frame = frame;
	if (a->sa_flags & SA_SIGINFO)
		a->sa_sigaction(signal, info, context);
	else
		a->sa_handler(signal);
	passing.info = NULL;
}

static void on_sigbus(int signal, siginfo_t *info, void *context)
{
	const int saved = errno;
	const uintptr_t address = (uintptr_t)info->si_addr;
	struct cq_sigbus *g = info->si_code > 0 ? slot_of(address) : NULL;
	uintptr_t page = address & __atomic_load_n(&page_mask, __ATOMIC_RELAXED);

	if (g) /* first: another thread may read the zero pages at once */
		__atomic_store_n(&g->cut, true, __ATOMIC_RELEASE);
	if (!g ||
	    mmap((void *)page, g->end - page, PROT_READ | PROT_WRITE,
	         MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) == MAP_FAILED)
		pass_on(signal, info, context);
	errno = saved;
}

static int keep_earlier(const struct sigaction *action)
{
	struct earlier *all = __atomic_load_n(&all_earlier, __ATOMIC_ACQUIRE);
	struct earlier *e;

	for (e = all; e; e = e->next)
		if (e->action.sa_handler == action->sa_handler &&
		    e->action.sa_flags == action->sa_flags)
			break;
	if (!e) {
		e = malloc(sizeof *e);
		if (!e)
			return -ENOMEM;
		*e = (struct earlier){ .action = *action, .next = all };
		while (!__atomic_compare_exchange_n(&all_earlier, /* GCOV_EXCL_BR_LINE: a race */
		                                    &e->next, e, false, __ATOMIC_RELEASE,
		                                    __ATOMIC_RELAXED))
			;
	}
	__atomic_store_n(&latest_earlier, e, __ATOMIC_RELEASE);
	return 0;
}

/*
 * Checks each time: the program, or a test framework, may have set a handler of its own.  Takes no lock: a
 * child that is forked meanwhile would wait for it for ever.  Two threads at once install the same handler.
 */
static int install(void)
{
	struct sigaction action = { .sa_sigaction = on_sigbus,
		                    .sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK };
	struct sigaction found;
	int r;

	__atomic_store_n(&page_mask, ~((uintptr_t)sysconf(_SC_PAGESIZE) - 1), __ATOMIC_RELAXED);
	sigemptyset(&action.sa_mask);
	if (sigaction(SIGBUS, NULL, &found) < 0)
		return -errno;
	if (found.sa_sigaction == on_sigbus)
		return 0;
	r = keep_earlier(&found);
	if (r < 0)
		return r;
	return sigaction(SIGBUS, &action, NULL) < 0 ? -errno : 0;
}

static struct cq_sigbus *claim(struct chunk *c)
{
	for (size_t i = 0; i < CHUNK_SLOTS; i++) {
		uintptr_t free_slot = 0;

		if (__atomic_compare_exchange_n(&c->slots[i].start, &free_slot, CLAIMED, false,
		                                __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			return &c->slots[i];
	}
	return NULL;
}

/* The chunk behind c, made if there is none. */
static struct chunk *next_chunk(struct chunk *c)
{
	struct chunk *next = __atomic_load_n(&c->next, __ATOMIC_ACQUIRE);
	struct chunk *fresh;

	if (next)
		return next;
	fresh = calloc(1, sizeof *fresh);
	if (!fresh)
		return NULL;
	if (__atomic_compare_exchange_n(&c->next, &next, fresh, false, __ATOMIC_ACQ_REL,
	                                __ATOMIC_ACQUIRE))
		return fresh;
	free(fresh);
	return next;
}

int cq_sigbus_add(void *base, size_t size, struct cq_sigbus **ret_guard)
{
	struct chunk *c = &first_chunk;
	struct cq_sigbus *g;
	int r;

	r = install();
	if (r < 0)
		return r;
	while (!(g = claim(c))) {
		c = next_chunk(c);
		if (!c)
			return -ENOMEM;
	}
	g->cut = false;
	__atomic_store_n(&g->end, (uintptr_t)base + size, __ATOMIC_RELAXED);
	__atomic_store_n(&g->start, (uintptr_t)base, __ATOMIC_RELEASE);
	*ret_guard = g;
	return 0;
}

void cq_sigbus_remove(struct cq_sigbus *guard)
{
	if (guard)
		__atomic_store_n(&guard->start, 0, __ATOMIC_RELEASE);
}

bool cq_sigbus_cut(const struct cq_sigbus *guard)
{
	return __atomic_load_n(&guard->cut, __ATOMIC_ACQUIRE);
}
