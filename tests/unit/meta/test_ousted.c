/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_ousted.c - a writer whose lock file or directory no longer has its name
 *
 * Another process removes or replaces writer.lock, or moves the queue away and makes another one in its
 * place.  At no moment do two writers store into one queue, and from then on no sync of the first writer
 * succeeds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "meta/lock.h"
#include "os/fault.h"
#include "queue_support.h"
#include "write/writer.h"

#define AWAY_SIZE (PATH_SIZE + 8)

static void lock_removed(struct qs *q)
{
	assert_int_equal(unlinkat(q->dirfd, "writer.lock", 0), 0);
}

static void lock_replaced(struct qs *q)
{
	qs_write_file(q->dir, "another", "1 1 1\n", 6);
	assert_int_equal(renameat(q->dirfd, "another", q->dirfd, "writer.lock"), 0);
}

static void lock_made_again(struct qs *q)
{
	lock_removed(q);
	qs_write_file(q->dir, "writer.lock", "", 0);
}

static void moved_to(struct qs *q, char path[AWAY_SIZE])
{
	snprintf(path, AWAY_SIZE, "%s.moved", q->dir);
}

static void directory_moved(struct qs *q)
{
	char away[AWAY_SIZE];

	moved_to(q, away);
	assert_int_equal(rename(q->dir, away), 0);
}

static void directory_made_again(struct qs *q)
{
	directory_moved(q);
	assert_int_equal(mkdir(q->dir, 0750), 0);
}

static const struct {
	const char *name;
	void (*make)(struct qs *q);
	bool moved;
	const char *said;
} ways[] = {
	{ "removed", lock_removed, false, "error writer.lock was removed or replaced" },
	{ "replaced", lock_replaced, false, "error writer.lock was removed or replaced" },
	{ "made again", lock_made_again, false, "error writer.lock was removed or replaced" },
	{ "moved", directory_made_again, true,
	  "error the queue's directory was moved, and another one has its name" },
};
#define WAYS (sizeof ways / sizeof ways[0])

/* Undoes a way. */
static void start_over(struct qs *q, size_t way)
{
	char away[AWAY_SIZE];

	if (ways[way].moved) {
		moved_to(q, away);
		support_remove(q->dir);
		assert_int_equal(rename(away, q->dir), 0);
	}
	qs_anew(q);
}

/* The writer refuses appends and syncs, and has logged the reason once. */
static void has_stopped(struct qs *q, const char *said)
{
	const char *first;

	assert_int_equal(cq_writer_append(q->writer, 1, "lost", 4, NULL), -EIO);
	assert_int_equal(cq_writer_sync(q->writer), -EIO);
	assert_int_equal(qs_stats(q->writer).error, -EIO);
	assert_true(qs_logged(q, said));
	first = strstr(q->log, said);
	assert_null(strstr(first + 1, "error "));
}

static void a_sync_finds_it(void **state)
{
	struct qs *q = *state;

	for (size_t i = 0; i < WAYS; i++) {
		qs_open(q);
		qs_append(q->writer, 0, 3);
		assert_int_equal(cq_writer_sync(q->writer), 0);
		qs_append(q->writer, 3, 1);
		q->log_length = 0;
		ways[i].make(q);
		assert_int_equal(cq_writer_sync(q->writer), -EIO);
		has_stopped(q, ways[i].said);
		assert_int_equal(cq_writer_close(q->writer), -EIO);
		q->writer = NULL;
		start_over(q, i);
	}
}

/* The preparer checks after each roll, without a sync. */
static void a_roll_finds_it(void **state)
{
	struct qs *q = *state;

	for (size_t i = 0; i < WAYS; i++) {
		qs_open(q);
		qs_append(q->writer, 0, 3);
		assert_int_equal(cq_writer_sync(q->writer), 0);
		q->log_length = 0;
		ways[i].make(q);
		assert_int_equal(cq_writer_roll(q->writer), 0);
		(void)cq_writer_prepare_step(q->writer);
		has_stopped(q, ways[i].said);
		assert_int_equal(cq_writer_close(q->writer), -EIO);
		q->writer = NULL;
		start_over(q, i);
	}
}

