/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_recover_odd.c - recovery of what no crash of ours leaves: files of no segment's size, marks of
 * places that there are not, summaries that lie with the right checksum
 */
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
#include "files/quarantine.h"
#include "format/format.h"
#include "os/fault.h"
#include "queue_support.h"
#include "write/writer.h"

#define AT(record) (64 + (uint64_t)((record) % 31) * 128)
#define NAME(id) "00000000" #id ".q"

typedef void (*make_fn)(struct qs *q);
#define LAST "999999999.q"

static void drop(struct qs *q, const char *name)
{
	assert_int_equal(unlinkat(q->dirfd, name, 0), 0);
}

static void cut(struct qs *q, const char *name, off_t size)
{
	char path[PATH_SIZE];

	support_path(path, q->dir, name);
	assert_int_equal(truncate(path, size), 0);
}

/* Refuses, changing nothing. */
static void refuses(struct qs *q, int error, const char *why)
{
	struct qs_snapshot before;

	qs_snapshot(q->dir, &before);
	assert_int_equal(qs_try_open(q), error);
	qs_unchanged(q->dir, &before);
	assert_true(qs_logged(q, why));
}

/* Opens with `seq` as the next number; appends; the queue is sound then. */
static void goes_on_at(struct qs *q, unsigned seq)
{
	struct cq_verify_result result = CQ_SIZED(result);

	qs_open(q);
	assert_int_equal(qs_stats(q->writer).next_seq, seq);
	qs_append(q->writer, seq, 40);
	qs_close(q);
	assert_int_equal(cq_verify(q->dir, NULL, NULL, &result), 0);
	assert_int_equal(result.damage, 0);
}

/* Changes a segment's header, and its checksum with it. */
static void set_header(struct qs *q, const char *name, uint64_t offset, uint64_t value)
{
	uint8_t header[64];
	uint32_t crc;

	support_poke(q->dir, name, offset, &value, sizeof value);
	support_peek(q->dir, name, 0, header, sizeof header);
	crc = qs_crc32(header + 24, 40);
	support_poke(q->dir, name, 20, &crc, sizeof crc);
}

/* ---- sizes ---- */

/* Nobody can say how large segments are: nothing is touched. */
static void no_segment_has_a_size(void **state)
{
	struct qs *q = *state;
#ifdef CQ_FAULTS
	struct qs_snapshot before;
	unsigned refused = 0;
	bool given = true;
	int r;
#endif

	qs_killed_writer(q, 0, 70);
	drop(q, "control.meta");
	for (uint32_t id = 0; id < 4; id++) {
		char name[CQ_NAME_MAX];

		cq_segment_name(name, id);
		cut(q, name, 100 + id);
	}
	q->config.segment_size = 0;
	refuses(q, -EBADMSG, "no segment has a size that the format knows");
#ifdef CQ_FAULTS
	for (int skip = 0; given; skip++) {
		qs_snapshot(q->dir, &before);
		cq_fault_forget();
		cq_fault_set("stat_at", EIO, skip, 1);
		r = qs_try_open(q);
		cq_fault_set(NULL, 0, 0, 0);
		given = cq_fault_given() > 0;
		assert_true(r == -EBADMSG || (r == -EIO && given));
		qs_unchanged(q->dir, &before);
		refused += r == -EIO;
	}
	assert_true(refused > 6);
#endif
}

/* One in the middle can. */
static void one_segment_has_a_size(void **state)
{
	struct qs *q = *state;

	qs_killed_writer(q, 0, 70);
	qs_mark(q->dir, 0, 64, 0);
	drop(q, "control.meta");
	cut(q, NAME(0), 100);
	cut(q, NAME(3), 100);
	q->config.segment_size = 0;
	qs_open(q);
	assert_int_equal(qs_stats(q->writer).segment_size, QS_SIZE);
	assert_int_equal(qs_count_names(q->dir, ".corrupt"), 4);
}

/* ---- places ---- */

static void many_gaps(void **state)
{
	struct qs *q = *state;
	unsigned reported = 0;

	for (uint32_t id = 0; id < 30; id += 2)
		qs_make_segment(q->dir, id, QS_SIZE);
	qs_open(q);
	for (const char *at = q->log; (at = strstr(at, "warning segments ")) != NULL; at++)
		reported++;
	assert_int_equal(reported, 10); /* of 14: the log names no more */
}

