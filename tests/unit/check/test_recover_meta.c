/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_recover_meta.c - control.meta, index.meta, durable.meta and the indexes are hints
 *
 * A crash or a user may have done anything to them: all records are there, the numbers continue, and the
 * files are right again afterwards.
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

#include "meta/control.h"
#include "os/fault.h"
#include "queue_support.h"
#include "write/writer.h"

static void cut(struct qs *q, const char *name, off_t size)
{
	char path[PATH_SIZE];

	support_path(path, q->dir, name);
	assert_int_equal(truncate(path, size), 0);
}

static void lose(struct qs *q, const char *name)
{
	assert_int_equal(unlinkat(q->dirfd, name, 0), 0);
}

static ino_t inode_of(struct qs *q, const char *name)
{
	struct stat st;

	assert_int_equal(fstatat(q->dirfd, name, &st, AT_SYMLINK_NOFOLLOW), 0);
	return st.st_ino;
}

/* 70 records in segments 0 to 2; the writer was killed. */
static void make(struct qs *q)
{
	qs_killed_writer(q, 0, 70);
}

static void all_is_well(struct qs *q, unsigned epoch)
{
	struct cq_position position;
	struct cq_control control;

	qs_open(q);
	assert_int_equal(qs_stats(q->writer).next_seq, 70);
	assert_int_equal(qs_stats(q->writer).segment, 2);
	assert_true(qs_stats(q->writer).epoch >= epoch);
	assert_int_equal(cq_control_open(&control, q->dirfd, false), 0);
	assert_int_equal(cq_control_position(&control, &position), 0);
	assert_int_equal(position.segment, 2);
	assert_int_equal(position.offset, 64 + 8 * 128);
	assert_int_equal(control.page->segment_size, QS_SIZE);
	assert_int_equal(control.page->epoch, qs_stats(q->writer).epoch);
	cq_control_close(&control);
	qs_append(q->writer, 70, 40);
	qs_close(q);
	qs_expect(q->dir, 0, 110);
	qs_format_check(q->dir, "--closed");
}

static void control_missing(struct qs *q)
{
	lose(q, "control.meta");
}

static void control_zeroed(struct qs *q)
{
	qs_zero(q->dir, "control.meta", 0, 512);
}

static void control_short(struct qs *q)
{
	cut(q, "control.meta", 100);
}

static void control_empty(struct qs *q)
{
	cut(q, "control.meta", 0);
}

static void control_rubbish(struct qs *q)
{
	uint8_t rubbish[512];

	memset(rubbish, 0x5A, sizeof rubbish);
	support_poke(q->dir, "control.meta", 0, rubbish, sizeof rubbish);
}

static void control_half_initialised(struct qs *q)
{
	const uint32_t initialising = 1;

	support_poke(q->dir, "control.meta", 8, &initialising, sizeof initialising);
}

static void control_seqlock_odd(struct qs *q)
{
	const uint32_t odd = 12345;

	support_poke(q->dir, "control.meta", 128, &odd, sizeof odd);
}

static void control_wrong_position(struct qs *q)
{
	const uint32_t segment = 77;
	const uint64_t offset = 0x123456789;

	support_poke(q->dir, "control.meta", 132, &segment, sizeof segment);
	support_poke(q->dir, "control.meta", 256, &offset, sizeof offset);
}

static void control_wrong_geometry(struct qs *q)
{
	const uint64_t size = 65536;

	support_poke(q->dir, "control.meta", 24, &size, sizeof size);
}

static void position_missing(struct qs *q)
{
	lose(q, "index.meta");
}

static void position_stale(struct qs *q)
{
	const uint64_t stale[2] = { 1, 64 + 128 };

	support_poke(q->dir, "index.meta", 0, stale, sizeof stale);
}

static void position_ahead(struct qs *q)
{
	const uint64_t ahead[2] = { 9, 640 };

	support_poke(q->dir, "index.meta", 0, ahead, sizeof ahead);
}

static void position_short(struct qs *q)
{
	cut(q, "index.meta", 3);
}

