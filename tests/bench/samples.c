/* SPDX-License-Identifier: Apache-2.0 */
/* samples.c - see samples.h */
#include "samples.h"

#include <errno.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

const char *const percentile_names[PERCENTILES] = { "p50", "p90", "p99", "p99.9", "max" };

void samples_init(struct samples *samples, size_t capacity)
{
	*samples = (struct samples){ .capacity = capacity };
	samples->ns = calloc(capacity, sizeof *samples->ns);
	if (!samples->ns)
		must("memory for samples", -12);
	memset(samples->ns, 1, capacity * sizeof *samples->ns); /* present before it counts */
}

void samples_fini(struct samples *samples)
{
	free(samples->ns);
}

static int compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static int compare_double(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

void samples_percentiles(struct samples *s, uint64_t ret[PERCENTILES])
{
	static const unsigned per_mille[PERCENTILES] = { 500, 900, 990, 999, 1000 };

	qsort(s->ns, s->count, sizeof *s->ns, compare_u64);
	for (int i = 0; i < PERCENTILES; i++) {
		size_t rank = (s->count * per_mille[i] + 999) / 1000;

		ret[i] = s->count ? s->ns[rank > 0 ? rank - 1 : 0] : 0;
	}
}

static char heading[256];

void print_heading(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(heading, sizeof heading, format, arguments);
	va_end(arguments);
	puts(heading);
}

static void add_to_results(const char *name, const char *unit, const double *values, size_t count)
{
	const char *path = getenv("BENCH_RESULTS"); // NOLINT(concurrency-mt-unsafe)
	FILE *file = path ? fopen(path, "ae") : NULL;

	if (path && !file)
		must(path, -errno);
	if (!file)
		return;
	fprintf(file, "%s\t%s\t%s", heading, name, unit);
	for (size_t i = 0; i < count; i++)
		fprintf(file, "\t%.4f", values[i]);
	fputc('\n', file);
	fclose(file);
}

void print_spread(const char *name, const char *unit, double *values, size_t count)
{
	add_to_results(name, unit, values, count);
	qsort(values, count, sizeof *values, compare_double);
	printf("  %-28s min %10.2f   median %10.2f   max %10.2f %s\n", name, values[0],
	       values[count / 2], values[count - 1], unit);
	fflush(stdout);
}

void print_percentiles(uint64_t (*runs)[PERCENTILES], size_t count)
{
	double *values = calloc(count, sizeof *values);

	if (!values)
		must("memory", -12);
	for (int p = 0; p < PERCENTILES; p++) {
		for (size_t i = 0; i < count; i++)
			values[i] = (double)runs[i][p] / 1000.0;
		print_spread(percentile_names[p], "us", values, count);
	}
	free(values);
}

uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

void must(const char *what, long result)
{
	if (result >= 0)
		return;
	fprintf(stderr, "%s: %s\n", what, strerror((int)-result));
	exit(1);
}

cq_writer *open_writer(const char *dir, uint64_t segment_size)
{
	struct cq_config config;
	cq_writer *w;

	cq_config_init(&config);
	config.segment_size = segment_size;
	must("open", cq_writer_open(dir, &config, &w));
	return w;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void remove_tree(const char *path)
{
	(void)nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}
