/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mounts.c - from a write to `append` of one mount to a read of `stream` of another one, which is a replica
 *
 * mounts latency FROM TO COUNT   writes COUNT records, each after the one before was read; adds the percentiles
 *                                of one run to the file of $BENCH_RESULTS, and prints them
 * mounts pause FROM TO COUNT     writes COUNT records, one each millisecond, and prints the longest time between two
 *                                reads that brought some, in seconds, when all have been read
 *
 * A record holds the time just before its write.  The reader reads again every 100 us: read-only mounts report new
 * records to poll(2) late (docs/semantics.md).
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "samples.h"

#define PATIENCE_NS 60000000000U

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

/* Reads as soon as there is something. */
static ssize_t read_next(int stream, void *to, size_t size)
{
	const struct timespec again = { .tv_nsec = 100000 };
	const uint64_t begin = now_ns();
	ssize_t n;

	while ((n = read(stream, to, size)) == 0) {
		if (now_ns() - begin > PATIENCE_NS)
			must("the replica gets nothing", -ETIMEDOUT);
		nanosleep(&again, NULL);
	}
	if (n < 0)
		must("read", -errno);
	return n;
}

static void latency(int sink, int stream, size_t count)
{
	const struct timespec pause = { .tv_nsec = 2000000 };
	static uint64_t run[1][PERCENTILES];
	struct samples samples;

	samples_init(&samples, count);
	for (size_t i = 0; i < count; i++) {
		uint64_t then;

		nanosleep(&pause, NULL); /* all go to sleep */
		append_time(sink);
		if (read_next(stream, &then, sizeof then) != sizeof then)
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
	uint64_t records; /* so many are written */
};

static void *append_steadily(void *arg)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	const struct steady *s = arg;

	for (uint64_t i = 0; i < s->records; i++) {
		append_time(s->sink);
		nanosleep(&pause, NULL);
	}
	return NULL;
}

static void longest_pause(int sink, int stream, uint64_t records)
{
	struct steady s = { .sink = sink, .records = records };
	uint64_t last = now_ns(), longest = 0;
	pthread_t thread;
	char bytes[4096];

	must("thread", -pthread_create(&thread, NULL, append_steadily, &s));
	for (uint64_t all = 0; all < records * sizeof(uint64_t);) {
		uint64_t now;

		all += (uint64_t)read_next(stream, bytes, sizeof bytes);
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
	int sink, stream;

	if (argc != 5) {
		fprintf(stderr,
		        "usage: mounts latency FROM TO COUNT | mounts pause FROM TO COUNT\n");
		return 2;
	}
	sink = open_file(argv[2], "append", O_WRONLY | O_APPEND);
	stream = open_file(argv[3], "stream", O_RDONLY);
	if (lseek(stream, 0, SEEK_END) < 0)
		must("lseek", -errno);
	if (strcmp(argv[1], "latency") == 0)
		latency(sink, stream, strtoul(argv[4], NULL, 10));
	else
		longest_pause(sink, stream, strtoull(argv[4], NULL, 10));
	close(stream);
	close(sink);
	return 0;
}
