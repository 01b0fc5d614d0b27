/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control.c - control.meta; see control.h
 *
 * A process can die at any moment, which concerns two things here:
 *   A writer that dies in cq_control_move() leaves segment_gen odd.  Readers therefore try a bounded
 *   number of times and then use the directory.  The next writer makes it even when it has stored its
 *   own position: the number only grows, and an even one never covers a torn position.
 *   A waiting reader that dies leaves `waiters` too high, and every append would make a system call.
 *
 * Stale waiters.  While `waiters` is not 0, the writer makes the system call, until for STALE_NS no call
 * has woken a reader and `waiters` and `arrivals` have not changed.  Then it takes all counted waiters for
 * dead, and omits the call until one of the two changes.
 *   It never takes a living reader of this library for dead.  That reader loads notify_seq, adds 1 to
 *   `arrivals`, looks for records, and sleeps if notify_seq has not changed.  The writer loads
 *   `arrivals`, adds 1 to notify_seq, and makes the call.  A reader that is counted in the loaded
 *   `arrivals` either sleeps and is woken, or finds notify_seq changed and does not sleep.  So a call
 *   that woke no reader proves that no reader counted there sleeps, or will before it arrives again.
 *   The writer omits a call only if `arrivals`, loaded again after the change of notify_seq, is still
 *   the same: a reader that arrives after this load sees the record or the change of notify_seq.
 *   (The first load comes before the change because a reader that arrives between the change and the
 *   call may find no record and fall asleep after the call.)
 *   Readers of chronicle-rs, and of versions of this library without `arrivals`, change `waiters` alone.
 *   The writer can take such a reader for dead if the reader does not run for STALE_NS while
 *   notifications come.  The flusher makes up for omitted calls (cq_control_wake_owed()): the reader is
 *   late once, by about a second, also if no further record comes.
 *
 * Halves.  An append adds 1 to notify_seq with a plain store (one thread at a time does, under the writer
 * lock) and loads `waiters` only after the release of that lock, a full barrier.  A reader adds 1 to
 * `waiters` and then loads notify_seq, each a full barrier, too.  So the reader finds notify_seq changed, or
 * the writer finds the reader counted, and then notifies once more, with all that is said above.  It also
 * does so while it counts wake-ups that woke nobody: only under the lock does it see that `waiters` is 0
 * again.
 *
 * A writer that opens the queue wakes all sleeping readers: the writer before it may have been killed
 * between a record and its notification.  If it finds control.meta damaged, the number of waiters is unknown,
 * and each waiter will subtract itself: so the writer sets a number that is higher than possible, which never
 * falls to 0.
 */
#include "meta/control.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "meta/boot.h"
#include "os/clock.h"
#include "os/fault.h"
#include "os/io.h"

#define POSITION_TRIES 10000
#define STALE_NS 1000000000U
#define UNKNOWN_WAITERS (1U << 16) /* more than possible */

static bool page_valid(const struct cq_control_page *page)
{
	return page->magic == CQ_CONTROL_MAGIC && page->version == CQ_CONTROL_VERSION &&
	       __atomic_load_n(&page->init_state, __ATOMIC_ACQUIRE) == CQ_CONTROL_READY;
}

int cq_control_open(struct cq_control *ret_control, int dirfd, bool writable)
{
	struct cq_control c = { .map = CQ_MAPPING_NONE, .writable = writable };
	int r;

	r = cq_mapping_open(&c.map, dirfd, CQ_CONTROL_NAME, sizeof *c.page, writable);
	if (writable && (r == -EACCES || r == -EROFS || r == -EPERM)) {
		c.writable = false;
		r = cq_mapping_open(&c.map, dirfd, CQ_CONTROL_NAME, sizeof *c.page, false);
	}
	if (r < 0)
		return r;
	c.page = (struct cq_control_page *)(void *)c.map.base;
	if (!page_valid(c.page)) {
		cq_mapping_close(&c.map);
		return -EBADMSG;
	}
	*ret_control = c;
	return 0;
}

/* A file of full size is repaired in place, since readers may have it mapped.  One that is missing or short
 * is replaced: *ret_made. */
static int open_full_size(struct cq_mapping *ret_map, int dirfd, bool *ret_made)
{
	static const struct cq_control_page empty;
	int r;

	r = cq_mapping_open(ret_map, dirfd, CQ_CONTROL_NAME, sizeof empty, true);
	*ret_made = r == -ENOENT || r == -EBADMSG || r == -ELOOP;
	if (!*ret_made)
		return r;
	r = cq_io_replace(dirfd, CQ_CONTROL_TEMP, CQ_CONTROL_NAME, &empty, sizeof empty);
	if (r < 0)
		return r;
	return cq_mapping_open(ret_map, dirfd, CQ_CONTROL_NAME, sizeof empty, true);
}

