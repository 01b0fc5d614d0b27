/* SPDX-License-Identifier: Apache-2.0 */
/* test_ship_source.c - which records of a queue ship takes: durable ones, in the order of their numbers, and its waits */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "os/clock.h"
#include "queue_support.h"
#include "ship/source.h"

#define WAIT_MS 30

static struct source *open_source(struct qs *q, bool visible)
{
	static struct source source;
	struct resume_queue queue;

	source = (struct source){ .dir = NULL };
	assert_int_equal(source_open(&source, q->dir, visible), 0);
	assert_int_equal(source_describe(&source, false, 0, &queue), 0);
	assert_int_equal(source_seek(&source, queue.first_seq), 0);
	return &source;
}

static void open_replica(struct qs *q)
{
	memset(q->config.replica_of, 7, sizeof q->config.replica_of);
	qs_open(q);
}

static void take(struct source *source, uint64_t first, unsigned count)
{
	const struct cq_record *record;

	for (unsigned i = 0; i < count; i++) {
		assert_int_equal(source_peek(source, &record), 1);
		assert_int_equal(record->seq, first + i);
		source_advance(source);
	}
}

static void pass_hole(struct source *source, uint64_t next)
{
	const struct cq_record *record;

	assert_int_equal(source_peek(source, &record), -ENODATA);
	assert_int_equal(source->hole_end, next);
	source_pass_hole(source);
}

/* There is none, and a wait for one is a wait. */
static void none_yet(struct source *source)
{
	const uint64_t begin = cq_monotonic_ns();
	const struct cq_record *record;

	assert_int_equal(source_peek(source, &record), 0);
	assert_int_equal(source_wait(source, WAIT_MS), 0);
	assert_true(cq_monotonic_ns() - begin >= WAIT_MS * 1000000ULL);
	assert_int_equal(source_peek(source, &record), 0);
}

static void durable_ones(void **state)
{
	struct qs *q = *state;
	struct source *source;

	qs_open(q);
	qs_append(q->writer, 0, 40);
	assert_int_equal(cq_writer_sync(q->writer), 0);
	qs_append(q->writer, 40, 3);
	source = open_source(q, false);
	take(source, 0, 40);
	none_yet(source);
	assert_int_equal(cq_writer_sync(q->writer), 0);
	assert_int_equal(source_wait(source, 10000), 0);
	take(source, 40, 3);
	none_yet(source);
	assert_int_equal(source_commit(source, 43), 0);
	source_close(source);
	source = open_source(q, true);
	qs_append(q->writer, 43, 2);
	take(source, 0, 45);
	none_yet(source);
	source_close(source);
}

/* Behind a gap, numbers say nothing about how many records are durable. */
static void durable_ones_behind_a_gap(void **state)
{
	struct qs *q = *state;
	struct source *source;

	open_replica(q);
	qs_append(q->writer, 0, 2);
	assert_int_equal(cq_writer_skip(q->writer, 1000, 0), 0);
	qs_append(q->writer, 1000, 2);
	assert_int_equal(cq_writer_sync(q->writer), 0);
	qs_append(q->writer, 1002, 2);
	source = open_source(q, false);
	take(source, 0, 2);
	pass_hole(source, 1000);
	take(source, 1000, 2);
	none_yet(source);
	/* a commit in between ends the batch that the records are in */
	assert_int_equal(source_commit(source, 1001), 0);
	none_yet(source);
	assert_int_equal(cq_writer_sync(q->writer), 0);
	assert_int_equal(source_wait(source, 10000), 0);
	take(source, 1002, 2);
	none_yet(source);
	source_close(source);
}

/* The numbers at the end of the queue have no record. */
static void gap_at_the_end(void **state)
{
	struct qs *q = *state;
	struct source *source;

	open_replica(q);
	qs_append(q->writer, 0, 2);
	assert_int_equal(cq_writer_skip(q->writer, 1000, 0), 0);
	assert_int_equal(cq_writer_sync(q->writer), 0);
	source = open_source(q, false);
	take(source, 0, 1);
	assert_false(source->at_end);
	take(source, 1, 1);
	none_yet(source);
	assert_true(source->at_end);
	qs_append(q->writer, 1000, 1);
	none_yet(source); /* it is not durable */
	assert_false(source->at_end);
	assert_int_equal(cq_writer_sync(q->writer), 0);
	pass_hole(source, 1000);
	take(source, 1000, 1);
	source_close(source);
}

