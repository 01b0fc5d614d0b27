/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_powercut.c - power cuts at every moment of a run (powercut.h)
 *
 * Each test records a run of a writer, then checks disks that a cut may have left: first the
 * extreme ones at each promise, then others by chance; and of every few, the recovery is recorded
 * and cut, too.  POWERCUT_STATES=N: so many different disks in all; POWERCUT_SEED=S: others.  A
 * failed disk has a number: POWERCUT_ONLY=NUMBER, with the same seed and the test's
 * name on the command line, checks it alone, and cuts in its recovery.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "powercut.h"
#include "queue_support.h"
#include "write/writer.h"

#define STATES 1500U /* of all tests together */
#define TESTS 12U
#define NESTED_EVERY 16U
#define NESTED_DISKS 6U /* of each recovery */
#define TRIES 20U       /* for each different disk */

/* From the environment. */
static uint64_t number(const char *variable, uint64_t otherwise)
{
	const char *value = getenv(variable);

	return value ? strtoull(value, NULL, 10) : otherwise;
}

/* ---- the disks of a trace ---- */

struct hunt {
	const char *name;
	struct pc_trace trace;
	char base[PATH_SIZE]; /* of the disks */
	uint64_t seed;
	unsigned states, duplicates, failed, nested;
	uint64_t *seen; /* hash table of the disks so far; 0: free */
	size_t slots;
};

static bool seen_before(struct hunt *h, uint64_t hash)
{
	size_t at = hash % h->slots;

	hash += hash == 0;
	while (h->seen[at] != 0 && h->seen[at] != hash)
		at = (at + 1) % h->slots;
	if (h->seen[at] == hash)
		return true;
	h->seen[at] = hash;
	return false;
}

/* Disk number n: first the extreme ones just after each promise, then others by chance. */
static struct pc_choice choose(const struct hunt *h, const struct pc_trace *t, uint64_t n)
{
	static const enum pc_kind extremes[] = { PC_NOTHING, PC_EVERYTHING, PC_NAMES, PC_DATA };
	const uint64_t count = sizeof extremes / sizeof extremes[0];
	uint64_t random = h->seed * 0x9E3779B97F4A7C15U + n;
	struct pc_choice choice;

	if (n / count < t->mark_count)
		return (struct pc_choice){ .event = t->marks[n / count].event,
			                   .kind = extremes[n % count] };
	choice.event = (unsigned)(pc_random(&random) % (t->events + 1));
	choice.kind = (enum pc_kind)(pc_random(&random) % (PC_KINDS + 6));
	if (choice.kind > PC_ANY)
		choice.kind = PC_ANY;
	choice.random = pc_random(&random) >> 1;
	return choice;
}

static void report(struct hunt *h, uint64_t n, struct pc_choice choice, const char *wrong)
{
	h->failed++;
	if (h->failed <= 5)
		print_message(
			"# POWERCUT_SEED=%llu POWERCUT_ONLY=%llu %s: cut after event %u of %u, "
			"kind %d: %s\n",
			(unsigned long long)h->seed, (unsigned long long)n, h->name, choice.event,
			h->trace.events, (int)choice.kind, wrong);
}

/* Cuts in the recovery of a disk. */
static const char *cut_recovery(struct hunt *h, const struct pc_disk *disk, struct pc_choice outer)
{
	struct pc_trace recovery;
	const char *wrong;
	uint64_t random = outer.random;

	pc_disk_write(disk, h->base);
	wrong = pc_record_recovery(&h->trace, outer.event, h->base, &recovery);
	for (unsigned i = 0; !wrong && i < NESTED_DISKS; i++) {
		struct pc_choice inner = choose(h, &recovery, 1000 + pc_random(&random) % 1000000);
		struct pc_disk cut;

		pc_disk_make(&recovery, inner, &cut);
		if (seen_before(h, cut.hash)) {
			h->duplicates++;
		} else {
			h->states++;
			h->nested++;
			pc_disk_write(&cut, h->base);
			wrong = pc_check(&recovery, inner.event, h->base);
			if (wrong)
				print_message("# in its recovery: event %u of %u, kind %d\n",
				              inner.event, recovery.events, (int)inner.kind);
		}
		pc_disk_free(&cut);
	}
	pc_free(&recovery);
	return wrong;
}

