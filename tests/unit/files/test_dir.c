/* SPDX-License-Identifier: Apache-2.0 */
/* test_dir.c - the names in a queue's directory: parsing, lists, temp files */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "files/dir.h"
#include "os/fault.h"
#include "queue_support.h"

static const char *const not_segments[] = {
	"00000000.q",
	"0000000000.q",
	"000000000.Q",
	"000000000.q ",
	"000000000q",
	"000000000.qq",
	"000000000.q.tmp",
	"000000000.q.new.tmp",
	"+00000000.q",
	"-00000000.q",
	" 00000000.q",
	"0x0000000.q",
	"00000000a.q",
	"000000000",
	".q",
	"",
	"000000000.idx",
	"000000000.q.corrupt",
	"000000000.q.broken",
	"x000000000.q",
	"control.meta",
	"000000000.q/",
	"\xd9\xa0.q",
};

static void names_are_parsed_strictly(void **state)
{
	uint32_t id = 77;
	char name[CQ_NAME_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof not_segments / sizeof not_segments[0]; i++)
		assert_false(cq_segment_name_parse(not_segments[i], &id));
	assert_int_equal(id, 77);
	assert_true(cq_segment_name_parse("000000000.q", &id));
	assert_int_equal(id, 0);
	assert_true(cq_segment_name_parse("999999999.q", &id));
	assert_int_equal(id, CQ_SEGMENT_ID_MAX);
	assert_true(cq_numbered_name_parse("000000012.idx", ".idx", &id));
	assert_int_equal(id, 12);
	assert_false(cq_numbered_name_parse("000000012.idx", ".q", &id));
	cq_segment_name(name, 7);
	assert_string_equal(name, "000000007.q");
	cq_index_name(name, CQ_SEGMENT_ID_MAX);
	assert_string_equal(name, "999999999.idx");
}

static void names_of_what_is_set_aside(void **state)
{
	static const char *const no[] = {
		"000000003.q",
		"000000003.q.broken.",
		"000000003.q.broken.2a",
		"000000003.q.broken2",
		"000000003.q.broken.x",
		"00000003.q.corrupt",
		"000000003.q.corrupt.1.2",
		"2",
		".2",
		"000000003.q.corrupt.1234567890123456789012345678901234567890x",
		"",
	};
	uint32_t id = 77;

	(void)state;
	for (size_t i = 0; i < sizeof no / sizeof no[0]; i++)
		assert_false(cq_aside_name_parse(no[i], &id));
	assert_int_equal(id, 77);
	assert_true(cq_aside_name_parse("000000003.q.broken", &id));
	assert_int_equal(id, 3);
	assert_true(cq_aside_name_parse("000000004.q.broken.999", &id));
	assert_int_equal(id, 4);
	assert_true(cq_aside_name_parse("000000005.q.corrupt.2", &id));
	assert_int_equal(id, 5);
}

static void touch(struct qs *q, const char *name)
{
	qs_write_file(q->dir, name, "", 0);
}

static void list_is_ascending_and_of_segments_alone(void **state)
{
	struct qs *q = *state;
	uint32_t *ids, next = 0;
	char name[CQ_NAME_MAX];
	size_t count;

	assert_int_equal(cq_dir_list(q->dirfd, &ids, &count), 0);
	assert_int_equal(count, 0);
	free(ids);
	assert_int_equal(cq_dir_next(q->dirfd, 0, &next), -ENOENT);
	for (size_t i = 0; i < sizeof not_segments / sizeof not_segments[0]; i++)
		if (not_segments[i][0] != '\0' && !strchr(not_segments[i], '/'))
			touch(q, not_segments[i]);
	for (uint32_t i = 300; i-- > 100;) { /* more than a first allocation holds */
		cq_segment_name(name, i * 7 % 200 + 1000);
		touch(q, name);
	}
	touch(q, "999999999.q");
	assert_int_equal(cq_dir_list(q->dirfd, &ids, &count), 0);
	assert_int_equal(count, 201);
	for (size_t i = 0; i < 200; i++)
		assert_int_equal(ids[i], 1000 + i);
	assert_int_equal(ids[200], 999999999);
	free(ids);
	assert_int_equal(cq_dir_next(q->dirfd, 0, &next), 0);
	assert_int_equal(next, 1000);
	assert_int_equal(cq_dir_next(q->dirfd, 1100, &next), 0);
	assert_int_equal(next, 1100);
	assert_int_equal(cq_dir_next(q->dirfd, 1200, &next), 0);
	assert_int_equal(next, 999999999);
}

