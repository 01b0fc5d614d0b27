/* SPDX-License-Identifier: Apache-2.0 */
/* test_stream_live.c - the stream of a queue that is being written, by this process or another */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "chronq-fs.h"
#include "format/format.h"
#include "os/clock.h"
#include "os/fault.h"
#include "queue_support.h"
#include "stream/stream.h"
#include "stream_support.h"

/* ---- one thread ---- */

/* After an append has returned, its bytes are there, for its own process and for any other. */
static void grows_with_each_append(void **state)
{
	struct qs *q = *state;
	struct stream_view other;
	uint64_t sequence = 7, end = 0, begin, to;
	uint8_t bytes[QS_SIZE];
	cq_stream *own;

	assert_int_equal(cq_writer_open(q->dir, &q->config, &q->writer), 0);
	assert_int_equal(cq_stream_open(cq_writer_queue(q->writer), &own), 0);
	stream_open(q->dir, &other);
	for (unsigned i = 0; i < 600; i++) {
		const uint64_t before = end;
		cq_stream *streams[] = { own, other.stream };

		stream_append(q->writer, &end, stream_random(&sequence, i % 9 ? 300 : 3900));
		if (i % 50 == 49)
			assert_int_equal(cq_writer_roll(q->writer), 0);
		for (int s = 0; s < 2; s++) {
			uint64_t from = before > 2000 ? before - 2000 : 0;

			assert_int_equal(cq_stream_extent(streams[s], &begin, &to), 0);
			assert_int_equal(begin, 0);
			assert_int_equal(to, end);
			/* at once, without a look at the end */
			assert_int_equal(cq_stream_pread(streams[s], bytes, sizeof bytes, before),
			                 end - before);
			assert_true(stream_right(bytes, end - before, before));
			assert_int_equal(cq_stream_pread(streams[s], bytes, before - from, from),
			                 before - from);
			assert_true(stream_right(bytes, before - from, from));
		}
	}
	stream_expect(own, NULL, 0, end, 4000);
	stream_expect(other.stream, NULL, 0, end, 4000);
	cq_stream_close(own);
	stream_close(&other);
}

/* From memory, while another thread reads a header for the catalogue, that is, holds `refresh`. */
static void bounds_without_waiting(void **state)
{
	struct qs *q = *state;
	struct stream_view other;
	uint64_t end = 0, begin, to, second = 0;
	cq_stream *own;

	assert_int_equal(cq_writer_open(q->dir, &q->config, &q->writer), 0);
	assert_int_equal(cq_stream_open(cq_writer_queue(q->writer), &own), 0);
	stream_open(q->dir, &other);
	assert_int_equal(cq_stream_extent(own, &begin, &to), 0);
	for (int i = 0; i < 4; i++) {
		stream_append(q->writer, &end, 500);
		assert_int_equal(cq_writer_roll(q->writer), 0);
		pthread_mutex_lock(&own->queue->catalog.refresh);
		assert_int_equal(cq_stream_extent_now(own, &begin, &to), 0);
		assert_int_equal(begin, 0);
		assert_int_equal(to, end);
		pthread_mutex_unlock(&own->queue->catalog.refresh);
		if (i == 0)
			second = end;
	}
	assert_int_equal(cq_stream_extent_now(other.stream, &begin, &to), -EAGAIN);
	/* where it begins now, only a file tells */
	assert_int_equal(cq_writer_sync(q->writer), 0);
	assert_int_equal(cq_writer_remove(q->writer, 0), 0);
	assert_int_equal(cq_stream_extent_now(own, &begin, &to), 1);
	assert_int_equal(begin, 0);
	assert_int_equal(to, end);
	assert_int_equal(cq_stream_extent(own, &begin, &to), 0);
	assert_int_equal(begin, second);
	assert_int_equal(cq_stream_extent_now(own, &begin, &to), 0);
	assert_int_equal(begin, second);
	/* that of the third is remembered */
	assert_int_equal(cq_stream_pread(own, &(uint8_t){ 0 }, 1, 1100), 1);
	assert_int_equal(cq_writer_remove(q->writer, 1), 0);
	assert_int_equal(cq_stream_extent_now(own, &begin, &to), 0);
	assert_int_equal(begin, 1000);
	cq_stream_close(own);
	stream_close(&other);
}

