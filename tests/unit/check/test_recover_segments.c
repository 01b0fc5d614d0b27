/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_recover_segments.c - recovery over several segments: unsealed, unwritten, damaged, missing
 *
 * Below the watermark (durable.meta) nothing may be missing: EBADMSG, and the directory stays as it
 * is.  Above it what remains is a prefix, the rest is set aside.
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

#include "queue_support.h"
#include "write/writer.h"

#define AT(record) (64 + (uint64_t)((record) % 31) * 128)
#define NAME(id) "00000000" #id ".q"

/* Segments 0 and 1 with 31 records each, 2 with 8, spare 3; killed; durable up to that mark. */
static void make(struct qs *q, uint64_t segment, uint64_t offset, uint64_t seq)
{
	qs_killed_writer(q, 0, 70);
	qs_expect(q->dir, 0, 70);
	assert_true(support_exists(q->dir, NAME(3)));
	qs_mark(q->dir, segment, offset, seq);
}

static void nothing_durable(struct qs *q)
{
	make(q, 0, 64, 0);
}

static void all_durable(struct qs *q)
{
	make(q, 2, AT(70), 70);
}

/* Opens; there are `count` records; appends; all is sound. */
static void goes_on_with(struct qs *q, unsigned count)
{
	qs_open(q);
	assert_int_equal(qs_stats(q->writer).next_seq, count);
	qs_append(q->writer, count, 40);
	qs_close(q);
	qs_expect(q->dir, 0, count + 40);
	qs_format_check(q->dir, "--closed");
	qs_open(q);
	assert_int_equal(qs_stats(q->writer).next_seq, count + 40);
	qs_close(q);
}

/* Refuses and changes nothing; *q->log says why. */
static void refuses(struct qs *q, int error)
{
	struct qs_snapshot before;

	qs_snapshot(q->dir, &before);
	assert_int_equal(qs_try_open(q), error);
	assert_null(q->writer);
	qs_unchanged(q->dir, &before);
	assert_true(qs_logged(q, "error "));
}

/* ---- a crash may leave these; nothing durable is lost ---- */

static void unsealed_lower_segment_that_connects(void **state)
{
	struct qs *q = *state;

	nothing_durable(q);
	qs_unseal(q->dir, 0);
	qs_unseal(q->dir, 1);
	qs_open(q);
	assert_int_equal(qs_stats(q->writer).segment, 2);
	assert_int_equal(qs_peek32(q->dir, NAME(0), 12), CQ_SEALED);
	assert_int_equal(qs_peek64(q->dir, NAME(0), 40), 31);
	assert_int_equal(qs_peek64(q->dir, NAME(0), 48), AT(0) + 31 * 128);
	assert_int_equal(qs_peek32(q->dir, NAME(1), 12), CQ_SEALED);
	qs_close(q);
	assert_string_equal(q->log, "");
	goes_on_with(q, 70);
}

/* The same without its header's extension, as when only the records' pages came to the disk. */
static void unsealed_lower_segment_without_extension(void **state)
{
	struct qs *q = *state;

	nothing_durable(q);
	qs_zero(q->dir, NAME(1), 12, 64);
	goes_on_with(q, 70);
	assert_int_equal(qs_peek32(q->dir, NAME(1), 12), CQ_SEALED);
	assert_int_equal(qs_peek64(q->dir, NAME(1), 32), 31);
}

static void segment_that_does_not_connect_is_set_aside(void **state)
{
	struct qs *q = *state;

	nothing_durable(q);
	qs_unseal(q->dir, 1);
	qs_zero(q->dir, NAME(1), AT(51), QS_SIZE); /* records 51 to 61 never came */
	qs_open(q);
	assert_int_equal(qs_stats(q->writer).next_seq, 51);
	assert_true(support_exists(q->dir, NAME(2) ".corrupt"));
	assert_true(qs_logged(q, "000000002 set aside as 000000002.q.corrupt: records before it"));
	assert_int_equal(qs_peek64(q->dir, NAME(2) ".corrupt", 64 + 8), 62);
	qs_close(q);
	goes_on_with(q, 51);
}

static void damaged_lower_segment(void **state)
{
	struct qs *q = *state;

	nothing_durable(q);
	support_poke(q->dir, NAME(1), AT(40) + 64, "RECORD", 6); /* sealed, summary and all */
	qs_open(q);
	assert_int_equal(qs_stats(q->writer).next_seq, 40);
	assert_true(support_exists(q->dir, NAME(1) ".broken"));
	assert_true(support_exists(q->dir, NAME(2) ".corrupt"));
	qs_close(q);
	goes_on_with(q, 40);
}

