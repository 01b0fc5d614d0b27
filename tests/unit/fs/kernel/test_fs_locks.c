/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_fs_locks.c - flock and POSIX locks without a kernel: which request waits, and which gets the lock
 *
 * An owner sends a request through an open file; both are numbers that the test makes up.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <sys/file.h>

#include "fs_support.h"
#include "kernel/dispatch.h"

#define A chronfs_node(CHRONFS_STREAM, 1)
#define B chronfs_node(CHRONFS_METRICS, 0)
#define NO_ANSWER (-1)

/* The reply of request i, which has exactly one. */
static int answer_of(int i)
{
	assert_in_range(requests[i].replies, 0, 1);
	return requests[i].replies ? requests[i].error : NO_ANSWER;
}

/* Bytes `start` to `end` for this owner; end 0: all bytes from `start` on. */
static struct flock range(int type, off_t start, off_t end)
{
	return (struct flock){
		.l_type = (short)type,
		.l_start = start,
		.l_len = end == 0 ? 0 : end - start + 1,
	};
}

static int set_from(int i, uid_t from, uint64_t node, uint64_t owner, struct flock lock, bool wait)
{
	struct fuse_file_info fi = { .fh = owner, .lock_owner = owner };

	chronfs_ops.setlk(fs_request(i, from), node, &fi, &lock, wait);
	return answer_of(i);
}

static int set(int i, uint64_t node, uint64_t owner, struct flock lock)
{
	return set_from(i, 0, node, owner, lock, false);
}

static int await(int i, uint64_t node, uint64_t owner, struct flock lock)
{
	return set_from(i, 0, node, owner, lock, true);
}

static int whole(int i, uint64_t node, uint64_t owner, int op)
{
	struct fuse_file_info fi = { .fh = owner, .lock_owner = owner };

	chronfs_ops.flock(fs_request(i, 0), node, &fi, op);
	return answer_of(i);
}

/* Whether this owner could lock these bytes. */
static struct flock asked(uint64_t node, uint64_t owner, struct flock lock)
{
	struct fuse_file_info fi = { .fh = owner, .lock_owner = owner };

	chronfs_ops.getlk(fs_request(3, 0), node, &fi, &lock);
	fs_expect(3, 0);
	return requests[3].lock;
}

static void who_holds_it_is_told(void **state)
{
	struct flock lock = range(F_WRLCK, 10, 19), told;

	(void)state;
	lock.l_pid = 4711;
	assert_int_equal(set(0, A, 1, lock), 0);
	assert_int_equal(set(0, A, 1, range(F_RDLCK, 100, 0)), 0);
	told = asked(A, 2, range(F_RDLCK, 0, 15));
	assert_int_equal(told.l_type, F_WRLCK);
	assert_int_equal(told.l_start, 10);
	assert_int_equal(told.l_len, 10);
	assert_int_equal(told.l_pid, 4711);
	told = asked(A, 2, range(F_WRLCK, 150, 160));
	assert_int_equal(told.l_type, F_RDLCK);
	assert_int_equal(told.l_start, 100);
	assert_int_equal(told.l_len, 0); /* to the end of the file, wherever that is */
	assert_int_equal(asked(A, 2, range(F_RDLCK, 150, 160)).l_type, F_UNLCK);
	assert_int_equal(asked(A, 2, range(F_WRLCK, 20, 99)).l_type, F_UNLCK);
	assert_int_equal(asked(B, 2, range(F_WRLCK, 0, 0)).l_type, F_UNLCK);
	assert_int_equal(asked(A, 1, range(F_WRLCK, 0, 0)).l_type, F_UNLCK);
}

/* When a lock ends, the requests that wait for it get it in order of arrival, and no other request. */
static void who_waits_gets_it_in_turn(void **state)
{
	(void)state;
	assert_int_equal(whole(0, A, 1, LOCK_EX), 0);
	assert_int_equal(set(0, B, 1, range(F_WRLCK, 0, 9)), 0);
	assert_int_equal(await(0, B, 2, range(F_WRLCK, 5, 5)), NO_ANSWER);
	assert_int_equal(whole(1, A, 2, LOCK_EX), NO_ANSWER);
	assert_int_equal(whole(2, A, 3, LOCK_SH), NO_ANSWER);
	assert_int_equal(whole(3, A, 1, LOCK_UN), 0);
	assert_int_equal(answer_of(1), 0);
	assert_int_equal(answer_of(2), NO_ANSWER); /* it would have to share the lock */
	assert_int_equal(answer_of(0), NO_ANSWER); /* it waits for a lock of another file */
	assert_int_equal(whole(3, A, 2, LOCK_SH), 0);
	assert_int_equal(answer_of(2), 0); /* now it can */
	assert_int_equal(set(3, B, 1, range(F_UNLCK, 0, 4)), 0);
	assert_int_equal(answer_of(0), NO_ANSWER);
	assert_int_equal(set(3, B, 1, range(F_UNLCK, 5, 6)), 0);
	assert_int_equal(answer_of(0), 0);
}