static void check_one(struct hunt *h, uint64_t n, bool nested)
{
	const struct pc_choice choice = choose(h, &h->trace, n);
	struct pc_disk disk;
	const char *wrong;

	pc_disk_make(&h->trace, choice, &disk);
	if (seen_before(h, disk.hash)) {
		h->duplicates++;
	} else {
		h->states++;
		pc_disk_write(&disk, h->base);
		wrong = pc_check(&h->trace, choice.event, h->base);
		if (!wrong && nested)
			wrong = cut_recovery(h, &disk, choice);
		if (wrong)
			report(h, n, choice, wrong);
	}
	pc_disk_free(&disk);
}

static void hunt(struct qs *q, const char *name, struct pc_trace *trace)
{
	const uint64_t only = number("POWERCUT_ONLY", UINT64_MAX);
	const uint64_t states = number("POWERCUT_STATES", STATES) / TESTS + 1;
	struct hunt h = { .name = name, .trace = *trace, .seed = number("POWERCUT_SEED", 1) };

	h.slots = states * 4 + 1024;
	h.seen = calloc(h.slots, sizeof *h.seen);
	assert_non_null(h.seen);
	support_path(h.base, q->base, "disks");
	assert_int_equal(mkdir(h.base, 0750), 0);
	if (only != UINT64_MAX)
		check_one(&h, only, true);
	else
		for (uint64_t n = 0; h.states < states && n < states * TRIES; n++)
			check_one(&h, n, n % NESTED_EVERY == 0);
	print_message(
		"# %s: %u disks (%u of cuts in a recovery), %u duplicates, %u events, seed %llu\n",
		name, h.states, h.nested, h.duplicates, h.trace.events, (unsigned long long)h.seed);
	free(h.seen);
	pc_free(&h.trace);
	assert_int_equal(h.failed, 0);
}

/* ---- runs ---- */

#define DEAD 8U

struct run {
	struct qs *q;
	struct pc_trace trace;
	uint64_t random;
	cq_writer *dead[DEAD]; /* killed; closed at the end */
	unsigned dead_count;
};

/* base/q does not exist: the writer makes it. */
static void begin(struct run *run, struct qs *q, uint64_t segment_size)
{
	*run = (struct run){ .q = q };
	assert_int_equal(rmdir(q->dir), 0);
	pc_begin(&run->trace, q->base);
	run->trace.segment_size = q->config.segment_size = segment_size;
}

static void append(struct run *run, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		const size_t length = 200 + pc_random(&run->random) % 900;

		pc_append(&run->trace, run->q->writer, &length, 1, 1000);
	}
}

static void close_writer(struct run *run)
{
	qs_close(run->q);
	pc_promised(&run->trace);
}

/* As a kill leaves it: the lock is free, everything else is as it was. */
static void kill_writer(struct run *run)
{
	cq_writer *w = run->q->writer;

	assert_true(run->dead_count < DEAD);
	run->q->writer = NULL;
	run->dead[run->dead_count++] = w;
	cq_lock_release(&w->owned);
}

static void finish(struct run *run, const char *name)
{
	pc_end(&run->trace);
	for (unsigned i = 0; i < run->dead_count; i++)
		(void)cq_writer_close(run->dead[i]);
	hunt(run->q, name, &run->trace);
}

/* Prepared segments, rolls, syncs now and then. */
static void rolls(void **state)
{
	struct run run;

	begin(&run, *state, 4096);
	qs_open(run.q);
	for (unsigned i = 0; i < 8; i++) {
		append(&run, 3);
		qs_prepare(run.q->writer);
		if (i % 3 == 1)
			pc_sync(&run.trace, run.q->writer);
	}
	close_writer(&run);
	finish(&run, "rolls");
}

