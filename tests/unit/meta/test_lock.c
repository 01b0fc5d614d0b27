/* SPDX-License-Identifier: Apache-2.0 */
/* test_lock.c - one writer at a time: in one process, in two, after a kill, with a wrong text */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include "meta/lock.h"
#include "os/fault.h"
#include "queue_support.h"
#include "write/writer.h"

static void names_process(const struct qs *q, pid_t pid)
{
	char text[64];

	snprintf(text, sizeof text, "locked by its writer, process %d\n", (int)pid);
	assert_true(qs_logged(q, text));
}

static void second_writer_of_this_process(void **state)
{
	struct qs *q = *state;
	cq_writer *second = NULL;

	qs_open(q);
	qs_append(q->writer, 0, 1);
	assert_int_equal(cq_writer_open_with(q->dir, &q->config, false, &second), -EBUSY);
	assert_null(second);
	names_process(q, getpid());
	qs_append(q->writer, 1, 1); /* the first writer still works */
	qs_close(q);
	qs_expect(q->dir, 0, 2);
	qs_open(q);
}

/* A child that opens the queue, writes a byte to `ready`, and closes the queue at the end of `go`. */
struct holder {
	pid_t pid;
	int ready, go;
};

static struct holder start_holder(struct qs *q)
{
	struct holder h;
	int ready[2], go[2];
	char byte = 0;

	assert_int_equal(pipe(ready), 0);
	assert_int_equal(pipe(go), 0);
	h.pid = support_fork();
	assert_true(h.pid >= 0);
	if (h.pid == 0) {
		close(go[1]);
		CHILD(qs_try_open(q) == 0);
		CHILD(cq_writer_append(q->writer, 1, "record 0", 8, NULL) == 0);
		CHILD(write(ready[1], "x", 1) == 1);
		CHILD(read(go[0], &byte, 1) == 0);
		CHILD(cq_writer_close(q->writer) == 0);
		_exit(0);
	}
	close(ready[1]);
	close(go[0]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	h.ready = ready[0];
	h.go = go[1];
	return h;
}

static int end_holder(struct holder *h)
{
	int status = 0;

	close(h->go);
	close(h->ready);
	assert_int_equal(waitpid(h->pid, &status, 0), h->pid);
	return status;
}

static void writer_of_another_process(void **state)
{
	struct qs *q = *state;
	struct holder h = start_holder(q);
	struct cq_holder seen = CQ_SIZED(seen);

	assert_int_equal(qs_try_open(q), -EBUSY);
	names_process(q, h.pid);
	assert_int_equal(cq_lock_holder(q->dirfd, &seen), 0);
	assert_true(seen.locked);
	assert_true(seen.alive);
	assert_int_equal(seen.pid, h.pid);
	assert_int_equal(end_holder(&h), 0);
	assert_int_equal(cq_lock_holder(q->dirfd, &seen), 0);
	assert_false(seen.locked);
	assert_false(seen.alive);
	qs_open(q);
	assert_int_equal(qs_stats(q->writer).next_seq, 1);
}

static void lock_of_a_killed_process(void **state)
{
	struct qs *q = *state;
	struct holder h = start_holder(q);

	assert_int_equal(kill(h.pid, SIGKILL), 0);
	assert_true(WIFSIGNALED(end_holder(&h)));
	assert_true(support_exists(q->dir, "writer.lock"));
	qs_write(q, 1, 1);
	qs_expect(q->dir, 0, 2);
}

/* The text locks nothing, also if it names a living process or is nonsense. */
static void text_does_not_lock(void **state)
{
	static const char *const texts[] = { "1 1 1\n", "", "nonsense", "-5 3 3\n",
		                             "99999999999999999999 1 1\n" };
	struct qs *q = *state;
	struct cq_holder seen = CQ_SIZED(seen);

	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		qs_write_file(q->dir, "writer.lock", texts[i], strlen(texts[i]));
		assert_int_equal(cq_lock_holder(q->dirfd, &seen), 0);
		assert_false(seen.locked);
		qs_open(q);
		assert_int_equal(cq_lock_holder(q->dirfd, &seen), 0);
		assert_true(seen.locked && seen.alive);
		assert_int_equal(seen.pid, getpid());
		qs_close(q);
	}
}

static int inherited_ready[2], inherited_go[2];

static void leave_a_child_with_the_lock(struct qs *q)
{
	char byte;

	CHILD(qs_try_open(q) == 0);
	if (fork() == 0) { /* outlives its parent; ends with the test, which holds inherited_go */
		close(inherited_go[1]);
		CHILD(write(inherited_ready[1], "x", 1) == 1);
		(void)!read(inherited_go[0], &byte, 1);
		_exit(0);
	}
	_exit(0);
}

