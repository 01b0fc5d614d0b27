/* SPDX-License-Identifier: Apache-2.0 */
/* test_named.c - a named reader in use, and from outside: where it is, setting it, deleting it */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "chronq.h"
#include "os/fault.h"
#include "queue_support.h"

#define AT(record) (64 + (uint64_t)(record)*128) /* of a segment that holds 31 */

static cq_reader *open_reader(struct qs *q, enum cq_start start)
{
	cq_reader *reader = NULL;

	assert_int_equal(cq_reader_open(q->dir, "r", start, 0, &reader), 0);
	return reader;
}

static int try_open(struct qs *q)
{
	cq_reader *reader = NULL;
	int r = cq_reader_open(q->dir, "r", CQ_START_RESUME_OR_OLDEST, 0, &reader);

	if (r == 0)
		cq_reader_close(reader);
	return r;
}

static struct cq_reader_info info_of(struct qs *q)
{
	struct cq_reader_info info = CQ_SIZED(info);
	cq_queue *queue;

	assert_int_equal(cq_queue_open(q->dir, &queue), 0);
	assert_int_equal(cq_queue_reader(queue, "r", &info), 0);
	cq_queue_close(queue);
	return info;
}

static void take(cq_reader *reader, uint64_t first, unsigned count)
{
	struct cq_record record;

	for (unsigned i = 0; i < count; i++) {
		assert_int_equal(cq_reader_next(reader, &record), 1);
		assert_int_equal(record.seq, first + i);
	}
}

/* The next record of reader r is this one. */
static void expect_next(struct qs *q, uint64_t seq)
{
	cq_reader *reader = open_reader(q, CQ_START_RESUME);

	take(reader, seq, 1);
	cq_reader_close(reader);
	assert_int_equal(info_of(q).seq, seq);
}

static void all_are_busy(struct qs *q)
{
	assert_int_equal(try_open(q), -EBUSY);
	assert_int_equal(cq_reader_set(q->dir, "r", CQ_PLACE_LATEST, 0), -EBUSY);
	assert_int_equal(cq_reader_delete(q->dir, "r"), -EBUSY);
	assert_true(info_of(q).in_use);
}

/* ---- in use ---- */

static void in_use_in_this_process(void **state)
{
	struct qs *q = *state;
	cq_reader *reader;

	qs_write(q, 0, 10);
	reader = open_reader(q, CQ_START_OLDEST);
	all_are_busy(q);
	assert_int_equal(info_of(q).pid, getpid());
	take(reader, 0, 3);
	assert_int_equal(cq_reader_commit(reader), 0);
	all_are_busy(q);
	cq_reader_close(reader);
	assert_false(info_of(q).in_use);
	assert_int_equal(info_of(q).pid, 0);
	expect_next(q, 3);
}

