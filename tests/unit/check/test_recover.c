/* SPDX-License-Identifier: Apache-2.0 */
/* test_recover.c - the tail of the segment in use, after its writer was closed or killed */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "files/dir.h"
#include "os/fault.h"
#include "queue_support.h"
#include "write/writer.h"

#define FIRST "000000000.q"
#define BROKEN "000000000.q.broken"
#define AT(record) (64 + (uint64_t)(record)*128) /* offset of a record of qs_append() */

/* The successor is published and not sealed; it means nothing. */
static void reopen_goes_on_in_the_current_segment(void **state)
{
	struct qs *q = *state;

	qs_write(q, 0, 5);
	assert_true(support_exists(q->dir, "000000001.q"));
	qs_open(q);
	assert_int_equal(qs_stats(q->writer).segment, 0);
	assert_int_equal(qs_stats(q->writer).offset, AT(5));
	qs_append(q->writer, 5, 1);
	qs_close(q);
	qs_killed_writer(q, 6, 1);
	qs_open(q);
	assert_int_equal(qs_stats(q->writer).segment, 0);
	assert_int_equal(qs_stats(q->writer).offset, AT(7));
	qs_append(q->writer, 7, 1);
	qs_close(q);
	qs_expect(q->dir, 0, 8);
	assert_int_equal(qs_peek32(q->dir, FIRST, 12), 0);
	qs_format_check(q->dir, "--closed");
}

static void append_two_and_recover(void **state)
{
	struct qs *q = *state;
	struct qs_record *records;

	qs_killed_writer(q, 0, 2);
	qs_expect(q->dir, 0, 2);
	qs_format_check(q->dir, "--crashed");
	qs_open(q);
	assert_int_equal(qs_stats(q->writer).next_seq, 2);
	assert_int_equal(qs_stats(q->writer).epoch, 2);
	qs_append(q->writer, 2, 1);
	qs_close(q);
	qs_expect(q->dir, 0, 3);
	assert_int_equal(qs_records(q->dir, &records), 3);
	assert_int_equal(records[1].epoch, 1);
	assert_int_equal(records[2].epoch, 2);
	assert_int_equal(records[2].stream_offset, 16);
	free(records);
	assert_false(support_exists(q->dir, BROKEN));
	qs_format_check(q->dir, "--closed");
}

static void killed_many_times(void **state)
{
	struct qs *q = *state;

	for (unsigned i = 0; i < 12; i++)
		qs_killed_writer(q, i * 10, 10);
	qs_open(q);
	assert_int_equal(qs_stats(q->writer).next_seq, 120);
	assert_int_equal(qs_stats(q->writer).segment, 3);
	qs_close(q);
	qs_expect(q->dir, 0, 120);
	qs_format_check(q->dir, "--closed");
}

/* ---- what is behind the tail ---- */

static void leave_residue(struct qs *q)
{
	qs_killed_writer(q, 0, 3);
	support_poke(q->dir, FIRST, AT(3) + 8, "half a header", 13);
	support_poke(q->dir, FIRST, 3500, "far behind", 10);
	support_poke(q->dir, FIRST, QS_SIZE - 1, "!", 1);
}

static void residue_is_aside(struct qs *q)
{
	char text[16] = "";

	assert_true(qs_all_zero(q->dir, FIRST, AT(3), QS_SIZE));
	support_peek(q->dir, BROKEN, AT(3) + 8, text, 13);
	assert_string_equal(text, "half a header");
	support_peek(q->dir, BROKEN, 3500, text, 10);
	assert_memory_equal(text, "far behind", 10);
	support_peek(q->dir, BROKEN, QS_SIZE - 1, text, 1);
	assert_int_equal(text[0], '!');
	assert_true(qs_all_zero(q->dir, BROKEN, 0, AT(3)));
	qs_expect(q->dir, 0, 3);
}

static void residue_is_copied_and_zeroed(void **state)
{
	struct qs *q = *state;

	leave_residue(q);
	qs_open(q);
	assert_true(qs_logged(q, "notice segment 000000000"));
	assert_true(qs_logged(q, BROKEN));
	residue_is_aside(q);
	q->log[0] = '\0';
	q->log_length = 0;
	qs_close(q);
	qs_open(q); /* nothing to do any more */
	assert_string_equal(q->log, "");
	residue_is_aside(q);
	qs_append(q->writer, 3, 40);
	qs_close(q);
	qs_expect(q->dir, 0, 43);
	qs_format_check(q->dir, "--closed");
}

