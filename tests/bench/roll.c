/* SPDX-License-Identifier: Apache-2.0 */
/*
 * roll.c - rolls of large segments under steady append, with preallocation and without
 *
 * One thread appends records of 1 KiB at a fixed rate, or as fast as it can, and measures each
 * append that rolls.  Without preallocation the library's background threads do not run, so that
 * every roll makes its segment itself; flushing and closing are done between the measured appends.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "chronq.h"
#include "samples.h"
#include "write/writer.h"

#define PAYLOAD 960U /* 1 KiB with its header */
#define MOST_RUNS 99

static void run(const char *dir, uint64_t size, size_t rolls, uint64_t bytes_per_second,
                bool prealloc, struct samples *samples, struct cq_stats *ret_stats)
{
	static const char payload[PAYLOAD] = { 'x' };
	const uint64_t per_segment = (size - 64) / (PAYLOAD + 64);
	const uint64_t record_ns =
		bytes_per_second ? 1000000000ULL * (PAYLOAD + 64) / bytes_per_second : 0;
	struct cq_config config;
	uint64_t next;
	cq_writer *w;

	cq_config_init(&config);
	config.segment_size = size;
	config.retain_segments = 4;
	if (!prealloc)
		config.prealloc_wait_ms = 0;
	must("open", cq_writer_open_with(dir, &config, prealloc, &w));
	if (!prealloc) { /* use up the spare that every open makes */
		must("append", cq_writer_append(w, CQ_TYPE_DEFAULT, payload, sizeof payload, NULL));
		must("roll", cq_writer_roll(w));
	}
	next = now_ns();
	for (size_t i = 0; i < rolls; i++) {
		uint64_t start;

		/* the segment already holds the record that rolled into it */
		for (uint64_t n = i > 0; n < per_segment; n++) {
			if (record_ns > 0 && (next += record_ns) > now_ns() + 1000000) {
				const struct timespec t = { .tv_nsec = 500000 };

				nanosleep(&t, NULL); /* at most 1 ms ahead of the rate */
				while (now_ns() < next)
					;
			}
			must("append",
			     cq_writer_append(w, CQ_TYPE_DEFAULT, payload, sizeof payload, NULL));
		}
		start = now_ns(); /* the next one rolls */
		must("append", cq_writer_append(w, CQ_TYPE_DEFAULT, payload, sizeof payload, NULL));
		samples_add(samples, now_ns() - start);
		if (!prealloc) {
			while (cq_writer_flush_step(w) == 0)
				;
			next = now_ns();
		}
	}
	cq_writer_stats(w, ret_stats);
	must("close", cq_writer_close(w));
}

int main(int argc, char **argv)
{
	static uint64_t results[MOST_RUNS][PERCENTILES];
	static double waited[MOST_RUNS];
	const char *parent = argc > 1 ? argv[1] : ".";
	const uint64_t mib = argc > 2 ? strtoul(argv[2], NULL, 10) : 1;
	const size_t rolls = argc > 3 ? strtoul(argv[3], NULL, 10) : 100;
	const uint64_t rate = argc > 4 ? strtoul(argv[4], NULL, 10) : 200;
	const bool prealloc = !(argc > 5 && strcmp(argv[5], "none") == 0);
	const size_t runs = argc > 6 ? strtoul(argv[6], NULL, 10) : 5;
	char dir[4096], speed[64] = "full speed";

	if (rate > 0)
		snprintf(speed, sizeof speed, "%llu MB/s", (unsigned long long)rate);
	if (mib < 1 || rolls < 1 || runs < 1 || runs > MOST_RUNS) {
		fprintf(stderr,
		        "usage: roll [DIR [MIB [ROLLS [MB_PER_SECOND|0 [prealloc|none [RUNS]]]]]]\n");
		return 2;
	}
	print_heading("rolls of %llu MiB segments, %zu a run, records of 1 KiB at %s, %s",
	              (unsigned long long)mib, rolls, speed,
	              prealloc ? "with preallocation" : "without preallocation");
	for (size_t i = 0; i < runs; i++) {
		struct cq_stats stats = CQ_SIZED(stats);
		struct samples samples;

		snprintf(dir, sizeof dir, "%s/roll-%d-%zu", parent, (int)getpid(), i);
		samples_init(&samples, rolls);
		run(dir, mib << 20, rolls, rate * 1000000, prealloc, &samples, &stats);
		samples_percentiles(&samples, results[i]);
		samples_fini(&samples);
		printf("  run %zu: ready %llu, waited %llu, fallback %llu\n", i + 1,
		       (unsigned long long)stats.rolls_ready,
		       (unsigned long long)stats.rolls_waited,
		       (unsigned long long)stats.rolls_fallback);
		fflush(stdout);
		waited[i] = (double)(stats.rolls_waited + stats.rolls_fallback);
		remove_tree(dir);
	}
	print_percentiles(results, runs);
	print_spread("rolls that waited", "rolls", waited, runs);
	return 0;
}
