/* SPDX-License-Identifier: Apache-2.0 */
/* test_wait.c - cq_reader_wait(), and readers in another process than the writer's */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "chronq.h"
#include "meta/reader_file.h"
#include "read/reader.h"
#include "read_support.h"

#define SECOND_NS 1000000000ULL

static cq_writer *open_writer(const char *dir)
{
	struct cq_config config;
	cq_writer *writer;

	cq_config_init(&config);
	config.segment_size = 4096;
	return cq_writer_open(dir, &config, &writer) == 0 ? writer : NULL;
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

/* Runs in the child: takes `count` records in order, waiting for each that is not there yet. */
static int consume(const char *dir, unsigned flags, uint64_t count, int ready_fd)
{
	struct cq_record record;
	cq_reader *reader;
	uint64_t value;
	int r;

	if (cq_reader_open(dir, NULL, CQ_START_OLDEST, flags, &reader) != 0)
		return 1;
	if (write(ready_fd, "r", 1) != 1)
		return 2;
	for (uint64_t i = 0; i < count; i++) {
		while ((r = cq_reader_next(reader, &record)) == 0)
			if (cq_reader_wait(reader, 120000) != 1)
				return 3;
		if (r != 1 || record.seq != i || record.length != sizeof value)
			return 4;
		memcpy(&value, record.payload, sizeof value);
		if (value != i * 7)
			return 5;
	}
	cq_reader_close(reader);
	return 0;
}

static pid_t start_consumer(const char *dir, unsigned flags, uint64_t count)
{
	int ready[2];
	pid_t child;
	char byte;

	assert_int_equal(pipe(ready), 0);
	child = support_fork();
	if (child == 0)
		_exit(consume(dir, flags, count, ready[1]));
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	return child;
}

static void expect_success(pid_t child)
{
	int status;

	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* Many rolls of tiny segments, one reader that registers for wake-ups and one that polls. */
static void readers_in_other_processes_during_rolls(void **state)
{
	struct read_fixture *f = *state;
	const uint64_t count = 20000;
	pid_t waiting, passive;

	waiting = start_consumer(f->dir, 0, count);
	passive = start_consumer(f->dir, CQ_READER_PASSIVE, count);
	f->writer = open_writer(f->dir);
	assert_non_null(f->writer);
	for (uint64_t i = 0; i < count; i++) {
		uint64_t value = i * 7;

		assert_int_equal(cq_writer_append(f->writer, 1, &value, sizeof value, NULL), 0);
	}
	expect_success(waiting);
	expect_success(passive);
}

static int by_value(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

#define SLEEPS 100U

/* One record at a time, each awaited by the reader before the next is appended: over every roll. */
static void woken_by_each_append(void **state)
{
	struct read_fixture *f = *state;
	uint64_t start, took[SLEEPS];
	int back[2];
	pid_t child;
	char byte;

	f->writer = open_writer(f->dir);
	assert_non_null(f->writer);
	assert_int_equal(pipe(back), 0);
	child = support_fork();
	if (child == 0) {
		struct cq_record record;
		cq_reader *reader;

		if (cq_reader_open(f->dir, NULL, CQ_START_OLDEST, 0, &reader) != 0)
			_exit(1);
		for (uint64_t i = 0; i < 2ULL * SLEEPS; i++) {
			if (write(back[1], "n", 1) != 1)
				_exit(2);
			if (cq_reader_wait(reader, 120000) != 1)
				_exit(3);
			if (cq_reader_next(reader, &record) != 1 || record.seq != i)
				_exit(4);
			if (cq_reader_next(reader, &record) != 0)
				_exit(5);
		}
		if (write(back[1], "n", 1) != 1)
			_exit(2);
		_exit(0);
	}
	close(back[1]);
	assert_int_equal(read(back[0], &byte, 1), 1);
	for (uint64_t i = 0; i < 2ULL * SLEEPS; i++) {
		if (i % 2 ==
		    0) /* the reader has long been asleep then; only the time depends on that */
			usleep(1000);
		start = now_ns();
		assert_int_equal(cq_writer_append(f->writer, 1, &i, sizeof i, NULL), 0);
		assert_int_equal(read(back[0], &byte, 1), 1);
		if (i % 2 == 0)
			took[i / 2] = now_ns() - start;
	}
	expect_success(child);
	/* without a wake-up each of these sleeps would take its slice of 100 ms; a busy machine may
	 * hold up some of them */
	qsort(took, SLEEPS, sizeof took[0], by_value);
	assert_in_range(took[SLEEPS / 2], 0, SECOND_NS / 20);
	close(back[0]);
}

static void timeouts(void **state)
{
	struct read_fixture *f = *state;
	uint64_t start;

	for (int passive = 0; passive < 2; passive++) {
		assert_int_equal(cq_reader_open(f->dir, NULL, CQ_START_LATEST,
		                                passive ? CQ_READER_PASSIVE : 0, &f->reader),
		                 0);
		assert_int_equal(cq_reader_wait(f->reader, 0), 0);
		start = now_ns();
		assert_int_equal(cq_reader_wait(f->reader, 130), 0);
		assert_in_range(now_ns() - start, 130000000, 100 * SECOND_NS);
		cq_reader_close(f->reader);
		f->reader = NULL;
		support_append(f->dir, 0, 3);
	}
}

static void on_alarm(int signal)
{
	(void)signal;
}

static void signals_end_the_wait(void **state)
{
	const struct itimerval often = { { 0, 20000 }, { 0, 20000 } },
			       never = { { 0, 0 }, { 0, 0 } };
	struct sigaction action = { .sa_handler = on_alarm }, old;
	struct read_fixture *f = *state;

	support_append(f->dir, 0, 3);
	assert_int_equal(sigaction(SIGALRM, &action, &old), 0);
	for (int passive = 0; passive < 2; passive++) {
		assert_int_equal(cq_reader_open(f->dir, NULL, CQ_START_LATEST,
		                                passive ? CQ_READER_PASSIVE : 0, &f->reader),
		                 0);
		assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
		assert_int_equal(cq_reader_wait(f->reader, -1), -EINTR);
		assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
		cq_reader_close(f->reader);
		f->reader = NULL;
	}
	sigaction(SIGALRM, &old, NULL);
}

/* A reader is counted while it waits, and not afterwards. */
static void waiters_are_counted_off_again(void **state)
{
	struct read_fixture *f = *state;
	uint32_t waiters;

	support_append(f->dir, 0, 3);
	assert_int_equal(cq_reader_open(f->dir, NULL, CQ_START_LATEST, 0, &f->reader), 0);
	assert_int_equal(cq_reader_wait(f->reader, 20), 0);
	support_peek(f->dir, "control.meta", 388, &waiters, sizeof waiters);
	assert_int_equal(waiters, 0);
}

/* control.meta is replaced while a reader waits: it finds the new one. */
static void control_replaced_while_waiting(void **state)
{
	struct read_fixture *f = *state;
	char path[PATH_SIZE];
	uint64_t epoch;

	support_append(f->dir, 0, 3);
	assert_int_equal(cq_reader_open(f->dir, NULL, CQ_START_LATEST, 0, &f->reader), 0);
	support_path(path, f->dir, "control.meta");
	assert_int_equal(unlink(path), 0);
	support_append(f->dir, 3, 40);
	assert_int_equal(cq_reader_wait(f->reader, -1), 1);
	for (unsigned i = 3; i < 43; i++) {
		struct cq_record record;

		assert_int_equal(cq_reader_next(f->reader, &record), 1);
		assert_int_equal(record.seq, i);
	}
	assert_int_equal(cq_reader_wait(f->reader, 10), 0);
	support_peek(f->dir, "control.meta", 16, &epoch, sizeof epoch);
	assert_int_equal(f->reader->control.page->epoch, epoch);
	support_append(f->dir, 43, 1);
	support_peek(f->dir, "control.meta", 16, &epoch, sizeof epoch);
	assert_int_equal(f->reader->control.page->epoch, epoch);
}

static void read_cursor(struct read_fixture *f, struct cq_reader_file *cursor)
{
	char path[PATH_SIZE];
	FILE *file;

	support_path(path, f->dir, "readers/lazy.meta");
	file = fopen(path, "r");
	assert_non_null(file);
	assert_int_equal(cq_reader_file_read(fileno(file), cursor), 0);
	fclose(file);
}

/* Each sign of life came a second after the one before it, or later. */
static void at_most_once_a_second(const struct cq_reader_file *from,
                                  const struct cq_reader_file *to)
{
	assert_true(to->heartbeat_ns - from->heartbeat_ns >=
	            (to->generation - from->generation) * SECOND_NS);
}

/* Waiting refreshes the heartbeat, at most once a second, and does not change the position. */
static void heartbeat_while_waiting(void **state)
{
	struct cq_reader_file committed, waited, again;
	struct read_fixture *f = *state;
	struct cq_record record;

	support_append(f->dir, 0, 3);
	assert_int_equal(cq_reader_open(f->dir, "lazy", CQ_START_OLDEST, 0, &f->reader), 0);
	assert_int_equal(cq_reader_next(f->reader, &record), 1);
	assert_int_equal(cq_reader_commit(f->reader), 0);
	read_cursor(f, &committed);
	assert_int_equal(cq_reader_next(f->reader, &record), 1);
	assert_int_equal(cq_reader_next(f->reader, &record), 1);
	assert_int_equal(cq_reader_wait(f->reader, 1150), 0);
	read_cursor(f, &waited);
	assert_int_equal(waited.segment, committed.segment);
	assert_int_equal(waited.offset, committed.offset);
	assert_true(waited.generation > committed.generation);
	at_most_once_a_second(&committed, &waited);
	assert_int_equal(cq_reader_wait(f->reader, 200), 0);
	read_cursor(f, &again);
	assert_int_equal(again.offset, committed.offset);
	at_most_once_a_second(&waited, &again);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		READ_TEST(readers_in_other_processes_during_rolls),
		READ_TEST(woken_by_each_append),
		READ_TEST(timeouts),
		READ_TEST(signals_end_the_wait),
		READ_TEST(waiters_are_counted_off_again),
		READ_TEST(control_replaced_while_waiting),
		READ_TEST(heartbeat_while_waiting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
