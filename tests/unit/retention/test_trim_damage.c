/* SPDX-License-Identifier: Apache-2.0 */
/* test_trim_damage.c - trims, where the oldest segment does not say what it holds */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "format/record.h"
#include "os/fault.h"
#include "queue_support.h"
#include "write/writer.h"

#define OLDEST "000000000.q"

/* A queue of chronicle-rs: the headers do not say what the segments hold. */
static void make_foreign(struct qs *q, const char *name)
{
	char golden[PATH_SIZE];

	qs_anew(q);
	q->config.segment_size = 0;
	support_golden(golden, name);
	support_copy(golden, q->dir);
}

/* Neither the segment nor its successor says what it holds: nothing is deleted on suspicion. */
static void neither_says_what_it_holds(void **state)
{
	struct qs *q = *state;

	make_foreign(q, "v2-killed");
	support_poke(q->dir, OLDEST, 64 + 64, "X", 1);
	qs_open(q);
	assert_int_equal(cq_writer_trim(q->writer, 10000, 10), -EBADMSG);
	assert_true(support_exists(q->dir, OLDEST));
}

/* Bytes that this thread has read. */
static unsigned long long bytes_read(void)
{
	FILE *file = fopen("/proc/thread-self/io", "re");
	unsigned long long bytes = 0;

	assert_non_null(file);
	assert_int_equal(fscanf(file, "rchar: %llu", &bytes), 1);
	fclose(file);
	return bytes;
}

static unsigned long long bytes_of_a_trim(struct qs *q, int result)
{
	const unsigned long long before = bytes_read();

	assert_int_equal(cq_writer_trim(q->writer, 5, 10), result);
	return bytes_read() - before;
}

/* A segment whose header does not say what it holds is read once for all trims, until its file changes. */
static void read_once(void **state)
{
	static const struct timespec times[2] = { { .tv_sec = 77 }, { .tv_sec = 77 } };
	struct qs *q = *state;

	for (int damaged = 0; damaged < 2; damaged++) {
		const int result = damaged ? -EBADMSG : 0;
		unsigned long long first, again = 0;

		make_foreign(q, damaged ? "v2-killed" : "v1-small");
		if (damaged)
			support_poke(q->dir, OLDEST, 64 + 64, "X", 1);
		qs_open(q);
		(void)bytes_of_a_trim(q, result);
		for (int i = 0; i < 3; i++)
			again = bytes_of_a_trim(q, result);
		assert_int_equal(utimensat(q->dirfd, OLDEST, times, 0), 0);
		first = bytes_of_a_trim(q, result);
		assert_true(again + 2000 < first);
		assert_int_equal(bytes_of_a_trim(q, result), again);
		qs_close(q);
	}
}

/* Sealed without a record: below every number. */
static void empty_one(void **state)
{
	static const uint32_t sealed = 1;
	struct qs *q = *state;

	make_foreign(q, "v1-small");
	qs_zero(q->dir, OLDEST, 64, 4096);
	support_poke(q->dir, OLDEST, 12, &sealed, sizeof sealed);
	qs_open(q);
	assert_int_equal(cq_writer_trim(q->writer, 1, 10), 1);
	assert_false(support_exists(q->dir, OLDEST));
}

/* Nor does a summary that counts beyond all numbers: by the segment behind it, it holds lower ones. */
static void summary_beyond_counting(void **state)
{
	struct cq_segment_header header;
	struct qs *q = *state;

	qs_write(q, 0, 100);
	support_peek(q->dir, OLDEST, 0, &header, sizeof header);
	header.first_seq = UINT64_MAX - 5;
	header.ext_crc = cq_segment_ext_crc(&header);
	support_poke(q->dir, OLDEST, 0, &header, sizeof header);
	qs_open(q);
	assert_int_equal(cq_writer_trim(q->writer, 90, 10), 2);
	assert_false(support_exists(q->dir, OLDEST));
}

/* A number beyond all possible ones neither keeps a segment nor blocks a trim. */
static void number_beyond_counting(void **state)
{
	static const uint64_t most = UINT64_MAX;
	struct qs *q = *state;

	make_foreign(q, "v1-small");
	support_poke(q->dir, OLDEST, 64 + 8, &most, sizeof most);
	qs_open(q);
	assert_int_equal(cq_writer_trim(q->writer, 30, 10), 0);
	assert_int_equal(cq_writer_trim(q->writer, 31, 10), 1);
}

/* Segments 0 and 1 with 31 records each, 2 with eight; 0 does not say what it holds. */
static void make_untold(struct qs *q)
{
	qs_open(q);
	qs_append(q->writer, 0, 70);
	qs_close(q);
	qs_zero(q->dir, OLDEST, 16, 64);
	assert_int_equal(unlinkat(q->dirfd, "000000000.idx", 0), 0);
	qs_open(q);
}

