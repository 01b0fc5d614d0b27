/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mounts.c - from a write to `append` of one mount to a read of `stream` of another one, which is a replica
 *
 * mounts latency FROM TO COUNT   writes COUNT records, each after the one before was read; adds the percentiles
 *                                of one run to the file of $BENCH_RESULTS, and prints them
 * mounts pause FROM TO SECONDS   writes a record each millisecond for so long, and prints the longest time between two
 *                                reads that brought one, in seconds, when all that was written has been read
 *
 * A record holds the time just before its write.  The reader sleeps in epoll_wait(2).
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

#include "samples.h"

#define PATIENCE_MS 60000

static int open_file(const char *mount, const char *name, int flags)
{
	char path[4096];
	int fd;

	snprintf(path, sizeof path, "%s/%s", mount, name);
	fd = open(path, flags | O_CLOEXEC);
	if (fd < 0)
		must(path, -errno);
	return fd;
}

static void append_time(int sink)
{
	const uint64_t now = now_ns();

	if (write(sink, &now, sizeof now) != sizeof now)
		must("write", -errno);
}

/* Sleeps until there is something to read, and reads the first of it. */
static ssize_t read_next(int epoll, int stream, void *to, size_t size)
{
	struct epoll_event event;
	ssize_t n;

	while ((n = read(stream, to, size)) == 0) {
		const int ready = epoll_wait(epoll, &event, 1, PATIENCE_MS);

		if (ready < 0)
			must("epoll_wait", -errno);
		if (ready == 0)
			must("the replica gets nothing", -ETIMEDOUT);
	}
	if (n < 0)
		must("read", -errno);
	return n;
}

static void latency(int sink, int epoll, int stream, size_t count)
{
	const struct timespec pause = { .tv_nsec = 2000000 };
	static uint64_t run[1][PERCENTILES];
	struct samples samples;

	samples_init(&samples, count);
	for (size_t i = 0; i < count; i++) {
		uint64_t then;

		nanosleep(&pause, NULL); /* all go to sleep */
		append_time(sink);
		if (read_next(epoll, stream, &then, sizeof then) != sizeof then)
			must("half a record", -EIO);
		samples_add(&samples, now_ns() - then);
	}
	samples_percentiles(&samples, run[0]);
	print_heading("from a write to append to a read of the replica's stream");
	print_percentiles(run, 1);
	samples_fini(&samples);
}

struct steady {
	int sink;
	double seconds;
	_Atomic uint64_t written; /* bytes */
	_Atomic int done;
};

static void *append_steadily(void *arg)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	struct steady *s = arg;
	const uint64_t end = now_ns() + (uint64_t)(s->seconds * 1e9);

	while (now_ns() < end) {
		append_time(s->sink);
		atomic_fetch_add(&s->written, sizeof(uint64_t));
		nanosleep(&pause, NULL);
	}
	atomic_store(&s->done, 1);
	return NULL;
}

static void longest_pause(int sink, int epoll, int stream, double seconds)
{
	struct steady s = { .sink = sink, .seconds = seconds };
	uint64_t last = now_ns(), longest = 0, all = 0;
	pthread_t thread;
	char bytes[4096];

	must("thread", -pthread_create(&thread, NULL, append_steadily, &s));
	while (!atomic_load(&s.done) || all < atomic_load(&s.written)) {
		uint64_t now;

		all += (uint64_t)read_next(epoll, stream, bytes, sizeof bytes);
		now = now_ns();
		if (now - last > longest)
			longest = now - last;
		last = now;
	}
	pthread_join(thread, NULL);
	printf("%.3f\n", (double)longest / 1e9);
}

int main(int argc, char **argv)
{
	struct epoll_event event = { .events = EPOLLIN };
	int sink, stream, epoll;

	if (argc != 5) {
		fprintf(stderr,
		        "usage: mounts latency FROM TO COUNT | mounts pause FROM TO SECONDS\n");
		return 2;
	}
	sink = open_file(argv[2], "append", O_WRONLY | O_APPEND);
	stream = open_file(argv[3], "stream", O_RDONLY);
	epoll = epoll_create1(EPOLL_CLOEXEC);
	if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, stream, &event) < 0)
		must("epoll", -errno);
	if (lseek(stream, 0, SEEK_END) < 0)
		must("lseek", -errno);
	if (strcmp(argv[1], "latency") == 0)
		latency(sink, epoll, stream, strtoul(argv[4], NULL, 10));
	else
		longest_pause(sink, epoll, stream, strtod(argv[4], NULL));
	close(epoll);
	close(stream);
	close(sink);
	return 0;
}
