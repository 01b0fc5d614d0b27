/* SPDX-License-Identifier: Apache-2.0 */
/* test_retention.c - retention on files: the oldest segments go, except those that a reader needs */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "files/dir.h"
#include "os/fault.h"
#include "queue_support.h"
#include "write/writer.h"

/* Segments 0 to 6, the last one current, all synced and indexed; and a spare. */
static void make(struct qs *q)
{
	qs_open_full(q, 7);
	assert_int_equal(cq_writer_sync(q->writer), 0);
	while (cq_flush_step(q->writer) == 0)
		;
}

static void expect_oldest(struct qs *q, uint32_t oldest)
{
	char name[CQ_NAME_MAX];

	for (uint32_t id = 0; id < 8; id++) {
		cq_segment_name(name, id);
		assert_int_equal(support_exists(q->dir, name), id >= oldest);
		cq_index_name(name, id);
		assert_int_equal(support_exists(q->dir, name), id >= oldest && id < 6);
	}
}

static void retire_all(struct qs *q)
{
	while (cq_retire_step(q->writer) > 0)
		;
}

static void nothing_goes_by_default(void **state)
{
	struct qs *q = *state;

	make(q);
	retire_all(q);
	expect_oldest(q, 0);
}

/* A segment that cannot be deleted stops retention: no newer one is deleted before it. */
static void oldest_first(void **state)
{
	struct qs *q = *state;
	char segment[PATH_SIZE], aside[PATH_SIZE];

	q->config.retain_segments = 3;
	make(q);
	support_path(segment, q->dir, "000000002.q");
	support_path(aside, q->dir, "aside");
	assert_int_equal(rename(segment, aside), 0);
	assert_int_equal(mkdir(segment, 0700), 0);
	retire_all(q);
	assert_false(support_exists(q->dir, "000000000.q"));
	assert_false(support_exists(q->dir, "000000001.q"));
	assert_true(support_exists(q->dir, "000000003.q"));
	assert_int_equal(qs_stats(q->writer).retired, 2);
	assert_int_equal(rmdir(segment), 0);
	assert_int_equal(rename(aside, segment), 0);
	retire_all(q);
	expect_oldest(q, 4);
	assert_int_equal(qs_stats(q->writer).retired, 4);
	qs_append(q->writer, 7 * 31, 31); /* one more: one goes */
	retire_all(q);
	assert_false(support_exists(q->dir, "000000004.q"));
	assert_true(support_exists(q->dir, "000000005.q"));
	qs_close(q);
	qs_format_check(q->dir, "--closed");
	qs_open(q); /* and a queue without its beginning is opened */
	assert_int_equal(qs_stats(q->writer).next_seq, 8 * 31);
	qs_close(q);
	qs_expect(q->dir, 5 * 31, 3 * 31);
}

static void never_the_current_one(void **state)
{
	struct qs *q = *state;

	q->config.retain_bytes = 1;
	make(q);
	retire_all(q);
	expect_oldest(q, 6); /* and the spare is there too */
}

static void by_age(void **state)
{
	const time_t two_hours_ago = time(NULL) - 2 * 3600;
	const struct timespec past[2] = { { .tv_sec = two_hours_ago },
		                          { .tv_sec = two_hours_ago } };
	struct qs *q = *state;

	q->config.retain_age_ms = 3600 * 1000;
	make(q);
	assert_int_equal(utimensat(q->dirfd, "000000001.q", past, 0), 0);
	retire_all(q);
	expect_oldest(q, 0); /* an older one comes first */
	assert_int_equal(utimensat(q->dirfd, "000000000.q", past, 0), 0);
	retire_all(q);
	expect_oldest(q, 2);
}

static void a_reader_keeps_what_it_needs(void **state)
{
	struct qs *q = *state;

	q->config.retain_segments = 1;
	make(q);
	qs_place_reader(q, "r", 2);
	retire_all(q);
	expect_oldest(q, 2);
	qs_place_reader(q, "r", 5);
	retire_all(q);
	expect_oldest(q, 5);
	assert_int_equal(unlinkat(q->dirfd, "readers/r.meta", 0), 0);
	retire_all(q);
	expect_oldest(q, 6);
}