static void spare_whose_header_was_never_written(void **state)
{
	struct qs *q = *state;

	all_durable(q);
	qs_zero(q->dir, NAME(3), 0, 64);
	qs_open(q);
	assert_true(support_exists(q->dir, NAME(3) ".corrupt"));
	assert_int_equal(qs_stats(q->writer).segment, 2);
	qs_close(q);
	goes_on_with(q, 70);
}

static void spare_of_no_size(void **state)
{
	struct qs *q = *state;

	all_durable(q);
	qs_write_file(q->dir, NAME(3), "", 0);
	goes_on_with(q, 70);
	assert_true(support_exists(q->dir, NAME(3) ".corrupt"));
}

/* An unwritten spare behind an empty one: the segment in use is the one before both. */
static void empty_then_unwritten_spare(void **state)
{
	struct qs *q = *state;

	nothing_durable(q);
	qs_make_segment(q->dir, 4, QS_SIZE);
	qs_zero(q->dir, NAME(4), 0, 64);
	qs_open(q);
	assert_int_equal(qs_stats(q->writer).segment, 2);
	assert_int_equal(qs_peek32(q->dir, NAME(2), 12), 0);
	qs_close(q);
	goes_on_with(q, 70);
}

static void unwritten_segment_in_the_middle(void **state)
{
	struct qs *q = *state;

	nothing_durable(q);
	qs_zero(q->dir, NAME(1), 0, QS_SIZE);
	qs_open(q);
	assert_int_equal(qs_stats(q->writer).next_seq, 31);
	assert_int_equal(qs_stats(q->writer).segment, 1);
	assert_true(support_exists(q->dir, NAME(1) ".corrupt"));
	assert_true(support_exists(q->dir, NAME(2) ".corrupt"));
	qs_close(q);
	goes_on_with(q, 31);
}

/* One that was durable and sealed long ago: the log says so, and the queue can be used. */
static void missing_segment_far_below(void **state)
{
	struct qs *q = *state;
	char path[PATH_SIZE];

	qs_open(q);
	qs_append(q->writer, 0, 5 * 31);
	qs_flush(q->writer);
	qs_close(q);
	support_path(path, q->dir, "000000001.q");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(qs_try_open(q), 0);
	assert_true(qs_logged(q, "segments 000000001 to 000000001 are missing"));
	qs_append(q->writer, 5 * 31, 1);
	assert_int_equal(qs_stats(q->writer).next_seq, 5 * 31 + 1);
	qs_close(q);
}

static void missing_segment_in_the_middle(void **state)
{
	struct qs *q = *state;

	nothing_durable(q);
	assert_int_equal(unlinkat(q->dirfd, NAME(1), 0), 0);
	qs_open(q);
	assert_int_equal(qs_stats(q->writer).next_seq, 31);
	assert_true(support_exists(q->dir, NAME(2) ".corrupt"));
	qs_close(q);
	goes_on_with(q, 31);
}

/* Set aside twice under the same number: nothing is overwritten. */
static void set_aside_again(void **state)
{
	struct qs *q = *state;

	all_durable(q);
	for (unsigned i = 0; i < 3; i++) {
		qs_zero(q->dir, NAME(3), 0, 64);
		support_poke(q->dir, NAME(3), 3000, &i, 1);
		qs_open(q);
		qs_close(q);
	}
	assert_int_equal(qs_peek32(q->dir, NAME(3) ".corrupt", 3000), 0);
	assert_int_equal(qs_peek32(q->dir, NAME(3) ".corrupt.2", 3000), 1);
	assert_int_equal(qs_peek32(q->dir, NAME(3) ".corrupt.3", 3000), 2);
}

/* ---- durable records are gone: not without consent ---- */

struct damage {
	const char *name;
	void (*make)(struct qs *q);
	unsigned remain;
	const char *reported;
};

static void flip_a_payload(struct qs *q)
{
	support_poke(q->dir, NAME(2), AT(65) + 64, "RECORD", 6);
}

static void zero_the_records(struct qs *q)
{
	qs_zero(q->dir, NAME(2), AT(65), QS_SIZE);
}

static void empty_the_segment(struct qs *q)
{
	qs_zero(q->dir, NAME(2), 64, QS_SIZE);
}

static void zero_the_segment(struct qs *q)
{
	qs_zero(q->dir, NAME(2), 0, QS_SIZE);
}

static void truncate_the_segment(struct qs *q)
{
	char path[PATH_SIZE];

	support_path(path, q->dir, NAME(2));
	assert_int_equal(truncate(path, 1024), 0);
}

