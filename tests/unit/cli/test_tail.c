/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_tail.c - chronq tail -n, with segments deleted and records appended after it has counted
 *
 * It counts the records, seeks back and prints.  Changes in between may cost it deleted records, but no
 * others.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/cli.h"
#include "queue_support.h"

#define BEFORE (4 * SUPPORT_PER_SEGMENT + 9) /* records at the start */

/* The change is made at the first seek after a record was read, the seek back. */
static struct {
	const char *wanted;         /* -n */
	unsigned deleted, appended; /* segments, from the oldest on; records */
	unsigned first;             /* the first record that is then printed */
	bool counted, changed;
	struct qs *q;
} course;

static void change(void)
{
	char name[32];

	if (!course.counted || course.changed)
		return;
	course.changed = true;
	for (unsigned id = 0; id < course.deleted; id++) {
		(void)snprintf(name, sizeof name, "%09u.q", id);
		CHILD(unlinkat(course.q->dirfd, name, 0) == 0);
	}
	if (course.appended > 0)
		qs_write(course.q, BEFORE, course.appended);
}

int __real_cq_reader_seek_seq(cq_reader *reader, uint64_t seq);
int __wrap_cq_reader_seek_seq(cq_reader *reader, uint64_t seq);
int __wrap_cq_reader_seek_seq(cq_reader *reader, uint64_t seq)
{
	change();
	return __real_cq_reader_seek_seq(reader, seq);
}

int __real_cq_reader_seek_oldest(cq_reader *reader);
int __wrap_cq_reader_seek_oldest(cq_reader *reader);
int __wrap_cq_reader_seek_oldest(cq_reader *reader)
{
	change();
	return __real_cq_reader_seek_oldest(reader);
}

int __real_cq_reader_next(cq_reader *reader, struct cq_record *ret_record);
int __wrap_cq_reader_next(cq_reader *reader, struct cq_record *ret_record);
int __wrap_cq_reader_next(cq_reader *reader, struct cq_record *ret_record)
{
	course.counted = true;
	return __real_cq_reader_next(reader, ret_record);
}

static void run_tail(struct qs *q)
{
	char command[] = "tail", option[] = "-n", wanted[16], out[PATH_SIZE];
	char *argv[] = { command, option, wanted, q->dir, NULL };

	(void)snprintf(wanted, sizeof wanted, "%s", course.wanted);
	support_path(out, q->base, "out");
	CHILD(freopen(out, "w", stdout));
	CHILD(cli_tail.run(&cli_tail, 4, argv) == CLI_OK);
	CHILD(course.changed);
}

/* Prints the records from course.first on, to the newest. */
static void prints(struct qs *q)
{
	char out[PATH_SIZE], line[64], *text, *at;
	size_t size;

	course.q = q;
	course.counted = course.changed = false;
	qs_write(q, 0, BEFORE);
	qs_run(run_tail, q);
	support_path(out, q->base, "out");
	text = support_slurp(out, &size);
	at = text;
	for (unsigned i = course.first; i < BEFORE + course.appended; i++) {
		(void)snprintf(line, sizeof line, "record %u\n", i);
		assert_memory_equal(at, line, strlen(line));
		at += strlen(line);
	}
	assert_int_equal(*at, '\0');
	free(text);
}

/* It counts from the place that the summaries give, in segment 2. */
static void nothing_changes(void **state)
{
	course.wanted = "45";
	course.deleted = course.appended = 0;
	course.first = BEFORE - 45;
	prints(*state);
}

static void deleted_up_to_the_first(void **state)
{
	course.wanted = "45";
	course.deleted = 2;
	course.appended = 0;
	course.first = BEFORE - 45;
	prints(*state);
}

static void deleted_with_some_of_them(void **state)
{
	course.wanted = "45";
	course.deleted = 3;
	course.appended = 0;
	course.first = 3 * SUPPORT_PER_SEGMENT;
	prints(*state);
}

/* Fewer of the counted records are left than it would have left out. */
static void appended_and_deleted(void **state)
{
	course.wanted = "45";
	course.deleted = 4;
	course.appended = 2 * SUPPORT_PER_SEGMENT;
	course.first = 4 * SUPPORT_PER_SEGMENT;
	prints(*state);
}

/* It counts from the beginning of the queue. */
static void deleted_of_all(void **state)
{
	course.wanted = "130";
	course.deleted = 1;
	course.appended = 0;
	course.first = SUPPORT_PER_SEGMENT;
	prints(*state);
}

static const struct CMUnitTest tests[] = {
	QS_TEST(nothing_changes),
	QS_TEST(deleted_up_to_the_first),
	QS_TEST(deleted_with_some_of_them),
	QS_TEST(appended_and_deleted),
	QS_TEST(deleted_of_all),
};

QS_MAIN(tests)