static void the_last_of_many_readers_counts(void **state)
{
	struct qs *q = *state;
	char name[16];

	q->config.retain_segments = 1;
	make(q);
	for (unsigned i = 0; i < 20; i++) {
		snprintf(name, sizeof name, "r%u", i);
		qs_place_reader(q, name, i == 19 ? 3 : 5);
	}
	retire_all(q);
	expect_oldest(q, 3);
	assert_int_equal(unlinkat(q->dirfd, "readers/r19.meta", 0), 0);
	retire_all(q);
	expect_oldest(q, 5);
}

static void dead_reader_keeps_nothing(void **state)
{
	struct qs *q = *state;

	q->config.retain_segments = 1;
	q->config.reader_ttl_ms = 5;
	make(q);
	qs_place_reader(q, "r", 2);
	retire_all(q);
	assert_true(support_exists(q->dir, "000000006.q"));
	while (support_exists(q->dir, "000000005.q")) {
		usleep(1000);
		retire_all(q);
	}
	expect_oldest(q, 6);
}

static void reader_too_far_behind_keeps_nothing(void **state)
{
	struct qs *q = *state;

	q->config.retain_segments = 1;
	q->config.reader_max_lag_bytes = 4 * QS_SIZE;
	make(q);
	qs_place_reader(q, "r", 2); /* four behind */
	retire_all(q);
	expect_oldest(q, 2);
	qs_place_reader(q, "r", 1);
	retire_all(q);
	expect_oldest(q, 6);
}

static void bad_reader_files_do_not_matter(void **state)
{
	struct qs *q = *state;

	q->config.retain_segments = 1;
	make(q);
	qs_place_reader(q, "r", 3);
	qs_write_file(q->dir, "readers/bad.meta", "rubbish", 7);
	qs_write_file(q->dir, "readers/notes.txt", "1", 1);
	assert_int_equal(symlinkat("/dev/zero", q->dirfd, "readers/link.meta"), 0);
	assert_int_equal(mkdirat(q->dirfd, "readers/dir.meta", 0700), 0);
	retire_all(q);
	expect_oldest(q, 3);
}

/* Readers that cannot be read may need anything: nothing is deleted. */
static void unreadable_readers(void **state)
{
	struct qs *q = *state;

	q->config.retain_segments = 1;
	make(q);
	qs_write_file(q->dir, "readers", "not a directory", 15);
	retire_all(q);
	retire_all(q);
	expect_oldest(q, 0);
	assert_true(qs_logged(q, "warning retention: segment 000000000 not deleted: Not a dir"));
	assert_null(strstr(strstr(q->log, "retention") + 1, "retention")); /* said once */
	assert_int_equal(unlinkat(q->dirfd, "readers", 0), 0);
#ifdef CQ_FAULTS
	qs_place_reader(q, "r", 2);
	cq_fault_set("open_dir", EMFILE, 0, -1);
	retire_all(q);
	expect_oldest(q, 0);
	cq_fault_set("list", EMFILE, 0, -1);
	retire_all(q);
	expect_oldest(q, 0);
	cq_fault_set("open", EMFILE, 0, -1); /* the reader's file itself */
	retire_all(q);
	expect_oldest(q, 0);
	cq_fault_set(NULL, 0, 0, 0);
	retire_all(q);
	expect_oldest(q, 2);
	assert_int_equal(unlinkat(q->dirfd, "readers/r.meta", 0), 0);
#endif
	retire_all(q);
	expect_oldest(q, 6);
}

#ifdef CQ_FAULTS
/* A reader's file that this process may not read, or that the disk does not give: the reader may need what it
 * needed when its file was read last, or anything.  That is said once. */
