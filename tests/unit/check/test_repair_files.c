/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_repair_files.c - files that a repair, or an opening writer, finds in its way: other people's,
 * directories, and what was set aside before
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "format/format.h"
#include "os/fault.h"
#include "queue_support.h"
#include "repair_support.h"

#define NAME(id) "00000000" #id ".q"
#define MOST 999U /* files that are set aside of one segment, of each kind */

/* Segments 0 and 1 sealed, 2 with 8 records, spare 3; all durable. */
static void make(struct qs *q)
{
	qs_open(q);
	qs_append(q->writer, 0, 70);
	qs_prepare(q->writer);
	qs_flush(q->writer);
	qs_close(q);
}

static int repair(struct qs *q, bool dry_run, bool trust_files, struct cq_repair_result *ret_result)
{
	const struct cq_repair_config config = { .size = sizeof config,
		                                 .dry_run = dry_run,
		                                 .accept_loss = true,
		                                 .trust_files = trust_files,
		                                 .log = q->config.log,
		                                 .log_arg = q->config.log_arg };

	q->log_length = 0;
	return cq_repair(q->dir, &config, ret_result);
}

/* Really or not, it is refused; the log says why, and nothing has changed. */
static void refused(struct qs *q, int error, const char *text)
{
	struct cq_repair_result result = CQ_SIZED(result);
	struct qs_snapshot before;

	for (int dry_run = 0; dry_run < 2; dry_run++) {
		qs_snapshot(q->dir, &before);
		assert_int_equal(repair(q, dry_run, false, &result), error);
		qs_unchanged(q->dir, &before);
		assert_true(qs_logged(q, text));
	}
}

/* ---- other people's ---- */

/* Gives a file of the queue a second name, outside of it. */
static void share(struct qs *q, const char *name)
{
	char path[PATH_SIZE];

	support_path(path, q->base, name);
	assert_int_equal(linkat(q->dirfd, name, AT_FDCWD, path, 0), 0);
}

/* A copy made of hard links shares the sealed segments: they are read, and not written to. */
static void copy_of_hard_links(void **state)
{
	struct qs *q = *state;
	char path[PATH_SIZE];
	struct cq_repair_result result = CQ_SIZED(result);

	make(q);
	share(q, NAME(0));
	share(q, NAME(1));
	assert_int_equal(unlinkat(q->dirfd, "index.meta", 0), 0);
	assert_int_equal(repair(q, false, false, &result), 0);
	assert_true(result.done);
	rs_is_sound(q);
	/* what is behind its records would be removed, in the copy as well */
	support_poke(q->dir, NAME(1), QS_SIZE - 8, "x", 1);
	refused(q, -EPERM, "error " NAME(1) " is not written to: it has a second name");
	support_path(path, q->base, NAME(1));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(repair(q, false, false, &result), 0);
	assert_true(result.done);
	rs_is_sound(q);
	qs_expect(q->dir, 0, 70);
}

/* As chronicle-rs left it, without a watermark: all that is sealed is taken as it is. */
static void linked_without_a_watermark(void **state)
{
	struct qs *q = *state;

	make(q);
	assert_int_equal(unlinkat(q->dirfd, "durable.meta", 0), 0);
	share(q, NAME(0));
	qs_write(q, 70, 10);
	assert_int_equal(unlinkat(q->dirfd, "durable.meta", 0), 0);
	share(q, NAME(2));
	assert_int_equal(qs_try_open(q), -EPERM);
	qs_expect(q->dir, 0, 80);
}

/* Only the queue's owner can know whether a file system shows all files so. */
static void everybody_may_write(void **state)
{
	static const char *const names[] = { NAME(0),      NAME(1),        NAME(2),
		                             NAME(3),      "control.meta", "durable.meta",
		                             "index.meta", "writer.lock" };
	struct qs *q = *state;
	struct cq_repair_result result = CQ_SIZED(result);

	make(q);
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		assert_int_equal(fchmodat(q->dirfd, names[i], 0777, 0), 0);
	support_poke(q->dir, NAME(1), QS_SIZE - 8, "x", 1);
	refused(q, -EPERM, "everybody may write to it");
	assert_int_equal(repair(q, true, true, &result), 0);
	assert_int_equal(result.steps, 3); /* the bytes, the seal, the index */
	assert_int_equal(repair(q, false, true, &result), 0);
	assert_true(result.done);
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		assert_int_equal(fchmodat(q->dirfd, names[i], 0640, 0), 0);
	rs_is_sound(q);
	qs_expect(q->dir, 0, 70);
}