static void mark_missing(struct qs *q)
{
	lose(q, "durable.meta");
}

static void mark_rubbish(struct qs *q)
{
	uint8_t rubbish[80];

	memset(rubbish, 0x5A, sizeof rubbish);
	support_poke(q->dir, "durable.meta", 0, rubbish, sizeof rubbish);
}

static void mark_torn(struct qs *q)
{
	/* the slot that would be written next */
	qs_mark(q->dir, 1, 64, 31);
	support_poke(q->dir, "durable.meta", 40, "torn", 4);
}

static void mark_short(struct qs *q)
{
	cut(q, "durable.meta", 41);
}

static void lock_missing(struct qs *q)
{
	lose(q, "writer.lock");
}

static void all_missing(struct qs *q)
{
	lose(q, "writer.lock");
	lose(q, "durable.meta");
	lose(q, "index.meta");
	lose(q, "control.meta");
}

static void all_zeroed(struct qs *q)
{
	qs_zero(q->dir, "control.meta", 0, 512);
	qs_zero(q->dir, "index.meta", 0, 16);
	qs_zero(q->dir, "durable.meta", 0, 80);
}

static void hints_are_only_hints(void **state)
{
	static void (*const damages[])(struct qs * q) = {
		control_missing,
		control_zeroed,
		control_short,
		control_empty,
		control_rubbish,
		control_half_initialised,
		control_seqlock_odd,
		control_wrong_position,
		control_wrong_geometry,
		position_missing,
		position_stale,
		position_ahead,
		position_short,
		mark_missing,
		mark_rubbish,
		mark_torn,
		mark_short,
		lock_missing,
		all_missing,
		all_zeroed,
	};
	struct qs *q = *state;

	for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
		print_message("# damage %zu\n", i);
		make(q);
		q->config.segment_size = i % 2 ? 0 : QS_SIZE;
		damages[i](q);
		all_is_well(q, 2);
		qs_anew(q);
		q->config.segment_size = QS_SIZE;
	}
}

/* Attached readers keep their mapping of a control block that is there in full size. */
static void full_size_control_is_repaired_in_place(void **state)
{
	struct qs *q = *state;
	ino_t inode;

	make(q);
	inode = inode_of(q, "control.meta");
	control_rubbish(q);
	qs_open(q);
	assert_true(inode_of(q, "control.meta") == inode);
	qs_close(q);
	control_short(q);
	qs_open(q);
	assert_false(inode_of(q, "control.meta") == inode);
}

/* The epoch never falls behind that of a record, or older records could pass for new ones. */
static void epoch_survives_the_loss_of_control(void **state)
{
	struct qs *q = *state;

	for (unsigned i = 0; i < 5; i++)
		qs_killed_writer(q, i, 1);
	lose(q, "control.meta");
	qs_open(q);
	assert_int_equal(qs_stats(q->writer).epoch, 6);
	qs_close(q);
	lose(q, "control.meta"); /* durable.meta says it, too */
	qs_zero(q->dir, "000000000.q", 64, QS_SIZE);
	q->config.accept_loss = true;
	qs_open(q);
	assert_int_equal(qs_stats(q->writer).epoch, 7);
}

static void index_files_are_rebuilt_or_ignored(void **state)
{
	struct qs *q = *state;

	qs_write(q, 0, 70);
	qs_write_file(q->dir, "000000000.idx", "rubbish", 7);
	lose(q, "000000001.idx");
	qs_open(q);
	assert_int_equal(qs_stats(q->writer).next_seq, 70);
	qs_close(q);
}

#ifdef CQ_FAULTS

#define AT(record) (64 + (uint64_t)(record)*128)