/* No segment is prepared; segments of several pages; several of them between two syncs. */
static void fallback(void **state)
{
	struct run run;

	begin(&run, *state, 12288);
	qs_open(run.q);
	append(&run, 14);
	pc_sync(&run.trace, run.q->writer);
	append(&run, 40);
	pc_sync(&run.trace, run.q->writer);
	append(&run, 30);
	close_writer(&run);
	finish(&run, "fallback");
}

static void batches(void **state)
{
	static const size_t lengths[] = { 5, 1900, 0, 700, 64, 1000, 333, 1 };
	struct run run;

	begin(&run, *state, 8192);
	run.q->config.sync = CQ_SYNC_ALWAYS;
	qs_open(run.q);
	for (unsigned i = 0; i < 6; i++) {
		pc_append(&run.trace, run.q->writer, lengths, 8, 1000);
		pc_promised(&run.trace);
		qs_prepare(run.q->writer);
	}
	close_writer(&run);
	finish(&run, "batches");
}

/* Large records, and batches, are written by pwrite (run.c), in pieces of a page; some of it is killed. */
static void runs(void **state)
{
	static const size_t lengths[] = { 500, 64, 0, 700, 300, 1, 900, 128, 2000, 65 };
	struct run run;

	begin(&run, *state, 16384);
	for (unsigned i = 0; i < 3; i++) {
		struct cq_run *sizes;

		qs_open(run.q);
		sizes = &run.q->writer->run;
		sizes->piece = 4096;
		sizes->least_record = 600;
		sizes->least_batch = 200;
		for (unsigned n = 0; n < 3; n++) {
			const size_t large = 2048 - n;

			pc_append(&run.trace, run.q->writer, lengths + n, 10 - n, 1000);
			pc_append(&run.trace, run.q->writer, &large, 1, 1000);
			append(&run, 2);
			if (n == 1)
				pc_sync(&run.trace, run.q->writer);
			qs_prepare(run.q->writer);
		}
		if (i == 1)
			kill_writer(&run);
		else
			close_writer(&run);
	}
	finish(&run, "runs");
}

/* Segments are deleted by rule and on request, synced or not. */
static void retention(void **state)
{
	struct run run;

	begin(&run, *state, 4096);
	run.q->config.retain_segments = 4;
	qs_open(run.q);
	for (unsigned i = 0; i < 10; i++) {
		append(&run, 4);
		qs_prepare(run.q->writer);
		if (i == 3 || i == 6)
			pc_sync(&run.trace, run.q->writer);
		if (i % 2 == 1)
			qs_flush(run.q->writer);
	}
	assert_true(cq_writer_trim(run.q->writer, qs_stats(run.q->writer).next_seq, 2) > 0);
	append(&run, 3);
	close_writer(&run);
	finish(&run, "retention");
}

static void reopened(void **state)
{
	struct run run;

	begin(&run, *state, 8192);
	for (unsigned i = 0; i < 4; i++) {
		qs_open(run.q);
		append(&run, 9);
		qs_prepare(run.q->writer);
		append(&run, 4);
		close_writer(&run);
	}
	finish(&run, "reopened");
}

/* Killed with sealed segments unsynced; the next writer syncs them, or is killed, too. */
static void killed(void **state)
{
	struct run run;

	begin(&run, *state, 8192);
	for (unsigned i = 0; i < 5; i++) {
		qs_open(run.q);
		append(&run, 5);
		if (i % 2 == 1)
			pc_sync(&run.trace, run.q->writer);
		append(&run, 13);
		kill_writer(&run);
	}
	qs_open(run.q);
	append(&run, 1);
	close_writer(&run);
	finish(&run, "killed");
}