/* The newest segment is in use still, and the mark says that it was left: records are gone. */
static void mark_behind_the_one_in_use(void **state)
{
	struct qs *q = *state;

	qs_killed_writer(q, 0, 40);
	drop(q, NAME(2));
	qs_mark(q->dir, 7, 64, 500);
	refuses(q, -EBADMSG, "durable records");
	q->config.accept_loss = true;
	goes_on_at(q, 40);
	q->config.accept_loss = false;
	goes_on_at(q, 80);
}

/* The mark says that a segment was left which is not sealed.  Where it holds all that was durable, its
 * seal alone is missing. */
static void mark_behind_an_unsealed_segment(void **state)
{
	struct qs *q = *state;

	for (unsigned spare = 0; spare < 2; spare++) {
		qs_anew(q);
		qs_killed_writer(q, 0, 20);
		drop(q, "control.meta");
		if (!spare)
			drop(q, NAME(1));
		qs_mark(q->dir, 1, 64, 20);
		goes_on_at(q, 20);
		assert_int_equal(qs_peek32(q->dir, NAME(0), 12), CQ_SEALED);
		assert_int_equal(qs_peek64(q->dir, NAME(0), 40), 20);
		assert_int_equal(qs_peek32(q->dir, NAME(1), 64) != 0, 1);
		qs_format_check(q->dir, "--closed");
	}
	/* it does not hold all of it, or nothing */
	for (unsigned empty = 0; empty < 2; empty++) {
		qs_anew(q);
		qs_killed_writer(q, 0, 20);
		if (empty)
			qs_make_segment(q->dir, 2, QS_SIZE);
		qs_mark(q->dir, 1 + empty, 64, 21);
		refuses(q, -EBADMSG, "durable records");
		q->config.accept_loss = true;
		goes_on_at(q, 20);
		q->config.accept_loss = false;
		qs_format_check(q->dir, "--closed");
	}
}

/* No segment can be where the mark is, and the newest is sealed. */
static void mark_of_no_segment(void **state)
{
	struct qs *q = *state;

	qs_killed_writer(q, 0, 70);
	drop(q, NAME(2));
	drop(q, NAME(3));
	qs_mark(q->dir, CQ_SEGMENT_ID_MAX + 1ULL, 64, 500);
	refuses(q, -EBADMSG, "durable records");
	q->config.accept_loss = true;
	goes_on_at(q, 62);
}

/* The same with no segment at all: the watermark still says which numbers were given. */
static void mark_alone(void **state)
{
	struct qs *q = *state;

	qs_mark(q->dir, CQ_SEGMENT_ID_MAX + 1ULL, 64, 500);
	refuses(q, -EBADMSG, "durable records");
	q->config.accept_loss = true;
	goes_on_at(q, 500);
	assert_true(support_exists(q->dir, NAME(0)));
	qs_format_check(q->dir, "--closed");
}

/* The last segment that there can be is full, sealed and durable: nothing is lost, and nothing can be
 * appended.  A reader comes to its end. */
static void ids_are_used_up(void **state)
{
	const uint32_t last = CQ_SEGMENT_ID_MAX;
	struct cq_repair_result result = CQ_SIZED(result);
	struct qs *q = *state;
	struct qs_snapshot before;
	struct cq_record record;
	cq_reader *reader;

	qs_killed_writer(q, 0, 40);
	assert_int_equal(renameat(q->dirfd, NAME(0), q->dirfd, LAST), 0);
	support_poke(q->dir, LAST, 8, &last, sizeof last);
	drop(q, NAME(1));
	drop(q, NAME(2));
	qs_mark(q->dir, CQ_SEGMENT_ID_MAX + 1ULL, 64, 31);
	qs_snapshot(q->dir, &before);
	assert_int_equal(qs_try_open(q), -EOVERFLOW);
	assert_false(qs_logged(q, "durable records"));
	assert_true(qs_logged(q, "the segment ids are used up: 999999999.q is sealed"));
	assert_int_equal(cq_repair(q->dir, NULL, &result), -EOVERFLOW);
	qs_unchanged(q->dir, &before);
	qs_expect(q->dir, 0, 31);
	assert_int_equal(cq_reader_open(q->dir, NULL, CQ_START_OLDEST, 0, &reader), 0);
	for (unsigned i = 0; i < 31; i++)
		assert_int_equal(cq_reader_next(reader, &record), 1);
	assert_int_equal(cq_reader_next(reader, &record), 0);
	cq_reader_close(reader);
	/* nor does it look for a successor while that segment is in use */
	qs_unseal(q->dir, last);
	support_set_current(q->dir, last);
	assert_int_equal(cq_reader_open(q->dir, NULL, CQ_START_OLDEST, 0, &reader), 0);
	for (unsigned i = 0; i < 31; i++)
		assert_int_equal(cq_reader_next(reader, &record), 1);
	for (int i = 0; i < 3; i++)
		assert_int_equal(cq_reader_next(reader, &record), 0);
	cq_reader_close(reader);
}

