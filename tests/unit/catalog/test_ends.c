/* SPDX-License-Identifier: Apache-2.0 */
/* test_ends.c - the oldest and the newest segment, without listing the directory */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <unistd.h>

#include "catalog/queue.h"
#include "look_support.h"
#include "write/writer.h"

static void ends_are(cq_queue *queue, uint32_t oldest, uint32_t newest)
{
	uint32_t low, high;

	assert_int_equal(cq_queue_ends(queue, &low, &high), 0);
	assert_int_equal(low, oldest);
	assert_int_equal(high, newest);
}

static void ends_as_the_writer_knows_them(void **state)
{
	struct qs *q = *state;
	struct cq_queue_bounds live;
	cq_queue *queue;
	int events;

	look_make(q, 200);
	look_delete(q->dir, 0, 100);
	qs_open(q);
	queue = cq_writer_queue(q->writer);
	queue->bounds(queue->writer, &live);
	assert_int_equal(live.oldest, 100);
	assert_int_equal(live.active, 200);
	assert_int_equal(live.stream_end, qs_stats(q->writer).stream_end);
	assert_int_equal(cq_queue_oldest(queue), 100);

	events = look_watch(q->dir);
	ends_are(queue, 100, 201);
	qs_append(q->writer, 0, 3 * LOOK_PER_SEGMENT);
	qs_prepare(q->writer);
	ends_are(queue, 100, 204);
	assert_int_equal(look_opened(events, 0).listings, 0);
	look_delete(q->dir, 100, 130); /* the writer does not know */
	ends_are(queue, 130, 204);
	close(events);
}

static void ends_of_a_foreign_queue(void **state)
{
	struct qs *q = *state;
	cq_queue *queue = look_open(q->dir);
	uint32_t oldest, newest;
	int events;

	assert_int_equal(cq_queue_ends(queue, &oldest, &newest), -ENOENT);
	look_make(q, 300);
	ends_are(queue, 0, 300);
	events = look_watch(q->dir);
	ends_are(queue, 0, 300);
	look_delete(q->dir, 0, 50);
	ends_are(queue, 50, 300);
	qs_make_segment(q->dir, 301, QS_SIZE);
	ends_are(queue, 50, 301);
	assert_int_equal(look_opened(events, 0).listings, 0);

	/* too far, or against the rules */
	look_delete(q->dir, 50, 200);
	ends_are(queue, 200, 301);
	look_delete(q->dir, 300, 302);
	ends_are(queue, 200, 299);
	assert_int_equal(look_opened(events, 0).listings, 2);
	look_delete(q->dir, 200, 300);
	assert_int_equal(cq_queue_ends(queue, &oldest, &newest), -ENOENT);
	qs_make_segment(q->dir, 999999998, QS_SIZE);
	qs_make_segment(q->dir, 999999999, QS_SIZE);
	ends_are(queue, 999999998, 999999999);
	(void)look_opened(events, 0);
	ends_are(queue, 999999998, 999999999);
	assert_int_equal(look_opened(events, 0).listings, 0);
	close(events);
	cq_queue_close(queue);
}

static const struct CMUnitTest tests[] = {
	QS_TEST(ends_as_the_writer_knows_them),
	QS_TEST(ends_of_a_foreign_queue),
};

QS_MAIN(tests)
