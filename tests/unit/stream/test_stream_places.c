/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_stream_places.c - where segments begin in the stream if only some of them tell and some are
 * missing; then with each call and each allocation failing
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "chronq.h"
#include "kernel.h"
#include "os/fault.h"
#include "places.h"
#include "queue_support.h"
#include "stream/stream.h"
#include "stream_support.h"
#include "write/writer.h"

static void put(struct stream_fixture *f, struct mixture *m)
{
	stream_close(&f->view);
	places_put(f, m);
	stream_open(f->dir, &f->view);
}

/* Questions in any order: each segment is where the rules say. */
static void mixtures(void **state)
{
	struct stream_fixture *f = *state;
	struct mixture m;

	places_make(f);
	for (unsigned round = 0; round < 150; round++) {
		const uint64_t sequence = f->sequence;
		int r;

		for (uint32_t id = 0; id < SEGMENTS; id++)
			m.kinds[id] = (enum kind)stream_random(&f->sequence, KINDS);
		put(f, &m);
		r = places_ask(f->view.stream, &m, &f->sequence, 40);
		if (r < 0) {
			places_print(&m, sequence);
			fail_msg("%s", strerror(-r));
		}
	}
}

#ifdef CQ_FAULTS

/* ---- the same with a call that fails ---- */

#define ASKS 12 /* of one stream */
#define WAYS 2U /* to ask */

struct failure {
	const char *call;
	int error;
	bool believed; /* the error says something about the segment: it is gone, or cannot be read */
};

static void print_failure(const struct mixture *m, const struct failure *failure, int nth)
{
	places_print(m, 0);
	print_message("# %s: %s, the call %d\n", failure->call, strerror(failure->error), nth);
}

/* Asks while the nth call fails.  Returns whether so many were made. */
static bool ask_failing(struct stream_fixture *f, const struct mixture *m,
                        const struct failure *failure, int nth, uint64_t sequence)
{
	uint64_t begin, end;
	int r;

	cq_fault_forget();
	cq_fault_set(failure->call, failure->error, nth, 1);
	kernel_watch_memory(true);
	r = sequence == 0 ? cq_stream_extent(f->view.stream, &begin, &end) : 0;
	assert_int_not_equal(r, -ENOENT); /* one missing segment is no reason to fail */
	if (r == 0)
		r = places_ask(f->view.stream, m, &sequence, ASKS);
	kernel_watch_memory(false);
	cq_fault_set(NULL, 0, 0, 0);
	if (cq_fault_given() == 0) {
		assert_int_equal(r, 0);
		return false;
	}
	if (r < 0 && r != -failure->error && !failure->believed) {
		print_failure(m, failure, nth);
		fail_msg("gives %d", r);
	}
	return true;
}

static void expect_right(struct stream_fixture *f, const struct mixture *m,
                         const struct failure *failure, int nth)
{
	uint64_t sequence = 99;

	if (places_ask(f->view.stream, m, &sequence, 2 * ASKS) == 0)
		return;
	print_failure(m, failure, nth);
	fail_msg("wrong ever after");
}

static bool fail_at_rest(struct stream_fixture *f, const struct mixture *m,
                         const struct failure *failure, int nth, uint64_t way)
{
	stream_reopen(f);
	if (!ask_failing(f, m, failure, nth, way))
		return false;
	expect_right(f, m, failure, nth);
	return true;
}

static const struct failure failures[] = {
	{ "open", EMFILE, false }, { "map", ENOMEM, false },     { "malloc", ENOMEM, false },
	{ "list", EMFILE, false }, { "next_name", EIO, false },  { "pread", EIO, false },
	{ "stat", ENOMEM, false }, { "stat_at", EACCES, false }, { "open", EIO, true },
	{ "stat", EIO, true },
};
#define FAILURES (sizeof failures / sizeof failures[0])