/* A watermark just where a placeholder ends does not say where the next segment begins. */
static void mark_in_a_stand_in(void **state)
{
	struct qs *q = *state;

	qs_killed_writer(q, 0, 70);
	drop(q, NAME(1));
	assert_int_equal(cq_placeholder_publish(q->dirfd, 1, QS_SIZE, 31, 10 * 8 + 21 * 9), 0);
	qs_mark(q->dir, 1, CQ_PLACEHOLDER_USED, 32);
	goes_on_at(q, 70);
	assert_int_equal(qs_count_names(q->dir, ".corrupt"), 0);
}

/* ---- summaries ---- */

/* The records are counted, whatever the header counts: what does not hold what it says is cut there,
 * and what follows it is set aside. */
static void summary_lies(void **state)
{
	static const uint64_t lies[][2] = { { 40, 30 }, { 56, 200 }, { 48, 64 + 30 * 128 } };
	struct qs *q = *state;

	for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
		qs_anew(q);
		qs_killed_writer(q, 0, 70);
		qs_mark(q->dir, 0, 64, 0);
		set_header(q, NAME(0), lies[i][0], lies[i][1]);
		goes_on_at(q, 31);
		qs_expect(q->dir, 0, 71);
		assert_int_equal(qs_peek64(q->dir, NAME(0), 40), 31);
		assert_true(support_exists(q->dir, NAME(2) ".corrupt"));
	}
}

/* ---- what is behind the end ---- */

/* Other bytes are in the way under every name: they are not written over, nothing is removed. */
static void no_name_is_left_for_residue(void **state)
{
	struct qs *q = *state;
	struct qs_snapshot before;
	char name[64], bytes[1032] = "";
#ifdef CQ_FAULTS
	static const char *const looks[] = { "open", "pread", "stat_at", "seek_data" };
#endif

	qs_killed_writer(q, 0, 5);
	support_poke(q->dir, NAME(0), 1024, "residue", 7);
	memcpy(bytes + 1024, "another", 7);
	for (unsigned n = 1; n < 1000; n++) {
		snprintf(name, sizeof name, n == 1 ? NAME(0) ".broken" : NAME(0) ".broken.%u", n);
		qs_write_file(q->dir, name, bytes, 1031);
	}
	qs_snapshot(q->dir, &before);
	assert_int_equal(qs_try_open(q), -EEXIST);
	qs_unchanged(q->dir, &before);
#ifdef CQ_FAULTS
	/* nor where one of them, or the residue, cannot be looked at */
	for (size_t c = 0; c < sizeof looks / sizeof looks[0]; c++) {
		bool given = true;

		for (int skip = 0; given && skip < 60; skip++) {
			int r;

			qs_snapshot(q->dir, &before);
			cq_fault_forget();
			cq_fault_set(looks[c], EACCES, skip, 1);
			r = qs_try_open(q);
			cq_fault_set(NULL, 0, 0, 0);
			given = cq_fault_given() > 0;
			assert_true(r < 0 && (r == -EEXIST || given));
			qs_unchanged(q->dir, &before);
		}
	}
#endif
	assert_int_equal(unlinkat(q->dirfd, NAME(0) ".broken.500", 0), 0);
	goes_on_at(q, 5);
	support_peek(q->dir, NAME(0) ".broken.500", 1024, bytes, 7);
	assert_memory_equal(bytes, "residue", 7);
}

