/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_means.c - calls that read a queue, without memory, without descriptors, on a read-only file system:
 * each gives a right answer or an error
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "catalog/catalog.h"
#include "chronq-fs.h"
#include "files/dir.h"
#include "format/format.h"
#include "kernel.h"
#include "meta/control.h"
#include "queue_support.h"

static int teardown(void **state)
{
	kernel_refuse(NULL, 0, 0, 0);
	return qs_teardown(state);
}

/* ---- memory ---- */

/* Without memory the call fails: a part of the list never passes for all of it. */
static void list_without_memory(void **state)
{
	struct qs *q = *state;
	uint32_t *ids;
	size_t count;
	char name[32];

	for (unsigned i = 0; i < 70; i++) {
		snprintf(name, sizeof name, "%09u.q", i);
		qs_write_file(q->dir, name, "", 0);
	}
	kernel_refuse("realloc", ENOMEM, 0, 1);
	assert_int_equal(cq_dir_list(q->dirfd, &ids, &count), -ENOMEM);
	assert_int_equal(cq_dir_list(q->dirfd, &ids, &count), 0);
	assert_int_equal(count, 70);
	free(ids);
}

/* Verification gives a right result or an error. */
static void verification_without_memory(void **state)
{
	static const char *const names[] = { "malloc", "calloc", "realloc", "strdup" };
	struct qs *q = *state;
	struct cq_verify_result result = CQ_SIZED(result);
	cq_reader *reader;
	unsigned failed = 0;
	int r;

	support_append(q->dir, 0, 40);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(cq_reader_open(q->dir, i ? "a" : "b", CQ_START_OLDEST, 0, &reader),
		                 0);
		assert_int_equal(cq_reader_commit(reader), 0);
		cq_reader_close(reader);
	}
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		unsigned skip = 0;

		do {
			kernel_refuse(names[i], ENOMEM, skip++, 1);
			r = cq_verify(q->dir, NULL, NULL, &result);
			assert_int_equal(r, kernel_refused() > 0 ? -ENOMEM : 0);
			failed += r < 0;
		} while (r < 0);
		assert_int_equal(result.damage, 0);
	}
	assert_true(failed > 10);
}

/* A new entry is not stored, earlier entries stay. */
static void catalog_without_memory(void **state)
{
	const struct cq_file_id file = { .inode = 7 };
	static const char *const calls[] = { "calloc", "calloc", "realloc" };
	struct cq_catalog catalog;
	struct cq_catalog_entry seen, entry = { .file = file };

	(void)state;
	cq_catalog_init(&catalog);
	for (entry.id = 0; entry.id < 14 * 128; entry.id += 128)
		cq_catalog_learn_sealed(&catalog, &entry, 0);
	for (unsigned i = 0; i < 3; i++) {
		entry.id = i == 0 ? 100 : 5000 + i * 128; /* between them; behind them */
		kernel_refuse(calls[i], ENOMEM, 0, 1);
		cq_catalog_learn_sealed(&catalog, &entry, 0);
		assert_int_equal(kernel_refused(), 1);
		assert_false(cq_catalog_get_sealed(&catalog, entry.id, file, &seen));
		for (uint32_t id = 0; id < 14 * 128; id += 128)
			assert_true(cq_catalog_get_sealed(&catalog, id, file, &seen));
		cq_catalog_learn_sealed(&catalog, &entry, 0);
		assert_true(cq_catalog_get_sealed(&catalog, entry.id, file, &seen));
	}
	cq_catalog_fini(&catalog);
}

/* ---- descriptors, and a file system that is read-only ---- */

/* Without a descriptor the calls on a new handle fail; with one they give right answers. */
static void queue_without_descriptors(void **state)
{
	struct qs *q = *state;
	const unsigned before = kernel_descriptors();
	struct cq_segment_attr attr;
	uint32_t oldest, newest;
	cq_queue *queue;

	support_append(q->dir, 0, 40);
	assert_int_equal(unlinkat(q->dirfd, CQ_CONTROL_NAME, 0),
	                 0); /* it would tell that this is one */
	kernel_refuse("fdopendir", EMFILE, 0, 1);
	assert_int_equal(cq_queue_open(q->dir, &queue), -EMFILE);
	assert_int_equal(kernel_descriptors(), before);
	assert_int_equal(cq_queue_open(q->dir, &queue), 0);
	kernel_refuse("openat", EMFILE, 0, 100);
	assert_int_equal(cq_queue_segment_attr(queue, 0, NULL, &attr), -EMFILE);
	kernel_refuse(NULL, 0, 0, 0);
	assert_int_equal(cq_queue_segment_attr(queue, 0, NULL, &attr), 0);
	assert_true(attr.sealed);
	/* the ends have moved far */
	assert_int_equal(unlinkat(q->dirfd, "000000000.q", 0), 0);
	assert_int_equal(unlinkat(q->dirfd, "000000001.q", 0), 0);
	(void)unlinkat(q->dirfd, "000000002.q", 0); /* the spare, if its writer came to that */
	qs_make_segment(q->dir, 1000, QS_SIZE);
	kernel_refuse("fdopendir", EMFILE, 0, 1);
	assert_int_equal(cq_queue_ends(queue, &oldest, &newest), -EMFILE);
	assert_int_equal(cq_queue_ends(queue, &oldest, &newest), 0);
	assert_int_equal(oldest, 1000);
	cq_queue_close(queue);
}

/* A handle that was opened before there was a segment has to find out how large one is. */
static void first_look_without_descriptors(void **state)
{
	struct cq_segment_info info = CQ_SIZED(info);
	struct qs *q = *state;
	struct cq_segment_attr attr;
	cq_segment *segment;
	cq_queue *queue;

	assert_int_equal(cq_queue_open(q->dir, &queue), 0);
	support_append(q->dir, 0, 40);
	assert_int_equal(unlinkat(q->dirfd, CQ_CONTROL_NAME, 0), 0);
	kernel_refuse("fdopendir", EMFILE, 0, 1);
	assert_int_equal(cq_segment_open(queue, 0, &segment), -EMFILE);
	kernel_refuse("fdopendir", EMFILE, 0, 1);
	assert_int_equal(cq_queue_segment_attr(queue, 0, NULL, &attr), -EMFILE);
	assert_int_equal(cq_segment_open(queue, 0, &segment), 0);
	assert_int_equal(cq_segment_info(segment, CQ_SEGMENT_RECORDS, &info), 0);
	assert_int_equal(info.records, SUPPORT_PER_SEGMENT);
	cq_segment_close(segment);
	cq_queue_close(queue);
}

/* A reader that may not write to control.meta maps it read-only. */
static void control_that_is_read_only(void **state)
{
	static const int errors[] = { EACCES, EROFS, EPERM };
	struct qs *q = *state;
	struct cq_control control;

	support_append(q->dir, 0, 1);
	for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
		kernel_refuse("openat", errors[i], 0, 1);
		assert_int_equal(cq_control_open(&control, q->dirfd, true), 0);
		assert_int_equal(kernel_refused(), 1);
		assert_false(control.writable);
		cq_control_close(&control);
	}
	kernel_refuse("openat", EMFILE, 0, 1);
	assert_int_equal(cq_control_open(&control, q->dirfd, true), -EMFILE);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, qs_setup, teardown)

static const struct CMUnitTest tests[] = {
	TEST(list_without_memory),
	TEST(verification_without_memory),
	TEST(catalog_without_memory),
	TEST(queue_without_descriptors),
	TEST(first_look_without_descriptors),
	TEST(control_that_is_read_only),
};

QS_MAIN(tests)