/* Runs a child that has reader r open, and has taken and committed two records, until it is killed. */
static pid_t start_holder(struct qs *q)
{
	int ready[2];
	pid_t child;
	char c;

	assert_int_equal(pipe(ready), 0);
	child = support_fork();
	if (child == 0) {
		struct cq_record record;
		cq_reader *reader;

		CHILD(cq_reader_open(q->dir, "r", CQ_START_OLDEST, 0, &reader) == 0);
		CHILD(cq_reader_next(reader, &record) == 1);
		CHILD(cq_reader_next(reader, &record) == 1);
		CHILD(cq_reader_commit(reader) == 0);
		CHILD(write(ready[1], "r", 1) == 1);
		pause();
		_exit(0);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	close(ready[0]);
	return child;
}

static void in_use_in_another_process(void **state)
{
	struct qs *q = *state;
	cq_reader *other;
	int status;
	pid_t child;

	qs_write(q, 0, 10);
	child = start_holder(q);
	all_are_busy(q);
	assert_int_equal(info_of(q).pid, child);
	assert_int_equal(cq_reader_open(q->dir, "other", CQ_START_OLDEST, 0, &other), 0);
	cq_reader_close(other);
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_false(info_of(q).in_use);
	expect_next(q, 2);
}

/* A child that was forked while the reader was open does not keep it. */
static void a_child_keeps_no_lock(void **state)
{
	struct qs *q = *state;
	cq_reader *reader;
	int status;
	pid_t child;

	qs_write(q, 0, 10);
	reader = open_reader(q, CQ_START_OLDEST);
	child = support_fork();
	if (child == 0) {
		cq_reader_close(reader);
		pause();
		_exit(0);
	}
	all_are_busy(q);
	cq_reader_close(reader);
	assert_int_equal(try_open(q), 0);
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(waitpid(child, &status, 0), child);
}

/* A recovery moves a reader that is in use. */
static void a_lock_does_not_stop_a_recovery(void **state)
{
	struct qs *q = *state;
	cq_reader *reader;

	qs_write(q, 0, 20);
	reader = open_reader(q, CQ_START_OLDEST);
	take(reader, 0, 20);
	assert_int_equal(cq_reader_commit(reader), 0);
	qs_other_boot(q->dir);
	qs_zero(q->dir, "000000000.q", AT(10), AT(20));
	qs_mark(q->dir, 0, AT(10), 10);
	qs_open(q);
	qs_close(q);
	assert_int_equal(info_of(q).offset, AT(10));
	cq_reader_close(reader);
}

/* ---- new readers ---- */

/* From its open on, retention waits for a new reader; its position survives a kill before the first commit. */
static void a_new_reader_holds_segments(void **state)
{
	struct qs *q = *state;
	cq_reader *reader;

	qs_open_synced(q, 3);
	reader = open_reader(q, CQ_START_OLDEST);
	assert_int_equal(cq_writer_trim(q->writer, UINT64_MAX, 9), -EBUSY);
	cq_reader_close(reader);
	assert_int_equal(cq_writer_trim(q->writer, UINT64_MAX, 9), -EBUSY);
	assert_int_equal(cq_reader_delete(q->dir, "r"), 0);
	assert_int_equal(cq_writer_trim(q->writer, UINT64_MAX, 9), 2);
	reader = open_reader(q, CQ_START_LATEST);
	cq_reader_close(reader);
	qs_append(q->writer, 93, 2);
	expect_next(q, 93);
}

/* What is not opened leaves no file. */
static void a_failed_open_leaves_nothing(void **state)
{
	struct qs *q = *state;
	cq_reader *reader;

	qs_write(q, 0, 10);
	assert_int_equal(cq_reader_open(q->dir, "r", CQ_START_RESUME, 0, &reader), -ENOENT);
	assert_false(support_exists(q->dir, "readers"));
#ifdef CQ_FAULTS
	cq_fault_set("pwrite", ENOSPC, 0, 1);
	assert_int_equal(try_open(q), -ENOSPC);
	cq_fault_set("lock", ENOLCK, 0, 1);
	assert_int_equal(try_open(q), -ENOLCK);
	cq_fault_set("pread", EIO, 0, -1);
	assert_int_equal(try_open(q), -EIO);
	cq_fault_set(NULL, 0, 0, 0);
	assert_false(support_exists(q->dir, "readers/r.meta"));
#endif
	assert_int_equal(try_open(q), 0);
	assert_true(support_exists(q->dir, "readers/r.meta"));
}

/* ---- set ---- */

static void set(struct qs *q, enum cq_place place, uint64_t value)
{
	assert_int_equal(cq_reader_set(q->dir, "r", place, value), 0);
}

static void set_to_places(void **state)
{
	struct qs *q = *state;
	struct cq_reader_info info;
	struct cq_record record;
	cq_reader *reader;

	qs_open(q);
	qs_append(q->writer, 0, 100);
	set(q, CQ_PLACE_SEQ, 40); /* makes it */
	expect_next(q, 40);
	set(q, CQ_PLACE_OLDEST, 0);
	expect_next(q, 0);
	reader = open_reader(q, CQ_START_RESUME);
	take(reader, 0, 70);
	assert_int_equal(cq_reader_next(reader, &record), 1);
	cq_reader_close(reader);
	expect_next(q, 0);
	set(q, CQ_PLACE_TIME, record.time_ns);
	info = info_of(q); /* the clock may have given several records this time */
	assert_true(info.have_seq && info.seq <= 70);
	assert_int_equal(info.next_time_ns, record.time_ns);
	set(q, CQ_PLACE_LATEST, 0);
	info = info_of(q);
	assert_true(info.have_seq && info.have_lag_records);
	assert_int_equal(info.seq, 100);
	assert_int_equal(info.lag_records, 0);
	assert_int_equal(info.next_time_ns, 0);
	qs_append(q->writer, 100, 3);
	assert_int_equal(info_of(q).lag_records, 3);
	expect_next(q, 100);
	set(q, CQ_PLACE_SEQ, 100000);
	assert_int_equal(info_of(q).seq, 103);
	assert_int_equal(cq_reader_set(q->dir, "r", (enum cq_place)9, 0), -EINVAL);
	assert_int_equal(cq_reader_set(q->dir, "../r", CQ_PLACE_OLDEST, 0), -EINVAL);
	assert_int_equal(cq_reader_set(q->dir, NULL, CQ_PLACE_OLDEST, 0), -EINVAL);
	assert_int_equal(info_of(q).seq, 103);
}

/* A place whose records are gone is that of the next record; nothing is reported as missing later. */
static void set_to_what_is_trimmed(void **state)
{
	struct qs *q = *state;

	qs_open_synced(q, 3);
	assert_int_equal(cq_writer_trim(q->writer, 62, 9), 2);
	set(q, CQ_PLACE_SEQ, 5);
	assert_false(info_of(q).missing);
	expect_next(q, 62);
	set(q, CQ_PLACE_TIME, 1);
	expect_next(q, 62);
}

/* After an error the position is what it was, and a new reader is not made. */
static void set_where_damage_is(void **state)
{
	static const uint8_t rubbish[64] = { 1, 2, 3, 4, 5, 6, 7, 8, 9 };
	struct qs *q = *state;

	qs_write(q, 0, 60);
	support_poke(q->dir, "000000001.q", AT(10), rubbish, sizeof rubbish);
	assert_int_equal(cq_reader_set(q->dir, "r", CQ_PLACE_SEQ, 50), -EIO);
	assert_false(support_exists(q->dir, "readers/r.meta"));
	set(q, CQ_PLACE_SEQ, 3);
	assert_int_equal(cq_reader_set(q->dir, "r", CQ_PLACE_SEQ, 50), -EIO);
	expect_next(q, 3);
}

/* ---- delete ---- */

static void deleted(void **state)
{
	struct qs *q = *state;

	qs_write(q, 0, 60);
	assert_int_equal(cq_reader_delete(q->dir, "r"), -ENOENT);
	assert_false(support_exists(q->dir, "readers"));
	set(q, CQ_PLACE_SEQ, 40);
	assert_int_equal(cq_reader_delete(q->dir, "r"), 0);
	assert_false(support_exists(q->dir, "readers/r.meta"));
	assert_int_equal(cq_reader_delete(q->dir, "r"), -ENOENT);
	qs_write_file(q->dir, "readers/r.meta", "rubbish", 7);
	assert_int_equal(cq_reader_delete(q->dir, "r"), 0);
	assert_int_equal(cq_reader_delete(q->dir, ".."), -EINVAL);
	assert_int_equal(cq_reader_delete(q->dir, NULL), -EINVAL);
	assert_int_equal(cq_reader_delete("/nowhere", "r"), -ENOENT);
	assert_int_equal(symlinkat("../control.meta", q->dirfd, "readers/r.meta"), 0);
	assert_int_equal(cq_reader_delete(q->dir, "r"), -ELOOP);
	assert_true(support_exists(q->dir, "control.meta"));
	assert_int_equal(unlinkat(q->dirfd, "readers/r.meta", 0), 0);
	assert_int_equal(try_open(q), 0);
	expect_next(q, 0);
}

/* The file of a reader at work is removed, or replaced, by other means: its commits fail, and neither bring it back
 * nor move the one in its place. */
static void a_commit_brings_nothing_back(void **state)
{
	struct qs *q = *state;
	cq_reader *reader;

	qs_write(q, 0, 60);
	reader = open_reader(q, CQ_START_OLDEST);
	take(reader, 0, 40);
	assert_int_equal(unlinkat(q->dirfd, "readers/r.meta", 0), 0);
	assert_int_equal(cq_reader_commit(reader), -ESTALE);
	assert_int_equal(cq_reader_commit_seq(reader, 3), -ESTALE);
	assert_int_equal(cq_reader_wait(reader, 0), 1);
	assert_false(support_exists(q->dir, "readers/r.meta"));
	set(q, CQ_PLACE_SEQ, 20);
	assert_int_equal(cq_reader_commit(reader), -ESTALE);
	cq_reader_close(reader);
	expect_next(q, 20);
	reader = open_reader(q, CQ_START_RESUME);
	assert_int_equal(renameat(q->dirfd, "readers", q->dirfd, "away"), 0);
	assert_int_equal(cq_reader_commit(reader), -ESTALE);
	qs_write_file(q->dir, "readers", "a file", 6);
	assert_int_equal(cq_reader_commit(reader), -ESTALE);
	cq_reader_close(reader);
	assert_int_equal(unlinkat(q->dirfd, "readers", 0), 0);
}

#ifdef CQ_FAULTS

static struct qs *at_work;
static cq_reader *quicker;

/* Between the open of a reader's file and its lock, others delete the reader and make it again. */
static void replace_file(const char *place)
{
	if (strcmp(place, "reader.opened") != 0)
		return;
	cq_point_heard = NULL;
	assert_int_equal(cq_reader_delete(at_work->dir, "r"), 0);
	assert_int_equal(cq_reader_open(at_work->dir, "r", CQ_START_OLDEST, 0, &quicker), 0);
}

static void a_lock_of_a_deleted_file_counts_for_nothing(void **state)
{
	struct qs *q = at_work = *state;

	qs_write(q, 0, 10);
	set(q, CQ_PLACE_SEQ, 5);
	cq_point_heard = replace_file;
	assert_int_equal(try_open(q), -EBUSY);
	assert_null(cq_point_heard);
	take(quicker, 0, 1);
	assert_int_equal(cq_reader_commit(quicker), 0);
	cq_reader_close(quicker);
	expect_next(q, 1);
}

static unsigned removed;

static void remove_file(const char *place)
{
	if (strcmp(place, "reader.opened") != 0)
		return;
	assert_int_equal(unlinkat(at_work->dirfd, "readers/r.meta", 0), 0);
	removed++;
}

/* Somebody removes the file each time before it is locked: the open gives up. */
static void a_file_that_never_stays(void **state)
{
	struct qs *q = at_work = *state;

	qs_write(q, 0, 10);
	removed = 0;
	cq_point_heard = remove_file;
	assert_int_equal(try_open(q), -EBUSY);
	cq_point_heard = NULL;
	assert_in_range(removed, 2, 1000);
	assert_false(support_exists(q->dir, "readers/r.meta"));
	assert_int_equal(try_open(q), 0);
}

static void die(const char *place)
{
	if (strcmp(place, "reader.slots_read") == 0)
		kill(getpid(), SIGKILL);
}

static void first_open(struct qs *q)
{
	cq_point_heard = die;
	(void)try_open(q);
}

/* Killed before the first position of a new reader is stored: there is no such reader. */
static void killed_in_the_first_open(void **state)
{
	struct qs *q = *state;
	struct cq_reader_info info = CQ_SIZED(info);
	cq_reader *reader;
	cq_queue *queue;

	qs_write(q, 0, 10);
	qs_run_killed(first_open, q);
	assert_int_equal(cq_reader_open(q->dir, "r", CQ_START_RESUME, 0, &reader), -ENOENT);
	assert_int_equal(cq_queue_open(q->dir, &queue), 0);
	assert_int_equal(cq_queue_reader(queue, "r", &info), -ENOENT);
	cq_queue_close(queue);
	qs_format_check(q->dir, "--closed");
	assert_int_equal(try_open(q), 0);
	expect_next(q, 0);
}

static void set_it(struct qs *q)
{
	cq_point_heard = die;
	(void)cq_reader_set(q->dir, "r", CQ_PLACE_LATEST, 0);
}

static void killed_in_a_set(void **state)
{
	struct qs *q = *state;

	qs_write(q, 0, 10);
	set(q, CQ_PLACE_SEQ, 5);
	qs_run_killed(set_it, q);
	expect_next(q, 5);
}

#endif

/* ---- where a reader is ---- */

/* The same answer from the writer's own handle and from another one. */
static void counted_by_both(void **state)
{
	struct qs *q = *state;
	struct cq_reader_info info = CQ_SIZED(info);

	qs_open(q);
	set(q, CQ_PLACE_OLDEST, 0);
	for (unsigned at = 0; at < 70; at++) {
		struct cq_reader_info other = info_of(q);

		assert_int_equal(cq_queue_reader(cq_writer_queue(q->writer), "r", &info), 0);
		assert_true(info.have_seq && info.have_lag_records);
		assert_int_equal(info.lag_records, at);
		assert_int_equal(info.seq, 0);
		assert_int_equal(info.next_time_ns != 0, at > 0);
		assert_true(other.have_seq && other.have_lag_records);
		assert_int_equal(other.lag_records, at);
		assert_int_equal(other.seq, 0);
		assert_int_equal(other.lag_bytes, info.lag_bytes);
		assert_false(other.missing || info.missing);
		qs_append(q->writer, at, 1);
	}
	qs_close(q);
	assert_int_equal(unlinkat(q->dirfd, "control.meta", 0), 0);
	assert_int_equal(info_of(q).lag_records, 70);
}

static void behind_a_gap_and_before_damage(void **state)
{
	static const uint8_t rubbish[64] = { 1, 2, 3, 4, 5, 6, 7, 8, 9 };
	struct qs *q = *state;
	struct cq_reader_info info = CQ_SIZED(info);
	cq_queue *queue;

	qs_write(q, 0, 100);
	set(q, CQ_PLACE_SEQ, 10);
	assert_int_equal(unlinkat(q->dirfd, "000000000.q", 0), 0);
	info = info_of(q);
	assert_true(info.missing);
	assert_int_equal(info.seq, 31);
	assert_int_equal(info.lag_records, 69);
	set(q, CQ_PLACE_SEQ, 40);
	support_poke(q->dir, "000000001.q", AT(9) + 64, "wrong", 5);
	info = info_of(q); /* a damaged payload hides no number */
	assert_true(info.have_seq && info.have_lag_records);
	assert_int_equal(info.seq, 40);
	support_poke(q->dir, "000000001.q", AT(9), rubbish, sizeof rubbish);
	info = info_of(q);
	assert_false(info.have_seq || info.have_lag_records);
	assert_int_equal(info.offset, AT(9));
	assert_int_equal(cq_queue_open(q->dir, &queue), 0);
	assert_int_equal(cq_queue_reader(queue, "../x", &info), -EINVAL);
	assert_int_equal(cq_queue_reader(queue, "x", &info), -ENOENT);
	info.size = 0;
	assert_int_equal(cq_queue_reader(queue, "r", &info), -EINVAL);
	cq_queue_close(queue);
}

/* The last segment holds nothing that tells a number: the one before it does. */
static void lag_without_the_last_segment(void **state)
{
	struct qs *q = *state;
	struct cq_reader_info info;

	qs_write(q, 0, 100);
	set(q, CQ_PLACE_SEQ, 40);
	qs_zero(q->dir, "000000003.q", 0, QS_SIZE); /* its blocks have not reached the disk */
	info = info_of(q);
	assert_true(info.have_seq && info.have_lag_records);
	assert_int_equal(info.seq, 40);
	assert_int_equal(info.lag_records, 93 - 40);
	support_poke(q->dir, "000000003.q", 0, "X", 1); /* damaged: it may hold records */
	info = info_of(q);
	assert_true(info.have_seq);
	assert_false(info.have_lag_records);
	/* no segment tells anything */
	qs_anew(q);
	qs_write(q, 0, 10);
	set(q, CQ_PLACE_OLDEST, 0);
	qs_zero(q->dir, "000000000.q", 0, QS_SIZE);
	info = info_of(q);
	assert_false(info.have_seq || info.have_lag_records);
}

/* chronicle-rs begins to count again: behind a reader there are lower numbers, and no lag is made of that. */
static void lag_where_numbers_begin_again(void **state)
{
	unsigned known = 0, unknown = 0;
	struct qs *q = *state;
	struct qs_record *records;
	struct cq_record record;
	char from[PATH_SIZE];
	cq_reader *reader;
	size_t count;

	support_golden(from, "v2-reopened");
	support_copy(from, q->dir);
	count = qs_records(q->dir, &records);
	for (size_t i = 0; i < count; i++) {
		struct cq_reader_info info;
		const uint64_t end = records[count - 1].seq + 1;

		reader = open_reader(q, i == 0 ? CQ_START_OLDEST : CQ_START_RESUME);
		if (i > 0)
			assert_int_equal(cq_reader_next(reader, &record), 1);
		assert_int_equal(cq_reader_commit(reader), 0);
		cq_reader_close(reader);
		info = info_of(q);
		assert_true(info.have_seq);
		assert_int_equal(info.seq, records[i].seq);
		assert_int_equal(info.have_lag_records, records[i].seq <= end);
		if (info.have_lag_records)
			assert_int_equal(info.lag_records, end - records[i].seq);
		known += info.have_lag_records;
		unknown += !info.have_lag_records;
	}
	free(records);
	assert_true(known > 0 && unknown > 0);
}

static const struct CMUnitTest tests[] = {
	QS_TEST(in_use_in_this_process),
	QS_TEST(in_use_in_another_process),
	QS_TEST(a_child_keeps_no_lock),
	QS_TEST(a_lock_does_not_stop_a_recovery),
	QS_TEST(a_new_reader_holds_segments),
	QS_TEST(a_failed_open_leaves_nothing),
	QS_TEST(set_to_places),
	QS_TEST(set_to_what_is_trimmed),
	QS_TEST(set_where_damage_is),
	QS_TEST(deleted),
	QS_TEST(a_commit_brings_nothing_back),
#ifdef CQ_FAULTS
	QS_TEST(a_lock_of_a_deleted_file_counts_for_nothing),
	QS_TEST(a_file_that_never_stays),
	QS_TEST(killed_in_the_first_open),
	QS_TEST(killed_in_a_set),
#endif
	QS_TEST(counted_by_both),
	QS_TEST(behind_a_gap_and_before_damage),
	QS_TEST(lag_without_the_last_segment),
	QS_TEST(lag_where_numbers_begin_again),
};

QS_MAIN(tests)