/* Without a ready segment the roll itself checks, and makes none. */
static void a_roll_without_a_spare(void **state)
{
	struct qs *q = *state;
	unsigned before;

	q->config.prealloc_wait_ms = 0;
	for (size_t i = 0; i < WAYS; i++) {
		qs_open(q);
		qs_append(q->writer, 0, 1);
		assert_int_equal(cq_writer_roll(q->writer), 0);
		qs_append(q->writer, 1, 1);
		q->log_length = 0;
		ways[i].make(q);
		before = qs_count_names(q->dir, ".q");
		assert_int_equal(cq_writer_roll(q->writer), -EIO);
		assert_int_equal(qs_count_names(q->dir, ".q"), before);
		has_stopped(q, ways[i].said);
		assert_int_equal(cq_writer_close(q->writer), -EIO);
		q->writer = NULL;
		start_over(q, i);
	}
}

/* An idle writer checks once a second; here the test calls its step. */
static void an_idle_writer_finds_it(void **state)
{
	struct qs *q = *state;

	for (size_t i = 0; i < WAYS; i++) {
		qs_open(q);
		qs_append(q->writer, 0, 1);
		qs_flush(q->writer);
		q->log_length = 0;
		ways[i].make(q);
		while (qs_stats(q->writer).error == 0)
			(void)cq_writer_flush_step(q->writer);
		has_stopped(q, ways[i].said);
		(void)cq_writer_close(q->writer);
		q->writer = NULL;
		start_over(q, i);
	}
}

/* A queue that is moved, and has no other in its place, keeps its writer. */
static void moving_alone_changes_nothing(void **state)
{
	struct qs *q = *state;
	char away[AWAY_SIZE];

	moved_to(q, away);
	qs_open(q);
	qs_append(q->writer, 0, 1);
	directory_moved(q);
	assert_int_equal(cq_writer_sync(q->writer), 0);
	qs_append(q->writer, 1, 1);
	assert_int_equal(cq_writer_roll(q->writer), 0);
	(void)cq_writer_prepare_step(q->writer);
	assert_int_equal(cq_writer_sync(q->writer), 0);
	qs_append(q->writer, 2, 1);
	/* nor does a file that gets the name */
	qs_write_file(q->base, strrchr(q->dir, '/') + 1, "x", 1);
	assert_int_equal(cq_writer_sync(q->writer), 0);
	assert_int_equal(unlink(q->dir), 0);
	qs_close(q);
	qs_expect(away, 0, 3);
	assert_int_equal(rename(away, q->dir), 0);
}

/*
 * The second writer can open the queue only after the first one has noticed, and stores nothing more: the
 * second one's records stay, and the first one adds nothing to the queue's files.
 */
static void the_second_waits_for_the_first(void **state)
{
	struct qs *q = *state;
	struct qs_snapshot before;
	cq_writer *second = NULL;
	struct cq_holder seen = CQ_SIZED(seen);

	for (size_t i = 0; i < WAYS; i++) {
		if (ways[i].moved)
			continue;
		qs_open(q);
		qs_append(q->writer, 0, 2);
		assert_int_equal(cq_writer_sync(q->writer), 0);
		ways[i].make(q);
		assert_int_equal(cq_writer_open_with(q->dir, &q->config, false, &second), -EBUSY);
		assert_int_equal(cq_lock_holder(q->dirfd, &seen), 0);
		assert_true(seen.locked);
		assert_int_equal(seen.pid, getpid()); /* whatever the text says */
		qs_append(q->writer, 2, 1);           /* not noticed yet, and harmless */
		assert_int_equal(cq_writer_sync(q->writer), -EIO);
		assert_int_equal(cq_writer_open_with(q->dir, &q->config, false, &second), -EBUSY);
		(void)cq_writer_flush_step(q->writer);
		assert_int_equal(cq_writer_open_with(q->dir, &q->config, false, &second), 0);
		qs_append(second, 3, 2);
		assert_int_equal(cq_writer_append(q->writer, 1, "lost", 4, NULL), -EIO);
		assert_int_equal(cq_writer_trim(q->writer, 1, 1), -EIO);
		assert_int_equal(cq_writer_sync(second), 0);
		assert_int_equal(cq_writer_close(second), 0);
		qs_snapshot(q->dir, &before);
		(void)cq_writer_flush_step(q->writer);
		(void)cq_writer_prepare_step(q->writer);
		assert_int_equal(cq_writer_close(q->writer), -EIO);
		q->writer = NULL;
		qs_unchanged(q->dir, &before);
		qs_expect(q->dir, 0, 5);
		start_over(q, i);
	}
}

