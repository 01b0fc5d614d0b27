/* SPDX-License-Identifier: Apache-2.0 */
/* test_reader_lock.c - one reader's file, written by several handles, in this process and in others */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "chronq.h"
#include "meta/reader_file.h"
#include "os/fault.h"
#include "os/io.h"
#include "support.h"

#define COMMITS 5000
#define BEATS 5000
#define THREADS 3

static int open_file(struct support_dir *f)
{
	int fd;

	assert_int_equal(cq_reader_file_open(f->dirfd, "r", true, &fd), 0);
	return fd;
}

static void commit(int fd, uint64_t segment)
{
	struct cq_reader_file cursor = { .segment = segment, .offset = 64 };
	int r;

	do
		r = cq_reader_file_write(fd, &cursor);
	while (r == -EAGAIN); /* on a busy machine */
	assert_int_equal(r, 0);
}

static struct cq_reader_file position(int fd)
{
	struct cq_reader_file cursor = { 0 };

	assert_int_equal(cq_reader_file_read(fd, &cursor), 0);
	return cursor;
}

/* While one handle has the lock, no other one writes; a sign of life does not wait for it. */
static void one_at_a_time(void **state)
{
	const int first = open_file(*state), second = open_file(*state);
	struct cq_reader_file cursor = { .segment = 9, .offset = 64 };

	commit(first, 1);
	assert_int_equal(cq_reader_file_lock(first, true), 0);
	assert_int_equal(cq_reader_file_lock(second, false), -EAGAIN);
	assert_int_equal(cq_reader_file_beat(second, 5, &cursor), -EAGAIN);
	assert_int_equal(cq_reader_file_write(second, &cursor), -EAGAIN);
	assert_int_equal(position(second).segment, 1);
	cq_reader_file_unlock(first);
	assert_int_equal(cq_reader_file_beat(second, 5, &cursor), 0);
	assert_int_equal(cursor.segment, 1);
	assert_int_equal(position(first).heartbeat_ns, 5);
	commit(second, 9);
	assert_int_equal(position(first).segment, 9);
	/* a file without a position gets the one that the reader had */
	assert_int_equal(ftruncate(first, 0), 0);
	cursor = (struct cq_reader_file){ .segment = 7, .offset = 128 };
	assert_int_equal(cq_reader_file_beat(second, 6, &cursor), 0);
	assert_int_equal(position(first).segment, 7);
	assert_int_equal(position(first).offset, 128);
	assert_int_equal(position(first).heartbeat_ns, 6);
	close(first);
	close(second);
}

static atomic_uint beats;

static void beat(int fd)
{
	struct cq_reader_file cursor = { 0 };

	for (uint64_t i = 0; i < BEATS; i++)
		if (cq_reader_file_beat(fd, i, &cursor) == 0)
			atomic_fetch_add(&beats, 1);
}

static void *beat_in_thread(void *arg)
{
	beat(open_file(arg));
	return NULL;
}

/* Beside signs of life of other threads and of another process a commit stays, and each write has a
 * generation of its own. */
static void signs_of_life_move_nobody(void **state)
{
	const int fd = open_file(*state);
	pthread_t threads[THREADS];
	unsigned others = 0;
	int status, out[2];
	pid_t pid;

	commit(fd, 0);
	assert_int_equal(pipe(out), 0);
	pid = support_fork();
	if (pid == 0) {
		beat(open_file(*state));
		others = atomic_load(&beats);
		_exit(write(out[1], &others, sizeof others) != sizeof others);
	}
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, beat_in_thread, *state), 0);
	for (uint64_t i = 1; i <= COMMITS; i++) {
		commit(fd, i);
		assert_int_equal(position(fd).segment, i);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(read(out[0], &others, sizeof others), sizeof others);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(position(fd).segment, COMMITS);
	assert_int_equal(position(fd).generation, 1 + COMMITS + atomic_load(&beats) + others);
	close(out[0]);
	close(out[1]);
	close(fd);
}

/* A process that is killed while it has the lock leaves none. */
static void killed_with_the_lock(void **state)
{
	const int fd = open_file(*state);
	int status, out[2];
	pid_t pid;
	char c;

	commit(fd, 1);
	assert_int_equal(pipe(out), 0);
	pid = support_fork();
	if (pid == 0) {
		const int own = open_file(*state);

		if (cq_reader_file_lock(own, true) == 0 && write(out[1], "l", 1) == 1)
			pause();
		_exit(1);
	}
	assert_int_equal(read(out[0], &c, 1), 1);
	assert_int_equal(cq_reader_file_lock(fd, false), -EAGAIN);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(cq_reader_file_lock(fd, false), 0);
	cq_reader_file_unlock(fd);
	commit(fd, 2);
	close(out[0]);
	close(out[1]);
	close(fd);
}

#ifdef CQ_FAULTS

static void die(const char *place)
{
	if (strcmp(place, "reader.slots_read") == 0)
		kill(getpid(), SIGKILL);
}

/* The same in the middle of a commit: the position before it counts. */
static void killed_in_a_commit(void **state)
{
	const int fd = open_file(*state);
	int status;
	pid_t pid;

	commit(fd, 1);
	pid = support_fork();
	if (pid == 0) {
		cq_point_heard = die;
		commit(open_file(*state), 7);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(position(fd).segment, 1);
	commit(fd, 2);
	assert_int_equal(position(fd).segment, 2);
	close(fd);
}

#endif

#define WITH(test) cmocka_unit_test_setup_teardown(test, support_dir_setup, support_dir_teardown)

static const struct CMUnitTest tests[] = {
	WITH(one_at_a_time),
	WITH(signs_of_life_move_nobody),
	WITH(killed_with_the_lock),
#ifdef CQ_FAULTS
	WITH(killed_in_a_commit),
#endif
};

SUPPORT_MAIN(tests)
