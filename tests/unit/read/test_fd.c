/* SPDX-License-Identifier: Apache-2.0 */
/* test_fd.c - cq_reader_fd(): a descriptor that is readable while there may be a record */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "os/fault.h"
#include "queue_support.h"
#include "read/reader.h"
#include "write/writer.h"

#define LONG 20000 /* ms: nothing takes so long, unless a wake-up is lost */

static int open_reader(struct qs *q, enum cq_start start, unsigned flags, cq_reader **ret_reader)
{
	int fd;

	assert_int_equal(cq_reader_open(q->dir, NULL, start, flags, ret_reader), 0);
	fd = cq_reader_fd(*ret_reader);
	assert_true(fd >= 0);
	assert_int_equal(cq_reader_fd(*ret_reader), fd);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	return fd;
}

static bool readable(int fd, int timeout_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int r = poll(&p, 1, timeout_ms);

	assert_true(r >= 0);
	return r > 0;
}

/* Takes all that is there; the descriptor then is not readable. */
static unsigned take_all(cq_reader *reader)
{
	struct cq_record record;
	unsigned n = 0;
	int r;

	while ((r = cq_reader_next(reader, &record)) > 0)
		n++;
	assert_int_equal(r, 0);
	return n;
}

static unsigned await(cq_reader *reader, int fd, unsigned count)
{
	unsigned n = 0, rounds = 0;

	while (n < count) {
		assert_true(readable(fd, LONG));
		n += take_all(reader);
		rounds++;
	}
	assert_int_equal(n, count);
	return rounds;
}

/* Single records, over rolls: each makes it readable, and nothing else does. */
static void each_record(void **state)
{
	struct qs *q = *state;
	cq_reader *reader;
	int fd;

	cq_bridge_slice_ms = 3600000; /* nothing but the writer wakes it */
	qs_open(q);
	fd = open_reader(q, CQ_START_OLDEST, 0, &reader);
	assert_true(readable(fd, 0)); /* at first */
	assert_int_equal(take_all(reader), 0);
	assert_false(readable(fd, 20));
	for (unsigned i = 0; i < 100; i++) {
		assert_int_equal(take_all(reader), 0);
		qs_append(q->writer, i, 1);
		assert_true(readable(fd, LONG));
		assert_true(readable(fd, 0)); /* until all is taken */
		await(reader, fd, 1);
	}
	qs_append(q->writer, 100, 50);
	await(reader, fd, 50);
	assert_false(readable(fd, 20));
	/* a batch read takes it away as well */
	qs_append(q->writer, 150, 1);
	assert_true(readable(fd, LONG));
	{
		struct cq_record records[4];
		ssize_t n;

		while ((n = cq_reader_next_batch(reader, records, 4, 0)) > 0)
			;
		assert_int_equal(n, 0);
	}
	assert_false(readable(fd, 20));
	cq_reader_close(reader); /* while the thread sleeps on the futex: it ends at once */
	cq_bridge_slice_ms = CQ_BRIDGE_SLICE_MS;
}

/* In an epoll with EPOLLET, three readers, at different places. */
static void edges(void **state)
{
	struct qs *q = *state;
	struct epoll_event event = { .events = EPOLLIN | EPOLLET }, got[3];
	unsigned counts[3] = { 0 }, sum = 0;
	cq_reader *readers[3];
	int epoll = epoll_create1(EPOLL_CLOEXEC), n;

	assert_true(epoll >= 0);
	qs_open(q);
	qs_append(q->writer, 0, 10);
	for (unsigned i = 0; i < 3; i++) {
		event.data.u32 = i;
		assert_int_equal(
			epoll_ctl(epoll, EPOLL_CTL_ADD,
		                  open_reader(q, i == 0 ? CQ_START_OLDEST : CQ_START_LATEST, 0,
		                              &readers[i]),
		                  &event),
			0);
	}
	for (unsigned round = 0; round < 40; round++) {
		while (sum < 10 + 3 * round) {
			n = epoll_wait(epoll, got, 3, LONG);
			assert_true(n > 0);
			for (int i = 0; i < n; i++) {
				unsigned took = take_all(readers[got[i].data.u32]);

				counts[got[i].data.u32] += took;
				sum += took;
			}
		}
		qs_append(q->writer, 10 + round, 1);
	}
	assert_int_equal(counts[0], 10 + 39);
	assert_int_equal(counts[1], 39);
	assert_int_equal(counts[2], 39);
	for (unsigned i = 0; i < 3; i++)
		cq_reader_close(readers[i]);
	close(epoll);
}

