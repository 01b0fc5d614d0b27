/* SPDX-License-Identifier: Apache-2.0 */
/* test_unmake.c - a queue that came to nothing leaves the directory as it was */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/fault.h"
#include "queue_support.h"

/* No file may be as large as a segment. */
static void limit_files(rlim_t size)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = size;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static bool is_empty(const char *dir)
{
	return rmdir(dir) == 0 && mkdir(dir, 0750) == 0;
}

static void of_an_open_that_fails(void **state)
{
	struct qs *q = *state;

	limit_files(QS_SIZE / 2);
	assert_int_equal(qs_try_open(q), -EFBIG);
	assert_true(is_empty(q->dir)); /* which existed before */
	assert_int_equal(rmdir(q->dir), 0);
	assert_int_equal(qs_try_open(q), -EFBIG);
	assert_int_equal(access(q->dir, F_OK), -1);
	limit_files(RLIM_INFINITY);
	qs_write(q, 0, 1);
	qs_expect(q->dir, 0, 1);
}

static void of_one_in_vain(void **state)
{
	struct qs *q = *state;

	qs_open(q);
	assert_int_equal(cq_writer_discard(q->writer), 0);
	q->writer = NULL;
	assert_true(is_empty(q->dir));
	assert_int_equal(rmdir(q->dir), 0);
	qs_open(q);
	assert_int_equal(cq_writer_roll(q->writer), 0); /* does nothing in an empty one */
	assert_int_equal(cq_writer_discard(q->writer), 0);
	q->writer = NULL;
	assert_int_equal(access(q->dir, F_OK), -1);
	assert_int_equal(cq_writer_discard(NULL), 0);
}

/* Another process may have the queue by now: nothing of it is removed. */
static void of_what_is_lost(void **state)
{
	struct qs *q = *state;
	cq_writer *w;

	qs_open(q);
	assert_int_equal(unlinkat(q->dirfd, "writer.lock", 0), 0);
	w = q->writer;
	q->writer = NULL;
	assert_int_equal(cq_writer_discard(w), -EIO);
	assert_true(support_exists(q->dir, "000000000.q"));
	assert_true(support_exists(q->dir, "control.meta"));
	qs_write(q, 0, 3);
	qs_expect(q->dir, 0, 3);
}

/* What keeps a queue: appended records; a queue that existed before, empty or not; a reader; another
 * program's file; another process's segment. */
static void of_what_is_wanted(void **state)
{
	struct qs *q = *state;
	unsigned segments;

	qs_open(q);
	qs_append(q->writer, 0, 2);
	assert_int_equal(cq_writer_discard(q->writer), 0);
	q->writer = NULL;
	qs_expect(q->dir, 0, 2);

	segments = qs_count_names(q->dir, ".q");
	qs_open(q);
	assert_int_equal(cq_writer_discard(q->writer), 0);
	q->writer = NULL;
	qs_expect(q->dir, 0, 2);
	assert_int_equal(qs_count_names(q->dir, ".q"), segments);

	qs_anew(q);
	qs_open(q);
	qs_close(q);
	segments = qs_count_names(q->dir, ".q");
	qs_open(q);
	assert_int_equal(cq_writer_discard(q->writer), 0);
	q->writer = NULL;
	assert_int_equal(qs_count_names(q->dir, ".q"), segments);

	qs_anew(q);
	qs_open(q);
	qs_write_file(q->dir, "somebody's", "x", 1);
	assert_int_equal(cq_writer_discard(q->writer), 0);
	q->writer = NULL;
	assert_true(support_exists(q->dir, "somebody's"));
	assert_false(support_exists(q->dir, "writer.lock"));

	qs_anew(q);
	qs_open(q);
	qs_write_file(q->dir, "000000007.q", "somebody's", 10);
	assert_int_equal(cq_writer_discard(q->writer), 0);
	q->writer = NULL;
	assert_true(support_exists(q->dir, "000000007.q"));
	assert_true(support_exists(q->dir, "000000000.q"));

	qs_anew(q);
	qs_open(q);
	assert_int_equal(symlinkat("nowhere", q->dirfd, "000000007.q"), 0);
	assert_int_equal(cq_writer_discard(q->writer), 0);
	q->writer = NULL;
	assert_true(support_exists(q->dir, "000000000.q"));

	qs_anew(q);
	qs_open(q);
	assert_int_equal(mkdirat(q->dirfd, "readers", 0750), 0);
	assert_int_equal(cq_writer_discard(q->writer), 0);
	q->writer = NULL;
	assert_true(support_exists(q->dir, "readers"));
	assert_true(support_exists(q->dir, "000000000.q"));
}

#ifdef CQ_FAULTS
/* Each removal fails, and the listing: an empty queue is left, and no loss. */
static void that_fails(void **state)
{
	static const char *const calls[] = { "list", "unlink" };
	struct qs *q = *state;
	unsigned failed = 0;

	for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
		for (int skip = 0;; skip++) {
			bool given;

			qs_anew(q);
			qs_open(q);
			cq_fault_forget();
			cq_fault_set(calls[i], EIO, skip, 1);
			assert_int_equal(cq_writer_discard(q->writer), 0);
			q->writer = NULL;
			given = cq_fault_given() > 0;
			cq_fault_set(NULL, 0, 0, 0);
			failed += given;
			if (given && i == 0 && skip == 0)
				assert_true(support_exists(q->dir, "000000000.q"));
			qs_write(q, 0, 1);
			qs_expect(q->dir, 0, 1);
			if (!given)
				break;
		}
	}
	assert_true(failed > 4);
}

/* Killed during the removal: an empty queue, no loss. */
static void cut_off(struct qs *q)
{
	setenv("CHRONQ_KILL", "unmake.unmarked", 1);
	CHILD(qs_try_open(q) == 0);
	(void)cq_writer_discard(q->writer);
}

static void that_is_cut_off(void **state)
{
	struct qs *q = *state;

	qs_run_killed(cut_off, q);
	qs_write(q, 0, 1);
	qs_expect(q->dir, 0, 1);
}

/* Each call of an open fails: afterwards there is either a queue or nothing. */
static void of_each_open_that_fails(void **state)
{
	static const char *const calls[] = { "create_new", "allocate",         "map",     "pwrite",
		                             "sync_dir",   "rename_noreplace", "truncate" };
	struct qs *q = *state;
	unsigned failed = 0;

	for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
		for (int skip = 0;; skip++) {
			int r;

			qs_anew(q);
			assert_int_equal(rmdir(q->dir), 0);
			cq_fault_forget();
			cq_fault_set(calls[i], EIO, skip, 1);
			r = qs_try_open(q);
			cq_fault_set(NULL, 0, 0, 0);
			if (r == 0)
				qs_close(q);
			else if (access(q->dir, F_OK) == 0)
				fail_msg("%s, %d: the directory is left", calls[i], skip);
			(void)mkdir(q->dir, 0750);
			if (cq_fault_given() == 0)
				break;
			failed += r < 0;
		}
	}
	assert_true(failed > 7);
}
#endif

static const struct CMUnitTest tests[] = {
	QS_TEST(of_an_open_that_fails),
	QS_TEST(of_one_in_vain),
	QS_TEST(of_what_is_lost),
	QS_TEST(of_what_is_wanted),
#ifdef CQ_FAULTS
	QS_TEST(that_fails),
	QS_TEST(that_is_cut_off),
	QS_TEST(of_each_open_that_fails),
#endif
};

QS_MAIN(tests)
