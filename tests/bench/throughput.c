/* SPDX-License-Identifier: Apache-2.0 */
/*
 * throughput.c - append and read in one process, nanoseconds a record
 *
 * "prefaulted": the whole segment's pages are present before the clock starts, no roll.
 * "running": a new queue of 128 MiB segments, pages and rolls as they come.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chronq.h"
#include "samples.h"
#include "write/writer.h"

#define RUNS 5
#define BATCH 64U

struct shape {
	size_t payload;
	size_t prefaulted; /* records that fit into one segment */
	size_t running;
};

static const struct shape shapes[] = {
	{ 64, 1000000, 4000000 },
	{ 1024, 100000, 500000 },
	{ 65536, 1900, 8000 },
};

static char payload[65536];

static cq_writer *open_queue(const char *dir)
{
	cq_writer *w;

	must("open", cq_writer_open(dir, NULL, &w));
	return w;
}

static double append_single(cq_writer *w, size_t length, size_t count)
{
	uint64_t start = now_ns();

	for (size_t i = 0; i < count; i++)
		must("append", cq_writer_append(w, CQ_TYPE_DEFAULT, payload, length, NULL));
	return (double)(now_ns() - start) / (double)count;
}

static double append_batched(cq_writer *w, size_t length, size_t count)
{
	struct cq_message batch[BATCH];
	uint64_t start;

	for (size_t i = 0; i < BATCH; i++)
		batch[i] = (struct cq_message){ payload, length, CQ_TYPE_DEFAULT };
	start = now_ns();
	for (size_t i = 0; i < count; i += BATCH)
		must("append", cq_writer_append_batch(w, batch, BATCH, NULL));
	return (double)(now_ns() - start) / (double)count;
}

static double read_all(const char *dir)
{
	struct cq_record record;
	cq_reader *reader;
	uint64_t count = 0, start;
	int r;

	must("reader", cq_reader_open(dir, NULL, CQ_START_OLDEST, 0, &reader));
	start = now_ns();
	while ((r = cq_reader_next(reader, &record)) == 1)
		count++;
	must("read", r);
	start = now_ns() - start;
	cq_reader_close(reader);
	return count ? (double)start / (double)count : 0;
}

static void prefault_all(cq_writer *w)
{
	must("prefault", cq_mapping_populate(&w->current->map, 0, w->current->map.size));
}

int main(int argc, char **argv)
{
	const char *parent = argc > 1 ? argv[1] : ".";
	char dir[4096];

	for (size_t i = 0; i < sizeof payload; i++)
		payload[i] = (char)(i * 131U);
	for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
		const struct shape *shape = &shapes[s];
		double single[RUNS], batched[RUNS], running[RUNS], reading[RUNS];

		for (size_t i = 0; i < RUNS; i++) {
			cq_writer *w;

			snprintf(dir, sizeof dir, "%s/throughput-%d", parent, (int)getpid());
			w = open_queue(dir);
			prefault_all(w);
			single[i] = append_single(w, shape->payload, shape->prefaulted / 2);
			batched[i] = append_batched(w, shape->payload,
			                            shape->prefaulted / 2 / BATCH * BATCH);
			must("close", cq_writer_close(w));
			remove_tree(dir);
			w = open_queue(dir);
			running[i] = append_single(w, shape->payload, shape->running);
			(void)read_all(
				dir); /* once, so that the pages are mapped from a warm cache */
			reading[i] = read_all(dir);
			must("close", cq_writer_close(w));
			remove_tree(dir);
		}
		printf("payload of %zu bytes, %d runs\n", shape->payload, RUNS);
		print_spread("append, prefaulted", "ns", single, RUNS);
		print_spread("append of 64, prefaulted", "ns", batched, RUNS);
		print_spread("append, running", "ns", running, RUNS);
		print_spread("read, warm, CRC checked", "ns", reading, RUNS);
		fflush(stdout);
	}
	return 0;
}
