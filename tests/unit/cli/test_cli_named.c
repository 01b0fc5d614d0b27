/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_cli_named.c - chronq cat --reader and tail --reader: when they commit
 *
 * Standard output is a file.  At each commit its size must be that of all records which the reader has taken
 * since it was opened: whatever is committed was written out.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "queue_support.h"
#include "shared/cli.h"

#define RECORDS 1500
#define LENGTH 1000 /* bytes of a payload; ends in a newline */

static struct {
	const char *command;
	const char *more; /* an option, or NULL */
	const char *out;  /* below the test's directory, or /dev/full */
	unsigned kill_at; /* the process is killed in this commit; 0: never */
	unsigned fail_at; /* this commit fails */
	unsigned commits; /* so far */
	bool running;
} course;

static void before_commit(const cq_reader *reader)
{
	struct cq_reader_stats stats = CQ_SIZED(stats);
	struct stat out;

	CHILD(cq_reader_stats(reader, &stats) == 0);
	CHILD(fstat(STDOUT_FILENO, &out) == 0);
	CHILD((uint64_t)out.st_size == stats.bytes);
	if (++course.commits == course.kill_at)
		kill(getpid(), SIGKILL);
}

int __real_cq_reader_commit(cq_reader *reader);
int __wrap_cq_reader_commit(cq_reader *reader);
int __wrap_cq_reader_commit(cq_reader *reader)
{
	if (course.running)
		before_commit(reader);
	return course.fail_at > 0 && course.commits == course.fail_at
	               ? -ENOSPC
	               : __real_cq_reader_commit(reader);
}

/* The exit code is that of the command, plus ten times the number of commits. */
static void run_command(struct qs *q)
{
	char command[8], reader[] = "--reader", name[] = "r", more[32], out[PATH_SIZE];
	char *argv[] = { command, reader, name, q->dir, NULL, NULL };
	const bool is_cat = strcmp(course.command, "cat") == 0;
	int argc = 4, r;

	(void)snprintf(command, sizeof command, "%s", course.command);
	if (course.more) {
		(void)snprintf(more, sizeof more, "%s", course.more);
		argv[argc++] = more;
	}
	course.running = true;
	support_path(out, q->base, course.out);
	CHILD(freopen(course.out[0] == '/' ? course.out : out, "w", stdout) != NULL);
	r = is_cat ? cli_cat.run(&cli_cat, argc, argv) : cli_tail.run(&cli_tail, argc, argv);
	_exit(r + 10 * (int)course.commits);
}

/* Runs it in a child process: its exit code, or 1000 if it was killed. */
static int run(struct qs *q, const char *out)
{
	int status;

	course.out = out;
	status = qs_child(run_command, q);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000;
}

static void fill(struct qs *q)
{
	char payload[LENGTH + 1];

	q->config.segment_size = 256 << 10;
	qs_open(q);
	for (unsigned i = 0; i < RECORDS; i++) {
		(void)snprintf(payload, sizeof payload, "%08u%0*d\n", i, LENGTH - 9, 0);
		qs_prepare(q->writer);
		assert_int_equal(cq_writer_append(q->writer, 1, payload, LENGTH, NULL), 0);
	}
	qs_close(q);
	assert_int_equal(cq_reader_set(q->dir, "r", CQ_PLACE_OLDEST, 0), 0);
}

/* The number of the first record in an output, and how many there are; each follows the one before. */
static size_t count_records(struct qs *q, const char *out, unsigned *ret_first)
{
	char path[PATH_SIZE];
	size_t size, count;
	char *text;

	support_path(path, q->base, out);
	text = support_slurp(path, &size);
	count = size / LENGTH;
	*ret_first = 0;
	for (size_t i = 0; i < count; i++) {
		char number[9] = "";

		memcpy(number, text + i * LENGTH, 8);
		if (i == 0)
			*ret_first = (unsigned)strtoul(number, NULL, 10);
		assert_int_equal(strtoul(number, NULL, 10), *ret_first + i);
	}
	free(text);
	return count;
}

/* Each batch, and the rest: all written out when it is committed. */
static void commits_what_is_written(void **state)
{
	static const char *const commands[] = { "cat", "tail" };
	struct qs *q = *state;
	unsigned first;

	fill(q);
	for (int i = 0; i < 2; i++) {
		memset(&course, 0, sizeof course);
		course.command = commands[i];
		assert_int_equal(run(q, "out"), 70); /* 1,500 KB in batches of 256 KiB */
		assert_int_equal(count_records(q, "out", &first), RECORDS);
		assert_int_equal(first, 0);
		assert_int_equal(run(q, "out"), 0); /* nothing new: no commit */
		assert_int_equal(cq_reader_set(q->dir, "r", CQ_PLACE_OLDEST, 0), 0);
		course.more = "--commit=end";
		assert_int_equal(run(q, "out"), 10);
		assert_int_equal(count_records(q, "out", &first), RECORDS);
		assert_int_equal(cq_reader_set(q->dir, "r", CQ_PLACE_OLDEST, 0), 0);
	}
}

/* Killed in any commit, it repeats the records of that batch alone. */
static void killed_in_a_commit(void **state)
{
	struct qs *q = *state;
	size_t before = 0;

	fill(q);
	for (unsigned at = 1; at <= 6; at++) {
		unsigned first, again;
		size_t written;

		memset(&course, 0, sizeof course);
		course.command = "cat";
		course.kill_at = at;
		assert_int_equal(run(q, "out"), 1000);
		written = count_records(q, "out", &first);
		assert_int_equal(first, 0);
		assert_true(written > before);
		course.kill_at = 0;
		assert_int_equal(run(q, "out") % 10, 0);
		assert_int_equal(count_records(q, "out", &again), RECORDS - before);
		assert_int_equal(again, before); /* what the commit before it had */
		before = written;
		assert_int_equal(cq_reader_set(q->dir, "r", CQ_PLACE_OLDEST, 0), 0);
	}
}

/* An output that takes nothing more, or a commit that fails: an error, and no further commit. */
static void nothing_is_committed_after_an_error(void **state)
{
	struct qs *q = *state;
	unsigned first;
	size_t count;

	fill(q);
	memset(&course, 0, sizeof course);
	course.command = "cat";
	assert_int_equal(run(q, "/dev/full"), CLI_IO);
	course.more = "--commit=end";
	assert_int_equal(run(q, "/dev/full"), CLI_IO);
	course.more = NULL;
	course.fail_at = 2;
	assert_int_equal(run(q, "out"), CLI_IO + 20);
	course.fail_at = 0;
	assert_int_equal(run(q, "out") % 10, 0);
	count = count_records(q, "out", &first);
	assert_int_equal(count, RECORDS - first);
	assert_true(first > 0 && first < 300);
}

static const struct CMUnitTest tests[] = {
	QS_TEST(commits_what_is_written),
	QS_TEST(killed_in_a_commit),
	QS_TEST(nothing_is_committed_after_an_error),
};

QS_MAIN(tests)
