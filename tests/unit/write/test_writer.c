/* SPDX-License-Identifier: Apache-2.0 */
/* test_writer.c - append, batch, roll, limits, numbering, statistics, many threads */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "queue_support.h"
#include "write/writer.h"

static void append_appendv_batch(void **state)
{
	char text[] = "record 1";
	struct iovec iov[] = { { text, 3 }, { NULL, 0 }, { text + 3, 5 } };
	const struct cq_message batch[] = { { "record 2", 8, 7 }, { "record 3", 8, 8 } };
	struct qs *q = *state;
	struct qs_record *records;
	struct cq_appended in;

	qs_open(q);
	assert_int_equal(cq_writer_append(q->writer, 1, "record 0", 8, &in), 0);
	assert_int_equal(in.seq, 0);
	assert_int_equal(cq_writer_appendv(q->writer, 2, iov, 3, &in), 0);
	assert_int_equal(in.seq, 1);
	assert_int_equal(cq_writer_append_batch(q->writer, batch, 2, &in), 2);
	assert_int_equal(in.seq, 2);
	assert_int_equal(in.count, 2);
	assert_int_equal(cq_writer_append_batch(q->writer, batch, 0, NULL), 0);
	assert_int_equal(cq_writer_append(q->writer, 1, "record 4", 8, NULL), 0);
	qs_expect(q->dir, 0, 5);
	assert_int_equal(qs_records(q->dir, &records), 5);
	assert_int_equal(records[1].type, 2);
	assert_int_equal(records[3].type, 8);
	assert_int_equal(records[2].time_ns, records[3].time_ns);
	assert_int_equal(records[4].stream_offset, 32);
	free(records);
}

/* The failed message left no record; a call with the rest of the batch gives the error. */
static void batch_stops_at_the_first_failure(void **state)
{
	static char big[QS_SIZE];
	const struct cq_message batch[] = { { "record 0", 8, 1 },
		                            { "record 1", 8, 1 },
		                            { big, sizeof big, 1 },
		                            { "never", 5, 1 } };
	struct qs *q = *state;
	struct cq_appended in;

	qs_open(q);
	assert_int_equal(cq_writer_append_batch(q->writer, batch, 4, &in), 2);
	assert_int_equal(in.seq, 0);
	assert_int_equal(in.count, 2);
	assert_int_equal(cq_writer_append_batch(q->writer, batch + 2, 2, &in), -EMSGSIZE);
	assert_int_equal(in.count, 0);
	qs_expect(q->dir, 0, 2);
}

/* Records of 1024 + 1024 + 1024 + 960 bytes fill 4096 - 64 to the last byte. */
static void exact_fit_stays_one_byte_more_rolls(void **state)
{
	static const char payload[1024];
	struct qs *q = *state;
	struct cq_stats s = CQ_SIZED(s);

	qs_open(q);
	for (int i = 0; i < 3; i++)
		assert_int_equal(cq_writer_append(q->writer, 1, payload, 960, NULL), 0);
	assert_int_equal(cq_writer_append(q->writer, 1, payload, 896, NULL), 0);
	s = qs_stats(q->writer);
	assert_int_equal(s.segment, 0);
	assert_int_equal(s.offset, QS_SIZE);
	assert_int_equal(cq_writer_append(q->writer, 1, payload, 0, NULL), 0);
	assert_int_equal(qs_stats(q->writer).segment, 1);
	for (int i = 0; i < 3; i++)
		assert_int_equal(cq_writer_append(q->writer, 1, payload, 960, NULL), 0);
	assert_int_equal(qs_stats(q->writer).segment, 1);
	assert_int_equal(QS_SIZE - qs_stats(q->writer).offset, 896);
	assert_int_equal(cq_writer_append(q->writer, 1, payload, 896 - 64 + 1, NULL), 0);
	s = qs_stats(q->writer);
	assert_int_equal(s.segment, 2);
	assert_int_equal(s.offset, 64 + 960);
	assert_int_equal(qs_peek32(q->dir, "000000001.q", 12), CQ_SEALED);
	assert_int_equal(qs_peek64(q->dir, "000000001.q", 48), QS_SIZE - 896);
	assert_int_equal(qs_peek64(q->dir, "000000000.q", 48), QS_SIZE);
	qs_close(q);
	qs_format_check(q->dir, "--closed");
}