/* A process that a dead writer had forked keeps the lock: the message says so. */
static void inherited_lock(void **state)
{
	struct qs *q = *state;
	char byte;

	assert_int_equal(pipe(inherited_ready), 0);
	assert_int_equal(pipe(inherited_go), 0);
	qs_run(leave_a_child_with_the_lock, q);
	assert_int_equal(read(inherited_ready[0], &byte, 1), 1);
	assert_int_equal(qs_try_open(q), -EBUSY);
	assert_true(qs_logged(q, "has ended, but a process that it started still holds the lock"));
	close(inherited_go[1]);
	close(inherited_go[0]);
	/* that process ends, and the lock with it */
	close(inherited_ready[1]);
	while (read(inherited_ready[0], &byte, 1) > 0)
		;
	close(inherited_ready[0]);
	while (qs_try_open(q) == -EBUSY)
		usleep(1000);
	assert_non_null(q->writer);
}

/* The holder has written no text, or a text that cannot be read: the message names no process. */
static void holder_without_a_name(void **state)
{
	struct qs *q = *state;
	int fd;

	qs_write_file(q->dir, "writer.lock", "", 0);
	fd = openat(q->dirfd, "writer.lock", O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	assert_int_equal(qs_try_open(q), -EBUSY);
	assert_string_equal(q->log, "error the queue is locked by another writer\n");
#ifdef CQ_FAULTS
	q->log_length = 0;
	qs_write_file(q->dir, "writer.lock", "1 1 1\n", 6);
	cq_fault_set("pread", EIO, 0, 1);
	assert_int_equal(qs_try_open(q), -EBUSY);
	cq_fault_set(NULL, 0, 0, 0);
	assert_string_equal(q->log, "error the queue is locked by another writer\n");
#endif
	close(fd);
	qs_open(q);
}

static void no_lock_file_yet(void **state)
{
	struct qs *q = *state;
	struct cq_holder seen = CQ_SIZED(seen);
	struct cq_lock lock, other;

	assert_int_equal(cq_lock_holder(q->dirfd, &seen), 0);
	assert_false(seen.locked || seen.alive || seen.pid);
	assert_int_equal(cq_lock_acquire(q->dirfd, &lock), 0);
	assert_int_equal(cq_lock_acquire(q->dirfd, &other), -EBUSY);
	cq_lock_release(&lock);
	assert_int_equal(cq_lock_acquire(q->dirfd, &other), 0);
	cq_lock_release(&other);
}

/* A symbolic link with the name is not followed. */
static void link_is_not_followed(void **state)
{
	struct qs *q = *state;
	struct qs_snapshot before;
	struct cq_lock lock;

	qs_write_file(q->base, "victim", "precious", 8);
	assert_int_equal(symlinkat("../victim", q->dirfd, "writer.lock"), 0);
	qs_snapshot(q->dir, &before);
	assert_int_equal(cq_lock_acquire(q->dirfd, &lock), -ELOOP);
	qs_unchanged(q->dir, &before);
	assert_int_equal(qs_peek32(q->base, "victim", 0), 0x63657270);
}

#ifdef CQ_FAULTS
/* Without /proc the text has no start time; any other failure is an error. */
static void no_proc(void **state)
{
	struct qs *q = *state;
	char text[64], there[64] = "";
	struct cq_lock lock;
	int fd;

	assert_int_equal(cq_lock_acquire(q->dirfd, &lock), 0);
	cq_fault_set("open", EIO, 0, 1);
	assert_int_equal(cq_lock_describe(&lock, 3), -EIO);
	cq_fault_set("open", ENOENT, 0, 1);
	assert_int_equal(cq_lock_describe(&lock, 3), 0);
	cq_fault_set(NULL, 0, 0, 0);
	snprintf(text, sizeof text, "%d 0 3\n", (int)getpid());
	cq_lock_release(&lock);
	fd = openat(q->dirfd, "writer.lock", O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(read(fd, there, sizeof there - 1), (ssize_t)strlen(text));
	assert_string_equal(there, text);
	close(fd);
}
#endif

static const struct CMUnitTest tests[] = {
	QS_TEST(second_writer_of_this_process),
	QS_TEST(writer_of_another_process),
	QS_TEST(lock_of_a_killed_process),
	QS_TEST(text_does_not_lock),
	QS_TEST(inherited_lock),
	QS_TEST(holder_without_a_name),
	QS_TEST(no_lock_file_yet),
	QS_TEST(link_is_not_followed),
#ifdef CQ_FAULTS
	QS_TEST(no_proc),
#endif
};

QS_MAIN(tests)