/* A waiter that gets a shared lock in place of its exclusive one lets in a request that came before it. */
static void one_who_waits_lets_an_earlier_one_in(void **state)
{
	(void)state;
	assert_int_equal(set(0, B, 1, range(F_WRLCK, 0, 5)), 0);
	assert_int_equal(set(0, B, 2, range(F_WRLCK, 6, 10)), 0);
	assert_int_equal(await(0, B, 3, range(F_RDLCK, 0, 5)), NO_ANSWER);
	assert_int_equal(await(1, B, 1, range(F_RDLCK, 0, 10)), NO_ANSWER);
	assert_int_equal(set(2, B, 2, range(F_UNLCK, 6, 10)), 0);
	assert_int_equal(answer_of(1), 0);
	assert_int_equal(answer_of(0), 0);
}

/* A close of any descriptor of a file ends its owner's POSIX locks on the file, and no other lock. */
static void a_close_drops_the_owners_locks(void **state)
{
	const uint64_t one = chronfs_node(CHRONFS_APPEND, 1),
		       other = chronfs_node(CHRONFS_APPEND, 2);
	struct fuse_file_info fi = { .fh = 7, .lock_owner = 1 };

	(void)state;
	assert_int_equal(set(0, one, 1, range(F_WRLCK, 0, 9)), 0);
	assert_int_equal(set(0, one, 2, range(F_WRLCK, 10, 19)), 0);
	assert_int_equal(set(0, B, 1, range(F_WRLCK, 0, 9)), 0);
	assert_int_equal(whole(0, one, 1, LOCK_EX), 0);
	assert_int_equal(await(1, one, 3, range(F_RDLCK, 5, 5)), NO_ANSWER);
	assert_int_equal(await(2, one, 3, range(F_RDLCK, 10, 10)), NO_ANSWER);
	chronfs_ops.flush(fs_request(0, 0), other, &fi);
	fs_expect(0, 0);
	assert_int_equal(answer_of(1), 0);
	assert_int_equal(answer_of(2), NO_ANSWER);
	assert_int_equal(asked(one, 4, range(F_WRLCK, 0, 4)).l_type, F_UNLCK);
	assert_int_equal(asked(B, 4, range(F_WRLCK, 0, 9)).l_type, F_WRLCK);
	assert_int_equal(whole(0, other, 4, LOCK_EX | LOCK_NB), EAGAIN);
	fi.lock_owner = 2;
	chronfs_ops.flush(fs_request(0, 0), one, &fi);
	assert_int_equal(answer_of(2), 0);
}

/* An interruption ends only its own request, and no request that has its reply. */
static void interrupted_while_waiting(void **state)
{
	(void)state;
	assert_int_equal(whole(0, A, 1, LOCK_EX), 0);
	assert_int_equal(whole(1, A, 2, LOCK_EX), NO_ANSWER);
	assert_int_equal(whole(2, A, 3, LOCK_EX), NO_ANSWER);
	fs_interrupt(2);
	assert_int_equal(answer_of(2), EINTR);
	assert_int_equal(answer_of(1), NO_ANSWER);
	assert_int_equal(whole(3, A, 1, LOCK_UN), 0);
	assert_int_equal(answer_of(1), 0);
	fs_interrupt(1); /* too late: it has the lock */
	assert_int_equal(answer_of(1), 0);
	assert_int_equal(whole(3, A, 4, LOCK_EX | LOCK_NB), EAGAIN);
	assert_int_equal(fs.user_limits.locks.used, 1);
}

/* An interruption that comes before the request is parked. */
static void interrupted_before_waiting(void **state)
{
	struct fuse_file_info fi = { .fh = 2, .lock_owner = 2 };

	(void)state;
	assert_int_equal(whole(0, A, 1, LOCK_EX), 0);
	fs_request(1, 0);
	requests[1].interrupted = true;
	chronfs_ops.flock(REQ(1), A, &fi, LOCK_EX);
	assert_int_equal(answer_of(1), EINTR);
	assert_int_equal(whole(0, A, 1, LOCK_UN), 0);
	assert_int_equal(answer_of(1), EINTR);
	assert_int_equal(fs.user_limits.locks.used, 0);
}

