/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_crash.c - SIGKILL for a writer, at every named place and at random moments
 *
 * A round is a process that opens the queue, writes, and is killed (crash.h says what is checked
 * then).  Rounds go on with the same queue, so that what one kill has left is there for the next.
 *
 *   CRASH_ROUNDS  rounds in all (1600); the last test makes up what the others have not used
 *   CRASH_SEED    of everything that is random; printed
 *   CRASH_KEEP    an empty directory to copy the queue of a failed round to
 *   TMPDIR        where; else /dev/shm if there is one: a kill loses nothing that a disk would keep
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "crash.h"

#define STEPS 30U
#define MORE 40U

static struct crash_shared *s; /* shared with the children */
static char base[PATH_SIZE];
static struct crash_random chance;
static uint64_t seed;
static unsigned rounds_wanted, rounds, queues, killed;
static pid_t reader;
static uint32_t number; /* of the next round of this queue */
static struct timespec begun;

/* ---- one queue ---- */

static void start_reader(void)
{
	fflush(NULL);
	reader = support_fork();
	assert_true(reader >= 0);
	if (reader == 0)
		crash_read(s);
}

static void kill_reader(void)
{
	int status;

	kill(reader, SIGKILL);
	assert_int_equal(waitpid(reader, &status, 0), reader);
	reader = 0;
}

static void begin_queue(uint64_t queue_seed)
{
	char name[32];

	memset(s, 0, sizeof *s);
	snprintf(name, sizeof name, "q%u", queues++);
	support_path(s->dir, base, name);
	s->seed = queue_seed;
	s->segment_size = 4096U << (queue_seed >> 8) % 3;
	number = 0;
	start_reader();
}

static void good(bool is_good)
{
	const char *keep = getenv("CRASH_KEEP");

	if (is_good && !atomic_load(&s->failed))
		return;
	if (keep)
		support_copy(s->dir, keep);
	fail_msg("%s, round %u (CRASH_SEED=%" PRIu64 "): %s", s->dir, number, seed, s->problem);
}

/* The reader gets all that there is. */
static void await_reader(void)
{
	const struct timespec span = { .tv_nsec = 200000 };
	time_t end = time(NULL) + 30;

	while (!atomic_load(&s->failed) && atomic_load(&s->seen) < atomic_load(&s->present)) {
		if (time(NULL) > end)
			crash_problem(s, "the attached reader stays at %" PRIu64 " of %" PRIu64,
			              atomic_load(&s->seen), atomic_load(&s->present));
		nanosleep(&span, NULL);
	}
	good(true);
}

static void end_queue(void)
{
	await_reader();
	kill_reader();
	if (rounds > 0 && number > 0)
		good(crash_check_recovery(s));
	if (access(s->dir, F_OK) == 0)
		support_remove(s->dir);
}

/* ---- one round ---- */

static void kill_soon(pid_t pid)
{
	const struct timespec span = { .tv_nsec = (long)crash_below(&chance, 2500000) };

	nanosleep(&span, NULL);
	kill(pid, SIGKILL);
}

/* True if it was killed.  `timed`: at a random moment, from outside. */
static bool run(struct crash_round round, bool timed)
{
	int status = 0;
	pid_t pid;

	round.number = number++;
	rounds++;
	memset(s->places, 0, sizeof s->places);
	atomic_store(&s->place_count, 0);
	atomic_store(&s->passes, 0);
	fflush(NULL);
	pid = support_fork();
	assert_true(pid >= 0);
	if (pid == 0)
		crash_write(s, &round);
	if (timed)
		kill_soon(pid);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status) ? WTERMSIG(status) != SIGKILL : WEXITSTATUS(status) != 0)
		crash_problem(s, "the writer ended with status 0x%x", (unsigned)status);
	good(true);
	good(crash_check_files(s) && crash_check_records(s));
	killed += WIFSIGNALED(status);
	return WIFSIGNALED(status);
}

/* ---- every pass of every place, of one short life ---- */

