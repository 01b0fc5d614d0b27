/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_predecessor.c - this library does not repeat faults of chronicle-rs
 *
 * docs/testing.md has the whole list with the test of each.  The tests of faults that no other test is about
 * are here, in the order of that list.
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

#include "format/record.h"
#include "meta/control.h"
#include "queue_support.h"
#include "write/writer.h"

#define LIMIT_SECONDS 60 /* SIGALRM ends an endless loop */
#define FIRST "000000000.q"
#define AT(record) (64 + (uint64_t)(record)*128)

static unsigned read_all(struct qs *q, const char *name, int last)
{
	struct cq_record record;
	cq_reader *reader;
	unsigned count = 0;
	int r;

	assert_int_equal(cq_reader_open(q->dir, name, CQ_START_OLDEST, 0, &reader), 0);
	while ((r = cq_reader_next(reader, &record)) == 1)
		count++;
	assert_int_equal(r, last);
	cq_reader_close(reader);
	return count;
}

/* control.meta is zero, or a writer died in the middle of a move: readers and writers do not loop, nor does a
 * reader that has mapped the file before. */
static void zeroed_control_or_odd_lock_is_an_endless_loop(void **state)
{
	static const uint8_t zeros[sizeof(struct cq_control_page)];
	struct qs *q = *state;
	struct cq_record record;
	cq_reader *reader;

	alarm(LIMIT_SECONDS);
	for (int odd = 0; odd < 2; odd++) {
		qs_killed_writer(q, 0, 70);
		assert_int_equal(cq_reader_open(q->dir, NULL, CQ_START_LATEST, 0, &reader), 0);
		if (odd)
			support_poke(q->dir, "control.meta", 128, &(uint32_t){ 7 }, 4);
		else
			support_poke(q->dir, "control.meta", 0, zeros, sizeof zeros);
		assert_int_equal(read_all(q, NULL, 0), 70);
		assert_int_equal(cq_reader_next(reader, &record), 0);
		assert_int_equal(cq_reader_wait(reader, 20), 0);
		qs_open(q);
		qs_append(q->writer, 70, 40);
		for (unsigned i = 70; i < 110; i++) {
			assert_int_equal(cq_reader_next(reader, &record), 1);
			assert_int_equal(record.seq, i);
		}
		cq_reader_close(reader);
		qs_close(q);
		qs_expect(q->dir, 0, 110);
		qs_anew(q);
	}
	alarm(0);
}

/* A payload that looks like a record at each place where one can begin; the writer is killed in its append.  No
 * reader ever gets the leftovers, however short the next record is. */
struct forged {
	struct cq_record_header header;
	char text[64];
};

#ifdef CQ_FAULTS
static void append_forgeries(struct qs *q)
{
	struct forged forged[20];

	memset(forged, 0, sizeof forged);
	for (size_t i = 0; i < sizeof forged / sizeof forged[0]; i++) {
		struct cq_record_header *h = &forged[i].header;

		memcpy(forged[i].text, "forged", 6);
		*h = (struct cq_record_header){
			.commit = 7, .version = 1, .seq = 3 + i, .type = 1
		};
		h->payload_crc = qs_crc32("forged", 6);
	}
	CHILD(qs_try_open(q) == 0);
	qs_append(q->writer, 0, 3);
	(void)cq_writer_append(q->writer, 1, forged, sizeof forged, NULL);
	_exit(98); /* not reached */
}

static void killed_append_leaves_a_forged_record(void **state)
{
	static const char *const points[] = { "append.payload:4", "append.before_commit:4" };
	struct qs *q = *state;

	for (size_t i = 0; i < sizeof points / sizeof points[0]; i++) {
		assert_int_equal(setenv("CHRONQ_KILL", points[i], 1), 0);
		qs_run_killed(append_forgeries, q);
		assert_int_equal(unsetenv("CHRONQ_KILL"), 0);
		assert_int_equal(read_all(q, NULL, 0), 3);
		qs_open(q);
		assert_int_equal(qs_stats(q->writer).next_seq, 3);
		for (unsigned n = 3; n < 10; n++) {
			qs_append(q->writer, n, 1);
			assert_int_equal(read_all(q, NULL, 0), n + 1);
		}
		qs_close(q);
		qs_expect(q->dir, 0, 10);
		qs_anew(q);
	}
}
#endif

/* The record is committed: a failure to write its segment's index is no error of a call. */
static void failing_index_fails_a_committed_record(void **state)
{
	struct qs *q = *state;

	qs_open(q);
	assert_int_equal(mkdirat(q->dirfd, "000000000.idx", 0750), 0);
	qs_append(q->writer, 0, 31);
	qs_append(q->writer, 31, 1); /* rolls */
	assert_int_equal(cq_writer_sync(q->writer), 0);
	qs_flush(q->writer);
	assert_true(qs_logged(q, "warning index of segment 000000000 not written"));
	assert_int_equal(qs_stats(q->writer).error, 0);
	qs_append(q->writer, 32, 40);
	qs_close(q);
	qs_expect(q->dir, 0, 72);
	assert_int_equal(unlinkat(q->dirfd, "000000000.idx", AT_REMOVEDIR), 0);
}

/* A reader finds a segment that its writer has left according to control.meta, without a sign of life for years:
 * it reads the next segment, but never repairs one. */
