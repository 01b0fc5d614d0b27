/* SPDX-License-Identifier: Apache-2.0 */
/* matrix_read.c - the operations of readers, of streams, and of inspection; see matrix.h */
#include "matrix.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FROM 5U    /* a reader's position before it seeks */
#define TARGET 50U /* a record in the second segment */

/* ---- readers ---- */

/* The next record is this one. */
static void expect_next(struct mx *m, unsigned number)
{
	struct cq_record record;
	char text[32];
	int n = snprintf(text, sizeof text, "record %u", number);
	int r = cq_reader_next(m->reader, &record);

	if (r != 1)
		fail_msg("record %u: %d", number, r);
	assert_int_equal(record.seq, number);
	assert_int_equal(record.length, n);
	assert_memory_equal(record.payload, text, (size_t)n);
}

static void close_reader(struct mx *m)
{
	cq_reader_close(m->reader);
	m->reader = NULL;
}

static int open_reader(struct mx *m)
{
	return cq_reader_open(m->q->dir, MX_READER, CQ_START_RESUME, 0, &m->reader);
}

static void resumed(struct mx *m)
{
	if (!m->reader)
		assert_int_equal(open_reader(m), 0);
	expect_next(m, MX_COMMITTED);
	close_reader(m);
}

static void anonymous(struct mx *m)
{
	assert_int_equal(cq_reader_open(m->q->dir, NULL, CQ_START_OLDEST, 0, &m->reader), 0);
}

static int read_all(struct mx *m)
{
	struct cq_record record;
	int r;

	while ((r = cq_reader_next(m->reader, &record)) > 0) {
		assert_int_equal(record.seq, m->read);
		m->read++;
	}
	if (r == 0)
		r = cq_reader_wait(m->reader, 0);
	return r;
}

/* What the failure kept back comes now, and nothing twice. */
static void read_on(struct mx *m)
{
	while (m->read < m->count)
		expect_next(m, m->read++);
	assert_int_equal(read_all(m), 0);
	close_reader(m);
}

static void stand(struct mx *m)
{
	anonymous(m);
	for (unsigned i = 0; i < FROM; i++)
		expect_next(m, i);
}

/* A reader whose seek failed has not moved. */
static int sought(struct mx *m, int result, unsigned to)
{
	m->read = result < 0 ? FROM : to;
	return result;
}

static int seek_seq(struct mx *m)
{
	return sought(m, cq_reader_seek_seq(m->reader, TARGET), TARGET);
}

static int seek_end(struct mx *m)
{
	return sought(m, cq_reader_seek_end(m->reader), m->count);
}

static int seek_stream(struct mx *m)
{
	uint64_t offset = 0, skip = 0;
	char text[32];
	int r;

	for (unsigned i = 0; i < TARGET; i++)
		offset += (uint64_t)snprintf(text, sizeof text, "record %u", i);
	r = cq_reader_seek_stream(m->reader, offset + 3, &skip);
	if (r == 0)
		assert_int_equal(skip, 3);
	return sought(m, r, TARGET);
}

static uint64_t target_time;

static void stand_and_ask_time(struct mx *m)
{
	struct qs_record *records;

	stand(m);
	assert_true(qs_records(m->q->dir, &records) > TARGET);
	target_time = records[TARGET].time_ns;
	assert_true(records[TARGET - 1].time_ns < target_time);
	free(records);
}

static int seek_time(struct mx *m)
{
	return sought(m, cq_reader_seek_time(m->reader, target_time), TARGET);
}

static void named(struct mx *m)
{
	assert_int_equal(open_reader(m), 0);
	expect_next(m, MX_COMMITTED);
}

/* A reader whose file its open has made. */
static void new_name(struct mx *m)
{
	anonymous(m);
	close_reader(m);
	assert_int_equal(cq_reader_open(m->q->dir, "other", CQ_START_OLDEST, 0, &m->reader), 0);
	expect_next(m, 0);
}

static int commit(struct mx *m)
{
	int r = cq_reader_commit(m->reader);

	m->read = r == 0;
	return r;
}

/* The position is the new one or, if that failed, the old one. */
static void committed(struct mx *m)
{
	close_reader(m);
	assert_int_equal(open_reader(m), 0);
	expect_next(m, MX_COMMITTED + m->read);
	close_reader(m);
}

