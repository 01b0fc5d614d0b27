/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_powercut_found.c - what test_powercut has found, each as a disk made by hand
 *
 * Names and sizes of files without their data; next segments with more in them than they should
 * have; records that would follow a hole; a queue whose last segment chronicle-rs began.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "files/dir.h"
#include "queue_support.h"

static void goes_on(struct qs *q, unsigned first, unsigned count)
{
	struct cq_verify_result result = CQ_SIZED(result);

	qs_append(q->writer, first, count);
	assert_int_equal(cq_writer_sync(q->writer), 0);
	qs_close(q);
	assert_int_equal(cq_verify(q->dir, NULL, NULL, &result), 0);
	assert_int_equal(result.damage, 0);
}

/* Nothing else has come of a queue just made: this is no foreign directory. */
static void one_name_alone(void **state)
{
	static const char *const names[] = { "durable.meta", "index.meta", "writer.lock",
		                             "control.meta", "000000000.q" };
	struct qs *q = *state;

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		qs_write_file(q->dir, names[i], "", 0);
		qs_open(q);
		goes_on(q, 0, 40);
		qs_expect(q->dir, 0, 40);
		qs_anew(q);
	}
}

static void no_segment_has_a_size(void **state)
{
	struct qs *q = *state;

	for (uint32_t id = 0; id < 3; id++) {
		char name[CQ_NAME_MAX];

		cq_segment_name(name, id);
		qs_write_file(q->dir, name, "", 0);
	}
	qs_open(q);
	goes_on(q, 0, 40);
	qs_expect(q->dir, 0, 40);
}

/* Only the one in the middle tells. */
static void one_segment_has_a_size(void **state)
{
	struct qs *q = *state;

	qs_write_file(q->dir, "000000000.q", "", 0);
	qs_make_segment(q->dir, 1, 8192);
	qs_write_file(q->dir, "000000002.q", "", 0);
	q->config.segment_size = 0;
	qs_open(q);
	assert_int_equal(qs_stats(q->writer).segment_size, 8192);
	goes_on(q, 0, 40);
}

/* A next segment that had been written, and numbered, before the cut; its first page never came to
 * the disk with a record in it. */
static void spares_are_cleared(void **state)
{
	struct qs *q = *state;
	uint32_t crc;
	uint8_t header[64], record[64];

	q->config.segment_size = 8192;
	qs_write(q, 0, 3);
	support_peek(q->dir, "000000000.q", 64, record, sizeof record);
	support_poke(q->dir, "000000001.q", 4096, record, sizeof record);
	support_peek(q->dir, "000000001.q", 0, header, sizeof header);
	header[16] = 1;  /* ext */
	header[32] = 99; /* first sequence number */
	crc = qs_crc32(header + 24, 40);
	memcpy(header + 20, &crc, sizeof crc);
	support_poke(q->dir, "000000001.q", 0, header, sizeof header);
	qs_open(q);
	assert_true(qs_all_zero(q->dir, "000000001.q", 16, 8192));
	support_peek(q->dir, "000000001.q.broken", 4096, header, 48); /* the rest of it is zero */
	assert_memory_equal(header, record, 48);
	goes_on(q, 3, 100);
	qs_expect(q->dir, 0, 103);
}

/* Of the next segments but one, a name is there and that of the one before is not. */
static void spares_have_no_gap(void **state)
{
	struct qs *q = *state;

	qs_write(q, 0, 3);
	qs_make_segment(q->dir, 4, QS_SIZE);
	qs_open(q);
	assert_false(support_exists(q->dir, "000000004.q"));
	assert_true(support_exists(q->dir, "000000004.q.corrupt"));
	goes_on(q, 3, 30);
	qs_expect(q->dir, 0, 33);
}

static void open_golden(struct qs *q, const char *name)
{
	char golden[PATH_SIZE];

	support_golden(golden, name);
	support_copy(golden, q->dir);
	q->config.segment_size = 0;
	qs_open(q);
}

/* All that chronicle-rs wrote is made durable before anything of ours comes behind it. */
static void continued_queue_has_a_watermark(void **state)
{
	struct qs *q = *state;

	open_golden(*state, "v2-small");
	assert_int_equal(qs_peek64(q->dir, "durable.meta", 40), 1); /* generation 1: slot 1 */
	assert_int_equal(qs_peek64(q->dir, "durable.meta", 48), qs_stats(q->writer).offset);
	assert_int_equal(qs_peek64(q->dir, "durable.meta", 56), 40);
}

