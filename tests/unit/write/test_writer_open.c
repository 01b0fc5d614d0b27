/* SPDX-License-Identifier: Apache-2.0 */
/* test_writer_open.c - what an open refuses, what it makes, and opens that fail */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/fault.h"
#include "queue_support.h"
#include "write/writer.h"

static void configuration_is_checked(void **state)
{
	static const uint64_t bad_sizes[] = {
		64, 4095, 4097, 2048, 4160, CQ_SEGMENT_SIZE_MAX + 4096
	};
	struct qs *q = *state;
	struct qs_snapshot before;

	qs_snapshot(q->dir, &before);
	for (size_t i = 0; i < sizeof bad_sizes / sizeof bad_sizes[0]; i++) {
		q->config.segment_size = bad_sizes[i];
		assert_int_equal(qs_try_open(q), -EINVAL);
	}
	q->config.segment_size = QS_SIZE;
	q->config.sync = CQ_SYNC_INTERVAL;
	assert_int_equal(qs_try_open(q), -EINVAL); /* of 0 ms */
	q->config.sync = (enum cq_sync_mode)17;
	assert_int_equal(qs_try_open(q), -EINVAL);
	q->config.sync = CQ_SYNC_NONE;
	q->config.spares = 0;
	assert_int_equal(qs_try_open(q), -EINVAL);
	q->config.spares = CQ_SPARES_MAX + 1;
	assert_int_equal(qs_try_open(q), -EINVAL);
	q->config.spares = 1;
	qs_unchanged(q->dir, &before);

	qs_write(q, 0, 1);
	qs_snapshot(q->dir, &before);
	q->config.segment_size = 2 * QS_SIZE;
	assert_int_equal(qs_try_open(q), -EINVAL);
	qs_unchanged(q->dir, &before);
}

static void foreign_directory_is_refused_unchanged(void **state)
{
	struct qs *q = *state;
	struct qs_snapshot before;
	char path[PATH_SIZE];
	cq_writer *w;

	qs_write_file(q->dir, "thesis.txt", "x", 1);
	qs_write_file(q->dir, "000000000.q.bak", "x", 1);
	assert_int_equal(mkdirat(q->dirfd, "readers", 0700), 0);
	qs_snapshot(q->dir, &before);
	assert_int_equal(qs_try_open(q), -ENOTEMPTY);
	assert_false(support_exists(q->dir, "writer.lock"));
	qs_unchanged(q->dir, &before);

	support_path(path, q->dir, "thesis.txt");
	assert_int_equal(cq_writer_open(path, NULL, &w), -ENOTDIR);
	support_path(path, q->dir, "no/such/parent");
	assert_int_equal(cq_writer_open(path, NULL, &w), -ENOENT);
}

/* It has made readers/ in an empty directory, and waits for the queue's first record. */
static void named_reader_comes_before_the_queue(void **state)
{
	struct qs *q = *state;
	struct cq_record record;
	cq_reader *reader;

	assert_int_equal(cq_reader_open(q->dir, "early", CQ_START_RESUME_OR_OLDEST, 0, &reader), 0);
	assert_int_equal(cq_reader_next(reader, &record), 0);
	qs_write(q, 0, 2);
	assert_int_equal(cq_reader_next(reader, &record), 1);
	assert_int_equal(record.seq, 0);
	assert_int_equal(cq_reader_commit(reader), 0);
	cq_reader_close(reader);
	assert_int_equal(cq_reader_open(q->dir, "early", CQ_START_RESUME_OR_OLDEST, 0, &reader), 0);
	assert_int_equal(cq_reader_next(reader, &record), 1);
	assert_int_equal(record.seq, 1);
	cq_reader_close(reader);
}

/* The root of a fresh ext4. */
static void lost_and_found_is_no_obstacle(void **state)
{
	struct qs *q = *state;

	assert_int_equal(mkdirat(q->dirfd, "lost+found", 0700), 0);
	qs_write(q, 0, 1);
	assert_true(support_exists(q->dir, "lost+found"));
}

static void modes_of_what_is_made(void **state)
{
	struct qs *q = *state;
	const char *names[] = { "000000000.q", "000000001.q", "control.meta",
		                "index.meta",  "writer.lock", "durable.meta" };
	mode_t mask = umask(0);
	char path[PATH_SIZE];
	struct stat st;

	support_path(q->dir, q->base, "made");
	qs_open(q);
	umask(mask);
	assert_int_equal(stat(q->dir, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0750);
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		support_path(path, q->dir, names[i]);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_mode & 07777, 0640);
	}
}

#ifdef CQ_FAULTS
/* No room for the spare at the open: the open logs that, and the preparer does not repeat it. */
static void said_once(void **state)
{
	static const char text[] = "next segment not prepared";
	struct qs *q = *state;
	const char *said;

	qs_open(q);
	qs_append(q->writer, 0, 31); /* the spare is used up */
	qs_append(q->writer, 31, 1);
	qs_close(q);
	cq_fault_set("allocate", ENOSPC, 0, -1);
	qs_open(q);
	(void)cq_writer_prepare_step(q->writer);
	said = strstr(q->log, text);
	assert_non_null(said);
	assert_null(strstr(said + 1, text));
	cq_fault_set(NULL, 0, 0, 0);
}