static void limits_of_a_record(void **state)
{
	static char payload[QS_SIZE];
	struct iovec huge[2] = { { payload, SIZE_MAX / 2 }, { payload, SIZE_MAX / 2 + 2 } };
	struct qs *q = *state;
	struct qs_record *records;
	struct cq_appended in = { .count = 99 };

	qs_open(q);
	memset(payload, 'x', sizeof payload);
	assert_int_equal(cq_writer_max_payload(q->writer), QS_SIZE - 128);
	assert_int_equal(cq_writer_append(q->writer, 1, payload, QS_SIZE - 127, &in), -EMSGSIZE);
	assert_int_equal(cq_writer_appendv(q->writer, 1, huge, 2, &in), -EMSGSIZE);
	assert_int_equal(cq_writer_append(q->writer, 0xFFFF, payload, 1, &in), -EINVAL);
	assert_int_equal(in.count, 0);
	assert_int_equal(qs_stats(q->writer).next_seq, 0);
	assert_int_equal(qs_stats(q->writer).offset, 64);
	assert_int_equal(cq_writer_append(q->writer, 0xFFFE, NULL, 0, &in), 0);
	assert_int_equal(cq_writer_append(q->writer, 0, payload, QS_SIZE - 128, &in), 0);
	assert_int_equal(in.seq, 1);
	assert_int_equal(qs_records(q->dir, &records), 2);
	assert_int_equal(records[0].length, 0);
	assert_int_equal(records[0].type, 0xFFFE);
	assert_int_equal(records[1].length, QS_SIZE - 128);
	assert_int_equal(records[1].segment, 1);
	free(records);
	qs_close(q);
	qs_format_check(q->dir, "--closed");
}

static void roll_on_demand(void **state)
{
	struct qs *q = *state;

	qs_open(q);
	assert_int_equal(cq_writer_roll(q->writer), 0); /* an empty segment: nothing happens */
	assert_int_equal(qs_stats(q->writer).segment, 0);
	qs_append(q->writer, 0, 1);
	assert_int_equal(cq_writer_roll(q->writer), 0);
	assert_int_equal(cq_writer_roll(q->writer), 0);
	assert_int_equal(qs_stats(q->writer).segment, 1);
	qs_append(q->writer, 1, 1);
	qs_close(q);
	qs_expect(q->dir, 0, 2);
	qs_format_check(q->dir, "--closed");
}

/* After a roll behind the last sync the old segment is complete, too: index, final time. */
static void roll_then_close_finishes_the_old_segment(void **state)
{
	struct qs *q = *state;
	struct qs_record *records;

	qs_open(q);
	qs_append(q->writer, 0, 3);
	assert_int_equal(cq_writer_sync(q->writer), 0);
	assert_int_equal(cq_writer_roll(q->writer), 0);
	qs_close(q);
	assert_true(support_exists(q->dir, "000000000.idx"));
	assert_int_equal(qs_records(q->dir, &records), 3);
	assert_int_equal(qs_mtime_ns(q->dir, "000000000.q"), records[2].time_ns);
	free(records);
}

static void numbering_goes_on_when_reopened(void **state)
{
	struct qs *q = *state;
	struct cq_stats s = CQ_SIZED(s);

	for (unsigned i = 0; i < 4; i++) {
		q->config.segment_size = i == 0 ? QS_SIZE : 0; /* 0: the queue's */
		qs_open(q);
		s = qs_stats(q->writer);
		assert_int_equal(s.next_seq, i * 20);
		assert_int_equal(s.epoch, i + 1);
		assert_int_equal(s.segment_size, QS_SIZE);
		qs_append(q->writer, i * 20, 20);
		qs_close(q);
		qs_format_check(q->dir, "--closed");
	}
	qs_expect(q->dir, 0, 80);
}

static void statistics(void **state)
{
	struct qs *q = *state;
	struct cq_stats s = CQ_SIZED(s);

	qs_open(q);
	s = qs_stats(q->writer);
	assert_int_equal(s.next_seq, 0);
	assert_int_equal(s.last_time_ns, 0);
	assert_int_equal(s.prealloc_made, 1);
	qs_append(q->writer, 0, 31); /* one segment, full */
	qs_append(q->writer, 31, 1); /* takes the spare */
	s = qs_stats(q->writer);
	assert_int_equal(s.records, 32);
	assert_int_equal(s.bytes, 10 * 8 + 22 * 9);
	assert_int_equal(s.stream_end, s.bytes);
	assert_int_equal(s.rolls_ready, 1);
	assert_int_equal(s.rolls_waited + s.rolls_fallback, 0);
	assert_int_equal(s.unsynced, 1);
	assert_int_equal(s.durable_seq, 0);
	qs_append(q->writer, 32, 31); /* without background work: the fallback */
	s = qs_stats(q->writer);
	assert_int_equal(s.rolls_fallback, 1);
	assert_int_equal(s.segment, 2);
	assert_int_equal(cq_writer_sync(q->writer), 0);
	s = qs_stats(q->writer);
	assert_int_equal(s.durable_seq, 63);
	assert_int_equal(s.syncs, 1);
	assert_int_equal(s.sync_requests, 1);
	assert_int_equal(s.unsynced, 0);
	assert_true(s.sync_ns_max > 0 && s.sync_ns_total >= s.sync_ns_max);
	assert_int_equal(s.error, 0);
	assert_true(s.last_time_ns > 0);
}

