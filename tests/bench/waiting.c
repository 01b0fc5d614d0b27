/* SPDX-License-Identifier: Apache-2.0 */
/*
 * waiting.c - how long after a commit a reader that slept has the record
 *
 * waiting library DIR     a reader of the library in cq_reader_wait(), in this process
 * waiting poll MOUNTPOINT epoll_wait() on MOUNTPOINT/stream, writes to MOUNTPOINT/append
 *
 * One thread appends: a single record, or a burst of records, every few milliseconds, so that the
 * other one sleeps meanwhile.  Each record holds the time just before its append.  In the library
 * the sample is the time until the reader has that record.  On the mount it is the time from just
 * before write(2) until epoll_wait() has returned, and the next write comes after that; so it
 * includes the write itself.  Both run in one process: no fork, no program's start, is measured.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "chronq.h"
#include "samples.h"

#define RUNS 5
#define PAUSE_NS 2000000

struct bursts {
	cq_writer *writer; /* NULL: write to fd */
	int fd;
	size_t bursts, length;     /* of records */
	_Atomic size_t seen;       /* records that the other thread has */
	_Atomic uint64_t appended; /* when the last append began */
};

static void append_one(struct bursts *b)
{
	const uint64_t now = now_ns();

	atomic_store(&b->appended, now);
	if (b->writer)
		must("append",
		     cq_writer_append(b->writer, CQ_TYPE_DEFAULT, &now, sizeof now, NULL));
	else if (write(b->fd, &now, sizeof now) != sizeof now)
		must("write", -errno);
}

static void *append_bursts(void *arg)
{
	const struct timespec pause = { .tv_nsec = PAUSE_NS };
	struct bursts *b = arg;

	for (size_t i = 0; i < b->bursts; i++) {
		while (atomic_load(&b->seen) < i * b->length)
			nanosleep(&pause, NULL);
		nanosleep(&pause, NULL); /* the reader goes to sleep */
		for (size_t n = 0; n < b->length; n++)
			append_one(b);
	}
	return NULL;
}

static void wait_in_library(struct bursts *b, const char *dir, struct samples *samples)
{
	struct cq_record record;
	cq_reader *reader;
	pthread_t thread;
	uint64_t then;

	must("reader", cq_reader_open(dir, NULL, CQ_START_LATEST, 0, &reader));
	must("thread", -pthread_create(&thread, NULL, append_bursts, b));
	while (atomic_load(&b->seen) < b->bursts * b->length) {
		must("wait", cq_reader_wait(reader, -1));
		while (cq_reader_next(reader, &record) == 1) {
			memcpy(&then, record.payload, sizeof then);
			samples_add(samples, now_ns() - then);
			atomic_fetch_add(&b->seen, 1);
		}
	}
	pthread_join(thread, NULL);
	cq_reader_close(reader);
}

/* Reads what there is; returns how many records that were. */
static size_t drain(int stream)
{
	char bytes[4096];
	size_t all = 0;
	ssize_t n;

	while ((n = read(stream, bytes, sizeof bytes)) > 0)
		all += (size_t)n;
	if (n < 0)
		must("read", -errno);
	return all / sizeof(uint64_t);
}

static void wait_with_epoll(struct bursts *b, int stream, struct samples *samples)
{
	struct epoll_event event = { .events = EPOLLIN };
	const int epoll = epoll_create1(EPOLL_CLOEXEC);
	pthread_t thread;

	if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, stream, &event) < 0)
		must("epoll", -errno);
	(void)drain(stream);
	must("thread", -pthread_create(&thread, NULL, append_bursts, b));
	while (atomic_load(&b->seen) < b->bursts) {
		uint64_t woken, appended;
		size_t records;

		if (epoll_wait(epoll, &event, 1, -1) < 0)
			must("epoll_wait", -errno);
		woken = now_ns();
		records = drain(stream);
		appended = atomic_load(&b->appended);
		if (records > 0 && appended <= woken) /* it did not wake for nothing */
			samples_add(samples, woken - appended);
		atomic_fetch_add(&b->seen, records);
	}
	pthread_join(thread, NULL);
	close(epoll);
}

static int open_file(const char *dir, const char *name, int flags)
{
	char path[4096];
	int fd;

	snprintf(path, sizeof path, "%s/%s", dir, name);
	fd = open(path, flags | O_CLOEXEC);
	if (fd < 0)
		must(path, -errno);
	return fd;
}

static void measure_library(const char *parent, size_t bursts, size_t length)
{
	static uint64_t results[RUNS][PERCENTILES];
	char dir[4096];

	snprintf(dir, sizeof dir, "%s/waiting-%d", parent, (int)getpid());
	for (int i = 0; i < RUNS; i++) {
		struct bursts b = { .bursts = bursts, .length = length };
		struct samples samples;

		samples_init(&samples, bursts * length);
		must("open", cq_writer_open(dir, NULL, &b.writer));
		wait_in_library(&b, dir, &samples);
		must("close", cq_writer_close(b.writer));
		samples_percentiles(&samples, results[i]);
		samples_fini(&samples);
		remove_tree(dir);
	}
	print_heading("a reader of the library that waits, records appended %zu at a time", length);
	print_percentiles(results, RUNS);
}

static void measure_poll(const char *mountpoint, size_t bursts)
{
	static uint64_t results[RUNS][PERCENTILES];
	const int append = open_file(mountpoint, "append", O_WRONLY);
	const int stream = open_file(mountpoint, "stream", O_RDONLY);

	for (int i = 0; i < RUNS; i++) {
		struct bursts b = { .fd = append, .bursts = bursts, .length = 1 };
		struct samples samples;

		samples_init(&samples, bursts);
		wait_with_epoll(&b, stream, &samples);
		samples_percentiles(&samples, results[i]);
		samples_fini(&samples);
	}
	print_heading("epoll on stream, from before a write to append to EPOLLIN");
	print_percentiles(results, RUNS);
	close(append);
	close(stream);
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "library") == 0) {
		measure_library(argv[2], 1000, 1);
		measure_library(argv[2], 200, 100);
	} else if (argc == 3 && strcmp(argv[1], "poll") == 0) {
		measure_poll(argv[2], 500);
	} else {
		fprintf(stderr, "usage: waiting library DIR | waiting poll MOUNTPOINT\n");
		return 2;
	}
	return 0;
}
