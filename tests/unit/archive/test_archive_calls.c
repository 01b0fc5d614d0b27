/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_archive_calls.c - chronq archive with each of its calls failing, at each time it is made
 *
 * The command runs in a child process.  A call, counted by name, fails once.  Then the command says so and ends, or
 * has done without the call; and the next run goes on so that no segment is left out.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "queue_support.h"
#include "shared/cli.h"

#define SEGMENTS 5 /* sealed ones */
#define NOTHING UINT_MAX

static struct {
	const char *call; /* fails */
	unsigned at;      /* at the first, second, ... time */
	unsigned calls;   /* so far */
	bool running;     /* the command, in its process */
} course;

/* Whether this call fails. */
static bool fails(const char *call)
{
	return course.running && course.call && strcmp(call, course.call) == 0 &&
	       ++course.calls == course.at;
}

#define WRAP(type, name, parameters, arguments)                          \
	type __real_##name parameters;                                   \
	type __wrap_##name parameters;                                   \
	type __wrap_##name parameters                                    \
	{                                                                \
		return fails(#name) ? -EMFILE : __real_##name arguments; \
	}

/* The same for calls of the system. */
#define WRAP_SYSTEM(type, name, parameters, arguments)  \
	type __real_##name parameters;                  \
	type __wrap_##name parameters;                  \
	type __wrap_##name parameters                   \
	{                                               \
		if (!fails(#name))                      \
			return __real_##name arguments; \
		errno = EMFILE;                         \
		return -1;                              \
	}

WRAP(int, cq_queue_ends, (cq_queue * queue, uint32_t *oldest, uint32_t *newest),
     (queue, oldest, newest))
WRAP(int, cq_queue_holder, (cq_queue * queue, struct cq_holder *ret), (queue, ret))
WRAP(int, cq_queue_info, (cq_queue * queue, struct cq_queue_info *ret), (queue, ret))
WRAP(int, cq_queue_list, (cq_queue * queue, uint32_t **ids, size_t *count), (queue, ids, count))
WRAP(int, cq_queue_open, (const char *dir, cq_queue **ret), (dir, ret))
WRAP(int, cq_queue_wait_durable, (cq_queue * queue, uint64_t seq, int ms, uint64_t *ret),
     (queue, seq, ms, ret))
WRAP(int, cq_reader_commit, (cq_reader * reader), (reader))
WRAP(int, cq_reader_skip_segment, (cq_reader * reader), (reader))
WRAP(int, cq_segment_info,
     (cq_segment * segment, enum cq_segment_source what, struct cq_segment_info *ret),
     (segment, what, ret))
WRAP(int, cq_segment_open, (cq_queue * queue, uint32_t id, cq_segment **ret), (queue, id, ret))
WRAP_SYSTEM(pid_t, fork, (void), ())
WRAP_SYSTEM(int, pipe2, (int ends[2], int flags), (ends, flags))

static void redirect(const struct qs *q, const char *name, int flags, int to)
{
	char path[PATH_SIZE];
	int fd;

	support_path(path, q->base, name);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0600);
	CHILD(fd >= 0 && dup2(fd, to) == to);
}

/* Its command writes the segment's name and numbers to "out". */
static void run_archive(struct qs *q)
{
	char words[][64] = { "archive", "",   "--",
		             "/bin/sh", "-c", "echo ${0##*/} $CHRONQ_FIRST_SEQ-$CHRONQ_NEXT_SEQ" };
	char *argv[7] = { words[0], q->dir, words[2], words[3], words[4], words[5], NULL };

	redirect(q, "out", O_APPEND, STDOUT_FILENO);
	redirect(q, "err", O_TRUNC, STDERR_FILENO);
	course.calls = 0;
	course.running = true;
	_exit(cli_archive.run(&cli_archive, 6, argv));
}

static int archive(struct qs *q, const char *call, unsigned at)
{
	int status;

	course.call = call;
	course.at = at;
	status = qs_child(run_archive, q);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static bool file_has(const struct qs *q, const char *name, const char *text)
{
	char path[PATH_SIZE], *content;
	size_t size;
	bool has;

	support_path(path, q->base, name);
	content = support_slurp(path, &size);
	has = strstr(content, text) != NULL;
	free(content);
	return has;
}

/* "out" has all segments but `missing`, in order; one may come again.  Then it is removed. */
static void expect_all(const struct qs *q, unsigned missing)
{
	char path[PATH_SIZE], wanted[64], line[64];
	unsigned next = 0;
	FILE *file;

	support_path(path, q->base, "out");
	file = fopen(path, "re");
	assert_non_null(file);
	while (fgets(line, sizeof line, file)) {
		if (next == missing)
			next++;
		(void)snprintf(wanted, sizeof wanted, "%09u.q %u-%u\n", next,
		               next * SUPPORT_PER_SEGMENT, (next + 1) * SUPPORT_PER_SEGMENT);
		if (strcmp(line, wanted) == 0)
			next++;
		else /* that one again */
			assert_int_equal(strtoul(line, NULL, 10) + 1,
			                 next - 1 == missing ? next - 1 : next);
	}
	assert_int_equal(next, SEGMENTS);
	(void)fclose(file);
	assert_int_equal(unlink(path), 0);
}

/* Each time the call is made.  There are at least `least`. */
static void each_time(struct qs *q, const char *call, unsigned least, unsigned missing)
{
	const char *const system_calls[] = { "fork", "pipe2" };
	unsigned at = 0;
	int code;

	do {
		(void)cq_reader_delete(q->dir, "archive");
		code = archive(q, call, ++at);
		if (code == CLI_IO) {
			assert_true(file_has(q, "err", "Too many open files"));
			for (size_t i = 0; i < 2; i++)
				if (strcmp(call, system_calls[i]) == 0)
					assert_true(file_has(q, "err", "cannot run /bin/sh: "));
			(void)archive(q, NULL, 0);
		}
		expect_all(q, missing);
	} while (code == CLI_IO);
	print_message("# %s: failed at %u places\n", call, at - 1);
	assert_true(at > least);
}

static void fill(struct qs *q)
{
	qs_write(q, 0, SEGMENTS * SUPPORT_PER_SEGMENT + 1);
}

static void each_call(void **state)
{
	struct qs *q = *state;

	fill(q);
	each_time(q, "cq_segment_open", 2 * SEGMENTS, NOTHING);
	each_time(q, "cq_segment_info", SEGMENTS, NOTHING);
	each_time(q, "cq_queue_wait_durable", SEGMENTS, NOTHING);
	each_time(q, "cq_reader_skip_segment", SEGMENTS, NOTHING);
	each_time(q, "cq_queue_open", 1, NOTHING);
	each_time(q, "fork", SEGMENTS, NOTHING);
	each_time(q, "pipe2", SEGMENTS, NOTHING);
}

/* One of them is missing, so the directory is listed. */
static void each_call_at_a_gap(void **state)
{
	struct qs *q = *state;

	fill(q);
	assert_int_equal(unlinkat(q->dirfd, "000000002.q", 0), 0);
	each_time(q, "cq_queue_list", 1, 2);
	each_time(q, "cq_segment_open", 2 * SEGMENTS, 2);
}

static void put_back_durable(struct qs *q, const char *from)
{
	assert_int_equal(renameat(q->dirfd, from, q->dirfd, "durable.meta"), 0);
}

/* A segment that may not be on the disk. */
static void not_durable(void **state)
{
	struct qs *q = *state;
	char path[PATH_SIZE], *bytes;
	size_t size;

	qs_write(q, 0, 1);
	support_path(path, q->dir, "durable.meta");
	bytes = support_slurp(path, &size);
	qs_write(q, 1, SEGMENTS * SUPPORT_PER_SEGMENT);
	assert_int_equal(renameat(q->dirfd, "durable.meta", q->dirfd, "right"), 0);
	qs_write_file(q->dir, "durable.meta", bytes, size);
	free(bytes);
	assert_int_equal(archive(q, NULL, 0), CLI_PROBLEM);
	assert_true(file_has(q, "err", "is left for the next run"));
	assert_int_equal(archive(q, "cq_queue_holder", 1), CLI_PROBLEM);
	assert_true(file_has(q, "err", "is left for the next run"));
	assert_int_equal(archive(q, "cq_queue_info", 1), CLI_IO);
	assert_true(file_has(q, "err", "Too many open files"));
	put_back_durable(q, "right");
	assert_int_equal(archive(q, NULL, 0), CLI_OK);
	expect_all(q, NOTHING);
}

/* The writer was killed between sealing a segment and beginning the next one: it may be in there still. */
static void sealed_and_not_left(void **state)
{
	struct qs *q = *state;
	const uint8_t zeros[64] = { 0 };

	fill(q);
	assert_int_equal(unlinkat(q->dirfd, "000000005.q", 0), 0);
	support_set_current(q->dir, 4);
	assert_int_equal(archive(q, NULL, 0), CLI_OK);
	assert_true(file_has(q, "out", "000000003.q "));
	assert_false(file_has(q, "out", "000000004.q "));
	/* or it is just being made */
	support_poke(q->dir, "000000004.q", 0, zeros, sizeof zeros);
	assert_int_equal(archive(q, NULL, 0), CLI_OK);
	assert_false(file_has(q, "out", "000000004.q "));
}

/* A commit fails: the segment is given out again.  A sign of life that fails does no harm. */
static void commit_fails(void **state)
{
	struct qs *q = *state;
	unsigned failed = 0;

	fill(q);
	for (unsigned at = 1; at <= 3 * SEGMENTS; at++) {
		(void)cq_reader_delete(q->dir, "archive");
		if (archive(q, "cq_reader_commit", at) == CLI_IO) {
			assert_true(file_has(q, "err", "reader archive: "));
			assert_true(file_has(q, "err", "Too many open files"));
			assert_int_equal(archive(q, NULL, 0), CLI_OK);
			failed++;
		}
		expect_all(q, NOTHING);
	}
	assert_in_range(failed, 2, 3 * SEGMENTS - 1);
}

static const struct CMUnitTest tests[] = {
	QS_TEST(each_call),           QS_TEST(each_call_at_a_gap), QS_TEST(not_durable),
	QS_TEST(sealed_and_not_left), QS_TEST(commit_fails),
};

SUPPORT_MAIN_IN_MEMORY(tests)