/* Parts of the stream in a queue with prepared segments. */
static void spans_of_a_live_queue(void **state)
{
	struct qs *q = *state;
	struct stream_view other;
	struct cq_span span;
	cq_stream *own;
	uint64_t end = 0;

	q->config.spares = 3;
	qs_open(q);
	qs_prepare(q->writer);
	assert_int_equal(cq_stream_open(cq_writer_queue(q->writer), &own), 0);
	stream_open(q->dir, &other);
	for (unsigned i = 0; i < 7; i++)
		stream_append(q->writer, &end, 1000);
	for (int s = 0; s < 2; s++) {
		cq_stream *stream = s ? other.stream : own;

		for (uint32_t id = 0; id < 6; id++) {
			assert_int_equal(cq_stream_segment(stream, id, &span), 0);
			assert_int_equal(span.begin, id < 3 ? id * 3000 : 7000);
			assert_int_equal(span.bytes, id < 2 ? 3000 : id == 2 ? 1000 : 0);
			assert_int_equal(span.sealed, id < 2);
			if (id == 3)
				break; /* the last of three */
		}
		assert_int_equal(cq_stream_segment(stream, 4, &span), -ENOENT);
		assert_int_equal(cq_stream_segment(stream, CQ_SEGMENT_ID_MAX, &span), -ENOENT);
	}
	cq_stream_close(own);
	stream_close(&other);
}

/* Streams of one queue handle share its catalogue: which of them looks first makes no difference, nor
 * what was found out for attributes. */
static void share_a_catalogue(void **state)
{
	struct qs *q = *state;
	struct stream_view other;
	cq_stream *streams[4];
	cq_queue *queues[2];
	uint64_t sequence = 11, end = 0, begin, to;
	uint8_t bytes[QS_SIZE];

	q->config.retain_segments = 8;
	qs_open(q);
	stream_open(q->dir, &other);
	queues[0] = cq_writer_queue(q->writer);
	queues[1] = other.queue;
	for (int s = 0; s < 4; s++)
		assert_int_equal(cq_stream_open(queues[s / 2], &streams[s]), 0);
	for (unsigned i = 0; i < 800; i++) {
		cq_stream *stream = streams[stream_random(&sequence, 4)];
		const uint64_t before = end;
		struct cq_segment_attr attr;

		stream_append(q->writer, &end, 1 + stream_random(&sequence, 3900));
		if (i % 8 == 0)
			qs_flush(q->writer);
		assert_int_equal(cq_stream_extent(stream, &begin, &to), 0);
		assert_int_equal(to, end);
		assert_int_equal(cq_stream_pread(stream, bytes, sizeof bytes, before),
		                 end - before);
		assert_true(stream_right(bytes, end - before, before));
		if (begin < before) {
			assert_int_equal(cq_stream_pread(stream, bytes, 1, begin), 1);
			assert_true(stream_right(bytes, 1, begin));
		}
		for (int k = 0; k < 2; k++) {
			uint32_t oldest, newest, id;

			assert_int_equal(cq_queue_ends(queues[k], &oldest, &newest), 0);
			id = oldest + (uint32_t)stream_random(&sequence, newest - oldest + 1);
			assert_int_equal(cq_queue_segment_attr(queues[k], id, NULL, &attr), 0);
		}
	}
	for (int s = 0; s < 4; s++) {
		assert_int_equal(cq_stream_extent(streams[s], &begin, &to), 0);
		assert_true(begin > 0);
		stream_expect(streams[s], NULL, begin, end, 4000);
		cq_stream_close(streams[s]);
	}
	stream_close(&other);
}

/* Nobody used a stream while all segments that it knew were deleted, and far more was written. */
static void left_far_behind(void **state)
{
	struct qs *q = *state;
	uint64_t sequence = 3, end = 0, begin[2], to[2], at;
	struct stream_view other;
	cq_stream *own;
	uint8_t byte;

	q->config.retain_segments = 5;
	qs_open(q);
	assert_int_equal(cq_stream_open(cq_writer_queue(q->writer), &own), 0);
	stream_open(q->dir, &other);
	for (int round = 0; round < 4; round++) {
		cq_stream *streams[] = { own, other.stream };

		for (unsigned i = 0; i < 200; i++) {
			stream_append_many(q->writer, &end, 3, 1500, &sequence);
			qs_flush(q->writer);
		}
		assert_int_equal(qs_count_names(q->dir, ".q"), 5);
		for (int s = 0; s < 2; s++) {
			assert_int_equal(cq_stream_extent(streams[s], &begin[s], &to[s]), 0);
			assert_int_equal(to[s], end);
			assert_int_equal(begin[s], begin[0]);
			assert_in_range(end - begin[s], 5000, 5 * QS_SIZE);
			stream_expect(streams[s], NULL, begin[s], end, 3000);
			stream_expect_error(streams[s], begin[s] - 3000, begin[s], ENODATA);
			assert_int_equal(cq_stream_pread(streams[s], &byte, 1, 0), -ENODATA);
			assert_int_equal(cq_stream_next_data(streams[s], 1, &at), 0);
			assert_int_equal(at, begin[s]);
		}
	}
	cq_stream_close(own);
	stream_close(&other);
}