/* No room for the next segment: the append fails, nothing is lost, and it succeeds once there is room. */
static void full_disk(void **state)
{
	struct qs *q = *state;
	struct cq_stats s = CQ_SIZED(s);

	qs_open(q);
	qs_append(q->writer, 0, 62); /* two segments; the spare is used up */
	cq_fault_set("allocate", ENOSPC, 0, -1);
	assert_int_equal(cq_writer_prepare_step(q->writer) > 0, 1);
	assert_true(qs_logged(
		q,
		"next segment not prepared: No space left on device; a segment file takes 4 KiB (segment_size), "));
	assert_int_equal(cq_writer_append(q->writer, 1, "x", 1, NULL), -ENOSPC);
	assert_int_equal(cq_writer_roll(q->writer), -ENOSPC);
	s = qs_stats(q->writer);
	assert_int_equal(s.next_seq, 62);
	assert_int_equal(s.segment, 1);
	assert_int_equal(s.error, 0);
	assert_int_equal(qs_peek32(q->dir, "000000001.q", 12), 0);
	assert_int_equal(qs_count_names(q->dir, ".tmp"), 0);
	cq_fault_set(NULL, 0, 0, 0);
	qs_append(q->writer, 62, 31);
	qs_close(q);
	qs_expect(q->dir, 0, 93);
	qs_format_check(q->dir, "--closed");
}

/* A call that fails during an open leaves no temp names, no held lock, and no damaged queue. */
static void failures_while_opening(void **state)
{
	static const struct {
		const char *name;
		int error, result;
	} faults[] = {
		{ "open_dir", EMFILE, -EMFILE },
		{ "open", EMFILE, -EMFILE },
		{ "create_new", ENOSPC, -ENOSPC },
		{ "allocate", ENOSPC, -ENOSPC },
		{ "allocate", EOPNOTSUPP, -EOPNOTSUPP },
		{ "map", ENOMEM, -ENOMEM },
		{ "populate", EFAULT, -EFAULT },
		{ "list", EMFILE, -EMFILE },
		{ "pwrite", EIO, -EIO },
		{ "rename", EIO, -EIO },
		{ "rename_noreplace", EINVAL, -EOPNOTSUPP },
		{ "rename_noreplace", EIO, -EIO },
	};
	struct qs *q = *state;

	for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
		for (int skip = 0; skip < 6; skip++) {
			int r;

			cq_fault_set(faults[i].name, faults[i].error, skip, 1);
			r = qs_try_open(q);
			cq_fault_set(NULL, 0, 0, 0);
			assert_true(r == 0 || r == faults[i].result);
			assert_int_equal(qs_count_names(q->dir, ".tmp"), 0);
			if (r == 0) {
				qs_append(q->writer, 0, 1);
				qs_close(q);
			}
			qs_open(q); /* once more, undisturbed */
			qs_append(q->writer, 0, 1);
			qs_close(q);
			if (skip == 0)
				qs_format_check(q->dir, "--closed");
			qs_anew(q);
		}
	}
}
/* The directory above may not be opened: then its owner has made this one, and it is used. */
static void nothing_above(void **state)
{
	struct qs *q = *state;
	unsigned opened = 0;

	for (int skip = 0; skip < 4; skip++) {
		int r;

		qs_anew(q);
		cq_fault_forget();
		cq_fault_set("open_dir", EACCES, skip, 1);
		r = qs_try_open(q);
		cq_fault_set(NULL, 0, 0, 0);
		assert_true(r == 0 || r == -EACCES);
		if (r < 0)
			continue;
		opened += cq_fault_given() > 0;
		qs_append(q->writer, 0, 3);
		qs_close(q);
		qs_expect(q->dir, 0, 3);
	}
	assert_true(opened > 0);
}
#endif

/* The current directory is a removed one. */
static void open_in_a_removed_directory(struct qs *q)
{
	CHILD(chdir(q->dir) == 0);
	CHILD(rmdir(q->dir) == 0);
	CHILD(cq_writer_open(".", &q->config, &q->writer) == -ENOENT);
}

static void removed_directory(void **state)
{
	qs_run(open_in_a_removed_directory, *state);
}

static const struct CMUnitTest tests[] = {
	QS_TEST(configuration_is_checked),
	QS_TEST(foreign_directory_is_refused_unchanged),
	QS_TEST(named_reader_comes_before_the_queue),
	QS_TEST(lost_and_found_is_no_obstacle),
	QS_TEST(modes_of_what_is_made),
	QS_TEST(removed_directory),
#ifdef CQ_FAULTS
	QS_TEST(said_once),
	QS_TEST(full_disk),
	QS_TEST(failures_while_opening),
	QS_TEST(nothing_above),
#endif
};

QS_MAIN(tests)