/* Ours behind them are lost, those in the next segment are not: they may not follow. */
static void hole_behind_records_of_chronicle(void **state)
{
	struct qs *q = *state;
	struct qs_record *records;
	uint64_t tail;

	open_golden(*state, "v2-small");
	tail = qs_stats(q->writer).offset;
	qs_append(q->writer, 40, 40);
	assert_true(qs_stats(q->writer).segment > 1);
	qs_close(q);
	qs_zero(q->dir, "000000001.q", 12, 64); /* its header as chronicle-rs left it */
	qs_zero(q->dir, "000000001.q", tail, QS_SIZE);
	qs_mark(q->dir, 1, tail, 40);
	qs_open(q);
	assert_int_equal(qs_stats(q->writer).next_seq, 40);
	assert_int_equal(qs_records(q->dir, &records), 40);
	free(records);
	goes_on(q, 40, 40);
}

/* The same where nothing of the current segment's records, and not even its number, is left. */
static void hole_behind_nothing(void **state)
{
	struct qs *q = *state;
	struct qs_record *records;

	qs_write(q, 0, 40);
	qs_zero(q->dir, "000000000.q", 12, QS_SIZE);
	qs_mark(q->dir, 0, 64, 0);
	qs_open(q);
	assert_int_equal(qs_stats(q->writer).next_seq, 0);
	assert_int_equal(qs_records(q->dir, &records), 0);
	free(records);
	goes_on(q, 0, 40);
}

/* chronicle-rs writes one of a segment that it leaves half full. */
static void its_index_goes_when_it_is_continued(void **state)
{
	struct qs *q = *state;

	open_golden(*state, "v2-small");
	assert_false(support_exists(q->dir, "000000001.idx"));
	assert_true(support_exists(q->dir, "000000000.idx"));
}

/* Its name and size have come to the disk, its bytes have not, or not all: no damage. */
static void hollow_index(void **state)
{
	struct qs *q = *state;
	struct cq_verify_result result = CQ_SIZED(result);
	uint8_t byte = 1;

	qs_write(q, 0, 40);
	qs_zero(q->dir, "000000000.idx", 0, 80);
	support_poke(q->dir, "000000000.idx", 0, &byte, 1); /* as no cut does it */
	assert_int_equal(cq_verify(q->dir, NULL, NULL, &result), 0);
	assert_int_equal(result.damage, 1);
	qs_zero(q->dir, "000000000.idx", 0, 104);
	assert_int_equal(cq_verify(q->dir, NULL, NULL, &result), 0);
	assert_int_equal(result.damage, 0);
	assert_true(result.information > 0);
}

static void trim_all_and_die(struct qs *q)
{
	qs_open(q);
	qs_append(q->writer, 0, 40);
	CHILD(cq_writer_roll(q->writer) == 0);
	CHILD(cq_writer_trim(q->writer, UINT64_MAX, 2) == 2);
	kill(getpid(), SIGKILL);
}

/* The current segment holds no record yet, and all before it is gone: it tells where the queue is. */
static void only_a_fresh_segment_is_left(void **state)
{
	struct qs *q = *state;
	struct qs_record *records;

	qs_run_killed(trim_all_and_die, q);
	qs_write(q, 40, 1);
	assert_int_equal(qs_records(q->dir, &records), 1);
	assert_int_equal(records[0].seq, 40);
	assert_int_equal(records[0].stream_offset,
	                 10 * strlen("record 0") + 30 * strlen("record 10"));
	free(records);
}

/* Retention had taken what the watermark names, and the segments after it never reached the disk:
 * the numbers below it have been given all the same. */
static void only_the_watermark_is_left(void **state)
{
	struct qs *q = *state;
	struct qs_record *records;

	qs_write(q, 0, 40);
	assert_int_equal(unlinkat(q->dirfd, "000000000.q", 0), 0);
	assert_int_equal(unlinkat(q->dirfd, "000000001.q", 0), 0);
	(void)unlinkat(q->dirfd, "000000002.q", 0);
	qs_mark(q->dir, 2, 64, 40);
	qs_write(q, 40, 1);
	assert_int_equal(qs_records(q->dir, &records), 1);
	assert_int_equal(records[0].segment, 2);
	assert_int_equal(records[0].seq, 40);
	free(records);
}

static const struct CMUnitTest tests[] = {
	QS_TEST(one_name_alone),
	QS_TEST(no_segment_has_a_size),
	QS_TEST(one_segment_has_a_size),
	QS_TEST(spares_are_cleared),
	QS_TEST(spares_have_no_gap),
	QS_TEST(continued_queue_has_a_watermark),
	QS_TEST(hole_behind_records_of_chronicle),
	QS_TEST(hole_behind_nothing),
	QS_TEST(its_index_goes_when_it_is_continued),
	QS_TEST(hollow_index),
	QS_TEST(only_a_fresh_segment_is_left),
	QS_TEST(only_the_watermark_is_left),
};

QS_MAIN(tests)