/* Reading a stream changes nothing in the queue. */
static void changes_nothing(void **state)
{
	struct qs *q = *state;
	struct qs_snapshot snapshot;
	struct stream_view other;
	struct stat before, after;
	uint64_t end = 0;

	qs_open(q);
	for (int i = 0; i < 8; i++)
		stream_append(q->writer, &end, 1000);
	qs_snapshot(q->dir, &snapshot);
	assert_int_equal(stat(q->dir, &before), 0);
	stream_open(q->dir, &other);
	stream_expect_extent(other.stream, 0, end);
	stream_expect(other.stream, NULL, 0, end, 2000);
	stream_close(&other);
	assert_int_equal(stat(q->dir, &after), 0);
	assert_memory_equal(&before.st_mtim, &after.st_mtim, sizeof before.st_mtim);
	qs_unchanged(q->dir, &snapshot);
}

/* The last segment is set aside, and another one takes its name. */
static void last_segment_is_replaced(void **state)
{
	char from[PATH_SIZE], to[PATH_SIZE];
	struct qs *q = *state;
	struct stream_view other;
	uint64_t end = 0, again = 0;

	qs_open(q);
	for (int i = 0; i < 2; i++)
		stream_append(q->writer, &end, 1000);
	qs_close(q);
	stream_open(q->dir, &other);
	stream_expect_extent(other.stream, 0, end);
	support_path(from, q->dir, "000000000.q");
	support_path(to, q->dir, "000000000.q.corrupt");
	assert_int_equal(rename(from, to), 0);
	q->config.accept_loss = true;
	qs_open(q);
	stream_append(q->writer, &again, 500);
	stream_expect_extent(other.stream, 0, end); /* it never shrinks */
	for (int i = 0; i < 12; i++)
		stream_append(q->writer, &again, 1000);
	stream_expect_extent(other.stream, 0, again);
	stream_expect(other.stream, NULL, 0, again, 3000);
	stream_close(&other);
}

/* ---- when a segment has been left ---- */

/* Segment 0 lacks its last record and its seal, though segment 1 is in use. */
struct unfinished {
	struct stream_view view; /* has seen segment 0 when that was the last */
	struct support_unfinished gone;
	uint64_t end;
};
#define LAST_RECORD (64 + 2 * 1088)

static void unfinish(struct qs *q, struct unfinished *u)
{
	u->end = 0;
	qs_open(q);
	for (int i = 0; i < 2; i++)
		stream_append(q->writer, &u->end, 1000);
	stream_open(q->dir, &u->view);
	stream_expect_extent(u->view.stream, 0, u->end);
	for (int i = 0; i < 2; i++)
		stream_append(q->writer, &u->end, 1000);
	qs_close(q);
	support_unfinish(q->dir, LAST_RECORD, sizeof u->gone.last, &u->gone);
}

static void stays_in_unsealed_segment(void **state)
{
	struct qs *q = *state;
	struct unfinished u;

	unfinish(q, &u);
	stream_expect_extent(u.view.stream, 0, 2000);
	/* now control.meta says that the writer is further on: the lost record is a hole */
	support_set_current(q->dir, 1);
	stream_expect_extent(u.view.stream, 0, 4000);
	stream_expect_error(u.view.stream, 2000, 3000, ENODATA);
	stream_expect(u.view.stream, NULL, 3000, 4000, 500);
	stream_close(&u.view);
}

#ifdef CQ_FAULTS

static void *look(void *stream)
{
	uint64_t begin, end;

	CHILD(cq_stream_extent(stream, &begin, &end) == 0);
	CHILD(begin == 0 && end == 4000);
	return NULL;
}

/* The last record and the seal come between the look at the commit word and the look at the seal.
 * */
static void second_look(struct qs *q)
{
	uint8_t bytes[4000];
	struct unfinished u;
	pthread_t thread;

	unfinish(q, &u);
	qs_hold(q, "tail.followed");
	CHILD(pthread_create(&thread, NULL, look, u.view.stream) == 0);
	qs_hold_reached(q);
	support_poke(q->dir, "000000000.q", LAST_RECORD, u.gone.last, sizeof u.gone.last);
	support_poke(q->dir, "000000000.q", 0, u.gone.header,
	             16); /* without the summary, which would tell */
	support_set_current(q->dir, 1);
	qs_hold_go(q);
	CHILD(pthread_join(thread, NULL) == 0);
	CHILD(cq_stream_pread(u.view.stream, bytes, sizeof bytes, 0) == 4000);
	CHILD(stream_right(bytes, sizeof bytes, 0));
	stream_close(&u.view);
}

