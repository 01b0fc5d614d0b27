/* SPDX-License-Identifier: Apache-2.0 */
/* test_prealloc_held.c - a roll at the wrong moment: the preparer, or a roll, is held at a point */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "os/clock.h"
#include "os/fault.h"
#include "prealloc_support.h"
#include "write/writer.h"

struct stepper {
	struct cq_prealloc *prealloc;
	int result;
};

static void *step(void *arg)
{
	struct stepper *s = arg;

	s->result = cq_prealloc_step(s->prealloc);
	return NULL;
}

struct taker {
	struct cq_prealloc *prealloc;
	struct cq_wsegment *segment;
	uint32_t wait_ms;
	int result;
	bool waited;
	_Atomic pid_t tid;
};

static void *take(void *arg)
{
	struct taker *t = arg;

	atomic_store(&t->tid, gettid());
	t->result = ps_take(t->prealloc, 1, t->wait_ms, &t->segment, &t->waited);
	return NULL;
}

static pthread_t start_taker(struct taker *t)
{
	pthread_t thread;

	CHILD(pthread_create(&thread, NULL, take, t) == 0);
	while (atomic_load(&t->tid) == 0)
		;
	qs_await_sleep(getpid(), atomic_load(&t->tid));
	return thread;
}

/* The roll does not wait: the segment that is being prepared is discarded, unlinked and never published. */
static void roll_while_preparing_child(struct qs *q)
{
	struct cq_prealloc p;
	struct stepper worker = { .prealloc = &p };
	struct cq_wsegment *s = NULL;
	struct cq_taken taken;
	pthread_t thread;
	bool waited;

	ps_init(q, &p, 1, 1);
	qs_hold(q, "prepare.prepared");
	CHILD(pthread_create(&thread, NULL, step, &worker) == 0);
	qs_hold_reached(q);
	CHILD(support_exists(q->dir, "000000001.q.tmp"));
	/* a roll that may not make it itself has to try again: the segment is on its way */
	CHILD(cq_prealloc_take(&p, 1, 0, true, &taken) == -EAGAIN);
	CHILD(ps_take(&p, 1, 0, &s, &waited) == 0);
	CHILD(!waited);
	/* it holds up no other roll: the next segment is waited for no longer than is allowed */
	CHILD(ps_take(&p, 2, 1, &s, &waited) == 0);
	CHILD(waited);
	qs_hold_go(q);
	pthread_join(thread, NULL);
	CHILD(worker.result == 1);
	CHILD(p.slots[0].state == CQ_SLOT_EMPTY);
	CHILD(p.stale == 1 && p.made == 0);
	CHILD(!support_exists(q->dir, "000000001.q"));
	CHILD(!support_exists(q->dir, "000000001.q.tmp"));
	CHILD(cq_prealloc_step(&p) == 1 && p.slots[0].id == 3);
	cq_prealloc_fini(&p);
}

static void roll_while_preparing(void **state)
{
	qs_run(roll_while_preparing_child, *state);
}

/* The roll comes during the rename: it waits for that without a limit, and takes the segment. */
static void roll_while_publishing_child(struct qs *q)
{
	struct cq_prealloc p;
	struct stepper worker = { .prealloc = &p };
	struct taker roll = { .prealloc = &p, .wait_ms = 0 };
	pthread_t thread, taking;

	ps_init(q, &p, 1, 1);
	qs_hold(q, "prepare.before_publish");
	CHILD(pthread_create(&thread, NULL, step, &worker) == 0);
	qs_hold_reached(q);
	taking = start_taker(&roll);
	CHILD(!support_exists(q->dir, "000000001.q"));
	qs_hold_go(q);
	pthread_join(thread, NULL);
	pthread_join(taking, NULL);
	CHILD(roll.result == 1);
	CHILD(roll.waited);
	CHILD(roll.segment->id == 1);
	CHILD(support_exists(q->dir, "000000001.q"));
	CHILD(p.stale == 0 && p.made == 1);
	cq_wsegment_free(roll.segment);
	cq_prealloc_fini(&p);
}

static void roll_while_publishing(void **state)
{
	qs_run(roll_while_publishing_child, *state);
}

/* Another publish comes between prepare and rename: its file is used, and stays as it is. */
static void publish_finds_the_name_taken_child(struct qs *q)
{
	struct cq_prealloc p;
	struct stepper worker = { .prealloc = &p };
	pthread_t thread;
	uint8_t byte;

	ps_init(q, &p, 1, 1);
	qs_hold(q, "prepare.before_publish");
	CHILD(pthread_create(&thread, NULL, step, &worker) == 0);
	qs_hold_reached(q);
	qs_make_segment(q->dir, 1, QS_SIZE);
	support_poke(q->dir, "000000001.q", 4001, "S", 1);
	qs_hold_go(q);
	pthread_join(thread, NULL);
	CHILD(worker.result == 1);
	CHILD(p.slots[0].state == CQ_SLOT_READY);
	CHILD(p.slots[0].segment->map.base[4001] == 'S');
	support_peek(q->dir, "000000001.q", 4001, &byte, 1);
	CHILD(byte == 'S');
	CHILD(!support_exists(q->dir, "000000001.q.tmp"));
	cq_prealloc_fini(&p);
}