/* Whatever fails, the answers are right or that error, and right again afterwards. */
static void failing_calls(void **state)
{
	static const struct mixture kinds[] = {
		{ .kinds = { OURS, OURS, MISSING, OURS, OURS, OURS, MISSING, OURS } },
		{ .kinds = { MISSING, THEIRS, THEIRS, MISSING, THEIRS, THEIRS, OURS, THEIRS } },
		{ .kinds = { THEIRS, THEIRS, MISSING, THEIRS, MISSING, THEIRS, THEIRS,
		             CONTINUED } },
	};
	struct stream_fixture *f = *state;
	unsigned runs = 0;

	places_make(f);
	for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
		struct mixture m = kinds[k];

		put(f, &m);
		for (size_t i = 0; i < FAILURES; i++) {
			/* by the rules, others are elsewhere without the last segment */
			if (failures[i].believed && m.kinds[SEGMENTS - 1] == CONTINUED)
				continue;
			for (uint64_t way = 0; way < WAYS; way++)
				for (int nth = 0; fail_at_rest(f, &m, &failures[i], nth, way);
				     nth += 1 + nth / 4)
					runs++;
		}
	}
	print_message("# %u runs\n", runs);
	assert_true(runs > 150);
}

/* The same while another process goes on from segment to segment. */
static void failing_calls_while_it_grows(void **state)
{
	static const struct mixture later[] = {
		{ .kinds = { OURS, OURS, OURS, OURS, OURS, OURS, OURS, OURS } },
		{ .kinds = { OURS, OURS, MISSING, OURS, OURS, OURS, MISSING, OURS } },
		{ .kinds = { OURS, OURS, THEIRS, THEIRS, OURS, THEIRS, OURS, THEIRS } },
	};
	struct mixture before = { .kinds = { OURS, BEGUN, MISSING, MISSING, MISSING, MISSING,
		                             MISSING, MISSING } };
	struct stream_fixture *f = *state;
	unsigned runs = 0;

	places_make(f);
	for (size_t k = 0; k < sizeof later / sizeof later[0]; k++) {
		struct mixture m = later[k];

		for (size_t i = 0; i < FAILURES; i++)
			for (int nth = 0;; nth += 1 + nth / 4) {
				put(f, &before);
				stream_expect_extent(f->view.stream, 0, PER + EACH);
				places_put(f, &m);
				if (!ask_failing(f, &m, &failures[i], nth, 0))
					break;
				expect_right(f, &m, &failures[i], nth);
				runs++;
			}
	}
	print_message("# %u runs\n", runs);
	assert_true(runs > 150);
}

/* A segment is deleted at any moment: its bytes are right or gone, and the others are where they were. */
static void deleted_at_any_moment(void **state)
{
	static const struct failure gone[] = {
		{ "open", ENOENT, true },
		{ "stat_at", ENOENT, true },
	};
	/* whichever is deleted, another one tells where its neighbours are */
	struct mixture m = { .kinds = { OURS, THEIRS, THEIRS, OURS, MISSING, OURS, THEIRS, OURS } };
	struct stream_fixture *f = *state;
	unsigned runs = 0;

	places_make(f);
	put(f, &m);
	for (unsigned i = 0; i < 2 * WAYS; i++)
		for (int nth = 0;; nth += 1 + nth / 4) {
			int r = WRONG;

			/* as a deletion does */
			assert_int_equal(utimensat(AT_FDCWD, f->dir, NULL, 0), 0);
			stream_reopen(f);
			if (!ask_failing(f, &m, &gone[i % 2], nth, i / 2))
				break;
			runs++;
			for (uint32_t id = SEGMENTS + 1; r < 0 && id-- > 0;) {
				struct mixture without = m;
				uint64_t sequence = 99;

				if (id < SEGMENTS)
					without.kinds[id] = MISSING;
				places_by_rule(&without);
				r = places_ask(f->view.stream, &without, &sequence, 2 * ASKS);
			}
			if (r == 0)
				continue;
			print_failure(&m, &gone[i % 2], nth);
			fail_msg("wrong ever after");
		}
	print_message("# %u runs\n", runs);
	assert_true(runs > 30);
}

/* ---- beside a writer of this process ---- */

static int look(struct qs *q, cq_stream *stream, uint64_t expected)
{
	uint64_t begin, end;
	uint8_t bytes[QS_SIZE];
	ssize_t n;
	int r = cq_stream_extent(stream, &begin, &end);

	if (r < 0)
		return r;
	assert_int_equal(end, expected);
	assert_true(begin <= end - PER);
	n = cq_stream_pread(stream, bytes, PER, end - PER);
	if (n < 0)
		return (int)n;
	assert_true(n > 0 && stream_right(bytes, (size_t)n, end - PER));
	assert_int_equal(qs_stats(q->writer).error, 0);
	return 0;
}