static void unreadable_reader(void **state)
{
	static const int errors[] = { EACCES, EUCLEAN, EIO };
	struct qs *q = *state;

	for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
		qs_anew(q);
		q->config.retain_segments = 1;
		make(q);
		qs_place_reader(q, "r", 2);
		cq_fault_set(errors[i] == EIO ? "pread" : "open", errors[i], 0, -1);
		retire_all(q);
		retire_all(q);
		expect_oldest(q, 0);
		assert_true(qs_logged(q, "warning retention: the position of reader r cannot be "
		                         "read: "));
		assert_null(strstr(strstr(q->log, "reader r") + 1, "reader r"));
		cq_fault_set(NULL, 0, 0, 0);
		retire_all(q);
		expect_oldest(q, 2);
		qs_place_reader(q, "r", 4);
		cq_fault_set("open", errors[i], 0, -1);
		retire_all(q);
		expect_oldest(q, 2);
		cq_fault_set(NULL, 0, 0, 0);
		retire_all(q);
		expect_oldest(q, 4);
		assert_int_equal(unlinkat(q->dirfd, "readers/r.meta", 0), 0);
		retire_all(q);
		expect_oldest(q, 6);
		qs_close(q);
	}
}

/* reader_max_lag bounds what such a file keeps: where the reader could be and count. */
static void unreadable_reader_counts_up_to_the_lag(void **state)
{
	struct qs *q = *state;

	q->config.retain_segments = 1;
	q->config.reader_max_lag_bytes = 4 * QS_SIZE;
	make(q);
	qs_place_reader(q, "r", 2);
	cq_fault_set("open", EACCES, 0, -1);
	retire_all(q);
	cq_fault_set(NULL, 0, 0, 0);
	expect_oldest(q, 2);
	/* one that is known to be nearer keeps what it needs */
	qs_place_reader(q, "r", 3);
	retire_all(q);
	expect_oldest(q, 3);
	cq_fault_set("open", EACCES, 0, -1);
	retire_all(q);
	cq_fault_set(NULL, 0, 0, 0);
	expect_oldest(q, 3);
}

/* It stays unreadable while the writer goes on: it is said once, and the limit moves what it keeps. */
static void unreadable_for_long(void **state)
{
	struct qs *q = *state;

	q->config.retain_segments = 1;
	q->config.reader_max_lag_bytes = 4 * QS_SIZE;
	make(q);
	qs_place_reader(q, "r", 2);
	cq_fault_set("open", EACCES, 0, -1);
	retire_all(q);
	expect_oldest(q, 2);
	cq_fault_set(NULL, 0, 0, 0);
	qs_append(q->writer, 7 * 31, 3 * 31);
	cq_fault_set("open", EACCES, 0, -1);
	retire_all(q);
	cq_fault_set(NULL, 0, 0, 0);
	assert_false(support_exists(q->dir, "000000004.q"));
	assert_true(support_exists(q->dir, "000000005.q"));
	assert_null(strstr(strstr(q->log, "reader r") + 1, "reader r"));
}

/* A file that held no position a moment ago, and cannot be read now: it may hold one again. */
static void unreadable_after_it_held_nothing(void **state)
{
	struct qs *q = *state;

	q->config.retain_segments = 1;
	make(q);
	qs_place_reader(q, "r", 0);
	retire_all(q);
	cq_fault_set("open", EBADMSG, 0, 1); /* the reader that needs the oldest segment */
	cq_fault_add("open", EACCES, 0, -1); /* all readers */
	retire_all(q);
	cq_fault_set(NULL, 0, 0, 0);
	expect_oldest(q, 0);
}

static int heard_dirfd;

static void delete_first(const char *place)
{
	if (strcmp(place, "retire.index_removed") == 0)
		(void)unlinkat(heard_dirfd, "000000000.q", 0);
}

/* Another process deletes the same segment at the same moment: it is gone, which was the aim, and it is
 * counted once. */
static void others_are_faster(void **state)
{
	struct qs *q = *state;

	q->config.retain_segments = 3;
	make(q);
	heard_dirfd = q->dirfd;
	cq_point_heard = delete_first;
	retire_all(q);
	cq_point_heard = NULL;
	expect_oldest(q, 4);
	assert_int_equal(qs_stats(q->writer).retired, 4);
	assert_string_equal(q->log, "");
	/* nor is it an error if the segment is gone when its age is looked up */
	q->writer->config.retain_segments = 2;
	for (int skip = 0; skip < 4; skip++) {
		cq_fault_set("stat_at", ENOENT, skip, 1);
		retire_all(q);
	}
	cq_fault_set(NULL, 0, 0, 0);
	expect_oldest(q, 5);
	assert_string_equal(q->log, "");
}

