/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_reader_cost.c - a reader that opens at the end, or where it has committed, lists no directory
 *
 * So it opens a queue of 10,000 segments as fast as one of ten.  It still finds the end when control.meta,
 * which usually names it, is missing or wrong.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <unistd.h>

#include "queue_support.h"

#define PER_SEGMENT 31
#define FULL 10 /* segments; the writer is in the last of them, and it is full */

static unsigned listings;

int __real_cq_io_list(int dirfd, DIR **ret_dir);
int __wrap_cq_io_list(int dirfd, DIR **ret_dir);

int __wrap_cq_io_list(int dirfd, DIR **ret_dir)
{
	listings++;
	return __real_cq_io_list(dirfd, ret_dir);
}

static cq_reader *reader_at(struct qs *q, const char *name, enum cq_start start)
{
	cq_reader *reader = NULL;

	assert_int_equal(cq_reader_open(q->dir, name, start, 0, &reader), 0);
	return reader;
}

static void expect_nothing(cq_reader *reader)
{
	struct cq_record record;

	assert_int_equal(cq_reader_next(reader, &record), 0);
	assert_int_equal(cq_reader_wait(reader, 1), 0);
}

static void expect_next(cq_reader *reader, uint64_t seq)
{
	struct cq_record record;

	assert_int_equal(cq_reader_next(reader, &record), 1);
	assert_int_equal(record.seq, seq);
}

static void append_one(struct qs *q)
{
	qs_open(q);
	qs_append(q->writer, 0, 1);
	qs_close(q);
}

static void opening_at_the_end(void **state)
{
	struct qs *q = *state;
	cq_reader *reader;

	for (unsigned spare = 0; spare < 2; spare++) {
		qs_anew(q);
		qs_write(q, 0, FULL * PER_SEGMENT);
		if (!spare)
			(void)unlinkat(q->dirfd, "000000010.q", 0);
		listings = 0;
		reader = reader_at(q, NULL, CQ_START_LATEST);
		expect_nothing(reader);
		assert_int_equal(listings, 0);
		append_one(q);
		expect_next(reader, FULL * PER_SEGMENT);
		cq_reader_close(reader);
	}
}

/* While the writer is in a segment that is not full. */
static void opening_beside_a_writer(void **state)
{
	struct qs *q = *state;
	cq_reader *reader;

	qs_open(q);
	qs_append(q->writer, 0, FULL * PER_SEGMENT + 5);
	listings = 0;
	reader = reader_at(q, NULL, CQ_START_LATEST);
	expect_nothing(reader);
	assert_int_equal(listings, 0);
	qs_append(q->writer, 0, PER_SEGMENT);
	for (unsigned i = 0; i < PER_SEGMENT; i++)
		expect_next(reader, FULL * PER_SEGMENT + 5 + i);
	cq_reader_close(reader);
	qs_close(q);
}

static void resuming(void **state)
{
	struct qs *q = *state;
	cq_reader *reader;

	qs_write(q, 0, FULL * PER_SEGMENT);
	reader = reader_at(q, "log", CQ_START_OLDEST);
	for (unsigned i = 0; i < 40; i++)
		expect_next(reader, i);
	assert_int_equal(cq_reader_commit(reader), 0);
	cq_reader_close(reader);
	listings = 0;
	reader = reader_at(q, "log", CQ_START_RESUME);
	expect_next(reader, 40);
	assert_int_equal(listings, 0);
	cq_reader_close(reader);
}

static void no_control(struct qs *q)
{
	assert_int_equal(unlinkat(q->dirfd, "control.meta", 0), 0);
}

static void names_segment(struct qs *q, uint32_t id)
{
	support_poke(q->dir, "control.meta", offsetof(struct cq_control_page, current_segment), &id,
	             sizeof id);
}

static void names_an_old_segment(struct qs *q)
{
	names_segment(q, 3);
}

/* Such as a crash that took the seal leaves. */
static void names_an_old_unsealed_segment(struct qs *q)
{
	names_segment(q, 3);
	qs_unseal(q->dir, 3);
}

static void names_a_missing_segment(struct qs *q)
{
	names_segment(q, 77);
}

static void names_no_segment_at_all(struct qs *q)
{
	names_segment(q, UINT32_MAX);
}

static void names_another_size(struct qs *q)
{
	const uint64_t size = 2 * QS_SIZE;

	support_poke(q->dir, "control.meta", offsetof(struct cq_control_page, segment_size), &size,
	             sizeof size);
}

/* Nothing that control.meta says is believed unchecked. */
static void control_that_is_wrong(void **state)
{
	static void (*const wrong[])(struct qs * q) = {
		no_control,
		names_an_old_segment,
		names_an_old_unsealed_segment,
		names_a_missing_segment,
		names_no_segment_at_all,
		names_another_size,
	};
	struct qs *q = *state;

	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		cq_reader *reader;

		qs_anew(q);
		qs_write(q, 0, FULL * PER_SEGMENT);
		wrong[i](q);
		reader = reader_at(q, NULL, CQ_START_LATEST);
		expect_nothing(reader);
		append_one(q);
		expect_next(reader, FULL * PER_SEGMENT);
		cq_reader_close(reader);
	}
}

static const struct CMUnitTest tests[] = {
	QS_TEST(opening_at_the_end),
	QS_TEST(opening_beside_a_writer),
	QS_TEST(resuming),
	QS_TEST(control_that_is_wrong),
};

QS_MAIN(tests)