/* ---- directories ---- */

static void directories(void **state)
{
	static const char *const names[] = { "000000003.q.tmp",   "000000004.q.new.tmp",
		                             "000000001.idx.tmp", "control.tmp",
		                             "control.meta",      "writer.lock" };
	struct qs *q = *state;
	struct qs_snapshot before;
	char text[100];

	make(q);
	qs_write_file(q->dir, "000000009.q.tmp", "", 0); /* of a crash, and not removed meanwhile */
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		(void)renameat(q->dirfd, names[i], q->dirfd, "away");
		assert_int_equal(mkdirat(q->dirfd, names[i], 0700), 0);
		snprintf(text, sizeof text,
		         "error %s is a directory, and has to be a file: move it away", names[i]);
		refused(q, -EBADMSG, text);
		qs_snapshot(q->dir, &before);
		q->log_length = 0;
		assert_int_equal(qs_try_open(q), -EBADMSG);
		assert_true(qs_logged(q, text));
		qs_unchanged(q->dir, &before);
		assert_int_equal(unlinkat(q->dirfd, names[i], AT_REMOVEDIR), 0);
		(void)renameat(q->dirfd, "away", q->dirfd, names[i]);
	}
	qs_write(q, 70, 10);
	rs_is_sound(q);
	qs_expect(q->dir, 0, 80);
}

/* In the place of an index one is no index: it is in nobody's way but a repair's. */
static void directories_as_indexes(void **state)
{
	struct qs *q = *state;
	struct cq_repair_result result = CQ_SIZED(result);

	make(q);
	assert_int_equal(unlinkat(q->dirfd, "000000000.idx", 0), 0);
	assert_int_equal(mkdirat(q->dirfd, "000000000.idx", 0700), 0);
	assert_int_equal(mkdirat(q->dirfd, "000000002.idx", 0700), 0);
	refused(q, -EBADMSG,
	        "error 000000000.idx is a directory, and has to be a file: move it away");
	q->config.retain_segments = 3;
	qs_open(q);
	qs_append(q->writer, 70, 40); /* into 3 */
	qs_prepare(q->writer);
	qs_flush(q->writer);
	assert_false(support_exists(q->dir, NAME(0)));
	qs_close(q);
	assert_true(qs_logged(q, "warning index of segment 000000002 not written"));
	assert_int_equal(unlinkat(q->dirfd, "000000000.idx", AT_REMOVEDIR), 0);
	assert_int_equal(unlinkat(q->dirfd, "000000002.idx", AT_REMOVEDIR), 0);
	assert_int_equal(repair(q, false, false, &result), 0);
	assert_true(result.done);
	rs_is_sound(q);
}

/* ---- how much is set aside ---- */

static void aside_name(char name[CQ_NAME_MAX], const char *kind, unsigned n)
{
	if (n < 2)
		snprintf(name, CQ_NAME_MAX, "000000002.q.%s", kind);
	else
		snprintf(name, CQ_NAME_MAX, "000000002.q.%s.%u", kind, n);
}

