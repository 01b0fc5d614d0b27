/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_hostile_cut.c - files are cut short while the writer, or readers in many threads, have them mapped
 *
 * The calls return EIO, no SIGBUS ends the process, no acknowledged record is missing from the file, and the
 * rest of the queue works.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <unistd.h>

#include "queue_support.h"
#include "write/writer.h"

#define LARGE (64U << 10) /* segments of more than a page */
#define COUNT(list) (sizeof(list) / sizeof(list)[0])
#define AT(record) (64 + (uint64_t)(record)*128)

/* ThreadSanitizer holds a lock in atomic stores that its signal handling needs, too. */
#if defined(__SANITIZE_THREAD__)
#define THREAD_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define THREAD_SANITIZER 1
#endif
#endif
#ifndef THREAD_SANITIZER
#define THREAD_SANITIZER 0
#endif

static void cut(const struct qs *q, const char *name, off_t size)
{
	char path[PATH_SIZE];

	support_path(path, q->dir, name);
	assert_int_equal(truncate(path, size), 0);
}

/* The current segment, cut at several places. */
static void cut_under_the_writer(void **state)
{
	static const off_t sizes[] = { 0, 4096, 8192, 61440 };
	struct qs *q = *state;
	struct cq_record record;
	cq_reader *reader;
	static const char payload[20];
	unsigned taken;

	q->config.segment_size = LARGE;
	for (size_t i = 0; i < COUNT(sizes); i++) {
		int r = 0;

		qs_open(q);
		qs_append(q->writer, 0, 10);
		assert_int_equal(cq_writer_roll(q->writer), 0);
		qs_append(q->writer, 10, 30);
		cut(q, "000000001.q", sizes[i]);
		/* the first record that needs missing bytes is refused */
		for (taken = 0; taken < 600 && r == 0; taken += r == 0)
			r = cq_writer_append(q->writer, 1, payload, sizeof payload, NULL);
		assert_int_equal(r, -EIO);
		assert_true(AT(30 + taken) <= (uint64_t)sizes[i] || taken == 0);
		assert_int_equal(cq_writer_append(q->writer, 1, "x", 1, NULL), -EIO);
		assert_int_equal(cq_writer_sync(q->writer), -EIO);
		assert_int_equal(cq_writer_roll(q->writer), -EIO);
		qs_flush(q->writer);
		assert_true(qs_logged(q, "error the current segment's file was cut short"));
		assert_int_equal(cq_reader_open(q->dir, NULL, CQ_START_OLDEST, 0, &reader), 0);
		for (unsigned n = 0; n < 10; n++)
			assert_int_equal(cq_reader_next(reader, &record), 1);
		assert_int_equal(cq_reader_next(reader, &record), sizes[i] > 0 ? -EIO : -EBADMSG);
		cq_reader_close(reader);
		assert_int_equal(cq_writer_close(q->writer), -EIO);
		q->writer = NULL;
		q->config.accept_loss = true;
		qs_open(q);
		assert_true(qs_stats(q->writer).next_seq >= 10);
		assert_int_equal(cq_writer_append(q->writer, 1, "x", 1, NULL), 0);
		qs_close(q);
		q->config.accept_loss = false;
		qs_anew(q);
	}
}

/* The record's beginning is in the file, its end is not: it is not committed. */
static void cut_within_a_record(void **state)
{
	static const char payload[8000];
	struct qs *q = *state;

	q->config.segment_size = LARGE;
	qs_open(q);
	qs_append(q->writer, 0, 10);
	cut(q, "000000000.q", 4096);
	assert_int_equal(cq_writer_append(q->writer, 1, payload, sizeof payload, NULL), -EIO);
	assert_int_equal(qs_peek32(q->dir, "000000000.q", AT(10)), 0);
	assert_int_equal(cq_writer_close(q->writer), -EIO);
	q->writer = NULL;
}

/* Cut within bytes that the writer no longer touches: a sync checks the size nevertheless. */
static void sync_of_what_was_cut(void **state)
{
	struct qs *q = *state;

	q->config.segment_size = LARGE;
	qs_open(q);
	qs_append(q->writer, 0, 40);
	assert_int_equal(cq_writer_sync(q->writer), 0);
	qs_append(q->writer, 40, 1);
	cut(q, "000000000.q", 8192);
	assert_int_equal(cq_writer_sync(q->writer), -EIO);
	assert_int_equal(cq_writer_append(q->writer, 1, "x", 1, NULL), -EIO);
	assert_int_equal(cq_writer_close(q->writer), -EIO);
	q->writer = NULL;
}

/* The seal would not reach the file. */
static void cut_before_the_roll(void **state)
{
	struct qs *q = *state;

	qs_open(q);
	qs_append(q->writer, 0, 31);
	qs_prepare(q->writer);
	cut(q, "000000000.q", 0);
	assert_int_equal(cq_writer_append(q->writer, 1, "x", 1, NULL), -EIO);
	assert_int_equal(qs_stats(q->writer).segment, 0);
	assert_int_equal(cq_writer_close(q->writer), -EIO);
	q->writer = NULL;
}

