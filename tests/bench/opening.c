/* SPDX-License-Identifier: Apache-2.0 */
/*
 * opening.c - how long a writer and readers take to open queues of 10 and of 10,000 segments
 *
 * Each run opens the small queue and then the large one, many times each; what counts is the time of
 * one open.  An open and its first record together are what a program waits for.  A writer that finds that
 * a file has come or gone since the last close has to read the directory.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "chronq.h"
#include "samples.h"

#define RUNS 5
#define OPENS 20
#define SEGMENT_SIZE 4096U
#define PAYLOAD (SEGMENT_SIZE - 128U) /* fills a segment */

static void make_queue(const char *dir, size_t segments)
{
	static const char payload[PAYLOAD] = { 'x' };
	cq_writer *w = open_writer(dir, SEGMENT_SIZE);

	for (size_t i = 0; i < segments; i++)
		must("append", cq_writer_append(w, CQ_TYPE_DEFAULT, payload, sizeof payload, NULL));
	must("close", cq_writer_close(w));
}

/* A file comes and goes. */
static void change(const char *dir)
{
	char path[4200];
	FILE *file;

	snprintf(path, sizeof path, "%.4095s/other", dir);
	file = fopen(path, "we");
	if (!file || fclose(file) != 0 || unlink(path) != 0) {
		perror(path);
		exit(1);
	}
}

/* As after a close some time after the last change. */
static void settle(const char *dir)
{
	const struct timespec pause = { .tv_nsec = 30000000 };

	nanosleep(&pause, NULL);
	must("close", cq_writer_close(open_writer(dir, SEGMENT_SIZE)));
}

static double writer_us(const char *dir, bool changed)
{
	uint64_t spent = 0;

	settle(dir);
	for (int i = 0; i < OPENS; i++) {
		uint64_t start;
		cq_writer *w;

		if (changed)
			change(dir);
		start = now_ns();
		w = open_writer(dir, SEGMENT_SIZE);
		spent += now_ns() - start;
		must("close", cq_writer_close(w));
	}
	return (double)spent / OPENS / 1000;
}

static double reader_us(const char *dir, enum cq_start from)
{
	uint64_t spent = 0;

	for (int i = 0; i < OPENS; i++) {
		const uint64_t start = now_ns();
		struct cq_record record;
		cq_reader *reader;

		must("reader", cq_reader_open(dir, NULL, from, 0, &reader));
		must("read", cq_reader_next(reader, &record));
		spent += now_ns() - start;
		cq_reader_close(reader);
	}
	return (double)spent / OPENS / 1000;
}

int main(int argc, char **argv)
{
	static const size_t segments[] = { 10, 10000 };
	static double writers[2][RUNS], changed[2][RUNS], oldest[2][RUNS], latest[2][RUNS];
	char dirs[2][4096];

	for (int q = 0; q < 2; q++) {
		snprintf(dirs[q], sizeof dirs[q], "%s/opening-%d-%d", argc > 1 ? argv[1] : ".",
		         (int)getpid(), q);
		make_queue(dirs[q], segments[q]);
	}
	for (int i = 0; i < RUNS; i++) {
		for (int q = 0; q < 2; q++) {
			changed[q][i] = writer_us(dirs[q], true);
			writers[q][i] = writer_us(dirs[q], false);
			oldest[q][i] = reader_us(dirs[q], CQ_START_OLDEST);
			latest[q][i] = reader_us(dirs[q], CQ_START_LATEST);
		}
	}
	for (int q = 0; q < 2; q++) {
		print_heading("opening a queue of %zu segments", segments[q]);
		print_spread("writer", "us", writers[q], RUNS);
		print_spread("writer, after a change", "us", changed[q], RUNS);
		print_spread("reader, oldest record", "us", oldest[q], RUNS);
		print_spread("reader, latest", "us", latest[q], RUNS);
		remove_tree(dirs[q]);
	}
	return 0;
}