/* Opening says that there is too much of it, and where; until somebody has moved one away. */
static void crowded(struct qs *q, const char *kind)
{
#ifdef CQ_FAULTS
	static const char *const calls[] = { "open", "pread", "seek_data", "stat_at" };
#endif
	char name[CQ_NAME_MAX], text[100];
	struct cq_repair_result repaired = CQ_SIZED(repaired);
	struct cq_verify_result result = CQ_SIZED(result);
	struct qs_snapshot before;

	snprintf(text, sizeof text,
	         "error nothing more can be set aside: move 000000002.q.%s* away", kind);
	for (unsigned n = 1; n <= MOST; n++) {
		aside_name(name, kind, n);
		qs_write_file(q->dir, name, "", 0);
		/* at the place of the bytes that will be in their way, other ones */
		support_poke(q->dir, name, 3000, "other", 5);
	}
	qs_snapshot(q->dir, &before);
	assert_int_equal(repair(q, false, false, &repaired), -EEXIST);
	assert_true(qs_logged(q, text));
	q->log_length = 0;
	assert_int_equal(qs_try_open(q), -EEXIST);
	assert_true(qs_logged(q, text));
#ifdef CQ_FAULTS
	/* nor does a call that fails make it less */
	for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
		for (int skip = 0; skip < 24; skip++) {
			cq_fault_set(calls[i], EIO, skip, 1);
			assert_true(repair(q, true, false, &repaired) < 0);
		}
	cq_fault_set(NULL, 0, 0, 0);
#endif
	qs_unchanged(q->dir, &before);
	aside_name(name, kind, 500);
	assert_int_equal(unlinkat(q->dirfd, name, 0), 0);
	qs_open(q);
	qs_close(q);
	assert_true(support_exists(q->dir, name));
	assert_int_equal(cq_verify(q->dir, NULL, NULL, &result), 0);
	assert_int_equal(result.damage, 0);
	assert_int_equal(result.information, MOST); /* each is reported */
}

static void too_many_bytes_set_aside(void **state)
{
	struct qs *q = *state;

	make(q);
	support_poke(q->dir, NAME(2), 3000, "these", 5);
	crowded(q, "broken");
	assert_int_equal(qs_peek32(q->dir, "000000002.q.broken.500", 3000), 0x73656874); /* thes */
	qs_expect(q->dir, 0, 70);
}

/* What is no file of ours under the first names is passed over, and stays as it is. */
static void names_that_are_no_files(void **state)
{
	static const char other[] = "somebody's";
	struct qs *q = *state;
	char there[sizeof other] = "", path[PATH_SIZE];
	struct stat st;

	make(q);
	support_poke(q->dir, NAME(2), 3000, "these", 5);
	qs_write_file(q->base, "linked", other, sizeof other - 1);
	support_path(path, q->base, "linked");
	assert_int_equal(symlinkat(path, q->dirfd, NAME(2) ".broken"), 0);
	assert_int_equal(mkdirat(q->dirfd, NAME(2) ".broken.2", 0700), 0);
	assert_int_equal(linkat(AT_FDCWD, path, q->dirfd, NAME(2) ".broken.3", 0), 0);
	qs_open(q);
	qs_close(q);
	assert_int_equal(qs_peek32(q->dir, NAME(2) ".broken.4", 3000), 0x73656874); /* thes */
	assert_int_equal(fstatat(q->dirfd, NAME(2) ".broken", &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(fstatat(q->dirfd, NAME(2) ".broken.2", &st, 0), 0);
	assert_true(S_ISDIR(st.st_mode));
	support_peek(q->base, "linked", 0, there, sizeof other - 1);
	assert_string_equal(there, other);
	qs_expect(q->dir, 0, 70);
}

static void too_many_segments_set_aside(void **state)
{
	struct qs *q = *state;

	make(q);
	qs_mark(q->dir, 2, 64, 62); /* so that it is no loss */
	support_poke(q->dir, NAME(2), 0, "X", 1);
	crowded(q, "corrupt");
	qs_expect(q->dir, 0, 62);
}

static const struct CMUnitTest tests[] = {
	QS_TEST(copy_of_hard_links),          QS_TEST(linked_without_a_watermark),
	QS_TEST(everybody_may_write),         QS_TEST(directories),
	QS_TEST(directories_as_indexes),      QS_TEST(too_many_bytes_set_aside),
	QS_TEST(too_many_segments_set_aside), QS_TEST(names_that_are_no_files),
};

SUPPORT_MAIN_IN_MEMORY(tests)