static void committed_first(struct mx *m)
{
	close_reader(m);
	assert_int_equal(
		cq_reader_open(m->q->dir, "other", CQ_START_RESUME_OR_OLDEST, 0, &m->reader), 0);
	expect_next(m, m->read);
	assert_int_equal(cq_reader_commit(m->reader), 0);
	close_reader(m);
}

/* The reader is as before, with its descriptor or without. */
static int ask_fd(struct mx *m)
{
	struct pollfd p = { .events = POLLIN };
	int fd = cq_reader_fd(m->reader);

	m->read = FROM;
	if (fd < 0)
		return fd;
	p.fd = fd;
	assert_int_equal(poll(&p, 1, 0), 1);
	return 0;
}

struct mx_op mx_reader_fd = { MX_CLOSED, 0, stand, ask_fd, read_on };
struct mx_op mx_reader_open = { MX_CLOSED, 0, NULL, open_reader, resumed };
struct mx_op mx_reader_next = { MX_CLOSED, 0, anonymous, read_all, read_on };
struct mx_op mx_reader_seek_seq = { MX_CLOSED, 0, stand, seek_seq, read_on };
struct mx_op mx_reader_seek_time = { MX_CLOSED, 0, stand_and_ask_time, seek_time, read_on };
struct mx_op mx_reader_seek_stream = { MX_CLOSED, 0, stand, seek_stream, read_on };
struct mx_op mx_reader_seek_end = { MX_CLOSED, 0, stand, seek_end, read_on };
struct mx_op mx_reader_commit = { MX_CLOSED, 0, named, commit, committed };
struct mx_op mx_reader_commit_first = { MX_CLOSED, 0, new_name, commit, committed_first };

/* ---- the stream of payloads ---- */

#define STREAM_MOST 4096

static char expected[STREAM_MOST];
static size_t expected_length;

static void open_stream(struct mx *m)
{
	expected_length = 0;
	for (unsigned i = 0; i < m->count; i++)
		expected_length +=
			(size_t)snprintf(expected + expected_length,
		                         sizeof expected - expected_length, "record %u", i);
	assert_int_equal(cq_queue_open(m->q->dir, &m->queue), 0);
	assert_int_equal(cq_stream_open(m->queue, &m->stream), 0);
}

/* Reads on to the end, or to the first failure; never a wrong byte. */
static int read_stream(struct mx *m)
{
	char buffer[100];
	ssize_t n;

	while ((n = cq_stream_pread(m->stream, buffer, sizeof buffer, m->read)) > 0) {
		assert_true((size_t)n <= expected_length - m->read);
		assert_memory_equal(buffer, expected + m->read, (size_t)n);
		m->read += (unsigned)n;
	}
	return (int)n;
}

static void close_stream(struct mx *m)
{
	cq_stream_close(m->stream);
	cq_queue_close(m->queue);
	m->stream = NULL;
	m->queue = NULL;
}

static int ask_ends(struct mx *m)
{
	/* a segment that gives EIO is damaged, and hides how much it holds */
	const bool hidden = m->error == EIO;
	uint64_t begin, end, at;
	struct cq_span span;
	int r;

	r = cq_stream_extent(m->stream, &begin, &end);
	if (r == 0) {
		assert_int_equal(begin, 0);
		if (end != expected_length && !hidden)
			fail_msg("begin %u end %u of %u", (unsigned)begin, (unsigned)end,
			         (unsigned)expected_length);
		r = cq_stream_next_hole(m->stream, 0, &at);
	}
	if (r == 0) {
		assert_true(at == expected_length || hidden);
		r = cq_stream_next_data(m->stream, 300, &at);
	}
	if (r == 0) {
		assert_true(at == 300 || hidden);
		r = cq_stream_segment(m->stream, 1, &span);
	}
	return r;
}

static void stream_whole(struct mx *m)
{
	m->error = 0;
	assert_int_equal(ask_ends(m), 0);
	assert_int_equal(read_stream(m), 0);
	assert_int_equal(m->read, expected_length);
	close_stream(m);
}

/* The records of each segment; m->read is the number of the next one. */
static int read_records(struct mx *m)
{
	unsigned first = 0;
	uint64_t records = 1;
	int r = 0;

	for (uint32_t id = 0; r == 0 && first < m->count; id++) {
		r = cq_stream_segment_records(m->stream, id, &records);
		while (r == 0 && m->read < first + records) {
			struct cq_record_info info;
			char text[32];
			ssize_t n = cq_stream_segment_read_records(m->stream, id, m->read - first,
			                                           &info, 1);

			if (n <= 0)
				return n < 0 ? (int)n : -EIO;
			assert_int_equal(info.seq, m->read);
			assert_int_equal(info.length,
			                 snprintf(text, sizeof text, "record %u", m->read));
			m->read++;
		}
		first += (unsigned)records;
	}
	return r;
}