/* From here on readers wait until the number is even again.  It is odd already if another writer has died
 * in a move. */
static uint32_t begin_move(struct cq_control_page *page)
{
	const uint32_t odd = page->segment_gen | 1;

	__atomic_store_n(&page->segment_gen, odd, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_RELEASE);
	return odd;
}

static void clear_but_gen(struct cq_control_page *page)
{
	const size_t gen = offsetof(struct cq_control_page, segment_gen);
	const size_t behind = gen + sizeof page->segment_gen;

	memset(page, 0, gen);
	memset((uint8_t *)page + behind, 0, sizeof *page - behind);
}

static long futex(uint32_t *word, int operation, uint32_t value, const struct timespec *timeout)
{
	return syscall(SYS_futex, word, operation, value, timeout, NULL, 0);
}

static bool wake_all(struct cq_control *control)
{
	__atomic_store_n(&control->idle.owed, false, __ATOMIC_RELAXED);
	return futex(&control->page->notify_seq, FUTEX_WAKE, INT_MAX, NULL) > 0;
}

int cq_control_establish(struct cq_control *ret_control, int dirfd, uint64_t segment_size,
                         uint64_t epoch, struct cq_position position)
{
	struct cq_control c = { .writable = true };
	uint8_t boot_id[CQ_BOOT_ID_SIZE];
	struct cq_control_page *page;
	bool made = false;
	int r;

	r = cq_boot_id(boot_id);
	if (r == 0)
		r = open_full_size(&c.map, dirfd, &made);
	if (r < 0)
		return r;
	page = c.page = (struct cq_control_page *)(void *)c.map.base;
	if (!page_valid(page)) {
		/* Nothing in it is kept.  A reader that sleeps notices at the end of its slice; a
		 * reader that asks for the position waits for cq_control_move(). */
		__atomic_store_n(&page->init_state, 0, __ATOMIC_RELEASE);
		begin_move(page);
		clear_but_gen(page);
		cq_point("control.cleared");
		page->magic = CQ_CONTROL_MAGIC;
		page->version = CQ_CONTROL_VERSION;
		if (!made)
			__atomic_store_n(&page->waiters, UNKNOWN_WAITERS, __ATOMIC_SEQ_CST);
	}
	/* until this boot's landmarks are there; those of an earlier one count for nothing */
	begin_move(page);
	page->epoch = epoch;
	page->segment_size = segment_size;
	memcpy(page->boot_id, boot_id, sizeof boot_id);
	cq_control_move(&c, position);
	cq_point("control.filled");
	__atomic_store_n(&page->init_state, CQ_CONTROL_READY, __ATOMIC_RELEASE);
	__atomic_fetch_add(&page->notify_seq, 1, __ATOMIC_SEQ_CST);
	(void)wake_all(&c);
	*ret_control = c;
	return 0;
}

void cq_control_close(struct cq_control *control)
{
	cq_mapping_close(&control->map);
	control->page = NULL;
}

int cq_control_position(const struct cq_control *control, struct cq_position *ret_position)
{
	const struct cq_control_page *page = control->page;

	for (int i = 0; i < POSITION_TRIES; i++) {
		uint32_t before = __atomic_load_n(&page->segment_gen, __ATOMIC_ACQUIRE), after;
		struct cq_position p;

		if (before & 1)
			continue;
		p.segment = __atomic_load_n(&page->current_segment, __ATOMIC_RELAXED);
		p.offset = __atomic_load_n(&page->write_offset, __ATOMIC_ACQUIRE);
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		after = __atomic_load_n(&page->segment_gen, __ATOMIC_RELAXED);
		if (after == before) { /* GCOV_EXCL_BR_LINE: else a roll just then */
			*ret_position = p;
			return 0;
		}
	}
	return -EAGAIN;
}

void cq_control_move(struct cq_control *control, struct cq_position position)
{
	struct cq_control_page *page = control->page;
	const uint32_t odd = begin_move(page);

	cq_point("control.odd");
	__atomic_store_n(&page->current_segment, position.segment, __ATOMIC_RELAXED);
	cq_point("control.half");
	__atomic_store_n(&page->write_offset, position.offset, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < CQ_CONTROL_LANDMARKS; i++)
		__atomic_store_n(&page->landmarks[i], 0, __ATOMIC_RELAXED);
	__atomic_store_n(&page->landmarks_of, position.segment + 1, __ATOMIC_RELAXED);
	__atomic_store_n(&page->segment_gen, odd + 1, __ATOMIC_RELEASE);
}

/* The pages of the segments are as their writer has stored them: no power cut has come since. */
static bool is_of_this_boot(const struct cq_control_page *page)
{
	static const uint8_t unknown[CQ_BOOT_ID_SIZE];
	uint8_t boot_id[CQ_BOOT_ID_SIZE];

	return cq_boot_id(boot_id) == 0 && memcmp(boot_id, unknown, sizeof boot_id) != 0 &&
	       memcmp(boot_id, page->boot_id, sizeof boot_id) == 0;
}

