/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_stale_calls.c - a queue has changed, and a call fails while a stream finds that out: the answers
 * are right or that error, and right from then on
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <unistd.h>

#include "chronq.h"
#include "kernel.h"
#include "os/fault.h"
#include "places.h"
#include "stream_support.h"
#include "support.h"

static const struct failure {
	const char *call;
	int error;
} failures[] = {
	{ "open", EMFILE }, { "malloc", ENOMEM }, { "map", ENOMEM },
	{ "pread", EINTR }, { "stat", ENOMEM },   { "list", EMFILE },
};
#define FAILURES (sizeof failures / sizeof failures[0])
#define ASKS 16

static void make_stale(struct stream_fixture *f, struct mixture *m, struct mixture *without,
                       uint32_t victim, bool asked)
{
	uint64_t sequence = 7, begin, end;

	places_put(f, m);
	stream_reopen(f);
	assert_int_equal(cq_stream_extent(f->view.stream, &begin, &end), 0);
	if (asked)
		assert_int_equal(places_ask(f->view.stream, m, &sequence, ASKS), 0);
	*without = *m;
	without->kinds[victim] = MISSING;
	places_put(f, without);
}

/* Reads a byte of each segment, in this order, and looks for data where one is missing: 0, or the error.
 * Only a read finds out which segments are gone. */
static int read_each(struct stream_fixture *f, const struct mixture *m, unsigned order)
{
	uint8_t byte;
	uint64_t at;
	ssize_t n;
	int r;

	for (uint32_t i = 0; i < SEGMENTS; i++) {
		const uint32_t id = (i * 3 + order) % SEGMENTS;
		const uint64_t position = (uint64_t)id * PER + 5;

		n = cq_stream_pread(f->view.stream, &byte, 1, position);
		if (m->kinds[id] == MISSING ? n != -ENODATA
		                            : n != 1 || !stream_right(&byte, 1, position))
			return n < 0 ? (int)n : WRONG;
		if (m->kinds[id] != MISSING)
			continue;
		r = cq_stream_next_data(f->view.stream, position, &at);
		if (r < 0)
			return r;
		assert_true(at > position && at % PER == 0);
	}
	return 0;
}

/* A segment is deleted, which the stream does not know, and the nth call fails: the answer is right or
 * that error, and right from then on. */
static void deleted_and_a_call_fails(void **state)
{
	static const struct mixture kinds[] = {
		{ .kinds = { OURS, OURS, OURS, OURS, MISSING, OURS, OURS, OURS } },
		{ .kinds = { OURS, THEIRS, OURS, OURS, MISSING, OURS, THEIRS, OURS } },
	};
	static const uint32_t victims[] = { 2, 3, 5 };
	struct stream_fixture *f = *state;
	struct mixture m, without;
	unsigned runs = 0;
	uint64_t sequence = 7;
	bool made;
	int r;

	places_make(f);
	for (unsigned i = 0; i < 2 * 2 * 3 * FAILURES; i++)
		for (int nth = 0;; nth += 1 + nth / 2) {
			const struct failure *failure = &failures[i / 12];

			m = kinds[i % 2];
			make_stale(f, &m, &without, victims[i / 2 % 3], i / 6 % 2);
			cq_fault_forget();
			cq_fault_set(failure->call, failure->error, nth, 1);
			kernel_watch_memory(true);
			r = read_each(f, &without, i);
			kernel_watch_memory(false);
			cq_fault_set(NULL, 0, 0, 0);
			made = cq_fault_given() > 0;
			if (r < 0 && r != -failure->error)
				fail_msg("case %u, %s %d: %d", i, failure->call, nth, r);
			assert_true(r == 0 || made);
			assert_int_equal(read_each(f, &without, 0), 0);
			assert_int_equal(places_ask(f->view.stream, &without, &sequence, 2 * ASKS),
			                 0);
			if (!made)
				break;
			runs++;
		}
	print_message("# %u runs\n", runs);
	assert_true(runs > 150);
}

