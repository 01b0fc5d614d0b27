/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_preserve.c - on every way to a published segment it is opened, never created again
 *
 * A sentinel byte is far inside the published, still empty successor. Code that truncates, replaces or
 * rewrites that file removes the byte or changes the inode.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>

#include "files/dir.h"
#include "queue_support.h"
#include "write/writer.h"

#define SENTINEL 0xA5
#define SENTINEL_AT 4001U

static ino_t planted_inode;

static ino_t inode_of(struct qs *q, uint32_t id)
{
	char name[CQ_NAME_MAX];
	struct stat st;

	cq_segment_name(name, id);
	assert_int_equal(fstatat(q->dirfd, name, &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_int_equal(st.st_size, QS_SIZE);
	return st.st_ino;
}

static void plant(struct qs *q, uint32_t id)
{
	const uint8_t sentinel = SENTINEL;
	char name[CQ_NAME_MAX];

	cq_segment_name(name, id);
	if (!support_exists(q->dir, name))
		qs_make_segment(q->dir, id, QS_SIZE);
	support_poke(q->dir, name, SENTINEL_AT, &sentinel, 1);
	planted_inode = inode_of(q, id);
}

/* An opening writer may have set it aside, as it does with any bytes in an empty segment. */
static void still_there(struct qs *q, uint32_t id)
{
	char name[CQ_NAME_MAX], aside[CQ_NAME_MAX];
	uint8_t byte = 0;

	cq_segment_name(name, id);
	snprintf(aside, sizeof aside, CQ_SEGMENT_BROKEN, id);
	support_peek(q->dir, support_exists(q->dir, aside) ? aside : name, SENTINEL_AT, &byte, 1);
	assert_int_equal(byte, SENTINEL);
	assert_true(inode_of(q, id) == planted_inode);
}

static void roll_takes_the_ready_one(struct qs *q)
{
	qs_open(q);
	plant(q, 1);
	qs_append(q->writer, 0, 40);
	assert_int_equal(qs_stats(q->writer).rolls_ready, 1);
	still_there(q, 1);
	qs_close(q);
	still_there(q, 1);
}

static void fallback_roll_opens_it(struct qs *q)
{
	qs_open(q);
	qs_append(q->writer, 0, 40);
	plant(q, 2); /* not in the slot: no step has run */
	qs_append(q->writer, 40, 30);
	assert_int_equal(qs_stats(q->writer).rolls_fallback, 1);
	assert_int_equal(qs_stats(q->writer).segment, 2);
	still_there(q, 2);
}

static void worker_meets_it(struct qs *q)
{
	qs_open(q);
	qs_append(q->writer, 0, 40);
	plant(q, 2);
	qs_prepare(q->writer);
	still_there(q, 2);
	qs_append(q->writer, 40, 30);
	assert_int_equal(qs_stats(q->writer).rolls_ready, 2);
	assert_int_equal(qs_stats(q->writer).segment, 2);
	still_there(q, 2);
}

static void close_and_reopen(struct qs *q)
{
	qs_open(q);
	qs_append(q->writer, 0, 5);
	plant(q, 1);
	qs_close(q);
	still_there(q, 1);
	qs_open(q);
	still_there(q, 1);
	assert_int_equal(qs_stats(q->writer).segment, 0);
	qs_append(q->writer, 5, 30);
	assert_int_equal(qs_stats(q->writer).segment, 1);
	still_there(q, 1);
}

static void recovery_after_a_kill(struct qs *q)
{
	qs_killed_writer(q, 0, 5);
	plant(q, 1);
	qs_open(q);
	still_there(q, 1);
	assert_int_equal(qs_stats(q->writer).segment, 0);
	qs_append(q->writer, 5, 30);
	assert_int_equal(qs_stats(q->writer).segment, 1);
	still_there(q, 1);
	qs_expect(q->dir, 0, 35);
}

static void recovery_that_repairs(struct qs *q)
{
	qs_killed_writer(q, 0, 5);
	support_poke(q->dir, "000000000.q", 64 + 5 * 128, "torn", 4);
	plant(q, 1);
	qs_open(q);
	still_there(q, 1);
	assert_true(support_exists(q->dir, "000000000.q.broken"));
	qs_append(q->writer, 5, 30);
	still_there(q, 1);
	qs_expect(q->dir, 0, 35);
}

static void open_or_create_preserves_preallocated(void **state)
{
	static void (*const ways[])(struct qs * q) = {
		roll_takes_the_ready_one, fallback_roll_opens_it, worker_meets_it,
		close_and_reopen,         recovery_after_a_kill,  recovery_that_repairs,
	};
	struct qs *q = *state;

	for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
		ways[i](q);
		if (q->writer)
			qs_close(q);
		qs_anew(q);
	}
}

static void roll_and_die(struct qs *q)
{
	CHILD(qs_try_open(q) == 0);
	for (int i = 0; i < 31; i++)
		CHILD(cq_writer_append(q->writer, 1, "123456789", 9, NULL) == 0);
	CHILD(cq_writer_roll(q->writer) == 0);
	kill(getpid(), SIGKILL);
}

/* Killed after the roll, before the first record: the successor is taken as it is. */
static void killed_before_the_first_record(void **state)
{
	struct qs *q = *state;
	ino_t inode;

	qs_run_killed(roll_and_die, q);
	inode = inode_of(q, 1);
	qs_open(q);
	assert_int_equal(qs_stats(q->writer).segment, 1);
	assert_int_equal(qs_stats(q->writer).next_seq, 31);
	assert_true(inode_of(q, 1) == inode);
	qs_append(q->writer, 31, 1);
	qs_close(q);
	qs_format_check(q->dir, "--closed");
}

static const struct CMUnitTest tests[] = {
	QS_TEST(open_or_create_preserves_preallocated),
	QS_TEST(killed_before_the_first_record),
};

QS_MAIN(tests)