/* A writer of another process, and a passive reader, which polls. */
static void write_slowly(struct qs *q)
{
	CHILD(cq_writer_open(q->dir, &q->config, &q->writer) == 0);
	for (unsigned i = 0; i < 200; i++) {
		qs_append(q->writer, i, 1);
		if (i % 5 == 0)
			nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	}
	for (;;)
		pause();
}

static void other_processes(void **state)
{
	struct qs *q = *state;
	cq_reader *reader, *passive;
	int fd, passive_fd, begin[2];
	char word;
	pid_t pid;

	qs_write(q, 0, 0);
	assert_int_equal(pipe(begin), 0);
	pid = support_fork(); /* before this process has threads: the child starts some */
	if (pid == 0) {
		CHILD(read(begin[0], &word, 1) == 1);
		write_slowly(q);
	}
	fd = open_reader(q, CQ_START_LATEST, 0, &reader);
	passive_fd = open_reader(q, CQ_START_LATEST, CQ_READER_PASSIVE, &passive);
	assert_int_equal(take_all(reader), 0);
	assert_int_equal(take_all(passive), 0);
	assert_int_equal(write(begin[1], "", 1), 1);
	close(begin[0]);
	close(begin[1]);
	await(reader, fd, 200);
	await(passive, passive_fd, 200);
	assert_false(readable(fd, 10));
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	cq_reader_close(passive);
	cq_reader_close(reader);
}

/* A program that looks at the descriptor now and then, and takes what is there in between. */
static void without_waiting(void **state)
{
	struct qs *q = *state;
	cq_reader *reader;
	int fd = open_reader(q, CQ_START_OLDEST, CQ_READER_PASSIVE, &reader);

	assert_int_equal(take_all(reader), 0);
	qs_open(q);
	for (unsigned i = 0; i < 400; i++) {
		qs_append(q->writer, i, 1);
		assert_int_equal(take_all(reader), 1);
		if (i % 100 == 99) {
			assert_false(readable(fd, 10));
			qs_append(q->writer, ++i, 1);
			await(reader, fd, 1);
		}
	}
	cq_reader_close(reader);
}

/* No queue yet; and a queue that is made then. */
static void before_there_is_a_queue(void **state)
{
	struct qs *q = *state;
	cq_reader *reader;
	int fd = open_reader(q, CQ_START_OLDEST, 0, &reader);

	assert_int_equal(take_all(reader), 0);
	assert_false(readable(fd, 10));
	assert_int_equal(cq_reader_seek_oldest(reader), 0);
	assert_true(readable(fd, 0));
	assert_int_equal(take_all(reader), 0);
	assert_false(readable(fd, 10));
	qs_open(q);
	qs_append(q->writer, 0, 1);
	await(reader, fd, 1);
	cq_reader_close(reader);
}

/* A seek makes it readable; what cannot be read keeps it readable; a gap does, too. */
static void places(void **state)
{
	struct qs *q = *state;
	struct cq_record record;
	cq_reader *reader;
	int fd;

	qs_open(q);
	qs_append(q->writer, 0, 70);
	fd = open_reader(q, CQ_START_OLDEST, 0, &reader);
	assert_int_equal(take_all(reader), 70);
	assert_false(readable(fd, 0));
	assert_int_equal(cq_reader_seek_seq(reader, 65), 0);
	assert_true(readable(fd, 0));
	assert_int_equal(take_all(reader), 5);
	assert_int_equal(cq_reader_seek_end(reader), 0);
	assert_true(readable(fd, 0));
	assert_int_equal(take_all(reader), 0);
	assert_false(readable(fd, 10));
	qs_append(q->writer, 70, 1);
	await(reader, fd, 1);
	/* to and fro while the thread sleeps elsewhere */
	for (unsigned i = 71; i < 120; i++) {
		assert_int_equal(cq_reader_seek_oldest(reader), 0);
		assert_int_equal(take_all(reader), i);
		assert_int_equal(cq_reader_seek_end(reader), 0);
		assert_int_equal(take_all(reader), 0);
		qs_append(q->writer, i, 1);
		await(reader, fd, 1);
	}
	support_poke(q->dir, "000000000.q", 64 + 64, "!", 1);
	assert_int_equal(cq_reader_seek_oldest(reader), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(cq_reader_next(reader, &record), -EIO);
		assert_true(readable(fd, 0));
	}
	cq_reader_close(reader);
}

