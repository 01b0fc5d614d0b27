/* SPDX-License-Identifier: Apache-2.0 */
/* test_mutex.c - a lock whose release is a full barrier */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>

#include "os/clock.h"
#include "os/mutex.h"

#define THREADS 4U
#define EACH 50000U

struct counted {
	struct cq_mutex lock;
	uint64_t count; /* not atomic: the lock keeps the threads apart */
};

static void *count_up(void *arg)
{
	struct counted *c = arg;

	for (unsigned i = 0; i < EACH; i++) {
		cq_mutex_lock(&c->lock);
		c->count++;
		if (i % 64 == 0) /* others find it held, and sleep */
			sched_yield();
		cq_mutex_unlock(&c->lock);
	}
	return NULL;
}

static void one_thread_at_a_time(void **state)
{
	struct counted c = { { 0 }, 0 };
	pthread_t threads[THREADS];

	(void)state;
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, count_up, &c), 0);
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(c.count, THREADS * EACH);
	assert_int_equal(c.lock.state, CQ_MUTEX_FREE);
}

/* Two threads, each of which stores its own word and then loads the other's, at the same moment as far as possible:
 * at least one sees the other's.  It lasts for a fixed time, since a busy machine makes few rounds. */
#define LASTS_NS 2000000000U

struct side {
	uint32_t round __attribute__((aligned(128))); /* that it has come to */
	uint32_t word __attribute__((aligned(128)));  /* the last round in which it stored */
	uint32_t seen __attribute__((aligned(128)));  /* the other's word, in that round */
};

struct race {
	struct cq_mutex lock;
	struct side ours, theirs;
	bool over;
};

/* Comes to the next round, and waits until the other side has come to it too. */
static uint32_t meet(struct side *side, const struct side *other)
{
	const uint32_t round = side->round + 1;

	__atomic_store_n(&side->round, round, __ATOMIC_RELEASE);
	for (unsigned i = 1; __atomic_load_n(&other->round, __ATOMIC_ACQUIRE) < round; i++)
		if (i % 1000 == 0)
			sched_yield();
	return round;
}

static void *their_side(void *arg)
{
	struct race *race = arg;
	uint32_t round;

	while (round = meet(&race->theirs, &race->ours),
	       !__atomic_load_n(&race->over, __ATOMIC_ACQUIRE)) {
		__atomic_exchange_n(&race->theirs.word, round, __ATOMIC_SEQ_CST);
		race->theirs.seen = __atomic_load_n(&race->ours.word, __ATOMIC_SEQ_CST);
		meet(&race->theirs, &race->ours);
	}
	return NULL;
}

static void unlock_is_a_full_barrier(void **state)
{
	static struct race race;
	uint32_t round = 0, missed = 0;
	pthread_t thread;
	uint64_t start;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, their_side, &race), 0);
	start = cq_monotonic_ns();
	while (cq_monotonic_ns() - start < LASTS_NS) {
		round = meet(&race.ours, &race.theirs);
		cq_mutex_lock(&race.lock);
		__atomic_store_n(&race.ours.word, round, __ATOMIC_RELAXED);
		cq_mutex_unlock(&race.lock);
		race.ours.seen = __atomic_load_n(&race.theirs.word, __ATOMIC_RELAXED);
		meet(&race.ours, &race.theirs);
		if (race.ours.seen != round && race.theirs.seen != round)
			missed++;
	}
	__atomic_store_n(&race.over, true, __ATOMIC_RELEASE);
	meet(&race.ours, &race.theirs);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(missed, 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_thread_at_a_time),
		cmocka_unit_test(unlock_is_a_full_barrier),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