/* ---- ids at their end ---- */

static void last_segment_id(void **state)
{
	static const char payload[QS_SIZE - 128];
	const struct cq_message two[] = { { payload, sizeof payload, 1 }, { "x", 1, 1 } };
	struct qs *q = *state;

	qs_make_segment(q->dir, CQ_SEGMENT_ID_MAX, QS_SIZE);
	qs_open(q);
	assert_int_equal(qs_stats(q->writer).segment, CQ_SEGMENT_ID_MAX);
	assert_int_equal(cq_writer_append_batch(q->writer, two, 2, NULL), 1);
	assert_int_equal(cq_writer_append(q->writer, 1, "x", 1, NULL), -EOVERFLOW);
	assert_int_equal(cq_writer_roll(q->writer), -EOVERFLOW);
	assert_int_equal(qs_stats(q->writer).next_seq, 1);
	assert_int_equal(qs_stats(q->writer).error, 0);
	qs_close(q);
	qs_open(q); /* full, not sealed: the queue can still be opened, though no record fits */
	assert_int_equal(cq_writer_append(q->writer, 1, "x", 1, NULL), -EOVERFLOW);
	qs_close(q);
	assert_int_equal(qs_count_names(q->dir, ".q"), 1);
}

static void last_segment_id_sealed(void **state)
{
	const uint32_t sealed = CQ_SEALED;
	struct qs *q = *state;

	qs_make_segment(q->dir, CQ_SEGMENT_ID_MAX, QS_SIZE);
	support_poke(q->dir, "999999999.q", 12, &sealed, sizeof sealed);
	assert_int_equal(qs_try_open(q), -EOVERFLOW);
	assert_int_equal(qs_count_names(q->dir, ".q"), 1);
}

/* ---- many threads ---- */

#define THREADS 4
#define EACH 1500

struct appender {
	cq_writer *writer;
	unsigned number;
	int result;
	uint64_t last_seq;
};

static void *append_many(void *arg)
{
	struct appender *a = arg;
	struct cq_appended in = { 0 };
	uint64_t before = 0;
	char text[32];

	for (unsigned i = 0; i < EACH && a->result == 0; i++) {
		int n = snprintf(text, sizeof text, "%u %u", a->number, i);

		a->result = cq_writer_append(a->writer, 1, text, (size_t)n, &in);
		if (i > 0 && in.seq <= before)
			a->result = -ERANGE;
		before = in.seq;
	}
	a->last_seq = before;
	return NULL;
}

static void many_threads(void **state)
{
	struct qs *q = *state;
	struct appender appenders[THREADS];
	pthread_t threads[THREADS];
	unsigned next[THREADS] = { 0 };
	struct qs_record *records;
	uint64_t highest = 0;

	assert_int_equal(cq_writer_open(q->dir, &q->config, &q->writer), 0);
	for (unsigned i = 0; i < THREADS; i++) {
		appenders[i] = (struct appender){ .writer = q->writer, .number = i };
		assert_int_equal(pthread_create(&threads[i], NULL, append_many, &appenders[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(appenders[i].result, 0);
		if (appenders[i].last_seq > highest)
			highest = appenders[i].last_seq;
	}
	assert_int_equal(highest, THREADS * EACH - 1);
	qs_close(q);
	assert_int_equal(qs_records(q->dir, &records), THREADS * EACH);
	for (size_t i = 0; i < THREADS * EACH; i++) {
		unsigned number, count;

		assert_int_equal(records[i].seq, i);
		assert_int_equal(sscanf(records[i].text, "%u %u", &number, &count), 2);
		assert_true(number < THREADS);
		assert_int_equal(count, next[number]++);
	}
	free(records);
	qs_format_check(q->dir, "--closed");
}

static const struct CMUnitTest tests[] = {
	QS_TEST(append_appendv_batch),
	QS_TEST(batch_stops_at_the_first_failure),
	QS_TEST(exact_fit_stays_one_byte_more_rolls),
	QS_TEST(limits_of_a_record),
	QS_TEST(roll_on_demand),
	QS_TEST(roll_then_close_finishes_the_old_segment),
	QS_TEST(numbering_goes_on_when_reopened),
	QS_TEST(statistics),
	QS_TEST(last_segment_id),
	QS_TEST(last_segment_id_sealed),
	QS_TEST(many_threads),
};

QS_MAIN(tests)