/* Nobody asks for a sync; sealed segments are synced by the flusher. */
static void background(void **state)
{
	struct run run;

	begin(&run, *state, 8192);
	qs_open(run.q);
	for (unsigned i = 0; i < 3; i++) {
		append(&run, 25);
		qs_prepare(run.q->writer);
		for (struct cq_wsegment *s = run.q->writer->flush.unsynced; s; s = s->next)
			s->sealed_ms = 0; /* as if they had waited */
		qs_flush(run.q->writer);
		assert_int_equal(qs_stats(run.q->writer).unsynced, 0);
	}
	close_writer(&run);
	finish(&run, "background");
}

static void continue_golden(struct qs *q, const char *name)
{
	struct run run = { .q = q };
	char golden[PATH_SIZE];

	support_golden(golden, name);
	support_copy(golden, q->dir);
	pc_begin(&run.trace, q->base);
	pc_adopt(&run.trace);
	run.trace.segment_size = q->config.segment_size = 0;
	qs_open(q);
	append(&run, 12);
	pc_sync(&run.trace, run.q->writer);
	append(&run, 12);
	kill_writer(&run);
	qs_open(q);
	append(&run, 3);
	close_writer(&run);
	finish(&run, name);
}

static void continued(void **state)
{
	continue_golden(*state, "v2-small");
}

/* Its sequence numbers begin again in the middle. */
static void restarted(void **state)
{
	continue_golden(*state, "v2-reopened");
}

/* A new queue that begins later.  While nothing is promised there may be no segment; one that is there begins
 * where it was to begin. */
static void begun_later(void **state)
{
	struct run run;

	begin(&run, *state, 4096);
	run.q->config.begin_seq = run.trace.begin_seq = 1000;
	run.q->config.begin_stream = 5000;
	qs_open(run.q);
	pc_promised(&run.trace);
	run.trace.begun = run.trace.events;
	append(&run, 9);
	kill_writer(&run);
	run.q->config.begin_seq = run.q->config.begin_stream = 0;
	qs_open(run.q);
	append(&run, 3);
	close_writer(&run);
	finish(&run, "begun_later");
}

/* A replica whose writer leaves out numbers, twice: sealed segments are synced before the current one, and not. */
static void skipped(void **state)
{
	struct run run;

	begin(&run, *state, 4096);
	run.trace.skip_seq = 1000;
	run.trace.skip_stream = 100000;
	run.trace.skipped = UINT_MAX;
	memset(run.q->config.replica_of, 7, sizeof run.q->config.replica_of);
	qs_open(run.q);
	append(&run, 5);
	pc_sync(&run.trace, run.q->writer);
	append(&run, 1);
	assert_int_equal(cq_writer_skip(run.q->writer, 1000, 100000), 0);
	for (struct cq_wsegment *s = run.q->writer->flush.unsynced; s; s = s->next)
		s->sealed_ms = 0;
	assert_int_equal(cq_flush_sealed(run.q->writer), 1);
	qs_prepare(run.q->writer);
	append(&run, 1);
	pc_sync(&run.trace, run.q->writer);
	run.trace.skipped = run.trace.events;
	append(&run, 4);
	kill_writer(&run);
	qs_open(run.q);
	append(&run, 1);
	assert_int_equal(cq_writer_skip(run.q->writer, 2000, 0), 0);
	close_writer(&run);
	qs_open(run.q);
	append(&run, 5);
	close_writer(&run);
	memset(run.q->config.replica_of, 0, sizeof run.q->config.replica_of);
	finish(&run, "skipped");
}

static const struct CMUnitTest tests[TESTS] = {
	QS_TEST(rolls),     QS_TEST(fallback), QS_TEST(batches),     QS_TEST(retention),
	QS_TEST(reopened),  QS_TEST(killed),   QS_TEST(background),  QS_TEST(continued),
	QS_TEST(restarted), QS_TEST(runs),     QS_TEST(begun_later), QS_TEST(skipped),
};

SUPPORT_MAIN_IN_MEMORY(tests)