static void killed_at_each_pass(void **state)
{
	struct crash_round round = { .steps = 24 };
	uint64_t queue_seed = seed;
	unsigned passes, rolls;

	(void)state;
	do { /* one with runs in it, and with rolls by either thread's segments */
		begin_queue(++queue_seed);
		assert_false(run(round, false));
		rolls = crash_passes(s, "roll.sealed");
		passes = atomic_load(&s->passes);
		end_queue();
	} while (rolls < 2 || crash_passes(s, "open_or_create.before_publish") < 2 ||
	         crash_passes(s, "run.committed") < 2);
	for (round.pass = 1; round.pass <= passes; round.pass++) {
		begin_queue(queue_seed);
		run(round, false);
		end_queue();
	}
}

/* ---- every place by its name ---- */

/* A new place on the writer's way is added here: a test that no longer passes a place shows
 * nothing about it.  Those of recovery are test_recover_kill's. */
static const char *const names[] = {
	"append.cleared",
	"append.payload",
	"append.before_commit",
	"append.committed",
	"append.advanced",
	"batch.appended",
	"large.piece",
	"large.before_commit",
	"large.committed",
	"large.advanced",
	"run.built",
	"run.stored",
	"run.committed",
	"run.advanced",
	"create.named",
	"create.allocated",
	"prepare.populated",
	"prepare.prepared",
	"prepare.before_publish",
	"open_or_create.before_publish",
	"publish.renamed",
	"roll.taken",
	"summary.fields",
	"summary.crc",
	"seal.summary",
	"roll.sealed",
	"roll.numbered",
	"control.odd",
	"control.half",
	"roll.moved",
	"roll.handed_over",
	"sync.begun",
	"sync.sealed",
	"sync.data",
	"sync.durable",
	"sync.marked",
	"close.before_index",
	"close.index",
	"close.times",
	"close.drained",
	"close.position",
	"close.freed",
	"replace.created",
	"replace.written",
	"replace.renamed",
	"retire.chosen",
	"retire.index_removed",
	"retire.removed",
	"retire.told",
	"open.directory",
	"lock.created",
	"lock.held",
	"lock.described",
	"open.recovered",
	"control.cleared",
	"control.filled",
	"open.control",
	"position.opened",
	"open.position",
	"durable.created",
	"durable.emptied",
	"open.marked",
	"open.done",
};
#define NAMES (sizeof names / sizeof *names)

/* What is there before the round. */
enum before { NOTHING, CLOSED, KILLED, BEFORES };

static const struct crash_round in_append = { .steps = STEPS,
	                                      .place = "append.before_commit",
	                                      .pass = 3 };

static void bring_about(enum before before)
{
	if (before == NOTHING || number > CRASH_ROUNDS_MOST - 10) {
		end_queue();
		begin_queue(crash_next(&chance));
	}
	if (before != NOTHING)
		good(number > 0 ? crash_check_recovery(s) : true);
	if (before == KILLED)
		run(in_append, false);
}

/* Counts where a round that is not killed comes by. */
static size_t count_passes(enum before before, bool threads, struct crash_place *ret_places)
{
	size_t count;

	bring_about(before);
	assert_false(run((struct crash_round){ .steps = STEPS, .threads = threads }, false));
	count = atomic_load(&s->place_count);
	memcpy(ret_places, s->places, count * sizeof *ret_places);
	return count;
}

/* The same moment twice does not come by itself: a round that was not killed says how often it has
 * passed the place, which the next one tries. */
static bool kill_at_last(enum before before, struct crash_round round)
{
	for (int i = 0; i < 6 && round.pass > 0; i++) {
		bring_about(before);
		if (run(round, false)) {
			/* continues with what the first kill has left, and tidies up nothing */
			if (before == CLOSED)
				run(in_append, false);
			return true;
		}
		round.pass = crash_passes(s, round.place);
	}
	return false;
}

/* A round comes by what its chance brings, and how long it takes decides what the flusher does in it:
 * where none has died so far some more are tried, on a queue that grows, then on others. */
static bool kill_at_some(const char *place)
{
	const struct crash_round round = { .steps = STEPS, .place = place, .pass = 1 };
	static const enum before befores[] = { CLOSED, KILLED, NOTHING };

	for (unsigned i = 0; i < BEFORES * MORE; i++) {
		bring_about(befores[i / MORE]);
		if (run(round, false))
			return true;
	}
	return false;
}