bool cq_control_landmarks(const struct cq_control *control, uint32_t segment,
                          uint64_t ret_landmarks[CQ_CONTROL_LANDMARKS])
{
	const struct cq_control_page *page = control->page;
	const uint32_t before = __atomic_load_n(&page->segment_gen, __ATOMIC_ACQUIRE);

	/* chronicle-rs moves the position, and knows no landmarks */
	if ((before & 1) != 0 ||
	    __atomic_load_n(&page->current_segment, __ATOMIC_RELAXED) != segment ||
	    __atomic_load_n(&page->landmarks_of, __ATOMIC_RELAXED) != segment + 1 ||
	    (!is_of_this_boot(page) && !cq_planted("landmark_of_another_boot")))
		return false;
	for (unsigned i = 0; i < CQ_CONTROL_LANDMARKS; i++)
		ret_landmarks[i] = __atomic_load_n(&page->landmarks[i], __ATOMIC_ACQUIRE);
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return __atomic_load_n(&page->segment_gen, __ATOMIC_RELAXED) == before;
}

void cq_control_wake(struct cq_control *control, uint32_t waiters, uint64_t arrivals)
{
	const uint64_t now = cq_monotonic_ns();

	if (control->idle.any &&
	    (waiters != control->idle.waiters ||
	     __atomic_load_n(&control->page->arrivals, __ATOMIC_SEQ_CST) != control->idle.arrivals))
		control->idle.any = false;
	if (control->idle.any && control->idle.stale) {
		__atomic_store_n(&control->idle.owed, true, __ATOMIC_RELAXED);
		return;
	}
	if (wake_all(control)) {
		control->idle.any = false;
		return;
	}
	if (!control->idle.any) {
		control->idle.any = true;
		control->idle.stale = false;
		control->idle.arrivals = arrivals;
		control->idle.waiters = waiters;
		control->idle.since_ns = now;
	}
	control->idle.stale = now - control->idle.since_ns >= STALE_NS;
}

void cq_control_wake_readers(const struct cq_control *control)
{
	(void)futex(&control->page->notify_seq, FUTEX_WAKE, INT_MAX, NULL);
}

bool cq_control_owes_wake(const struct cq_control *control)
{
	return __atomic_load_n(&control->idle.owed, __ATOMIC_RELAXED);
}

void cq_control_wake_owed(struct cq_control *control)
{
	if (control->idle.owed && wake_all(control))
		control->idle.any = false;
}

uint32_t cq_control_wait_begin(struct cq_control *control)
{
	struct cq_control_page *page = control->page;
	uint32_t seen;

	__atomic_fetch_add(&page->waiters, 1, __ATOMIC_SEQ_CST);
	seen = __atomic_load_n(&page->notify_seq, __ATOMIC_SEQ_CST);
	if (!cq_planted("arrival_not_counted"))
		__atomic_fetch_add(&page->arrivals, 1, __ATOMIC_SEQ_CST);
	return seen;
}

static int wait_for(uint32_t *word, uint32_t seen, int timeout_ms)
{
	struct timespec timeout = { .tv_sec = timeout_ms / 1000,
		                    .tv_nsec = (timeout_ms % 1000) * 1000000L };

	return futex(word, FUTEX_WAIT, seen, &timeout) < 0 && errno == EINTR ? -EINTR : 0;
}

int cq_control_wait(struct cq_control *control, uint32_t seen, int timeout_ms)
{
	return wait_for(&control->page->notify_seq, seen, timeout_ms);
}

void cq_control_flushed(struct cq_control *control)
{
	__atomic_fetch_add(&control->page->flushes, 1, __ATOMIC_SEQ_CST);
	(void)futex(&control->page->flushes, FUTEX_WAKE, INT_MAX, NULL);
}

uint32_t cq_control_flushes(const struct cq_control *control)
{
	return __atomic_load_n(&control->page->flushes, __ATOMIC_SEQ_CST);
}

int cq_control_wait_flush(struct cq_control *control, uint32_t seen, int timeout_ms)
{
	return wait_for(&control->page->flushes, seen, timeout_ms);
}

void cq_control_wait_end(struct cq_control *control)
{
	uint32_t *waiters = &control->page->waiters;
	uint32_t count = __atomic_load_n(waiters, __ATOMIC_RELAXED);

	/* never below zero, also if another process has reset it meanwhile */
	while (count > 0 &&                          /* another process may change it right here */
	       !__atomic_compare_exchange_n(waiters, /* GCOV_EXCL_BR_LINE: changed just now */
	                                    &count, count - 1, false, __ATOMIC_SEQ_CST,
	                                    __ATOMIC_RELAXED))
		;
}
