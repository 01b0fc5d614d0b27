/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sink.c - write(2) to files that are held open: MNT/append, or any other sink
 *
 * Each run writes to one file after the other, so that all of them meet the same machine.  One
 * writer times each write; of several, which open the file themselves, only the rate is measured.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "samples.h"

#define MOST_RUNS 99
#define MOST_FILES 4
#define MOST_WRITERS 64

struct writing {
	pthread_barrier_t *start;
	const char *path;
	const char *bytes;
	size_t size, count;
	bool sync; /* an fsync(2) after each write */
};

/* Of a heading. */
static const char *where(void)
{
	cpu_set_t cpus;

	return sched_getaffinity(0, sizeof cpus, &cpus) == 0 && CPU_COUNT(&cpus) == 1
	               ? ", on one CPU"
	               : "";
}

static int open_sink(const char *path)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);

	if (fd < 0)
		must(path, -errno);
	return fd;
}

static void write_timed(const struct writing *w, int fd, struct samples *samples)
{
	for (size_t n = 0; n < w->count; n++) {
		const uint64_t start = samples ? now_ns() : 0;

		if (write(fd, w->bytes, w->size) != (ssize_t)w->size)
			must("write", -errno);
		if (w->sync && fsync(fd) < 0)
			must("fsync", -errno);
		if (samples)
			samples_add(samples, now_ns() - start);
	}
}

static void *write_beside_others(void *arg)
{
	const struct writing *w = arg;
	const int fd = open_sink(w->path);

	pthread_barrier_wait(w->start);
	write_timed(w, fd, NULL);
	close(fd);
	return NULL;
}

static double rate_of_many(struct writing *w, unsigned writers)
{
	pthread_t threads[MOST_WRITERS];
	pthread_barrier_t start;
	uint64_t begin;

	pthread_barrier_init(&start, NULL, writers + 1);
	w->start = &start;
	for (unsigned i = 0; i < writers; i++)
		must("thread", -pthread_create(&threads[i], NULL, write_beside_others, w));
	pthread_barrier_wait(&start);
	begin = now_ns();
	for (unsigned i = 0; i < writers; i++)
		pthread_join(threads[i], NULL);
	pthread_barrier_destroy(&start);
	return (double)(w->count * writers) / ((double)(now_ns() - begin) / 1e9);
}

static double rate_of_one(const struct writing *w, uint64_t ret_percentiles[PERCENTILES])
{
	const int fd = open_sink(w->path);
	struct samples samples;
	uint64_t begin;
	double rate;

	samples_init(&samples, w->count);
	begin = now_ns();
	write_timed(w, fd, &samples);
	rate = (double)w->count / ((double)(now_ns() - begin) / 1e9);
	samples_percentiles(&samples, ret_percentiles);
	samples_fini(&samples);
	close(fd);
	return rate;
}

int main(int argc, char **argv)
{
	static uint64_t results[MOST_FILES][MOST_RUNS][PERCENTILES];
	static double rates[MOST_FILES][MOST_RUNS];
	const size_t size = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;
	const size_t count = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
	const size_t runs = argc > 3 ? strtoul(argv[3], NULL, 10) : 0;
	const unsigned writers = argc > 4 ? (unsigned)strtoul(argv[4], NULL, 10) : 0;
	const bool sync = argc > 5 && strcmp(argv[5], "fsync") == 0;
	const int files = (argc - 6) / 2;
	char *bytes = malloc(size + 1);
	struct writing w = { .bytes = bytes, .size = size, .count = count, .sync = sync };

	if (size < 1 || count < 1 || runs < 1 || runs > MOST_RUNS || writers < 1 ||
	    writers > MOST_WRITERS || files < 1 || files > MOST_FILES || !bytes) {
		fprintf(stderr,
		        "usage: sink BYTES COUNT RUNS WRITERS fsync|plain (LABEL FILE)...\n");
		return 2;
	}
	memset(bytes, 'x', size);
	for (size_t i = 0; i < runs; i++) {
		for (int f = 0; f < files; f++) {
			w.path = argv[7 + 2 * f];
			if (writers > 1)
				rates[f][i] = rate_of_many(&w, writers);
			else
				rates[f][i] = rate_of_one(&w, results[f][i]);
		}
	}
	for (int f = 0; f < files; f++) {
		print_heading("%s: writes of %zu bytes%s, %u writer%s%s", argv[6 + 2 * f], size,
		              sync ? " with an fsync" : "", writers, writers > 1 ? "s" : "",
		              where());
		if (writers == 1)
			print_percentiles(results[f], runs);
		print_spread("rate", "writes/s", rates[f], runs);
	}
	free(bytes);
	return 0;
}