static void looks_again_after_sealed(void **state)
{
	qs_run(second_look, *state);
}

/* While this process writes, the bounds of its stream cost no call on a file unless segments change. */
static void ends_without_a_file(void **state)
{
	static const char *const calls[] = { "open", "list", "stat", "stat_at", "pread" };
	struct qs *q = *state;
	uint64_t end = 0, begin, to;
	struct stream_view other;
	cq_stream *own;

	qs_open(q);
	assert_int_equal(cq_stream_open(cq_writer_queue(q->writer), &own), 0);
	for (int i = 0; i < 4; i++)
		stream_append(q->writer, &end, 1000);
	assert_int_equal(cq_stream_extent(own, &begin, &to), 0);
	for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
		stream_append(q->writer, &end, 100);
		cq_fault_set(calls[i], EIO, 0, -1);
		assert_int_equal(cq_stream_extent(own, &begin, &to), 0);
		cq_fault_set(NULL, 0, 0, 0);
		assert_int_equal(to, end);
	}
	cq_stream_close(own);
	/* that of another process: one look at the directory's time */
	qs_close(q);
	stream_open(q->dir, &other);
	assert_int_equal(cq_stream_extent(other.stream, &begin, &to), 0);
	other.stream->tail.settled = true; /* as a second later */
	for (size_t i = 0; i < 2; i++) {
		cq_fault_set(calls[i], EIO, 0, -1);
		assert_int_equal(cq_stream_extent(other.stream, &begin, &to), 0);
		cq_fault_set(NULL, 0, 0, 0);
		assert_int_equal(to, end);
	}
	stream_close(&other);
}

#endif

/* ---- another process ---- */

#define CHILD_RECORDS 4000U

static void child_writes(struct qs *q)
{
	uint64_t sequence = 11, end = 0;

	q->config.retain_segments = 0;
	CHILD(cq_writer_open(q->dir, &q->config, &q->writer) == 0);
	for (unsigned i = 0; i < CHILD_RECORDS; i++)
		CHILD(stream_try_append(q->writer, &end, stream_random(&sequence, 500)) == 0);
	CHILD(cq_writer_close(q->writer) == 0);
}

static void another_process_writes(void **state)
{
	uint64_t sequence = 11, total = 0, at = 0, begin, end, last = 0;
	struct qs *q = *state;
	struct stream_view view;
	uint8_t bytes[3000];
	int status;
	pid_t pid;

	for (unsigned i = 0; i < CHILD_RECORDS; i++)
		total += stream_random(&sequence, 500);
	assert_int_equal(mkdir(q->dir, 0750) < 0 && errno != EEXIST, 0);
	pid = support_fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		child_writes(q);
		_exit(0);
	}
	stream_open(q->dir, &view);
	while (at < total) {
		ssize_t n = cq_stream_pread(view.stream, bytes, sizeof bytes, at);

		assert_true(n >= 0);
		assert_true(stream_right(bytes, (size_t)n, at));
		at += (uint64_t)n;
		assert_int_equal(cq_stream_extent(view.stream, &begin, &end), 0);
		assert_true(begin == 0 && end >= at && end >= last && end <= total);
		last = end;
		if (n == 0)
			sched_yield();
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	stream_expect(view.stream, NULL, 0, total, 9000);
	stream_expect_extent(view.stream, 0, total);
	stream_close(&view);
}

/* ---- many threads ---- */

#define THREADS 4
#define RECORDS 12000U /* at least, and until there were so many reads: */
#define READS 1000U

struct crowd {
	cq_stream *stream;
	_Atomic bool over;
	_Atomic unsigned failures;
	_Atomic unsigned long reads, gone;
	_Atomic uint32_t segment; /* that the writer is in, or was */
};