/* A fault of a segment is remembered only if it is lasting. */
static void damage_and_a_call_fails(void **state)
{
	static const char *const calls[] = { "open", "stat" };
	struct mixture m = { .kinds = { OURS, THEIRS, OURS, OURS, MISSING, MISSING, MISSING,
		                        MISSING } };
	struct stream_fixture *f = *state;
	char path[PATH_SIZE];
	cq_stream *none;
	uint8_t byte;
	ssize_t n;

	places_make(f);
	places_put(f, &m);
	support_path(path, f->dir, "000000001.q");
	assert_int_equal(truncate(path, 2048), 0);
	stream_open(f->dir, &f->view);
	kernel_watch_memory(true);
	cq_fault_set("malloc", ENOMEM, 0, 1);
	assert_int_equal(cq_stream_open(f->view.queue, &none), -ENOMEM);
	kernel_watch_memory(false);
	cq_fault_set(NULL, 0, 0, 0);
	for (int i = 0; i < 2 * 16; i++) {
		stream_reopen(f);
		stream_expect_extent(f->view.stream, 0, 4 * PER);
		cq_fault_set(calls[i % 2], EMFILE, i / 2, 1);
		n = cq_stream_pread(f->view.stream, &byte, 1, PER + 5);
		assert_true(n == -EIO || n == -EMFILE);
		cq_fault_set(NULL, 0, 0, 0);
		stream_expect_error(f->view.stream, PER, 2 * PER, EIO);
		stream_expect(f->view.stream, NULL, 2 * PER, 4 * PER, PER);
	}
}

/* The nth call of a search for a hole fails: that error, and later the right place. */
static void hole_and_a_call_fails(void **state)
{
	struct mixture m = { .kinds = { OURS, OURS, OURS, MISSING, OURS, OURS, MISSING, OURS } };
	struct stream_fixture *f = *state;
	unsigned failed = 0;
	uint64_t at;

	places_make(f);
	places_put(f, &m);
	for (int nth = 0; nth < 6; nth++) {
		stream_reopen(f);
		stream_expect_extent(f->view.stream, 0, 8 * PER);
		cq_fault_set("open", EMFILE, nth, 1);
		if (cq_stream_next_hole(f->view.stream, 10, &at) == 0)
			assert_int_equal(at, 3 * PER);
		else
			failed++;
		cq_fault_set(NULL, 0, 0, 0);
		assert_int_equal(cq_stream_next_hole(f->view.stream, 10, &at), 0);
		assert_int_equal(at, 3 * PER);
		/* from a position in a hole: never a place before that */
		assert_int_equal(cq_stream_next_hole(f->view.stream, 3 * PER + 5, &at), 0);
		assert_int_equal(at, 6 * PER);
	}
	assert_true(failed > 1);
}

/* The answers are right by the rules for all segments, or for all but a deleted one. */
static void expect_all_but_one(struct stream_fixture *f, const struct mixture *m)
{
	for (uint32_t id = SEGMENTS + 1; id-- > 0;) {
		struct mixture without = *m;
		uint64_t sequence = 99;

		if (id < SEGMENTS)
			without.kinds[id] = MISSING;
		places_by_rule(&without);
		if (places_ask(f->view.stream, &without, &sequence, 2 * ASKS) == 0)
			return;
	}
	fail_msg("wrong ever after");
}

/* The segments before the last one tell where that begins.  One of them is deleted at the nth call of a
 * look for the end (or of the step to the next segment), and memory may run out. */
static void end_is_looked_for(void **state)
{
	struct mixture untold = { .kinds = { OURS, THEIRS, THEIRS, THEIRS, MISSING, MISSING,
		                             MISSING, MISSING } };
	struct mixture begun = { .kinds = { OURS, BEGUN, MISSING, MISSING, MISSING, MISSING,
		                            MISSING, MISSING } };
	struct mixture grown = { .kinds = { OURS, OURS, OURS, OURS, MISSING, MISSING, MISSING,
		                            MISSING } };
	struct stream_fixture *f = *state;
	struct mixture *m;
	uint64_t begin, end;
	int r;

	places_make(f);
	for (int i = 0; i < 3 * 8 * 8; i++) {
		const bool grows = i % 3 == 0;

		m = grows ? &grown : &untold;
		places_put(f, grows ? &begun : m);
		stream_reopen(f);
		if (grows) {
			stream_expect_extent(f->view.stream, 0, PER + EACH);
			places_put(f, m);
		}
		kernel_watch_memory(true);
		cq_fault_set("open", ENOENT, i / 3 % 8, 1);
		if (i % 3 == 2)
			cq_fault_add("malloc", ENOMEM, i / 24, 1);
		r = cq_stream_extent(f->view.stream, &begin, &end);
		kernel_watch_memory(false);
		cq_fault_set(NULL, 0, 0, 0);
		assert_true(r == 0 || (i % 3 == 2 && r == -ENOMEM));
		expect_all_but_one(f, m);
	}
}

static const struct CMUnitTest tests[] = {
	STREAM_TEST(deleted_and_a_call_fails),
	STREAM_TEST(damage_and_a_call_fails),
	STREAM_TEST(hole_and_a_call_fails),
	STREAM_TEST(end_is_looked_for),
};

SUPPORT_MAIN(tests)