/* The queue continues behind the golden one; whether its numbers name records. */
static void numbers_of(struct qs *q, const char *name, int error)
{
	char golden[PATH_SIZE];
	uint32_t segment = 9;
	cq_queue *queue;

	support_golden(golden, name);
	support_copy(golden, q->dir);
	q->config.segment_size = 0;
	qs_open(q);
	qs_append(q->writer, 0, 40); /* into the same segment, and another one */
	assert_int_equal(cq_writer_sync(q->writer), 0);
	assert_int_equal(cq_queue_open(q->dir, &queue), 0);
	assert_int_equal(source_check_numbers(queue, &segment), error);
	cq_queue_close(queue);
	qs_close(q);
}

/* chronicle-rs counts from 0 again: a seek would pass over its first run. */
static void numbers_given_again(void **state)
{
	struct source source = { .dir = NULL };
	struct qs *q = *state;

	numbers_of(q, "v2-reopened", -EILSEQ);
	assert_int_equal(source_open(&source, q->dir, false), 3);
	qs_anew(q);
	numbers_of(q, "v2-small", 0);
	assert_int_equal(source_open(&source, q->dir, false), 0);
	source_close(&source);
}

/* The queue loses records that were taken, and gives their numbers again, while ship is at work. */
static void numbers_go_back(void **state)
{
	const struct cq_record *record;
	struct qs *q = *state;
	struct source *source;

	qs_open(q);
	qs_append(q->writer, 0, 40);
	assert_int_equal(cq_writer_sync(q->writer), 0);
	source = open_source(q, false);
	take(source, 0, 40);
	source->next = 45; /* as if it had taken more */
	source->limit = 100;
	qs_append(q->writer, 40, 2);
	assert_int_equal(source_peek(source, &record), -EILSEQ);
	assert_int_equal(source->back_to, 40);
	source_close(source);
}

/* The same, and what comes has just the number that is due, at just the place where ship is. */
static void another_end(void **state)
{
	const struct cq_record *record;
	struct qs *q = *state;
	struct source *source;

	qs_open(q);
	qs_append(q->writer, 0, 40);
	assert_int_equal(cq_writer_sync(q->writer), 0);
	source = open_source(q, false);
	take(source, 0, 40);
	qs_close(q);
	qs_open(q); /* which loses nothing */
	qs_append(q->writer, 40, 3);
	assert_int_equal(cq_writer_sync(q->writer), 0);
	take(source, 40, 3);
	source->before.time_ns++; /* as if it had taken others */
	qs_close(q);
	qs_open(q);
	qs_append(q->writer, 43, 3);
	assert_int_equal(cq_writer_sync(q->writer), 0);
	assert_int_equal(source_peek(source, &record), -EILSEQ);
	assert_int_equal(source_peek(source, &record), -EILSEQ);
	assert_int_equal(source->back_to, 42);
	source_close(source);
}

/* The stream has fallen back to a record whose place damage hides: ship continues there, and commits before it. */
static void back_behind_damage(void **state)
{
	struct qs_record *records;
	struct qs *q = *state;
	struct source *source;
	char path[PATH_SIZE + 16];
	uint8_t bytes[24];
	size_t count;
	int fd;

	qs_open(q);
	qs_append(q->writer, 0, 100);
	assert_int_equal(cq_writer_sync(q->writer), 0);
	source = open_source(q, false);
	take(source, 0, 100);
	assert_int_equal(source_commit(source, 100), 0);
	count = qs_records(q->dir, &records);
	assert_int_equal(count, 100);
	assert_int_equal(records[40].segment, records[45].segment);
	(void)snprintf(path, sizeof path, "%s/%09u.q", q->dir, records[40].segment);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	memset(bytes, 0xff, sizeof bytes);
	assert_int_equal(pwrite(fd, bytes, sizeof bytes, (off_t)records[40].offset), sizeof bytes);
	close(fd);
	(void)snprintf(path, sizeof path, "%s/%09u.idx", q->dir, records[40].segment);
	(void)unlink(path);
	free(records);
	assert_int_equal(cq_reader_seek_seq(source->named, 45), -EIO);
	assert_int_equal(source_seek(source, 45), 0);
	assert_true(source->committed <= 40);
	source_close(source);
	/* the same after a restart */
	source = open_source(q, false);
	assert_true(source->committed <= 40);
	assert_int_equal(source_seek(source, 45), 0);
	source_close(source);
}

static const struct CMUnitTest tests[] = {
	QS_TEST(durable_ones),        QS_TEST(durable_ones_behind_a_gap), QS_TEST(gap_at_the_end),
	QS_TEST(numbers_given_again), QS_TEST(numbers_go_back),           QS_TEST(another_end),
	QS_TEST(back_behind_damage),
};

QS_MAIN(tests)