static void publish_finds_the_name_taken(void **state)
{
	qs_run(publish_finds_the_name_taken_child, *state);
}

/* A failed preparation ends the wait of a roll at once. */
static void failure_ends_the_wait_child(struct qs *q)
{
	struct cq_prealloc p;
	struct taker roll = { .prealloc = &p, .wait_ms = 100000 };
	struct cq_wsegment *s = NULL;
	pthread_t taking;
	bool waited;

	ps_init(q, &p, 1, 1);
	taking = start_taker(&roll);
	cq_fault_set("allocate", ENOSPC, 0, -1);
	CHILD(cq_prealloc_step(&p) == -ENOSPC);
	pthread_join(taking, NULL); /* the test's time limit is below the 100 s */
	CHILD(roll.result == 0);
	CHILD(roll.waited);
	CHILD(p.failed == 1 && p.slots[0].state == CQ_SLOT_EMPTY);
	/* and a later roll does not even begin to wait */
	cq_prealloc_expect(&p, 1, 0);
	CHILD(cq_prealloc_step(&p) == -ENOSPC);
	CHILD(ps_take(&p, 1, 100000, &s, &waited) == 0);
	CHILD(!waited);
	/* once there is room again, rolls succeed */
	cq_fault_set(NULL, 0, 0, 0);
	cq_prealloc_expect(&p, 1, 0);
	CHILD(cq_prealloc_step(&p) == 1);
	CHILD(ps_take(&p, 1, 100000, &s, &waited) == 1);
	cq_wsegment_free(s);
	cq_prealloc_fini(&p);
}

static void failure_ends_the_wait(void **state)
{
	const uint64_t start = cq_monotonic_ns();

	qs_run(failure_ends_the_wait_child, *state);
	assert_true(cq_monotonic_ns() - start < 90000000000U);
}

/* The roll waits for the preparer and gets its segment. */
static void roll_waits_for_the_preparer_child(struct qs *q)
{
	struct cq_prealloc p;
	struct taker roll = { .prealloc = &p, .wait_ms = 100000 };
	pthread_t taking;

	ps_init(q, &p, 1, 1);
	taking = start_taker(&roll);
	CHILD(cq_prealloc_step(&p) == 1);
	pthread_join(taking, NULL);
	CHILD(roll.result == 1 && roll.waited && roll.segment->id == 1);
	CHILD(p.expected == 2);
	cq_wsegment_free(roll.segment);
	cq_prealloc_fini(&p);
}

static void roll_waits_for_the_preparer(void **state)
{
	qs_run(roll_waits_for_the_preparer_child, *state);
}

static void *append_one(void *arg)
{
	qs_append(arg, 62, 1);
	return NULL;
}

/* While a roll makes its segment, the preparer does not begin the next one, which could take its room. */
static void nothing_is_begun_beside_a_fallback_child(struct qs *q)
{
	pthread_t thread;

	CHILD(qs_try_open(q) == 0);
	qs_append(q->writer, 0, 62);
	qs_hold(q, "open_or_create.before_publish");
	CHILD(pthread_create(&thread, NULL, append_one, q->writer) == 0);
	qs_hold_reached(q);
	CHILD(cq_writer_prepare_step(q->writer) > 0);
	CHILD(qs_count_names(q->dir, ".q") == 2);
	CHILD(qs_count_names(q->dir, ".tmp") == 1); /* the roll's */
	qs_hold_go(q);
	pthread_join(thread, NULL);
	CHILD(cq_writer_prepare_step(q->writer) == 0);
	CHILD(support_exists(q->dir, "000000003.q"));
	qs_close(q);
}

static void nothing_is_begun_beside_a_fallback(void **state)
{
	qs_run(nothing_is_begun_beside_a_fallback_child, *state);
}

#define MIB ((size_t)1 << 20)

static void *prepare_all(void *writer)
{
	qs_prepare(writer);
	return NULL;
}

/* All pages that count as present are in this process's page tables. */
static void expect_present(const struct cq_wsegment *s)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	const uint64_t populated = __atomic_load_n(&s->populated, __ATOMIC_ACQUIRE);
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	CHILD(fd >= 0);
	CHILD(populated > 0);
	for (uint64_t at = 0; at < populated; at += page) {
		uint64_t entry, number = ((uintptr_t)s->map.base + at) / page;

		CHILD(pread(fd, &entry, sizeof entry, (off_t)(number * sizeof entry)) ==
		      sizeof entry);
		CHILD(entry >> 63 || entry >> 62 & 1); /* present, or swapped out */
	}
	close(fd);
}

/* Records that are stored: a large one is written by pwrite, and its pages are then in no page table. */
static void append_million(cq_writer *w, int count)
{
	static const char record[50000] = "";

	for (int i = 0; i < 20 * count; i++)
		CHILD(cq_writer_append(w, 1, record, sizeof record, NULL) == 0);
}