static int look_failing(struct qs *q, cq_stream *stream, uint64_t end,
                        const struct failure *failure, int nth)
{
	int r;

	cq_fault_set(failure->call, failure->error, nth, 1);
	kernel_watch_memory(true);
	r = look(q, stream, end);
	kernel_watch_memory(false);
	cq_fault_set(NULL, 0, 0, 0);
	return r;
}

/* The writer tells its stream the bounds: if another call fails, that is an error once, no more. */
static void failing_calls_of_the_writer(void **state)
{
	struct qs *q = *state;
	uint64_t end = 0;
	unsigned runs = 0;

	q->config.retain_segments = 6;
	qs_open(q);
	for (int i = 0; i < 30; i++)
		stream_append(q->writer, &end, EACH);
	for (size_t i = 0; i < FAILURES; i++)
		for (int nth = 0; nth < 12; nth++) {
			cq_stream *stream;
			int r;

			qs_close(q); /* another handle, whose catalogue is empty */
			qs_open(q);
			assert_int_equal(cq_stream_open(cq_writer_queue(q->writer), &stream), 0);
			/* before the stream knows anything, then after the writer has appended more */
			for (int again = 0; again < 2; again++) {
				r = look_failing(q, stream, end, &failures[i],
				                 again ? nth / 4 : nth);
				if (r < 0 && r != -failures[i].error)
					fail_msg("%s %d: %d", failures[i].call, nth, r);
				runs += r < 0;
				assert_int_equal(look(q, stream, end), 0);
				for (int k = 0; k < 4; k++)
					stream_append(q->writer, &end, EACH);
				qs_flush(q->writer);
			}
			cq_stream_close(stream);
		}
	print_message("# %u failed\n", runs);
	assert_true(runs > 20);
}

#endif

/* Somebody deletes all segments of a running writer before its stream is first used: all is gone, and what
 * comes later is there. */
static void all_deleted_under_the_writer(void **state)
{
	struct qs *q = *state;
	char path[PATH_SIZE];
	uint8_t bytes[EACH];
	cq_stream *stream;
	uint64_t end = 0;

	qs_open(q);
	for (int i = 0; i < 2; i++)
		stream_append(q->writer, &end, EACH);
	support_path(path, q->dir, "000000000.q");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(cq_stream_open(cq_writer_queue(q->writer), &stream), 0);
	stream_expect_extent(stream, end, end);
	stream_expect_error(stream, 0, end, ENODATA);
	for (int i = 0; i < 3; i++)
		stream_append(q->writer, &end, EACH);
	assert_int_equal(cq_stream_pread(stream, bytes, EACH, 4 * EACH), EACH);
	assert_true(stream_right(bytes, EACH, 4 * EACH));
	cq_stream_close(stream);
}

static void far_away(void *writer, struct cq_queue_bounds *ret_bounds)
{
	cq_writer_bounds(writer, ret_bounds);
	ret_bounds->active = 5000000;
}

/* The writer is millions of ids behind the last segment that the stream knows, and the directory has none of
 * those between: they are not gone through one by one. */
static void gap_of_millions(void **state)
{
	struct qs *q = *state;
	uint64_t end = 0, begin, stream_end;
	cq_queue *queue;
	cq_stream *stream;

	qs_open(q);
	stream_append(q->writer, &end, EACH);
	queue = cq_writer_queue(q->writer);
	assert_int_equal(cq_stream_open(queue, &stream), 0);
	stream_expect_extent(stream, 0, end);
	queue->bounds = far_away;
	assert_int_equal(cq_stream_extent(stream, &begin, &stream_end), 0);
	assert_int_equal(begin, 0);
	assert_int_equal(stream_end, end);
	assert_true(queue->catalog.id_count <= 8);
	queue->bounds = cq_writer_bounds;
	cq_stream_close(stream);
}

static const struct CMUnitTest tests[] = {
	STREAM_TEST(mixtures),
#ifdef CQ_FAULTS
	STREAM_TEST(failing_calls),
	STREAM_TEST(failing_calls_while_it_grows),
	STREAM_TEST(deleted_at_any_moment),
	QS_TEST(failing_calls_of_the_writer),
#endif
	QS_TEST(all_deleted_under_the_writer),
	QS_TEST(gap_of_millions),
};

SUPPORT_MAIN(tests)
