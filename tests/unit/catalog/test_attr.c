/* SPDX-License-Identifier: Apache-2.0 */
/* test_attr.c - attributes of segments by id: what is remembered, and for how long */
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

#include "catalog/queue.h"
#include "look_support.h"

static void sealed_ones_are_opened_once(void **state)
{
	struct qs *q = *state;
	cq_queue *queue;
	int events;

	look_make(q, 40);
	queue = look_open(q->dir);
	for (uint32_t id = 0; id <= 40; id++)
		look_agrees(queue, id);
	cq_queue_close(queue);

	queue = look_open(q->dir);
	(void)look_attr(queue, 3); /* the handle learns the geometry */
	events = look_watch(q->dir);
	for (uint32_t id = 0; id < 40; id++)
		assert_true(look_attr(queue, id).have_content);
	assert_int_equal(look_opens(events, 40), 39);
	for (int i = 0; i < 3; i++)
		for (uint32_t id = 0; id <= 40; id++)
			assert_int_equal(look_attr(queue, id).sealed, id < 40);
	assert_int_equal(look_opens(events, 40), 0);
	close(events);
	cq_queue_close(queue);
}

static void what_is_not_there(void **state)
{
	struct qs *q = *state;
	struct cq_segment_attr attr;
	cq_queue *queue;
	char path[PATH_SIZE];

	look_make(q, 3);
	queue = look_open(q->dir);
	assert_int_equal(cq_queue_segment_attr(queue, 900, NULL, &attr), -ENOENT);
	assert_int_equal(cq_queue_segment_attr(queue, CQ_SEGMENT_ID_MAX, NULL, &attr), -ENOENT);
	assert_int_equal(cq_queue_segment_attr(queue, CQ_SEGMENT_ID_MAX + 1, NULL, &attr), -ENOENT);
	assert_int_equal(cq_queue_segment_attr(queue, UINT32_MAX, NULL, &attr), -ENOENT);
	qs_write_file(q->dir, "000000900.q", "short", 5);
	assert_int_equal(cq_queue_segment_attr(queue, 900, NULL, &attr), -EBADMSG);
	support_path(path, q->dir, "000000901.q");
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(cq_queue_segment_attr(queue, 901, NULL, &attr), -EBADMSG);
	support_path(path, q->dir, "000000902.q");
	assert_int_equal(symlink("000000000.q", path), 0);
	assert_int_equal(cq_queue_segment_attr(queue, 902, NULL, &attr), -EBADMSG);
	support_path(path, q->dir, "000000903.q");
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(cq_queue_segment_attr(queue, 903, NULL, &attr), -EBADMSG);
	cq_queue_close(queue);
}

static void another_file_by_that_name(void **state)
{
	struct qs *q = *state;
	struct cq_segment_attr attr, before;
	char from[PATH_SIZE], to[PATH_SIZE];
	cq_queue *queue;
	char *copy;
	size_t size;

	look_make(q, 5);
	queue = look_open(q->dir);
	before = look_attr(queue, 1);
	assert_true(before.sealed);
	support_path(to, q->dir, "000000001.q");
	copy = support_slurp(to, &size);

	/* a file of another kind is renamed over it, with the old one's modification time */
	qs_make_segment(q->dir, 777, QS_SIZE);
	support_path(from, q->dir, "000000777.q");
	support_poke(q->dir, "000000777.q", 8, &(uint32_t){ 1 }, 4);
	assert_int_equal(rename(from, to), 0);
	assert_int_equal(utimensat(AT_FDCWD, to,
	                           (struct timespec[]){ before.stat.st_mtim, before.stat.st_mtim },
	                           0),
	                 0);
	attr = look_attr(queue, 1);
	assert_false(attr.sealed);
	assert_false(attr.have_content);
	look_agrees(queue, 1);

	/* no segment at all */
	qs_zero(q->dir, "000000001.q", 0, 64);
	assert_int_equal(cq_queue_segment_attr(queue, 1, NULL, &attr), -EBADMSG);

	/* the old one again, as another file */
	look_delete_name(q->dir, "000000001.q");
	assert_int_equal(cq_queue_segment_attr(queue, 1, NULL, &attr), -ENOENT);
	qs_write_file(q->dir, "000000001.q", copy, size);
	look_agrees(queue, 1);
	assert_true(look_attr(queue, 1).sealed);

	/* cut short while it is remembered */
	assert_int_equal(truncate(to, 100), 0);
	assert_int_equal(cq_queue_segment_attr(queue, 1, NULL, &attr), -EBADMSG);
	free(copy);
	cq_queue_close(queue);
}

/* The records of a sealed one were counted, and end at a damaged one: how much it holds is not known. */
static void a_damaged_one(void **state)
{
	struct cq_segment_info content = CQ_SIZED(content);
	struct qs *q = *state;
	cq_segment *segment;
	cq_queue *queue;

	look_make(q, 3);
	qs_zero(q->dir, "000000001.q", 16, 64); /* without a summary */
	look_delete_name(q->dir, "000000001.idx");
	support_poke(q->dir, "000000001.q", 64 + 128 * 10 + 64, "XXXX", 4);
	queue = look_open(q->dir);
	assert_int_equal(cq_segment_open(queue, 1, &segment), 0);
	assert_int_equal(cq_segment_info(segment, CQ_SEGMENT_CONTENT, &content), 0);
	assert_true(content.damaged);
	assert_int_equal(content.records, 10);
	cq_segment_close(segment);
	for (int i = 0; i < 2; i++) {
		const struct cq_segment_attr attr = look_attr(queue, 1);

		assert_true(attr.sealed);
		assert_false(attr.have_content);
	}
	assert_true(look_attr(queue, 0).have_content);
	cq_queue_close(queue);
}

static void trimmed_ones_are_forgotten(void **state)
{
	struct qs *q = *state;
	struct cq_segment_attr attr;
	cq_queue *queue;
	uint32_t *ids;
	size_t count;

	look_make(q, 300);
	queue = look_open(q->dir);
	for (uint32_t id = 0; id < 256; id++)
		(void)look_attr(queue, id);
	assert_int_equal(queue->catalog.chunk_count, 4);
	look_delete(q->dir, 0, 250);
	assert_int_equal(cq_queue_segment_attr(queue, 200, NULL, &attr), -ENOENT);
	assert_int_equal(cq_queue_list(queue, &ids, &count),
	                 0); /* this is how the handle finds out */
	assert_int_equal(ids[0], 250);
	free(ids);
	assert_int_equal(cq_queue_oldest(queue), 250);
	for (uint32_t id = 256; id < 300; id++)
		(void)look_attr(queue, id);
	assert_int_equal(queue->catalog.chunk_count, 2); /* the first three have gone */
	cq_queue_close(queue);
}

static const struct CMUnitTest tests[] = {
	QS_TEST(sealed_ones_are_opened_once), QS_TEST(what_is_not_there),
	QS_TEST(another_file_by_that_name),   QS_TEST(a_damaged_one),
	QS_TEST(trimmed_ones_are_forgotten),
};

QS_MAIN(tests)