static void records_whole(struct mx *m)
{
	close_stream(m);
	open_stream(m);
	assert_int_equal(read_records(m), 0);
	assert_int_equal(m->read, m->count);
	close_stream(m);
}

/* The first question of all. */
static int read_records_first(struct mx *m)
{
	struct cq_record_info info;
	ssize_t n = cq_stream_segment_read_records(m->stream, 1, 0, &info, 1);

	if (n <= 0)
		return n < 0 ? (int)n : -EIO;
	assert_int_equal(info.seq, 31);
	return 0;
}

struct mx_op mx_stream_records_first = { MX_CLOSED, 0, open_stream, read_records_first,
	                                 records_whole };
struct mx_op mx_stream_records = { MX_CLOSED, 0, open_stream, read_records, records_whole };
struct mx_op mx_stream_read = { MX_CLOSED, 0, open_stream, read_stream, stream_whole };
struct mx_op mx_stream_ends = { MX_CLOSED, 0, open_stream, ask_ends, stream_whole };

/* ---- looking ---- */

static void seen_reader(void *arg, const struct cq_reader_position *position)
{
	struct mx *m = arg;

	assert_string_equal(position->name, MX_READER);
	m->read++;
}

static int look_at_segment(struct mx *m, uint32_t id)
{
	struct cq_segment_info content = CQ_SIZED(content), counted = CQ_SIZED(counted);
	struct cq_segment_attr attr;
	struct cq_segment_info info = CQ_SIZED(info);
	cq_segment *segment;
	int r;

	r = cq_queue_segment_attr(m->queue, id, NULL, &attr);
	if (r < 0)
		return r;
	r = cq_segment_open(m->queue, id, &segment);
	if (r < 0)
		return r;
	r = cq_segment_info(segment, CQ_SEGMENT_HEADER, &info);
	if (r == 0)
		r = cq_segment_info(segment, CQ_SEGMENT_RECORDS, &counted);
	if (r == 0)
		r = cq_segment_info(segment, CQ_SEGMENT_CONTENT, &content);
	if (r == 0) {
		assert_int_equal(content.records, counted.records);
		assert_int_equal(content.used, counted.used);
		assert_int_equal(content.first_seq, counted.first_seq);
		assert_false(counted.damaged);
		r = cq_queue_segment_attr(m->queue, id, segment, &attr);
	}
	cq_segment_close(segment);
	return r;
}

static int look(struct mx *m)
{
	struct cq_queue_info info = CQ_SIZED(info);
	struct cq_holder holder = CQ_SIZED(holder);
	uint32_t *ids, oldest, newest;
	size_t count;
	int r;

	r = cq_queue_open(m->q->dir, &m->queue);
	if (r < 0)
		return r;
	r = cq_queue_info(m->queue, &info);
	if (r == 0)
		r = cq_queue_holder(m->queue, &holder);
	if (r == 0)
		r = cq_queue_ends(m->queue, &oldest, &newest);
	if (r == 0) {
		assert_int_equal(oldest, 0);
		assert_int_equal(newest, info.newest);
		r = cq_queue_readers(m->queue, seen_reader, m);
	}
	if (r == 0)
		r = cq_queue_list(m->queue, &ids, &count);
	if (r == 0) {
		assert_int_equal(count, info.segments);
		free(ids);
	}
	for (uint32_t id = 0; r == 0 && id <= newest; id++)
		r = look_at_segment(m, id);
	cq_queue_close(m->queue);
	m->queue = NULL;
	return r;
}

/* What gives EIO may be called damaged; but want of means says nothing about a queue. */
static int verify(struct mx *m)
{
	const bool no_sign =
		m->error == 0 || m->error == EMFILE || m->error == ENFILE || m->error == ENOMEM;
	struct cq_verify_result result = CQ_SIZED(result);
	int r = cq_verify(m->q->dir, NULL, NULL, &result);

	if (r == 0 && no_sign)
		assert_int_equal(result.damage, 0);
	return r;
}

struct mx_op mx_queue_look = { MX_CLOSED, 0, NULL, look, NULL };
struct mx_op mx_verify = { MX_CLOSED, 0, NULL, verify, NULL };