/* The moved queue is still a queue, with its writer.lock, and may have another writer by then: when the first
 * writer closes, it changes nothing there, not even the text of writer.lock. */
static void the_moved_queue_has_another_writer(void **state)
{
	struct qs *q = *state;
	char away[AWAY_SIZE], path[PATH_SIZE];
	struct qs_snapshot before;
	cq_writer *second;
	char *text, *now;
	size_t size;

	moved_to(q, away);
	qs_open(q);
	qs_append(q->writer, 0, 40);
	directory_made_again(q);
	assert_int_equal(cq_writer_sync(q->writer), -EIO);
	(void)cq_writer_flush_step(q->writer);
	assert_int_equal(cq_writer_open_with(away, &q->config, false, &second), 0);
	qs_append(second, 40, 1);
	support_path(path, away, "writer.lock");
	text = support_slurp(path, &size);
	qs_snapshot(away, &before);
	assert_int_equal(cq_writer_close(q->writer), -EIO);
	q->writer = NULL;
	qs_unchanged(away, &before);
	now = support_slurp(path, &size);
	assert_string_equal(now, text);
	free(now);
	free(text);
	assert_int_equal(cq_writer_close(second), 0);
	qs_expect(away, 0, 41);
	support_remove(away);
}

/* ---- a child that was forked has the same descriptors ---- */

static void a_child_does_not_keep_the_lock(void **state)
{
	struct qs *q = *state;
	int go[2], status;
	pid_t child;
	char byte;

	assert_int_equal(pipe(go), 0);
	qs_open(q);
	qs_append(q->writer, 0, 1);
	child = support_fork();
	assert_true(child >= 0);
	if (child == 0) {
		close(go[1]);
		(void)!read(go[0], &byte, 1);
		_exit(0);
	}
	close(go[0]);
	qs_close(q);
	assert_int_equal(qs_try_open(q), 0); /* while the child is there */
	qs_append(q->writer, 1, 1);
	qs_close(q);
	close(go[1]);
	assert_int_equal(waitpid(child, &status, 0), child);
	qs_expect(q->dir, 0, 2);
}