/* The writer rolls while the preparer is about to touch the pages ahead of it. */
static void roll_before_the_prefault_child(struct qs *q)
{
	pthread_t thread;

	q->config.segment_size = 12 * MIB;
	CHILD(qs_try_open(q) == 0);
	qs_prepare(q->writer);
	append_million(q->writer, 7);
	qs_hold(q, "prefault.begun");
	CHILD(pthread_create(&thread, NULL, prepare_all, q->writer) == 0);
	qs_hold_reached(q);
	while (q->writer->current->id == 0)
		append_million(q->writer, 1);
	qs_hold_go(q);
	pthread_join(thread, NULL);
	expect_present(q->writer->current);
	for (int i = 0; i < 10; i++) {
		append_million(q->writer, 1);
		qs_prepare(q->writer);
	}
	expect_present(q->writer->current);
	CHILD(q->writer->current->populated == q->writer->current->map.size);
	qs_close(q);
}

static void roll_before_the_prefault(void **state)
{
	qs_run(roll_before_the_prefault_child, *state);
}

static void failed_publish_leaves_no_temp(void **state)
{
	struct qs *q = *state;
	struct cq_prealloc p;

	ps_init(q, &p, 1, 1);
	cq_fault_set("rename_noreplace", EIO, 0, 1);
	assert_int_equal(cq_prealloc_step(&p), -EIO);
	assert_int_equal(qs_count_names(q->dir, ""), 2); /* . and .. */
	assert_int_equal(p.failed, 1);
	assert_int_equal(cq_prealloc_step(&p), 1);
	cq_prealloc_fini(&p);
}

static unsigned calls(const char *name)
{
	unsigned count = 0;
	const char *call;

	for (size_t i = 0; (call = cq_fault_call(i, &count)) != NULL; i++)
		if (strcmp(call, name) == 0)
			return count;
	return 0;
}

static void take_and_step(struct cq_prealloc *p, uint32_t id)
{
	struct cq_wsegment *s = NULL;
	bool waited;

	assert_int_equal(ps_take(p, id, 0, &s, &waited), 1);
	cq_wsegment_free(s);
	cq_fault_forget();
	assert_int_equal(cq_prealloc_step(p), 1);
}

/* Segments that are there already, as after an open, are opened and no temp file is made for them.  From the
 * first one that is missing on, each is made without a look at its final name. */
static void no_call_in_vain(void **state)
{
	struct qs *q = *state;
	struct cq_prealloc p;

	ps_init(q, &p, 1, 1);
	qs_make_segment(q->dir, 1, QS_SIZE);
	qs_make_segment(q->dir, 2, QS_SIZE);
	cq_fault_forget();
	assert_int_equal(cq_prealloc_step(&p), 1);
	assert_int_equal(calls("create_new"), 0);
	take_and_step(&p, 1);
	assert_int_equal(calls("create_new"), 0);
	take_and_step(&p, 2);
	assert_int_equal(calls("open"), 1);
	for (uint32_t id = 3; id < 6; id++) {
		take_and_step(&p, id);
		assert_int_equal(calls("open"), 0);
		assert_int_equal(calls("create_new"), 1);
		assert_int_equal(calls("rename_noreplace"), 1);
	}
	/* somebody else's, beside which a file was made in vain: the next one may be there, too */
	qs_make_segment(q->dir, 7, QS_SIZE);
	qs_make_segment(q->dir, 8, QS_SIZE);
	take_and_step(&p, 6);
	assert_int_equal(calls("create_new"), 1);
	take_and_step(&p, 7);
	assert_int_equal(calls("create_new"), 0);
	cq_prealloc_fini(&p);
	assert_int_equal(qs_count_names(q->dir, ".tmp"), 0);
}

/* Whether the queue is still this writer's is found out once for each segment that is made. */
static void one_check_of_the_owner(void **state)
{
	struct qs *q = *state;

	qs_open(q);
	qs_append(q->writer, 0, 32); /* a roll */
	cq_fault_forget();
	qs_prepare(q->writer);
	assert_int_equal(calls("create_new"), 1);
	assert_int_equal(calls("stat_at"), 1);
	cq_fault_forget();
	qs_prepare(q->writer);
	assert_int_equal(calls("stat_at"), 0);
}

static const struct CMUnitTest tests[] = {
	QS_TEST(roll_while_preparing),
	QS_TEST(roll_while_publishing),
	QS_TEST(publish_finds_the_name_taken),
	QS_TEST(failure_ends_the_wait),
	QS_TEST(roll_waits_for_the_preparer),
	QS_TEST(nothing_is_begun_beside_a_fallback),
	QS_TEST(roll_before_the_prefault),
	QS_TEST(failed_publish_leaves_no_temp),
	QS_TEST(no_call_in_vain),
	QS_TEST(one_check_of_the_owner),
};

QS_MAIN(tests)