#define HOLDS(crowd, condition)                                  \
	do {                                                     \
		if (!(condition)) {                              \
			atomic_fetch_add(&(crowd)->failures, 1); \
			print_error("%s\n", #condition);         \
			return;                                  \
		}                                                \
	} while (0)

/* One read at a random place gives the true bytes, or says that they are gone, and then they are. */
static void read_somewhere(struct crowd *c, uint64_t *sequence, uint8_t *bytes, size_t most,
                           uint64_t last[2])
{
	uint64_t begin, end, at, span, now;
	ssize_t n;

	HOLDS(c, cq_stream_extent(c->stream, &begin, &end) == 0);
	HOLDS(c, begin >= last[0] && end >= last[1] && begin <= end);
	last[0] = begin;
	last[1] = end;
	if (end == 0)
		return;
	span = end - begin;
	at = begin + stream_random(sequence, span + 2);
	if (at > 5000 && stream_random(sequence, 4) == 0)
		at -= 5000;
	n = cq_stream_pread(c->stream, bytes, 1 + stream_random(sequence, most), at);
	if (n > 0)
		HOLDS(c, stream_right(bytes, (size_t)n, at));
	if (n == 0)
		HOLDS(c, at >= end);
	if (n < 0) {
		HOLDS(c, n == -ENODATA);
		HOLDS(c, cq_stream_extent(c->stream, &now, &end) == 0);
		HOLDS(c, now > at);
		atomic_fetch_add(&c->gone, 1);
	}
	atomic_fetch_add(&c->reads, 1);
}

/* The segment that is being written, read by its id: all that it holds, whenever the writer leaves it. */
static void read_segment(struct crowd *c, uint8_t *bytes)
{
	const uint32_t id = atomic_load(&c->segment);
	struct cq_span span;
	ssize_t n;
	int r;

	r = cq_stream_segment(c->stream, id, &span);
	HOLDS(c, r == 0 || r == -ENOENT);
	n = cq_stream_segment_pread(c->stream, id, bytes, QS_SIZE, 0);
	HOLDS(c, n >= 0 || n == -ENOENT);
	if (r == 0 && n >= 0) {
		HOLDS(c, (size_t)n >= span.bytes);
		HOLDS(c, stream_right(bytes, span.bytes > 0 ? (size_t)n : 0, span.begin));
	}
}

static void *reads(void *arg)
{
	uint64_t last[2] = { 0, 0 }, sequence;
	struct crowd *c = arg;
	uint8_t *bytes = malloc(20000);

	sequence = (uint64_t)(uintptr_t)bytes;
	while (!atomic_load(&c->over) && atomic_load(&c->failures) == 0) {
		read_somewhere(c, &sequence, bytes, 20000, last);
		read_segment(c, bytes);
	}
	free(bytes);
	return NULL;
}

/* The writer appends, rolls and trims, while others read at random. */
static void crowd(struct qs *q, bool own)
{
	uint64_t sequence = 5, end = 0;
	struct crowd c = { .stream = NULL };
	pthread_t threads[THREADS];
	struct stream_view other;
	struct cq_stats stats = CQ_SIZED(stats);

	qs_anew(q);
	q->config.retain_segments = 40;
	assert_int_equal(cq_writer_open(q->dir, &q->config, &q->writer), 0);
	stream_open(q->dir, &other);
	c.stream = other.stream;
	if (own)
		assert_int_equal(cq_stream_open(cq_writer_queue(q->writer), &c.stream), 0);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, reads, &c), 0);
	for (unsigned i = 0;
	     (i < RECORDS || atomic_load(&c.reads) < READS) && atomic_load(&c.failures) == 0; i++) {
		stream_append(q->writer, &end, stream_random(&sequence, i % 100 ? 300 : 3900));
		cq_writer_stats(q->writer, &stats);
		atomic_store(&c.segment, stats.segment);
	}
	atomic_store(&c.over, true);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(atomic_load(&c.failures), 0);
	if (own)
		cq_stream_close(c.stream);
	stream_close(&other);
	assert_int_equal(cq_writer_close(q->writer), 0);
	q->writer = NULL;
}

static void many_threads_own(void **state)
{
	crowd(*state, true);
}

static void many_threads_other(void **state)
{
	crowd(*state, false);
}

static const struct CMUnitTest tests[] = {
	QS_TEST(grows_with_each_append),   QS_TEST(spans_of_a_live_queue),
	QS_TEST(bounds_without_waiting),   QS_TEST(share_a_catalogue),
	QS_TEST(left_far_behind),          QS_TEST(changes_nothing),
	QS_TEST(last_segment_is_replaced), QS_TEST(stays_in_unsealed_segment),
#ifdef CQ_FAULTS
	QS_TEST(looks_again_after_sealed), QS_TEST(ends_without_a_file),
#endif
	QS_TEST(another_process_writes),   QS_TEST(many_threads_own),
	QS_TEST(many_threads_other),
};

QS_MAIN(tests)