static pid_t thread_named(const char *name)
{
	DIR *tasks = opendir("/proc/self/task");
	const struct dirent *entry;
	char path[300], text[64];
	pid_t tid = 0;

	assert_non_null(tasks);
	while ((entry = readdir(tasks))) {
		FILE *file;

		snprintf(path, sizeof path, "/proc/self/task/%s/comm", entry->d_name);
		file = fopen(path, "re");
		if (!file)
			continue;
		if (fgets(text, sizeof text, file) && strncmp(text, name, strlen(name)) == 0)
			tid = (pid_t)atoi(entry->d_name);
		fclose(file);
	}
	closedir(tasks);
	return tid;
}

/* How often the thread has gone to sleep. */
static unsigned long sleeps(pid_t tid)
{
	static const char key[] = "voluntary_ctxt_switches:";
	char path[64], text[128];
	unsigned long count = 0;
	FILE *file;

	snprintf(path, sizeof path, "/proc/self/task/%d/status", (int)tid);
	file = fopen(path, "re");
	assert_non_null(file);
	while (fgets(text, sizeof text, file))
		if (strncmp(text, key, sizeof key - 1) == 0)
			count = strtoul(text + sizeof key - 1, NULL, 10);
	fclose(file);
	return count;
}

/* While nothing comes, it sleeps: once a second it looks. */
static void idle(void **state)
{
	struct qs *q = *state;
	unsigned long before;
	cq_reader *reader;
	pid_t tid;
	int fd;

	qs_write(q, 0, 1);
	fd = open_reader(q, CQ_START_OLDEST, 0, &reader);
	tid = thread_named("cq-reader-fd");
	assert_true(tid > 0);
	assert_int_equal(take_all(reader), 1);
	qs_await_sleep(getpid(), tid);
	assert_false(readable(fd, 100));
	before = sleeps(tid);
	assert_false(readable(fd, 2500));
	assert_in_range(sleeps(tid) - before, 1, 4);
	cq_reader_close(reader);
}

/* There is no descriptor, or no thread: the reader is as before. */
static void refused(void **state)
{
	struct qs *q = *state;
	cq_reader *reader;

	qs_write(q, 0, 3);
	assert_int_equal(cq_reader_open(q->dir, NULL, CQ_START_OLDEST, 0, &reader), 0);
#ifdef CQ_FAULTS
	cq_fault_set("event", EMFILE, 0, 1);
	assert_int_equal(cq_reader_fd(reader), -EMFILE);
	cq_fault_set("thread", EAGAIN, 0, 1);
	assert_int_equal(cq_reader_fd(reader), -EAGAIN);
	/* the thread cannot map the segment: the caller sees to it itself, and is told again and again */
	cq_fault_set(NULL, 0, 0, 0);
	assert_true(cq_reader_fd(reader) >= 0);
	cq_fault_set("map", ENOMEM, 0, 2);
	assert_int_equal(take_all(reader), 3);
	assert_true(readable(cq_reader_fd(reader), LONG));
	cq_fault_set(NULL, 0, 0, 0);
	assert_int_equal(take_all(reader), 0);
	qs_open(q);
	qs_append(q->writer, 3, 1);
	await(reader, cq_reader_fd(reader), 1);
#endif
	cq_reader_close(reader);
}

static const struct CMUnitTest tests[] = {
	QS_TEST(each_record),
	QS_TEST(edges),
	QS_TEST(other_processes),
	QS_TEST(without_waiting),
	QS_TEST(before_there_is_a_queue),
	QS_TEST(places),
	QS_TEST(idle),
	QS_TEST(refused),
};

QS_MAIN(tests)