/* A power cut may undo a part of the zeroing, or stop it half way: what is aside is not overwritten
 * with the zeros that are there by then. */
static void residue_is_set_aside_again(void **state)
{
	struct qs *q = *state;

	leave_residue(q);
	qs_open(q);
	qs_close(q);
	support_poke(q->dir, FIRST, AT(3) + 8, "half", 4); /* came back alone */
	qs_open(q);
	residue_is_aside(q);
	qs_close(q);
	assert_false(support_exists(q->dir, BROKEN ".2"));
}

/* Nor with what another crash has left in the same place. */
static void residue_of_two_crashes(void **state)
{
	struct qs *q = *state;
	char text[16] = "";

	leave_residue(q);
	qs_open(q);
	qs_close(q);
	for (unsigned i = 0; i < 2; i++) { /* the second time it is aside already */
		support_poke(q->dir, FIRST, AT(3) + 8, "HALF A HEADER", 13);
		qs_open(q);
		residue_is_aside(q);
		qs_close(q);
	}
	support_peek(q->dir, BROKEN ".2", AT(3) + 8, text, 13);
	assert_string_equal(text, "HALF A HEADER");
	assert_false(support_exists(q->dir, BROKEN ".3"));
	qs_format_check(q->dir, "--closed");
}

/* A record that is there and not sound is where the queue ends; what follows it is residue. */
static void torn_record_ends_the_queue(void **state)
{
	static const struct {
		uint64_t at; /* in the record */
		uint32_t value;
	} damages[] = {
		{ 0, 0xFFFFFFFF }, /* commit word out of bounds */
		{ 0, 10 },         /* another length */
		{ 4, 9 },          /* version */
		{ 8, 99 },         /* seq, so the header's checksum */
		{ 28, 1 },         /* payload checksum */
		{ 32, 2 },         /* extension of the future */
		{ 36, 1 },         /* header checksum */
		{ 64, 0 },         /* payload */
	};
	struct qs *q = *state;

	for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
		qs_killed_writer(q, 0, 10);
		support_poke(q->dir, FIRST, AT(7) + damages[i].at, &damages[i].value, 4);
		qs_other_boot(q->dir);
		qs_open(q);
		assert_int_equal(qs_stats(q->writer).next_seq, 7);
		assert_int_equal(qs_stats(q->writer).offset, AT(7));
		assert_true(qs_all_zero(q->dir, FIRST, AT(7), QS_SIZE));
		qs_append(q->writer, 7, 3);
		qs_close(q);
		qs_expect(q->dir, 0, 10);
		qs_format_check(q->dir, "--closed");
		qs_anew(q);
	}
}

/* Sound records behind a hole do not come back when the hole is filled. */
static void hole_does_not_resurrect(void **state)
{
	struct qs *q = *state;
	struct qs_record *records;

	qs_killed_writer(q, 0, 10);
	qs_zero(q->dir, FIRST, AT(5), AT(6));
	qs_other_boot(q->dir);
	qs_open(q);
	assert_int_equal(qs_stats(q->writer).next_seq, 5);
	assert_true(qs_all_zero(q->dir, FIRST, AT(5), QS_SIZE));
	assert_int_equal(cq_writer_append(q->writer, 1, "a new 5", 7, NULL), 0);
	assert_int_equal(qs_records(q->dir, &records), 6);
	assert_string_equal(records[5].text, "a new 5");
	free(records);
	qs_close(q);
	qs_open(q);
	assert_int_equal(qs_stats(q->writer).next_seq, 6);
	assert_int_equal(qs_peek64(q->dir, BROKEN, AT(6) + 8), 6);
	assert_int_equal(qs_peek64(q->dir, BROKEN, AT(9) + 8), 9);
}

