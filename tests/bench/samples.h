/* SPDX-License-Identifier: Apache-2.0 */
/*
 * samples.h - latencies of a run, kept one by one, and what five runs say together
 *
 * Ten thousand samples a run are few enough to keep exactly: percentiles are taken from the sorted
 * samples, without the rounding of a histogram.
 */
#ifndef BENCH_SAMPLES_H
#define BENCH_SAMPLES_H

#include <stddef.h>
#include <stdint.h>

#include "chronq.h"

struct samples {
	uint64_t *ns;
	size_t count;
	size_t capacity;
};

void samples_init(struct samples *samples, size_t capacity);
void samples_fini(struct samples *samples);

static inline void samples_add(struct samples *samples, uint64_t ns)
{
	if (samples->count < samples->capacity)
		samples->ns[samples->count++] = ns;
}

/* Percentiles of one run. */
enum { P50, P90, P99, P999, PMAX, PERCENTILES };
extern const char *const percentile_names[PERCENTILES];

/* Sorts the samples and takes them. */
void samples_percentiles(struct samples *samples, uint64_t ret[PERCENTILES]);

/* A row per percentile: minimum, median and maximum over the runs, in microseconds. */
void print_percentiles(uint64_t (*runs)[PERCENTILES], size_t count);

/* Prints the heading of the figures that follow. */
void print_heading(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Sorts, and prints minimum, median and maximum under a name.  If the environment has BENCH_RESULTS,
 * the figures of all runs are added to that file: heading, name, unit, values, with tabs between. */
void print_spread(const char *name, const char *unit, double *values, size_t count);

uint64_t now_ns(void);

/* Ends the program with a message if result < 0. */
void must(const char *what, long result);

/* A writer of segments of this size. */
cq_writer *open_writer(const char *dir, uint64_t segment_size);

/* Removes the directory and everything in it. */
void remove_tree(const char *path);

#endif