/* An unlock does not need one lock more because another owner holds locks. */
static void unlocking_when_there_are_too_many(void **state)
{
	(void)state;
	fs.user_limits.locks.most = 4; /* of which users get two */
	assert_int_equal(set_from(0, 1, A, 1, range(F_WRLCK, 0, 99), false), 0);
	assert_int_equal(set_from(0, 2, A, 2, range(F_WRLCK, 100, 199), false), 0);
	assert_int_equal(set_from(0, 3, A, 3, range(F_WRLCK, 200, 200), false), ENOLCK);
	assert_int_equal(set_from(0, 1, A, 1, range(F_UNLCK, 10, 20), false), ENOLCK);
	assert_int_equal(set_from(0, 1, A, 1, range(F_UNLCK, 50, 99), false), 0);
	assert_int_equal(set_from(0, 1, A, 1, range(F_UNLCK, 0, 10), false), 0);
	assert_int_equal(asked(A, 3, range(F_WRLCK, 0, 10)).l_type, F_UNLCK);
	assert_int_equal(asked(A, 3, range(F_WRLCK, 11, 11)).l_type, F_WRLCK);
	/* root and the mounter get the rest */
	assert_int_equal(set_from(0, FS_MOUNTER, A, 3, range(F_WRLCK, 200, 200), false), 0);
	assert_int_equal(set_from(0, 0, A, 4, range(F_WRLCK, 300, 300), false), 0);
	assert_int_equal(set_from(0, 0, A, 5, range(F_WRLCK, 400, 400), false), ENOLCK);
}

static void an_operation_that_there_is_not(void **state)
{
	(void)state;
	assert_int_equal(whole(0, A, 1, LOCK_MAND), EINVAL);
	assert_int_equal(whole(0, A, 1, LOCK_SH | LOCK_EX), EINVAL);
	assert_null(fs.file_locks.held);
}

/* A circle of waits is EDEADLK, except of locks that belong to open files of one process (F_OFD_SETLKW). */
static void circles_of_waits(void **state)
{
	struct flock low = range(F_WRLCK, 0, 9), high = range(F_WRLCK, 10, 19);

	(void)state;
	for (int i = 0; i < 2; i++) {
		const bool one_process = i == 1;

		low.l_pid = high.l_pid = 100;
		assert_int_equal(set(0, A, 1, low), 0);
		low.l_pid = high.l_pid = one_process ? 100 : 200;
		assert_int_equal(set(0, A, 2, high), 0);
		low.l_pid = high.l_pid = 100;
		assert_int_equal(await(1, A, 1, high), NO_ANSWER);
		low.l_pid = high.l_pid = one_process ? 100 : 200;
		assert_int_equal(await(2, A, 2, low), one_process ? NO_ANSWER : EDEADLK);
		chronfs_file_locks_close(&fs, A, 2);
		assert_int_equal(answer_of(1), 0);
		chronfs_file_locks_close(&fs, A, 1);
		assert_int_equal(answer_of(2), one_process ? 0 : EDEADLK);
		chronfs_file_locks_close(&fs, A, 2);
		assert_null(fs.file_locks.held);
	}
}

/* The end of the mount replies to the requests that wait. */
static void the_mount_ends(void **state)
{
	(void)state;
	assert_int_equal(whole(0, A, 1, LOCK_EX), 0);
	assert_int_equal(set(0, A, 1, range(F_WRLCK, 0, 9)), 0);
	assert_int_equal(whole(1, A, 2, LOCK_EX), NO_ANSWER);
	assert_int_equal(await(2, A, 2, range(F_RDLCK, 0, 0)), NO_ANSWER);
	fs_end();
	assert_int_equal(answer_of(1), ENOTCONN);
	assert_int_equal(answer_of(2), ENOTCONN);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fs_setup, fs_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(who_holds_it_is_told),
		TEST(who_waits_gets_it_in_turn),
		TEST(one_who_waits_lets_an_earlier_one_in),
		TEST(a_close_drops_the_owners_locks),
		TEST(interrupted_while_waiting),
		TEST(interrupted_before_waiting),
		TEST(unlocking_when_there_are_too_many),
		TEST(an_operation_that_there_is_not),
		TEST(circles_of_waits),
		TEST(the_mount_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