/* A power cut took records 10 to 19, which reader r has taken. */
static void make_reader_ahead(struct qs *q)
{
	struct cq_record record;
	cq_reader *reader;

	qs_anew(q);
	qs_write(q, 0, 20);
	assert_int_equal(cq_reader_open(q->dir, "r", CQ_START_OLDEST, 0, &reader), 0);
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(cq_reader_next(reader, &record), 1);
	assert_int_equal(cq_reader_commit(reader), 0);
	cq_reader_close(reader);
	qs_other_boot(q->dir);
	qs_zero(q->dir, "000000000.q", AT(10), AT(20));
	qs_mark(q->dir, 0, AT(10), 10);
}

static bool next_is(struct qs *q, uint64_t seq)
{
	struct cq_record record = { .seq = UINT64_MAX };
	cq_reader *reader;

	assert_int_equal(cq_reader_open(q->dir, "r", CQ_START_RESUME, 0, &reader), 0);
	(void)cq_reader_next(reader, &record);
	cq_reader_close(reader);
	return record.seq == seq;
}

/* The file of a reader that has to be moved cannot be opened, locked, read or written: the queue opens all the same,
 * and the log says what was not done.  Else the reader gets the record that comes in place of those that are lost. */
static void a_reader_that_cannot_be_moved(void **state)
{
	static const char *const calls[] = { "open", "lock_bytes", "pread", "pwrite", "sync_data" };
	struct qs *q = *state;
	unsigned told = 0;

	for (size_t c = 0; c < sizeof calls / sizeof calls[0]; c++) {
		bool given = true;

		for (int skip = 0; given; skip++) {
			bool warned;
			int r;

			make_reader_ahead(q);
			cq_fault_forget();
			cq_fault_set(calls[c], EIO, skip, 1);
			r = qs_try_open(q);
			cq_fault_set(NULL, 0, 0, 0);
			given = cq_fault_given() > 0;
			assert_true(r == 0 || given);
			warned = r == 0 &&
			         (qs_logged(q, "reader r is at a place without records, "
			                       "and cannot be moved: ") ||
			          qs_logged(q, "reader r: its file cannot be read, so it stays "
			                       "where it is: "));
			told += warned;
			if (r < 0)
				qs_open(q);
			qs_append(q->writer, 10, 1);
			assert_true(warned || next_is(q, 10));
			qs_close(q);
		}
	}
	assert_true(told > 2);
	/* its file is gone when it is looked at again: there is no such reader then */
	for (int skip = 0; skip < 30; skip++) {
		int r;

		make_reader_ahead(q);
		cq_fault_set("open", ENOENT, skip, 1);
		r = qs_try_open(q);
		cq_fault_set(NULL, 0, 0, 0);
		if (r < 0)
			qs_open(q);
		assert_false(qs_logged(q, "cannot be moved"));
		assert_int_equal(qs_stats(q->writer).next_seq, 10);
		qs_close(q);
	}
}

/* The same of a file with a damaged slot, which counts as it is. */
static void a_slot_that_cannot_be_mended(void **state)
{
	struct qs *q = *state;
	unsigned told = 0;

	for (int slot = 0; slot < 2; slot++) {
		make_reader_ahead(q);
		qs_open(q);
		qs_close(q);
		support_poke(q->dir, "readers/r.meta", slot ? 64 + 8 : 8, "wrong", 5);
		cq_fault_set("lock_bytes", ENOLCK, 0, 1);
		q->log_length = 0;
		qs_open(q);
		cq_fault_set(NULL, 0, 0, 0);
		told += qs_logged(q,
		                  "of its file is damaged, and cannot be written again: No locks");
		qs_append(q->writer, 10, 1);
		assert_true(next_is(q, 10));
		qs_close(q);
	}
	assert_true(told > 0);
}

#endif

static const struct CMUnitTest tests[] = {
	QS_TEST(hints_are_only_hints),
	QS_TEST(full_size_control_is_repaired_in_place),
	QS_TEST(epoch_survives_the_loss_of_control),
	QS_TEST(index_files_are_rebuilt_or_ignored),
#ifdef CQ_FAULTS
	QS_TEST(a_reader_that_cannot_be_moved),
	QS_TEST(a_slot_that_cannot_be_mended),
#endif
};

SUPPORT_MAIN_IN_MEMORY(tests)