static void killed_at_each_place(void **state)
{
	struct crash_place places[CRASH_PLACES];
	char done[NAMES] = { 0 };

	(void)state;
	begin_queue(crash_next(&chance));
	for (int mode = 0; mode < BEFORES + 1; mode++) {
		const bool threads = mode == BEFORES;
		const enum before before = threads ? CLOSED : (enum before)mode;
		const size_t count = count_passes(before, threads, places);

		for (size_t i = 0; i < count; i++) {
			const unsigned last = places[i].passes;
			const unsigned passes[] = { 1, 2, last };
			struct crash_round round = { .steps = STEPS,
				                     .threads = threads,
				                     .place = places[i].name };

			for (unsigned p = 0; p < 3; p++) {
				round.pass = passes[p];
				if (p > 0 && last <= p)
					break;
				if (!kill_at_last(before, round))
					continue;
				for (size_t n = 0; n < NAMES; n++)
					if (strcmp(names[n], round.place) == 0)
						done[n] = 1;
			}
		}
	}
	for (size_t n = 0; n < NAMES; n++)
		done[n] |= !done[n] && kill_at_some(names[n]);
	end_queue();
	for (size_t n = 0; n < NAMES; n++)
		if (!done[n])
			fail_msg("no round was killed at %s (CRASH_SEED=%" PRIu64 ")", names[n],
			         seed);
	printf("# %zu places, %u rounds so far\n", NAMES, rounds);
}

/* ---- random moments ---- */

static void killed_at_random_moments(void **state)
{
	struct timespec now;
	uint64_t records = 0, read = 0, refused = 0;

	(void)state;
	while (rounds < rounds_wanted) {
		const unsigned upto = 20 + crash_below(&chance, 200);

		begin_queue(crash_next(&chance));
		for (unsigned i = 0; i < upto && rounds < rounds_wanted; i++) {
			struct crash_round round = { .steps = crash_below(&chance, 2 * STEPS) };
			const bool timed = crash_below(&chance, 2);

			round.threads = timed;
			round.pass = timed ? 0 : 1 + crash_below(&chance, 40 + 6 * round.steps);
			if (timed)
				round.steps *= 20;
			run(round, timed);
			if (crash_below(&chance, 4) == 0)
				good(crash_check_recovery(s));
			if (crash_below(&chance, 8) == 0)
				await_reader();
			if (crash_below(&chance, 40) == 0) { /* it dies waiting, or reading */
				kill_reader();
				start_reader();
			}
		}
		records += atomic_load(&s->end);
		refused += atomic_load(&s->refused);
		end_queue();
		read += atomic_load(&s->read);
	}
	clock_gettime(CLOCK_MONOTONIC, &now);
	printf("# %u rounds, %u of them killed, on %u queues in %ld s (CRASH_SEED=%" PRIu64 ")\n",
	       rounds, killed, queues, (long)(now.tv_sec - begun.tv_sec), seed);
	printf("# at random moments: %" PRIu64 " records, %" PRIu64 " refused, %" PRIu64
	       " read by who was attached\n",
	       records, refused, read);
}

/* ---- ---- */

static int setup(void **state)
{
	(void)state;
	support_in_memory();
	support_temp_dir(base);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	if (reader > 0)
		kill_reader();
	support_remove(base);
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(killed_at_each_pass, setup, teardown),
		cmocka_unit_test_setup_teardown(killed_at_each_place, setup, teardown),
		cmocka_unit_test_setup_teardown(killed_at_random_moments, setup, teardown),
	};
	const char *text = getenv("CRASH_SEED");

	clock_gettime(CLOCK_MONOTONIC, &begun);
	seed = text ? strtoull(text, NULL, 0) : (uint64_t)begun.tv_nsec ^ (uint64_t)getpid() << 32;
	chance.state = seed;
	text = getenv("CRASH_ROUNDS");
	rounds_wanted = text ? (unsigned)strtoul(text, NULL, 0) : 1600;
	s = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (s == MAP_FAILED)
		return 1;
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
