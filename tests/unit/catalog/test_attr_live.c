/* SPDX-License-Identifier: Apache-2.0 */
/* test_attr_live.c - attributes of segments while their writer goes on */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "catalog/queue.h"
#include "look_support.h"

/* The writer's own handle knows attributes of segments before their files have them. */
static void live_ones(void **state)
{
	struct qs *q = *state;
	struct cq_segment_attr active, sealed;
	struct cq_stats stats = CQ_SIZED(stats);
	struct stat file;
	char path[PATH_SIZE];
	cq_queue *queue;
	int events;

	qs_open(q);
	queue = cq_writer_queue(q->writer);
	assert_int_equal(look_attr(queue, 0).payload_bytes, 0);
	assert_false(look_attr(queue, 0).sealed);
	events = look_watch(q->dir);
	qs_append(q->writer, 0, 7);
	active = look_attr(queue, 0);
	stats = qs_stats(q->writer);
	assert_false(active.sealed);
	assert_true(active.have_content);
	assert_int_equal(active.payload_bytes, strlen("record 0") * 7);
	assert_int_equal(look_time(&active.stat), stats.last_time_ns);

	/* sealed, not finalised: the file's own time differs, and nothing is remembered */
	qs_append(q->writer, 7, LOOK_PER_SEGMENT - 7);
	stats = qs_stats(q->writer);
	(void)look_opens(events, 1);
	assert_int_equal(cq_writer_roll(q->writer), 0);
	sealed = look_attr(queue, 0);
	assert_true(sealed.sealed);
	assert_int_equal(look_time(&sealed.stat), stats.last_time_ns);
	assert_int_equal(look_time(&sealed.stat),
	                 (uint64_t)sealed.stat.st_ctim.tv_sec * 1000000000U +
	                         (uint64_t)sealed.stat.st_ctim.tv_nsec);
	support_path(path, q->dir, "000000000.q");
	assert_int_equal(stat(path, &file), 0);
	assert_int_not_equal(look_time(&file), stats.last_time_ns);
	assert_int_equal(queue->catalog.chunk_count, 0);
	assert_int_equal(look_opens(events, 1), 0);

	/* finalised: the same from the file, which is now opened once */
	assert_int_equal(cq_writer_sync(q->writer), 0);
	qs_flush(q->writer);
	for (int i = 0; i < 3; i++) {
		const struct cq_segment_attr last = look_attr(queue, 0);

		assert_true(last.sealed);
		assert_int_equal(last.payload_bytes, sealed.payload_bytes);
		assert_int_equal(look_time(&last.stat), look_time(&sealed.stat));
	}
	assert_int_equal(look_opens(events, 1), 1);
	look_agrees(queue, 0);
	look_agrees(queue, 1);
	close(events);
}

/* A writer begins a segment, or ends with it, while another thread looks at it. */
struct changing {
	int questions;
	int yes; /* the question that is answered with true; 0: none */
	const char *path;
};

static bool changing_live(void *arg, uint32_t id, struct cq_segment_counts *ret_live)
{
	const struct timespec final[2] = { { .tv_sec = 9 }, { .tv_sec = 9, .tv_nsec = 9 } };
	struct changing *c = arg;

	(void)id;
	c->questions++;
	if (c->questions == c->yes) {
		*ret_live = (struct cq_segment_counts){ .records = 3,
			                                .payload_bytes = 77,
			                                .last_time_ns = 5000000000,
			                                .sealed = true };
		return true;
	}
	/* before it answers false, a writer sets the final time */
	assert_int_equal(utimensat(AT_FDCWD, c->path, final, 0), 0);
	return false;
}

static void changing_ends(void *arg, struct cq_queue_bounds *ret_live)
{
	(void)arg;
	*ret_live = (struct cq_queue_bounds){ .active = 1 };
}

static void changing_meanwhile(void **state)
{
	struct qs *q = *state;
	struct changing changing = { .yes = 2 };
	struct cq_segment_attr attr;
	cq_segment *segment;
	cq_queue *queue;
	char path[PATH_SIZE];

	look_make(q, 1);
	support_path(path, q->dir, "000000000.q");
	changing.path = path;
	assert_int_equal(cq_queue_open_for_writer(q->dirfd, QS_SIZE, changing_live, changing_ends,
	                                          &changing, &queue),
	                 0);
	attr = look_attr(queue, 0);
	assert_int_equal(changing.questions, 2);
	assert_true(attr.sealed);
	assert_int_equal(attr.payload_bytes, 77);
	assert_int_equal(look_time(&attr.stat), 5000000000);
	assert_int_equal(queue->catalog.chunk_count, 0);

	changing.yes = 0;
	attr = look_attr(queue, 0);
	assert_int_equal(look_time(&attr.stat), 9000000009);
	assert_int_equal(queue->catalog.chunk_count, 1);
	cq_catalog_forget_file(&queue->catalog, 0);
	assert_int_equal(utimensat(AT_FDCWD, path, NULL, 0), 0);
	assert_int_equal(cq_segment_open(queue, 0, &segment), 0);
	assert_int_equal(cq_queue_segment_attr(queue, 0, segment, &attr), 0);
	assert_int_equal(look_time(&attr.stat), 9000000009);
	cq_segment_close(segment);
	cq_queue_free(queue);
}