static void control_cut_short(void **state)
{
	struct qs *q = *state;
	struct cq_record record;
	cq_reader *before, *behind;

	if (THREAD_SANITIZER)
		NOT_HERE("an atomic store that faults is more than ThreadSanitizer can do");
	qs_open(q);
	qs_append(q->writer, 0, 5);
	assert_int_equal(cq_reader_open(q->dir, NULL, CQ_START_OLDEST, 0, &before), 0);
	cut(q, "control.meta", 0);
	qs_append(q->writer, 5, 65); /* over rolls */
	qs_flush(q->writer);
	assert_int_equal(cq_reader_open(q->dir, NULL, CQ_START_OLDEST, 0, &behind), 0);
	for (unsigned i = 0; i < 70; i++) {
		assert_int_equal(cq_reader_next(before, &record), 1);
		assert_int_equal(cq_reader_next(behind, &record), 1);
		assert_int_equal(record.seq, i);
	}
	assert_int_equal(cq_reader_wait(before, 20), 0);
	qs_append(q->writer, 70, 1);
	assert_int_equal(cq_reader_wait(before, 2000), 1);
	assert_int_equal(cq_reader_wait(behind, 2000), 1);
	cq_reader_close(before);
	cq_reader_close(behind);
	qs_close(q);
	qs_write(q, 71, 9);
	qs_expect(q->dir, 0, 80);
	qs_format_check(q->dir, "--closed");
}

struct asked {
	struct cq_sync_request request;
	sem_t answered;
};

static void answer(struct cq_sync_request *request, int result)
{
	struct asked *asked = (struct asked *)(void *)request; /* its first member */

	CHILD(result == 0);
	CHILD(sem_post(&asked->answered) == 0);
}

static void control_cut_under_the_threads_child(struct qs *q)
{
	struct asked asked = { .request = { .done = answer } };
	char path[PATH_SIZE];

	CHILD(cq_writer_open(q->dir, &q->config, &q->writer) == 0);
	CHILD(cq_writer_append(q->writer, 1, "a", 1, NULL) == 0);
	support_path(path, q->dir, "control.meta");
	CHILD(truncate(path, 0) == 0);
	CHILD(sem_init(&asked.answered, 0, 0) == 0);
	/* the flusher may have passed before the first; it passes again before the second */
	for (int i = 0; i < 2; i++) {
		cq_writer_sync_async(q->writer, &asked.request);
		while (sem_wait(&asked.answered) < 0)
			CHILD(errno == EINTR);
	}
	CHILD(cq_writer_append(q->writer, 1, "b", 1, NULL) == 0);
	CHILD(cq_writer_close(q->writer) == 0);
}

/* A thread of the library touches it first, for the sign of life. */
static void control_cut_under_the_threads(void **state)
{
	if (THREAD_SANITIZER)
		NOT_HERE("an atomic store that faults is more than ThreadSanitizer can do");
	qs_run(control_cut_under_the_threads_child, *state);
}

struct cut_reader {
	struct qs *q;
	pthread_barrier_t *barrier;
	unsigned records, errors;
};

/* Is in segment 1 while that is cut. */
static void *read_on(void *arg)
{
	struct cut_reader *c = arg;
	struct cq_record record;
	cq_reader *reader;
	int r = cq_reader_open(c->q->dir, NULL, CQ_START_OLDEST, 0, &reader);

	for (; r == 0 && c->records < 520; c->records++)
		r = cq_reader_next(reader, &record) == 1 ? 0 : -1;
	pthread_barrier_wait(c->barrier);
	pthread_barrier_wait(c->barrier);
	while (r >= 0) {
		r = cq_reader_next(reader, &record);
		if (r == 1)
			c->records++;
		else if (r == 0)
			break;
		else if (r == -EIO && ++c->errors == 1)
			r = cq_reader_skip_segment(reader);
	}
	cq_reader_close(reader);
	return NULL;
}

/* Each thread gets EIO once for the segment that was cut, and reads the others. */
static void cut_under_many_readers(void **state)
{
	struct cut_reader readers[4];
	pthread_barrier_t barrier;
	pthread_t threads[4];
	struct qs *q = *state;

	q->config.segment_size = LARGE;
	qs_write(q, 0, 3 * 511); /* three segments full */
	pthread_barrier_init(&barrier, NULL, 5);
	for (int i = 0; i < 4; i++) {
		readers[i] = (struct cut_reader){ q, &barrier, 0, 0 };
		assert_int_equal(pthread_create(&threads[i], NULL, read_on, &readers[i]), 0);
	}
	pthread_barrier_wait(&barrier);
	cut(q, "000000001.q", 4096);
	pthread_barrier_wait(&barrier);
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(readers[i].errors, 1);
		assert_int_equal(readers[i].records, 511 + 31 + 511);
	}
	pthread_barrier_destroy(&barrier);
}

static const struct CMUnitTest tests[] = {
	QS_TEST(cut_under_the_writer),   QS_TEST(cut_within_a_record),
	QS_TEST(sync_of_what_was_cut),   QS_TEST(cut_before_the_roll),
	QS_TEST(control_cut_short),      QS_TEST(control_cut_under_the_threads),
	QS_TEST(cut_under_many_readers),
};

QS_MAIN(tests)