/* How old the oldest segment is cannot be told, or it is gone just then: nothing goes, or what may go. */
static void age_is_not_known(void **state)
{
	static const int errors[] = { EIO, ENOENT };
	static const char *const calls[] = { "open", "stat", "stat_at", "pread" };
	struct qs *q = *state;

	q->config.retain_age_ms = 3600 * 1000;
	make(q);
	for (size_t c = 0; c < sizeof calls / sizeof calls[0]; c++) {
		for (size_t e = 0; e < 2; e++) {
			cq_fault_set(calls[c], errors[e], 0, -1);
			retire_all(q);
			cq_fault_set(NULL, 0, 0, 0);
			expect_oldest(q, 0);
		}
	}
	assert_int_equal(qs_stats(q->writer).error, 0);
	qs_close(q);
	qs_expect(q->dir, 0, 7 * 31);
}

/* The oldest segment cannot be found: nothing is deleted, and the log says so. */
static void oldest_is_not_known(void **state)
{
	struct qs *q = *state;

	q->config.retain_segments = 2;
	make(q);
	assert_int_equal(unlinkat(q->dirfd, "000000000.q", 0), 0);
	assert_int_equal(unlinkat(q->dirfd, "000000000.idx", 0), 0);
	cq_fault_set("list", EMFILE, 0, -1);
	retire_all(q);
	cq_fault_set(NULL, 0, 0, 0);
	expect_oldest(q, 1);
	assert_true(
		qs_logged(q, "warning retention: segment 000000000 not deleted: Too many open"));
	retire_all(q);
	expect_oldest(q, 5);
}
#endif

/* In the background, while the writer appends and a named reader follows. */
static void with_threads(void **state)
{
	struct qs *q = *state;
	struct cq_record record;
	cq_reader *reader;
	uint64_t next = 0;

	q->config.retain_segments = 2;
	assert_int_equal(cq_writer_open(q->dir, &q->config, &q->writer), 0);
	assert_int_equal(cq_reader_open(q->dir, "r", CQ_START_OLDEST, 0, &reader), 0);
	assert_int_equal(cq_reader_commit(reader), 0);
	for (unsigned i = 0; i < 40; i++) {
		qs_append(q->writer, i * 31, 31);
		while (cq_reader_next(reader, &record) == 1)
			assert_int_equal(record.seq, next++);
		assert_int_equal(cq_reader_commit(reader), 0);
	}
	assert_int_equal(next, 40 * 31);
	while (qs_stats(q->writer).retired < 38)
		usleep(1000);
	cq_reader_close(reader);
	qs_close(q);
	qs_expect(q->dir, 38 * 31, 2 * 31);
	qs_format_check(q->dir, "--closed");
}

static const struct CMUnitTest tests[] = {
	QS_TEST(nothing_goes_by_default),
	QS_TEST(oldest_first),
	QS_TEST(never_the_current_one),
	QS_TEST(by_age),
	QS_TEST(a_reader_keeps_what_it_needs),
	QS_TEST(the_last_of_many_readers_counts),
	QS_TEST(dead_reader_keeps_nothing),
	QS_TEST(reader_too_far_behind_keeps_nothing),
	QS_TEST(bad_reader_files_do_not_matter),
	QS_TEST(unreadable_readers),
#ifdef CQ_FAULTS
	QS_TEST(unreadable_reader),
	QS_TEST(unreadable_reader_counts_up_to_the_lag),
	QS_TEST(unreadable_for_long),
	QS_TEST(unreadable_after_it_held_nothing),
	QS_TEST(others_are_faster),
	QS_TEST(age_is_not_known),
	QS_TEST(oldest_is_not_known),
#endif
	QS_TEST(with_threads),
};

QS_MAIN(tests)