static void of_a_foreign_writer(void **state)
{
	struct qs *q = *state;
	struct cq_segment_attr attr;
	cq_queue *queue;
	struct stat st;
	char path[PATH_SIZE];
	int events;

	qs_open(q);
	qs_append(q->writer, 0, 5);
	queue = look_open(q->dir);
	assert_false(look_attr(queue, 0).sealed);
	assert_false(look_attr(queue, 0).have_content);
	qs_append(q->writer, 5, LOOK_PER_SEGMENT);
	assert_true(look_attr(queue, 0).sealed); /* at once */
	assert_true(look_attr(queue, 0).have_content);
	assert_int_equal(cq_writer_sync(q->writer), 0);
	qs_flush(q->writer); /* which sets the time: the file is opened again */
	support_path(path, q->dir, "000000000.q");
	assert_int_equal(stat(path, &st), 0);
	attr = look_attr(queue, 0);
	assert_int_equal(look_time(&attr.stat), look_time(&st));
	events = look_watch(q->dir);
	(void)look_attr(queue, 0);
	assert_int_equal(look_opens(events, 1), 0);
	close(events);
	cq_queue_close(queue);
}

/* ---- beside a writer that appends ---- */

#define TOLD 4096U

struct race {
	cq_writer *writer;
	atomic_bool stop;
	atomic_uint asked;
	_Atomic uint64_t
		told[TOLD]; /* the first time that was seen of a sealed segment; 0: none yet */
};

static void ask(struct race *race, uint32_t id)
{
	cq_queue *queue = cq_writer_queue(race->writer);
	struct cq_segment_info content = CQ_SIZED(content);
	struct cq_segment_attr attr;
	uint64_t none = 0;
	cq_segment *segment;
	int r;

	r = cq_queue_segment_attr(queue, id, NULL, &attr);
	if (r == -ENOENT)
		return;
	CHILD(r == 0);
	atomic_fetch_add(&race->asked, 1);
	if (attr.sealed) {
		CHILD(attr.have_content);
		if (!atomic_compare_exchange_strong(&race->told[id], &none, look_time(&attr.stat)))
			CHILD(none == look_time(&attr.stat));
	}
	r = cq_segment_open(queue, id, &segment);
	if (r == -ENOENT)
		return;
	CHILD(r == 0);
	r = cq_segment_info(segment, CQ_SEGMENT_CONTENT, &content);
	CHILD(r == 0 && !content.damaged && content.records <= LOOK_PER_SEGMENT);
	if (attr.sealed) {
		CHILD(content.payload_bytes == attr.payload_bytes);
		CHILD(content.last_time_ns == look_time(&attr.stat));
	}
	cq_segment_close(segment);
}

static void *ask_on(void *arg)
{
	struct race *race = arg;

	while (!atomic_load(&race->stop)) {
		struct cq_stats stats = CQ_SIZED(stats);

		cq_writer_stats(race->writer, &stats);
		/* around the seal: the newest ones, and what retention is about to take */
		for (uint32_t back = 0; back < 12 && back <= stats.segment; back++)
			ask(race, stats.segment + 1 - back);
		if (stats.segment > 70)
			ask(race, stats.segment - 60);
	}
	return NULL;
}

static void times_never_move(void **state)
{
	struct qs *q = *state;
	struct race *race = calloc(1, sizeof *race);
	pthread_t threads[2];
	unsigned first = 0;

	q->config.retain_segments = 60;
	assert_int_equal(cq_writer_open(q->dir, &q->config, &q->writer), 0);
	race->writer = q->writer;
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, ask_on, race), 0);
	while (first < 400 * LOOK_PER_SEGMENT ||
	       (atomic_load(&race->asked) < 5000 && first < (TOLD - 200) * LOOK_PER_SEGMENT)) {
		qs_append(q->writer, first, 50);
		first += 50;
	}
	atomic_store(&race->stop, true);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	/* and after the writer has stopped */
	assert_int_equal(cq_writer_sync(q->writer), 0);
	for (uint32_t id = 0; id < first / LOOK_PER_SEGMENT; id++)
		ask(race, id);
	assert_true(atomic_load(&race->asked) > 100);
	free(race);
}

static const struct CMUnitTest tests[] = {
	QS_TEST(live_ones),
	QS_TEST(changing_meanwhile),
	QS_TEST(of_a_foreign_writer),
	QS_TEST(times_never_move),
};

QS_MAIN(tests)