/* The seal was removed: the records say what it holds. */
static void unsealed_under_the_writer(void **state)
{
	struct qs *q = *state;

	qs_open(q);
	qs_append(q->writer, 0, 70);
	qs_unseal(q->dir, 0);
	assert_int_equal(cq_writer_trim(q->writer, 30, 10), 0);
	assert_int_equal(cq_writer_trim(q->writer, 31, 10), 1);
}

/* Each record is sound, but one has a wrong number: the successor says what the segment holds. */
static void record_out_of_place(void **state)
{
	struct cq_record_header h;
	struct qs *q = *state;

	make_untold(q);
	support_peek(q->dir, OLDEST, 64 + 30 * 128, &h, sizeof h);
	h.seq = 3;
	h.header_crc = 0;
	h.header_crc = qs_crc32(&h, sizeof h);
	support_poke(q->dir, OLDEST, 64 + 30 * 128, &h, sizeof h);
	assert_int_equal(cq_writer_trim(q->writer, 30, 10), 0);
	assert_int_equal(cq_writer_trim(q->writer, 31, 10), 1);
}

#ifdef CQ_FAULTS
/* Another process deletes it just before it is opened. */
static void gone_meanwhile(void **state)
{
	struct qs *q = *state;

	make_untold(q);
	cq_fault_set("open", ENOENT, 0, 1);
	assert_int_equal(cq_writer_trim(q->writer, 31, 10), 1);
	cq_fault_set(NULL, 0, 0, 0);
}

/* It is damaged, and calls fail while its successor is read. */
static void calls_fail_at_the_successor(void **state)
{
	static const char *const calls[] = { "open", "pread", "stat", "stat_at", "list" };
	struct qs *q = *state;
	unsigned failed = 0;

	for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
		bool given = true;

		for (int skip = 0; given; skip++) {
			int r;

			qs_anew(q);
			make_untold(q);
			support_poke(q->dir, OLDEST, 64 + 64, "X", 1);
			assert_int_equal(unlinkat(q->dirfd, "000000001.q", 0),
			                 0); /* 2 is the next */
			cq_fault_forget();
			cq_fault_set(calls[i], EMFILE, skip, 1);
			r = cq_writer_trim(q->writer, 62, 10);
			cq_fault_set(NULL, 0, 0, 0);
			given = cq_fault_given() > 0;
			failed += r < 0;
			assert_true(r == 1 || (r < 0 && given));
			assert_int_equal(support_exists(q->dir, OLDEST), r < 0);
			qs_close(q);
		}
	}
	assert_true(failed > 4);
}

/* Each call fails: the segment is deleted as a whole or stays, the result says which, and the next trim
 * works. */
static void calls_fail(void **state)
{
	static const char *const calls[] = { "open", "pread",     "stat",   "stat_at",
		                             "list", "next_name", "unlink", "seek_data" };
	static const uint64_t odd = 5;
	struct qs *q = *state;
	unsigned failed = 0;

	for (size_t i = 0; i < 4 * sizeof calls / sizeof calls[0]; i++) {
		const int error = i % 4 < 2 ? EIO : ENOMEM;
		bool given = true;

		for (int skip = 0; given; skip++) {
			int r;

			make_foreign(q, "v1-small"); /* 31 records, and 9 */
			if (i % 2) /* the last number is not the highest: all records are read */
				support_poke(q->dir, OLDEST, 64 + 30 * 128 + 8, &odd, sizeof odd);
			qs_open(q);
			cq_fault_forget();
			cq_fault_set(calls[i / 4], error, skip, 1);
			r = cq_writer_trim(q->writer, 31, 10);
			cq_fault_set(NULL, 0, 0, 0);
			given = cq_fault_given() > 0;
			failed += r < 0;
			assert_true(r == 1 || (r < 0 && given));
			assert_int_equal(support_exists(q->dir, OLDEST), r < 0);
			assert_int_equal(cq_writer_trim(q->writer, 31, 10), r < 0);
			assert_false(support_exists(q->dir, OLDEST));
			qs_close(q);
		}
	}
	assert_true(failed > 10);
}
#endif

static const struct CMUnitTest tests[] = {
	QS_TEST(neither_says_what_it_holds),
	QS_TEST(read_once),
	QS_TEST(empty_one),
	QS_TEST(number_beyond_counting),
	QS_TEST(summary_beyond_counting),
	QS_TEST(unsealed_under_the_writer),
	QS_TEST(record_out_of_place),
#ifdef CQ_FAULTS
	QS_TEST(gone_meanwhile),
	QS_TEST(calls_fail_at_the_successor),
	QS_TEST(calls_fail),
#endif
};

SUPPORT_MAIN_IN_MEMORY(tests)