/* Bytes all over the rest of the segment, further apart than one copy reaches. */
static void residue_in_many_places(void **state)
{
	const uint64_t size = 4U << 20, apart = 128U << 10;
	struct qs *q = *state;

	q->config.segment_size = size;
	qs_killed_writer(q, 0, 10);
	for (uint64_t at = apart; at < size; at += apart)
		support_poke(q->dir, FIRST, at, "xxxx", 4);
	qs_other_boot(q->dir);
	qs_open(q);
	assert_int_equal(qs_stats(q->writer).next_seq, 10);
	assert_true(qs_all_zero(q->dir, FIRST, AT(10), size));
	for (uint64_t at = apart; at < size; at += apart)
		assert_int_equal(qs_peek32(q->dir, BROKEN, at), 0x78787878);
}

/* After a power cut an older record may be where the next record belongs: right number, right checksums,
 * but of an earlier writer. */
static void record_of_an_earlier_epoch(void **state)
{
	struct qs *q = *state;
	uint8_t old[128];

	qs_killed_writer(q, 0, 10);
	support_peek(q->dir, FIRST, AT(6), old, sizeof old);
	qs_zero(q->dir, FIRST, AT(5), AT(6));
	qs_other_boot(q->dir);
	qs_killed_writer(q, 5, 1);
	support_poke(q->dir, FIRST, AT(6), old, sizeof old);
	qs_other_boot(q->dir);
	qs_open(q);
	assert_int_equal(qs_stats(q->writer).next_seq, 6);
	qs_close(q);
	qs_expect(q->dir, 0, 6);
}

/* Sound in itself, and not the next one. */
static void record_with_another_number(void **state)
{
	struct qs *q = *state;
	uint8_t later[128];

	qs_killed_writer(q, 0, 10);
	support_peek(q->dir, FIRST, AT(8), later, sizeof later);
	support_poke(q->dir, FIRST, AT(5), later, sizeof later);
	qs_other_boot(q->dir);
	qs_open(q);
	assert_int_equal(qs_stats(q->writer).next_seq, 5);
	qs_close(q);
	qs_expect(q->dir, 0, 5);
}

/* A spare that was in use before a power cut may hold older records behind its lost first page.  They
 * do not follow the new ones, neither while those are appended nor after a kill. */
static void older_records_in_a_spare(void **state)
{
	struct qs *q = *state;
	uint8_t older[4 * 128];

	qs_open(q);
	qs_append(q->writer, 0, 31);
	support_peek(q->dir, FIRST, AT(1), older, sizeof older);
	support_poke(q->dir, "000000001.q", AT(1), older, sizeof older);
	for (unsigned i = 31; i < 37; i++) {
		qs_append(q->writer, i, 1);
		qs_expect(q->dir, 0, i + 1);
	}
	qs_close(q);
	qs_expect(q->dir, 0, 37);
}

/* The tail at the very beginning: the page with the first records never came to the disk. */
static void hole_at_the_beginning(void **state)
{
	struct qs *q = *state;

	qs_killed_writer(q, 0, 40);
	qs_zero(q->dir, "000000001.q", AT(0), AT(2));
	qs_other_boot(q->dir);
	qs_open(q);
	assert_int_equal(qs_stats(q->writer).segment, 1);
	assert_int_equal(qs_stats(q->writer).next_seq, 31);
	assert_true(qs_all_zero(q->dir, "000000001.q", 64, QS_SIZE));
	assert_int_equal(qs_peek64(q->dir, "000000001.q.broken", AT(2) + 8), 33);
	qs_append(q->writer, 31, 2);
	qs_close(q);
	qs_expect(q->dir, 0, 33);
	qs_format_check(q->dir, "--closed");
}

static void full_segment_is_the_last(void **state)
{
	struct qs *q = *state;

	qs_killed_writer(q, 0, 31);
	qs_open(q);
	assert_int_equal(qs_stats(q->writer).segment, 0);
	assert_int_equal(qs_stats(q->writer).offset, AT(31));
	qs_append(q->writer, 31, 1);
	assert_int_equal(qs_stats(q->writer).segment, 1);
	qs_close(q);
	qs_expect(q->dir, 0, 32);
	qs_format_check(q->dir, "--closed");
}

/* ---- killed at a named point ---- */

#ifdef CQ_FAULTS
static const char *kill_point;

static void open_and_be_killed(struct qs *q)
{
	CHILD(setenv("CHRONQ_KILL", kill_point, 1) == 0);
	(void)qs_try_open(q);
}

