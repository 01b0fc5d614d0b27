/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dir_contention.c - rolls while another thread lists the directory and deletes in it
 *
 * Every append fills a 4096-byte segment, so every append but the first rolls.  A second thread
 * lists the directory every millisecond and deletes every segment but the writer's current one and
 * its predecessor; never a published spare, whose id is higher.  Measured is the append that rolls.
 */
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "chronq.h"
#include "samples.h"

#define SEGMENT_SIZE 4096U
#define PAYLOAD (SEGMENT_SIZE - 128U)
#define MOST_RUNS 99

struct deleter {
	const char *dir;
	_Atomic uint32_t current; /* the writer's segment */
	_Atomic bool stop;
	uint64_t deleted;
	uint64_t listings;
};

static void delete_old(struct deleter *d, DIR *dir)
{
	const uint32_t current = atomic_load(&d->current);
	struct dirent *entry;

	rewinddir(dir);
	while ((entry = readdir(dir))) {
		uint32_t id;
		int end = 0;

		if (sscanf(entry->d_name, "%9u.q%n", &id, &end) != 1 || end != 11 ||
		    entry->d_name[end] != '\0' || (uint64_t)id + 1 >= current)
			continue;
		if (unlinkat(dirfd(dir), entry->d_name, 0) == 0)
			d->deleted++;
	}
	d->listings++;
}

static void *delete_loop(void *arg)
{
	const struct timespec millisecond = { .tv_nsec = 1000000 };
	struct deleter *d = arg;
	DIR *dir = opendir(d->dir);

	if (!dir)
		must("opendir", -errno);
	while (!atomic_load(&d->stop)) {
		delete_old(d, dir);
		nanosleep(&millisecond, NULL);
	}
	closedir(dir);
	return NULL;
}

static void wait_until(uint64_t ns)
{
	const struct timespec t = { .tv_sec = (time_t)(ns / 1000000000U),
		                    .tv_nsec = (long)(ns % 1000000000U) };

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

struct outcome {
	struct cq_stats stats;
	uint64_t deleted, listings;
	double seconds;
};

static void run(const char *dir, size_t rolls, uint64_t period_ns, uint32_t spares,
                struct samples *samples, struct outcome *out)
{
	static const char payload[PAYLOAD] = { 'x' };
	struct deleter deleter = { .dir = dir };
	struct cq_config config;
	uint64_t begin, next;
	pthread_t thread;
	cq_writer *w;

	cq_config_init(&config);
	config.segment_size = SEGMENT_SIZE;
	config.spares = spares;
	must("open", cq_writer_open(dir, &config, &w));
	must("append", cq_writer_append(w, CQ_TYPE_DEFAULT, payload, sizeof payload, NULL));
	must("thread", -pthread_create(&thread, NULL, delete_loop, &deleter));
	begin = next = now_ns();
	for (size_t i = 0; i < rolls; i++) {
		uint64_t start;

		if (period_ns > 0)
			wait_until(next += period_ns);
		start = now_ns();
		must("append", cq_writer_append(w, CQ_TYPE_DEFAULT, payload, sizeof payload, NULL));
		samples_add(samples, now_ns() - start);
		atomic_store(&deleter.current, (uint32_t)(i + 1));
	}
	out->seconds = (double)(now_ns() - begin) / 1e9;
	atomic_store(&deleter.stop, true);
	pthread_join(thread, NULL);
	cq_writer_stats(w, &out->stats);
	out->deleted = deleter.deleted;
	out->listings = deleter.listings;
	must("close", cq_writer_close(w));
}

int main(int argc, char **argv)
{
	static uint64_t results[MOST_RUNS][PERCENTILES];
	static double waited[MOST_RUNS];
	const char *parent = argc > 1 ? argv[1] : ".";
	const size_t rolls = argc > 2 ? strtoul(argv[2], NULL, 10) : 10000;
	const uint64_t period_us = argc > 3 ? strtoul(argv[3], NULL, 10) : 0;
	const size_t runs = argc > 4 ? strtoul(argv[4], NULL, 10) : 5;
	const uint32_t spares = argc > 5 ? (uint32_t)strtoul(argv[5], NULL, 10) : 1;
	char dir[4096], period[64] = "back to back";

	if (period_us > 0)
		snprintf(period, sizeof period, "one every %llu us", (unsigned long long)period_us);
	if (runs < 1 || runs > MOST_RUNS || rolls < 1) {
		fprintf(stderr,
		        "usage: dir_contention [DIR [ROLLS [PERIOD_US [RUNS [SPARES]]]]]\n");
		return 2;
	}
	print_heading("%zu rolls of %u-byte segments, %s, %u prepared ahead, listed and deleted "
	              "from every millisecond",
	              rolls, SEGMENT_SIZE, period, spares);
	for (size_t i = 0; i < runs; i++) {
		struct samples samples;
		struct outcome out = { .stats = CQ_SIZED(out.stats) };

		snprintf(dir, sizeof dir, "%s/dir-contention-%d-%zu", parent, (int)getpid(), i);
		samples_init(&samples, rolls);
		run(dir, rolls, period_us * 1000, spares, &samples, &out);
		samples_percentiles(&samples, results[i]);
		printf("  run %zu: %.2f s, ready %llu, waited %llu, fallback %llu; %llu deleted in %llu "
		       "listings\n",
		       i + 1, out.seconds, (unsigned long long)out.stats.rolls_ready,
		       (unsigned long long)out.stats.rolls_waited,
		       (unsigned long long)out.stats.rolls_fallback,
		       (unsigned long long)out.deleted, (unsigned long long)out.listings);
		fflush(stdout);
		samples_fini(&samples);
		waited[i] = (double)(out.stats.rolls_waited + out.stats.rolls_fallback);
		remove_tree(dir);
	}
	print_percentiles(results, runs);
	print_spread("rolls that waited", "rolls", waited, runs);
	return 0;
}