static void reader_repairs_a_live_writers_segment(void **state)
{
	struct qs *q = *state;
	struct qs_snapshot before;
	struct qs dir = { 0 };
	uint64_t long_ago = 1;

	qs_killed_writer(q, 0, 40);
	qs_unseal(q->dir, 0);
	support_poke(q->dir, FIRST, AT(31), "\0\0\0\0rest of a write", 19);
	support_poke(q->dir, "control.meta", 264, &long_ago, sizeof long_ago);
	support_path(dir.dir, q->base, "copy");
	assert_int_equal(mkdir(dir.dir, 0750), 0);
	support_copy(q->dir, dir.dir);
	qs_snapshot(q->dir, &before);
	assert_int_equal(read_all(q, NULL, 0), 40);
	qs_unchanged(q->dir, &before);
	assert_int_equal(read_all(&dir, "named", 0),
	                 40); /* at most it counts itself in control.meta */
	for (unsigned id = 0; id < 2; id++) {
		char name[16], *bytes, *others, path[PATH_SIZE];
		size_t size, others_size;

		snprintf(name, sizeof name, "%09u.q", id);
		support_path(path, q->dir, name);
		bytes = support_slurp(path, &size);
		support_path(path, dir.dir, name);
		others = support_slurp(path, &others_size);
		assert_int_equal(size, others_size);
		assert_memory_equal(bytes, others, size);
		free(bytes);
		free(others);
	}
}

/* A segment that another program has published already stops the preparer once, not for ever. */
static void existing_successor_ends_preparing(void **state)
{
	struct qs *q = *state;

	qs_open(q);
	qs_make_segment(q->dir, 2, QS_SIZE);
	qs_append(q->writer, 0, 40); /* takes 1 */
	qs_prepare(q->writer);
	qs_append(q->writer, 40, 100); /* 2, and the following ones */
	qs_prepare(q->writer);
	qs_append(q->writer, 140, 30);
	assert_true(qs_stats(q->writer).rolls_ready >= 2);
	assert_int_equal(qs_stats(q->writer).prealloc_failed, 0);
	qs_close(q);
	qs_expect(q->dir, 0, 170);
}

/* All records behind a damaged commit word are gone from the segment, but not from the disk. */
static void damaged_commit_word_erases_what_follows(void **state)
{
	struct qs *q = *state;
	char *all, *aside, path[PATH_SIZE];
	size_t size, aside_size;

	qs_killed_writer(q, 0, 20);
	support_poke(q->dir, FIRST, AT(5), "\xff\xff\xff\xff", 4);
	qs_other_boot(q->dir);
	support_path(path, q->dir, FIRST);
	all = support_slurp(path, &size);
	qs_write(q, 5, 1);
	qs_expect(q->dir, 0, 6);
	support_path(path, q->dir, FIRST ".broken");
	aside = support_slurp(path, &aside_size);
	assert_true(aside_size > AT(19) + 64 &&
	            aside_size <= AT(20)); /* without zeros at its end */
	assert_memory_equal(aside + AT(5), all + AT(5), aside_size - AT(5));
	assert_true(qs_all_zero(q->dir, FIRST ".broken", 0, AT(5)));
	free(all);
	free(aside);
}

/* By default a named reader keeps its segments however long it does not move. */
static void idle_reader_loses_its_segments(void **state)
{
	struct qs *q = *state;
	struct cq_config config;
	cq_reader *reader;

	cq_config_init(&config);
	assert_int_equal(config.reader_ttl_ms, 0);
	assert_int_equal(config.reader_max_lag_bytes, 0);
	q->config.retain_segments = 1;
	qs_open(q);
	assert_int_equal(cq_reader_open(q->dir, "idle", CQ_START_OLDEST, 0, &reader), 0);
	assert_int_equal(cq_reader_commit(reader), 0);
	cq_reader_close(reader);
	qs_append(q->writer, 0, 200);
	qs_flush(q->writer);
	qs_close(q);
	qs_open(q); /* also over a restart */
	qs_flush(q->writer);
	assert_int_equal(qs_stats(q->writer).oldest, 0);
	qs_close(q);
	assert_int_equal(read_all(q, "idle", 0), 200);
}

/* The preparer is late: meanwhile its id has been used, left and deleted. */
static void late_preparer_publishes_a_deleted_id(void **state)
{
	struct qs *q = *state;

	q->config.retain_segments = 1;
	qs_open(q);
	qs_append(q->writer, 0, 200); /* falls back each time: the preparer never came */
	qs_flush(q->writer);
	assert_int_equal(qs_stats(q->writer).oldest, qs_stats(q->writer).segment);
	qs_prepare(q->writer);
	qs_flush(q->writer);
	assert_false(support_exists(q->dir, "000000001.q"));
	assert_false(support_exists(q->dir, "000000002.q"));
	qs_append(q->writer, 200, 100);
	qs_close(q);
	assert_int_equal(qs_count_names(q->dir, ".tmp"), 0);
}

static const struct CMUnitTest tests[] = {
	QS_TEST(zeroed_control_or_odd_lock_is_an_endless_loop),
#ifdef CQ_FAULTS
	QS_TEST(killed_append_leaves_a_forged_record),
#endif
	QS_TEST(failing_index_fails_a_committed_record),
	QS_TEST(reader_repairs_a_live_writers_segment),
	QS_TEST(existing_successor_ends_preparing),
	QS_TEST(damaged_commit_word_erases_what_follows),
	QS_TEST(idle_reader_loses_its_segments),
	QS_TEST(late_preparer_publishes_a_deleted_id),
};

QS_MAIN(tests)