static void killed_while_recovering(void **state)
{
	static const char *const points[] = { "recover.residue_copied", "recover.residue_zeroed",
		                              "recover.repaired" };
	struct qs *q = *state;

	for (size_t i = 0; i < sizeof points / sizeof points[0]; i++) {
		leave_residue(q);
		kill_point = points[i];
		qs_run_killed(open_and_be_killed, q);
		(void)qs_child(open_and_be_killed, q); /* once more, as far as it gets */
		qs_open(q);
		residue_is_aside(q);
		qs_append(q->writer, 3, 40);
		qs_close(q);
		qs_expect(q->dir, 0, 43);
		qs_format_check(q->dir, "--closed");
		qs_anew(q);
	}
}

/* The copy is durable before the bytes are zeroed, and that before anything is appended. */
static void repair_is_synced(void **state)
{
	static const struct {
		const char *call;
		int skip;
		bool zeroed;
	} syncs[] = { { "sync_data", 0, false },
		      { "sync_dir", 0, false },
		      { "sync_data", 1, true } };
	struct qs *q = *state;

	for (size_t i = 0; i < sizeof syncs / sizeof syncs[0]; i++) {
		leave_residue(q);
		cq_fault_set(syncs[i].call, EIO, syncs[i].skip, 1);
		assert_int_equal(qs_try_open(q), -EIO);
		cq_fault_set(NULL, 0, 0, 0);
		assert_int_equal(qs_all_zero(q->dir, FIRST, AT(3), QS_SIZE), syncs[i].zeroed);
		qs_open(q);
		residue_is_aside(q);
		qs_close(q);
		qs_anew(q);
	}
}

/* Killed before a commit, within a roll, or with a segment half prepared. */
static void killed_while_appending(void **state)
{
	static const struct {
		const char *point;
		unsigned survive;
	} kills[] = {
		{ "append.before_commit:1", 0 },
		{ "append.before_commit:5", 4 },
		{ "append.before_commit:32", 31 },
		{ "roll.sealed", 31 },
		{ "roll.moved", 31 },
		{ "roll.sealed:2", 62 },
		{ "roll.moved:2", 62 },
		{ "open_or_create.before_publish", 0 },
		{ "prepare.prepared", 0 },
		{ "prepare.before_publish", 0 },
		{ "prepare.prepared:2", 32 },
		{ "prepare.before_publish:2", 32 },
	};
	struct qs *q = *state;

	for (size_t i = 0; i < sizeof kills / sizeof kills[0]; i++) {
		const unsigned n = kills[i].survive;

		assert_int_equal(setenv("CHRONQ_KILL", kills[i].point, 1), 0);
		qs_killed_writer(q, 0, 100);
		assert_int_equal(unsetenv("CHRONQ_KILL"), 0);
		qs_expect(q->dir, 0, n);
		qs_open(q);
		assert_int_equal(qs_stats(q->writer).next_seq, n);
		assert_int_equal(qs_count_names(q->dir, ".tmp"), 0);
		qs_append(q->writer, n, 40);
		qs_close(q);
		qs_expect(q->dir, 0, n + 40);
		qs_format_check(q->dir, "--closed");
		qs_anew(q);
	}
}
#endif

static const struct CMUnitTest tests[] = {
	QS_TEST(reopen_goes_on_in_the_current_segment),
	QS_TEST(append_two_and_recover),
	QS_TEST(killed_many_times),
	QS_TEST(residue_is_copied_and_zeroed),
	QS_TEST(residue_is_set_aside_again),
	QS_TEST(residue_of_two_crashes),
	QS_TEST(torn_record_ends_the_queue),
	QS_TEST(hole_does_not_resurrect),
	QS_TEST(residue_in_many_places),
	QS_TEST(record_of_an_earlier_epoch),
	QS_TEST(record_with_another_number),
	QS_TEST(older_records_in_a_spare),
	QS_TEST(hole_at_the_beginning),
	QS_TEST(full_segment_is_the_last),
#ifdef CQ_FAULTS
	QS_TEST(killed_while_recovering),
	QS_TEST(repair_is_synced),
	QS_TEST(killed_while_appending),
#endif
};

QS_MAIN(tests)
