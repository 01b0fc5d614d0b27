/* SPDX-License-Identifier: Apache-2.0 */
/*
 * matrix.c - runs one operation with each of its calls failing; see matrix.h
 *
 * MATRIX=full makes more runs: each error at each call, once and from there on for ever; without it
 * each call fails once with its likeliest error, and the others the first, the last time and for ever.
 * MATRIX_RUN=CALL:ERRNO:SKIP:COUNT[:untidy] makes that run alone: what a failed test prints.
 */
#include "matrix.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel.h"
#include "os/fault.h"

#define CALLS 40

static struct mx the_run;
static char running[64]; /* the run under way, as in MATRIX_RUN; empty: none */
static bool untidy;      /* in the runs from now on unlink fails as well */
static unsigned runs;

/* ---- runs ---- */

struct count {
	char call[40];
	unsigned count;
};

/* More often than so in this run? */
static bool was_made(const char *call, unsigned skip)
{
	const char *name;
	unsigned times;

	for (size_t i = 0; (name = cq_fault_call(i, &times)) != NULL; i++)
		if (strcmp(name, call) == 0)
			return times > skip;
	return false;
}

/* One run; count 0: nothing fails, and counts[] gets the calls. */
static size_t run(const struct mx_op *op, struct qs *q, const char *call, int error, int skip,
                  int count, struct count *counts)
{
	struct mx *m = &the_run;
	struct mx_held before;
	const char *name;
	size_t kinds = 0;
	unsigned times;
	int r;

	snprintf(running, sizeof running, "%s:%d:%d:%d%s", call ? call : "", error, skip, count,
	         untidy ? ":untidy" : "");
	m->q = q;
	mx_begin(m, op->queue);
	before = mx_held(m);
	if (op->setup)
		op->setup(m);
	m->call = call;
	m->error = error;
	m->untidy = untidy;
	cq_fault_forget();
	cq_fault_set(call, error, skip, count);
	if (untidy)
		cq_fault_add("unlink", EIO, 0, -1);
	kernel_watch_memory(true);
	r = op->run(m);
	kernel_watch_memory(false);
	cq_fault_set(NULL, 0, 0, 0);
	m->failed = call && was_made(call, (unsigned)skip);
	if (counts) {
		if (!(op->flags & MX_LOSES))
			assert_int_equal(r, 0);
		for (; (name = cq_fault_call(kinds, &times)) != NULL; kinds++) {
			assert_true(kinds < CALLS);
			snprintf(counts[kinds].call, sizeof counts[kinds].call, "%s", name);
			counts[kinds].count = times;
		}
	}
	mx_check(m, op, before, r);
	runs++;
	running[0] = '\0';
	return kinds;
}

/* One call with one of its errors. */
static void fail_call(const struct mx_op *op, struct qs *q, const struct count *c, int error,
                      bool likeliest)
{
	const char *how = getenv("MATRIX");
	const bool full = how && strcmp(how, "full") == 0;

	for (unsigned nth = 0; nth < c->count; nth++) {
		if (full || likeliest || nth == 0 || nth + 1 == c->count)
			run(op, q, c->call, error, (int)nth, 1, NULL);
		if (full || nth == 0)
			run(op, q, c->call, error, (int)nth, -1, NULL);
	}
}

void mx_test(void **state)
{
	const struct mx_op *op = ((struct mx_state *)*state)->op;
	struct qs *q = ((struct mx_state *)*state)->q;
	const char *only = getenv("MATRIX_RUN");
	struct count counts[CALLS];
	size_t kinds;

	mx_make_queues(q);
	runs = 0;
	if (only) {
		char call[40];
		int error, skip, count;

		assert_int_equal(sscanf(only, "%39[^:]:%d:%d:%d", call, &error, &skip, &count), 4);
		untidy = strstr(only, ":untidy") != NULL;
		run(op, q, call, error, skip, count, NULL);
		return;
	}
	kinds = run(op, q, NULL, 0, 0, 0, counts);
	for (size_t i = 0; i < kinds; i++) {
		const int *errors = mx_errors(counts[i].call);

		if (!errors)
			fail_msg("%s has no errors in matrix_errors.c", counts[i].call);
		for (size_t e = 0; errors[e] != 0; e++)
			fail_call(op, q, &counts[i], errors[e], e == 0);
		untidy = true;
		run(op, q, counts[i].call, errors[0], 0, -1, NULL);
		untidy = false;
	}
	printf("# %u runs: %zu kinds of calls\n", runs, kinds);
}

/* Threads make their calls when they like, so these are not counted: each call that there is fails a few
 * times at the beginning, somewhat later, or for ever. */
void mx_test_threads(void **state)
{
	static const int skips[] = { 0, 1, 4, 9 };
	struct mx_state *s = *state;
	const char *call;

	mx_make_queues(s->q);
	runs = 0;
	for (size_t i = 0; (call = mx_call(i)) != NULL; i++) {
		const int error = mx_errors(call)[0];

		for (size_t k = 0; k < sizeof skips / sizeof skips[0]; k++) {
			run(s->op, s->q, call, error, skips[k], 1, NULL);
			run(s->op, s->q, call, error, skips[k], -1, NULL);
		}
	}
	printf("# %u runs\n", runs);
}

/* ---- cmocka's ends ---- */

int mx_setup(void **state)
{
	struct mx_op *op = *state;
	struct mx_state *s = calloc(1, sizeof *s);
	void *q;

	assert_non_null(s);
	assert_int_equal(qs_setup(&q), 0);
	s->op = op;
	s->q = q;
	*state = s;
	return 0;
}

int mx_teardown(void **state)
{
	struct mx_state *s = *state;
	void *q = s->q;

	kernel_watch_memory(false);
	untidy = false;
	cq_fault_set(NULL, 0, 0, 0);
	if (running[0] != '\0') {
		fprintf(stderr, "this was MATRIX_RUN=%s\n%s", running, s->q->log);
		running[0] = '\0';
		/* what the run has left open is of no interest any more, and may wait for something */
		s->q->writer = NULL;
	}
	free(s);
	return qs_teardown(&q);
}