#ifdef CQ_FAULTS
/* ---- calls that fail ---- */

/* The mark is ahead of all, which is accepted; with a temp file. */
static void make_adrift(struct qs *q)
{
	q->config.accept_loss = true;
	qs_killed_writer(q, 0, 40);
	drop(q, NAME(2));
	qs_mark(q->dir, 7, 64, 500);
	qs_write_file(q->dir, "000000005.q.tmp", "x", 1);
}

/* Retention took the segment that the mark names, and of the next one nothing is left. */
static void make_empty_behind_retention(struct qs *q)
{
	q->config.accept_loss = false;
	qs_killed_writer(q, 0, 40);
	qs_mark(q->dir, 0, AT(30), 30);
	drop(q, NAME(0));
	qs_zero(q->dir, NAME(1), 0, QS_SIZE);
	drop(q, NAME(2));
}

/* Residue, and a file of it that a recovery before has left. */
static void make_residue(struct qs *q)
{
	q->config.accept_loss = false;
	qs_killed_writer(q, 0, 40);
	support_poke(q->dir, NAME(1), 2048, "residue", 7);
	qs_write_file(q->dir, NAME(1) ".broken", "", 0);
}

/* The newest segment is gone, with records that were durable. */
static void make_newest_gone(struct qs *q)
{
	q->config.accept_loss = true;
	qs_killed_writer(q, 0, 70);
	qs_mark(q->dir, 2, AT(70), 70);
	qs_zero(q->dir, NAME(1), 16, 64); /* the one before it does not say where it ends */
	drop(q, NAME(2));
	drop(q, NAME(3));
}

/* An open that was refused for a call that failed has lost nothing: the next one ends where the first
 * would have. */
static void calls_fail(void **state)
{
	static const make_fn makes[] = { make_adrift, make_empty_behind_retention, make_residue,
		                         make_newest_gone };
	static const unsigned numbers[] = { 40, 30, 40, 62 };
	static const char *const calls[] = {
		"open",      "pread",  "pwrite", "stat",      "stat_at",  "list",
		"next_name", "unlink", "map",    "sync_data", "sync_dir", "rename_noreplace"
	};
	struct qs *q = *state;
	char start[PATH_SIZE];
	unsigned refused = 0;

	support_path(start, q->base, "start");
	for (size_t i = 0; i < sizeof makes / sizeof makes[0]; i++) {
		qs_anew(q);
		makes[i](q);
		assert_int_equal(mkdir(start, 0750), 0);
		support_copy(q->dir, start);
		for (size_t c = 0; c < sizeof calls / sizeof calls[0]; c++) {
			bool given = true;

			for (int skip = 0; given; skip++) {
				int r;

				qs_anew(q);
				support_copy(start, q->dir);
				cq_fault_forget();
				cq_fault_set(calls[c], EIO, skip, 1);
				r = qs_try_open(q);
				cq_fault_set(NULL, 0, 0, 0);
				given = cq_fault_given() > 0;
				refused += r < 0;
				assert_true(r == 0 || given);
				if (r < 0)
					qs_open(q);
				assert_int_equal(qs_stats(q->writer).next_seq, numbers[i]);
				qs_close(q);
			}
		}
		support_remove(start);
	}
	assert_true(refused > 100);
}
#endif

static const struct CMUnitTest tests[] = {
	QS_TEST(no_segment_has_a_size),
	QS_TEST(one_segment_has_a_size),
	QS_TEST(many_gaps),
	QS_TEST(mark_behind_the_one_in_use),
	QS_TEST(mark_behind_an_unsealed_segment),
	QS_TEST(mark_of_no_segment),
	QS_TEST(mark_alone),
	QS_TEST(ids_are_used_up),
	QS_TEST(mark_in_a_stand_in),
	QS_TEST(summary_lies),
	QS_TEST(no_name_is_left_for_residue),
#ifdef CQ_FAULTS
	QS_TEST(calls_fail),
#endif
};

SUPPORT_MAIN_IN_MEMORY(tests)