static enum cq_dir_kind kind(struct qs *q)
{
	enum cq_dir_kind k;

	assert_int_equal(cq_dir_classify(q->dirfd, &k), 0);
	return k;
}

static void kinds_of_directories(void **state)
{
	static const char *const marks[] = { "000000005.q", "control.meta", "writer.lock",
		                             "000000000.q.tmp", "control.tmp" };
	struct qs *q = *state;

	assert_int_equal(kind(q), CQ_DIR_EMPTY);
	assert_int_equal(mkdirat(q->dirfd, "lost+found", 0700), 0);
	assert_int_equal(kind(q), CQ_DIR_EMPTY);
	/* readers that have come before the queue */
	assert_int_equal(mkdirat(q->dirfd, "readers", 0700), 0);
	assert_int_equal(kind(q), CQ_DIR_EMPTY);
	touch(q, "readers/backup.meta");
	assert_int_equal(kind(q), CQ_DIR_EMPTY);
	touch(q, "readers/novel.txt");
	assert_int_equal(kind(q), CQ_DIR_FOREIGN);
	assert_int_equal(unlinkat(q->dirfd, "readers/novel.txt", 0), 0);
	assert_int_equal(unlinkat(q->dirfd, "readers/backup.meta", 0), 0);
	assert_int_equal(unlinkat(q->dirfd, "readers", AT_REMOVEDIR), 0);
	touch(q, "readers");
	assert_int_equal(kind(q), CQ_DIR_FOREIGN);
	assert_int_equal(unlinkat(q->dirfd, "readers", 0), 0);
	touch(q, "notes.txt");
	assert_int_equal(kind(q), CQ_DIR_FOREIGN);
	for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++) {
		touch(q, marks[i]);
		assert_int_equal(kind(q), CQ_DIR_QUEUE);
		assert_int_equal(unlinkat(q->dirfd, marks[i], 0), 0);
		assert_int_equal(kind(q), CQ_DIR_FOREIGN);
	}
}

static void sweep_takes_our_temp_names_alone(void **state)
{
	static const char *const ours[] = { "000000000.q.tmp", "999999999.q.tmp",
		                            "000000001.q.new.tmp", "000000002.idx.tmp",
		                            "control.tmp" };
	static const char *const others[] = {
		"000000000.q",  "00000000.q.tmp",   "a.tmp",
		"q.tmp",        "000000000.q.tmp~", "control.meta",
		"control.tmp2", "000000000.idx",    "0000000000.q.tmp",
		"CONTROL.tmp",  "000000000.new.tmp"
	};
	struct qs *q = *state;

	for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
		touch(q, ours[i]);
	for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
		touch(q, others[i]);
	assert_int_equal(cq_dir_sweep(q->dirfd), 0);
	for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
		assert_false(support_exists(q->dir, ours[i]));
	for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
		assert_true(support_exists(q->dir, others[i]));
	assert_int_equal(cq_dir_sweep(q->dirfd), 0);
}

#ifdef CQ_FAULTS
static void failures_are_told(void **state)
{
	struct qs *q = *state;
	enum cq_dir_kind k;
	uint32_t *ids, id;
	size_t count;

	touch(q, "000000000.q.tmp");
	cq_fault_set("list", EMFILE, 0, -1);
	assert_int_equal(cq_dir_list(q->dirfd, &ids, &count), -EMFILE);
	assert_int_equal(cq_dir_next(q->dirfd, 0, &id), -EMFILE);
	assert_int_equal(cq_dir_classify(q->dirfd, &k), -EMFILE);
	cq_fault_set("unlink", EACCES, 0, -1);
	assert_int_equal(cq_dir_sweep(q->dirfd), -EACCES);
	cq_fault_set("unlink", ENOENT, 0, -1); /* another process was faster */
	assert_int_equal(cq_dir_sweep(q->dirfd), 0);
	cq_fault_set(NULL, 0, 0, 0);
}
#endif

static const struct CMUnitTest tests[] = {
	QS_TEST(names_are_parsed_strictly),
	QS_TEST(names_of_what_is_set_aside),
	QS_TEST(list_is_ascending_and_of_segments_alone),
	QS_TEST(kinds_of_directories),
	QS_TEST(sweep_takes_our_temp_names_alone),
#ifdef CQ_FAULTS
	QS_TEST(failures_are_told),
#endif
};

QS_MAIN(tests)