static void remove_the_segment(struct qs *q)
{
	assert_int_equal(unlinkat(q->dirfd, NAME(2), 0), 0);
}

static void remove_it_and_the_spare(struct qs *q)
{
	remove_the_segment(q);
	assert_int_equal(unlinkat(q->dirfd, NAME(3), 0), 0);
}

static const struct damage damages[] = {
	{ "payload", flip_a_payload, 65, "records 65 to 69 are missing" },
	{ "zeros", zero_the_records, 65, "records 65 to 69 are missing" },
	{ "empty", empty_the_segment, 62, "records 62 to 69 are missing" },
	{ "all zero", zero_the_segment, 62, "records 62 to 69 are missing" },
	{ "truncated", truncate_the_segment, 62, "records 62 to 69 are missing" },
	{ "removed", remove_the_segment, 62, "records 62 to 69 are missing" },
	{ "removed with the spare", remove_it_and_the_spare, 62, "records 62 to 69 are missing" },
};

static void damage_below_the_watermark(void **state)
{
	struct qs *q = *state;

	for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
		all_durable(q);
		damages[i].make(q);
		q->log_length = 0;
		refuses(q, -EBADMSG);
		if (!qs_logged(q, damages[i].reported))
			print_error("%s: %s", damages[i].name, q->log);
		assert_true(qs_logged(q, damages[i].reported));
		refuses(q, -EBADMSG);
		q->config.accept_loss = true;
		q->log_length = 0;
		goes_on_with(q, damages[i].remain);
		assert_true(qs_logged(q, "warning durable records"));
		q->config.accept_loss = false;
		qs_open(q);
		assert_int_equal(qs_stats(q->writer).next_seq, damages[i].remain + 40);
		qs_close(q);
		qs_anew(q);
	}
}

/* Neither temp files nor the lock's text, nor the time of anything. */
static void refusal_changes_nothing(void **state)
{
	struct qs *q = *state;
	struct stat directory, lock, now;
	char text[80] = "", after[80] = "";

	all_durable(q);
	flip_a_payload(q);
	qs_write_file(q->dir, "000000003.q.tmp", "x", 1);
	assert_int_equal(fstatat(q->dirfd, "writer.lock", &lock, 0), 0);
	assert_true(lock.st_size > 0 && (size_t)lock.st_size < sizeof text);
	support_peek(q->dir, "writer.lock", 0, text, (size_t)lock.st_size);
	assert_int_equal(fstat(q->dirfd, &directory), 0);
	refuses(q, -EBADMSG);
	assert_int_equal(fstat(q->dirfd, &now), 0);
	assert_memory_equal(&now.st_mtim, &directory.st_mtim, sizeof now.st_mtim);
	assert_int_equal(fstatat(q->dirfd, "writer.lock", &now, 0), 0);
	assert_memory_equal(&now.st_mtim, &lock.st_mtim, sizeof now.st_mtim);
	assert_int_equal(now.st_size, lock.st_size);
	support_peek(q->dir, "writer.lock", 0, after, (size_t)lock.st_size);
	assert_string_equal(after, text);
	assert_true(support_exists(q->dir, "000000003.q.tmp"));
}

/* The watermark is in a segment that others follow: what is missing of it is missed too. */
static void damage_below_the_watermark_with_successors(void **state)
{
	struct qs *q = *state;

	for (int i = 0; i < 4; i++) {
		make(q, 1, AT(51), 51);
		qs_unseal(q->dir, 1);
		switch (i) {
		case 0:
			qs_zero(q->dir, NAME(1), AT(40), QS_SIZE);
			break;
		case 1:
			qs_zero(q->dir, NAME(1), 64, QS_SIZE);
			break;
		case 2:
			qs_zero(q->dir, NAME(1), 0, QS_SIZE);
			break;
		default:
			assert_int_equal(unlinkat(q->dirfd, NAME(1), 0), 0);
		}
		refuses(q, -EBADMSG);
		q->config.accept_loss = true;
		goes_on_with(q, i == 0 ? 40 : 31);
		q->config.accept_loss = false;
		qs_anew(q);
	}
}

/* Once accepted, a loss is no news, even if the writer that accepted it was killed. */
static void accepted_loss_stays_accepted(void **state)
{
	struct qs *q = *state;

	for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
		all_durable(q);
		damages[i].make(q);
		q->config.accept_loss = true;
		qs_killed_writer(q, damages[i].remain, 40);
		q->config.accept_loss = false;
		goes_on_with(q, damages[i].remain + 40);
		qs_anew(q);
	}
}