/* Nor does a child keep a lock that a refused open has taken in part. */
static void nor_that_of_a_refused_open(void **state)
{
	struct qs *q = *state;
	int go[2], status;
	pid_t child;
	char byte;
	int fd;

	qs_write(q, 0, 1);
	fd = openat(q->dirfd, "writer.lock", O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
	assert_int_equal(qs_try_open(q), -EBUSY);
	assert_int_equal(pipe(go), 0);
	child = support_fork();
	assert_true(child >= 0);
	if (child == 0) {
		close(fd);
		close(go[1]);
		(void)!read(go[0], &byte, 1);
		_exit(0);
	}
	close(go[0]);
	assert_int_equal(flock(fd, LOCK_UN), 0);
	close(fd);
	assert_int_equal(qs_try_open(q), 0);
	close(go[1]);
	assert_int_equal(waitpid(child, &status, 0), child);
}

#ifdef CQ_FAULTS
static struct qs *raced;
static unsigned races; /* how many more times the file is replaced */

static void replace_between(const char *name)
{
	if (strcmp(name, "lock.opened") == 0 && races > 0) {
		races--;
		lock_replaced(raced);
	}
}

/* The file is replaced between an open and its flock: the locked file has no name, so the open starts over. */
static void the_taker_looks_again(void **state)
{
	struct qs *q = *state;
	struct stat named, locked;

	qs_write(q, 0, 1);
	raced = q;
	races = 3;
	cq_point_heard = replace_between;
	qs_open(q);
	assert_int_equal(races, 0);
	assert_int_equal(fstat(q->writer->owned.file, &locked), 0);
	assert_int_equal(fstatat(q->dirfd, "writer.lock", &named, 0), 0);
	assert_int_equal(named.st_ino, locked.st_ino);
	qs_append(q->writer, 1, 1);
	assert_int_equal(cq_writer_sync(q->writer), 0);
	qs_close(q);
	races = 1000; /* for ever */
	assert_int_equal(qs_try_open(q), -EBUSY);
	cq_point_heard = NULL;
	qs_expect(q->dir, 0, 2);
}

static void *prepare(void *arg)
{
	(void)cq_writer_prepare_step(arg);
	return NULL;
}

static struct {
	cq_writer *writer;
	_Atomic pid_t tid;
} flusher;

static void *flush(void *arg)
{
	(void)arg;
	atomic_store(&flusher.tid, gettid());
	(void)cq_writer_flush_step(flusher.writer);
	return NULL;
}

/* The writer notices while the preparer is about to publish a segment. */
static void the_preparer_is_waited_for_child(struct qs *q)
{
	pthread_t preparing, flushing;
	cq_writer *second;

	qs_open(q);
	qs_append(q->writer, 0, 1);
	CHILD(cq_writer_roll(q->writer) == 0);
	qs_hold(q, "prepare.before_publish");
	CHILD(pthread_create(&preparing, NULL, prepare, q->writer) == 0);
	qs_hold_reached(q);
	lock_replaced(q);
	CHILD(cq_writer_sync(q->writer) == -EIO);
	flusher.writer = q->writer;
	CHILD(pthread_create(&flushing, NULL, flush, NULL) == 0);
	while (atomic_load(&flusher.tid) == 0)
		sched_yield();
	qs_await_sleep(getpid(), atomic_load(&flusher.tid));
	CHILD(cq_writer_open_with(q->dir, &q->config, false, &second) == -EBUSY);
	qs_hold_go(q);
	pthread_join(preparing, NULL);
	pthread_join(flushing, NULL);
	CHILD(cq_writer_open_with(q->dir, &q->config, false, &second) == 0);
	qs_append(second, 1, 1);
	CHILD(cq_writer_close(second) == 0);
	CHILD(cq_writer_close(q->writer) == -EIO);
	qs_expect(q->dir, 0, 2);
}

static void the_preparer_is_waited_for(void **state)
{
	qs_run(the_preparer_is_waited_for_child, *state);
}

/* On a file system without locks on directories the lock on the file suffices. */
static void no_lock_on_directories(void **state)
{
	struct qs *q = *state;
	cq_writer *second;

	cq_fault_set("lock", ENOLCK, 0, 1);
	qs_open(q);
	cq_fault_set("lock", ENOLCK, 0, 1);
	assert_int_equal(cq_writer_open_with(q->dir, &q->config, false, &second), -EBUSY);
	cq_fault_set(NULL, 0, 0, 0);
	qs_append(q->writer, 0, 1);
	lock_removed(q);
	assert_int_equal(cq_writer_sync(q->writer), -EIO);
}
#endif

static const struct CMUnitTest tests[] = {
	QS_TEST(a_sync_finds_it),
	QS_TEST(a_roll_finds_it),
	QS_TEST(a_roll_without_a_spare),
	QS_TEST(an_idle_writer_finds_it),
	QS_TEST(moving_alone_changes_nothing),
	QS_TEST(the_second_waits_for_the_first),
	QS_TEST(the_moved_queue_has_another_writer),
	QS_TEST(a_child_does_not_keep_the_lock),
	QS_TEST(nor_that_of_a_refused_open),
#ifdef CQ_FAULTS
	QS_TEST(the_taker_looks_again),
	QS_TEST(the_preparer_is_waited_for),
	QS_TEST(no_lock_on_directories),
#endif
};

QS_MAIN(tests)