static void truncated_segment_of_a_small_queue(void **state)
{
	struct qs *q = *state;
	char path[PATH_SIZE];

	qs_killed_writer(q, 0, 5);
	assert_int_equal(unlinkat(q->dirfd, NAME(1), 0), 0);
	support_path(path, q->dir, NAME(0));
	assert_int_equal(truncate(path, 2048), 0); /* holds all records, is no segment any more */
	qs_mark(q->dir, 0, AT(5), 5);
	q->config.segment_size = 0;
	refuses(q, -EBADMSG);
	assert_true(qs_logged(q, "durable records"));
}

static void format_of_the_future(void **state)
{
	static const uint32_t version = 3;
	struct qs *q = *state;

	all_durable(q);
	support_poke(q->dir, NAME(2), 4, &version, sizeof version);
	refuses(q, -EPROTONOSUPPORT);
	q->config.accept_loss = true;
	refuses(q, -EPROTONOSUPPORT);
}

/* Below the watermark, where only the numbering looks: the current segment says no number. */
static void format_of_the_future_below_the_mark(void **state)
{
	static const uint32_t version = 3;
	struct qs *q = *state;

	qs_killed_writer(q, 0, 70);
	qs_mark(q->dir, 2, AT(8), 70);
	qs_zero(q->dir, NAME(2), 16, 64);
	support_poke(q->dir, NAME(2), AT(8) + 64, "residue", 7);
	support_poke(q->dir, NAME(1), 4, &version, sizeof version);
	refuses(q, -EPROTONOSUPPORT);
	q->config.accept_loss = true;
	refuses(q, -EPROTONOSUPPORT);
}

/* What is no file at all under a segment's name. */
static void strange_files(void **state)
{
	struct qs *q = *state;

	for (int i = 0; i < 3; i++) {
		all_durable(q);
		assert_int_equal(unlinkat(q->dirfd, NAME(3), 0), 0);
		if (i == 0)
			assert_int_equal(symlinkat("/dev/zero", q->dirfd, NAME(3)), 0);
		else if (i == 1)
			assert_int_equal(mkfifoat(q->dirfd, NAME(3), 0600), 0);
		else
			assert_int_equal(mkdirat(q->dirfd, NAME(3), 0700), 0);
		qs_open(q);
		assert_int_equal(qs_stats(q->writer).next_seq, 70);
		assert_true(support_exists(q->dir, NAME(3) ".corrupt"));
		qs_close(q);
		qs_anew(q);
	}
}

static void temp_names_are_swept_and_no_others(void **state)
{
	static const char *const ours[] = { "000000003.q.tmp", "000000009.q.new.tmp",
		                            "000000001.idx.tmp", "control.tmp" };
	static const char *const others[] = { "00000003.q.tmp",      "000000003.q.tmp2",
		                              "notes.tmp",           "0000000030.q.tmp",
		                              "000000003.q.bak",     ".tmp",
		                              "000000000.q.corrupt", "x000000003.q.tmp" };
	struct qs *q = *state;

	all_durable(q);
	for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
		qs_write_file(q->dir, ours[i], "x", 1);
	for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
		qs_write_file(q->dir, others[i], "x", 1);
	qs_open(q);
	for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
		assert_false(support_exists(q->dir, ours[i]));
	for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
		assert_true(support_exists(q->dir, others[i]));
	assert_int_equal(qs_stats(q->writer).next_seq, 70);
}

static const struct CMUnitTest tests[] = {
	QS_TEST(unsealed_lower_segment_that_connects),
	QS_TEST(unsealed_lower_segment_without_extension),
	QS_TEST(segment_that_does_not_connect_is_set_aside),
	QS_TEST(damaged_lower_segment),
	QS_TEST(spare_whose_header_was_never_written),
	QS_TEST(spare_of_no_size),
	QS_TEST(empty_then_unwritten_spare),
	QS_TEST(unwritten_segment_in_the_middle),
	QS_TEST(missing_segment_in_the_middle),
	QS_TEST(missing_segment_far_below),
	QS_TEST(set_aside_again),
	QS_TEST(damage_below_the_watermark),
	QS_TEST(refusal_changes_nothing),
	QS_TEST(damage_below_the_watermark_with_successors),
	QS_TEST(accepted_loss_stays_accepted),
	QS_TEST(truncated_segment_of_a_small_queue),
	QS_TEST(format_of_the_future),
	QS_TEST(format_of_the_future_below_the_mark),
	QS_TEST(strange_files),
	QS_TEST(temp_names_are_swept_and_no_others),
};

SUPPORT_MAIN_IN_MEMORY(tests)
