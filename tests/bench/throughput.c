/* SPDX-License-Identifier: Apache-2.0 */
/*
 * throughput.c - append and read in one process, nanoseconds a record
 *
 * "touched": a locked instruction has touched every page of the segment before the clock starts; no
 * roll.  A populated page is not enough: on a virtual machine the first store to it may still cost
 * microseconds.  "running": a new queue of 128 MiB segments, pages and rolls as they come.
 *
 * The floor is what any queue of mapped files has to do: copy 64 bytes of header and the payload
 * into a mapped file whose pages are touched, without and with one CRC-32 of the payload.
 */
#include <errno.h>
#include <fcntl.h>
#include <libdeflate.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "chronq.h"
#include "samples.h"
#include "write/writer.h"

#define RUNS 5
#define BATCH 64U
#define HEADER 64U
#define SEGMENT_SIZE (128U << 20)

struct shape {
	size_t payload;
	size_t touched; /* records that fit into one segment */
	size_t running;
};

static const struct shape shapes[] = {
	{ 64, 1000000, 4000000 },
	{ 1024, 100000, 500000 },
	{ 65536, 1900, 8000 },
};

static char payload[65536];

/* The compiler may turn an addition of zero into a load; it keeps an exchange of equal values. */
static void touch_pages(uint8_t *base, size_t size)
{
	for (size_t at = 0; at < size; at += 4096) {
		uint32_t *word = (uint32_t *)(void *)(base + at);
		uint32_t value = __atomic_load_n(word, __ATOMIC_RELAXED);

		__atomic_compare_exchange_n(word, &value, value, false, __ATOMIC_SEQ_CST,
		                            __ATOMIC_SEQ_CST);
	}
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

static double copy_records(uint8_t *to, size_t length, size_t count, bool checked)
{
	const size_t stride = HEADER + (length + HEADER - 1) / HEADER * HEADER;
	uint8_t header[HEADER] = { 1 };
	uint64_t start = now_ns();

	for (size_t i = 0; i < count; i++, to += stride) {
		if (checked) {
			uint32_t crc = libdeflate_crc32(0, payload, length);

			memcpy(header + 4, &crc, sizeof crc);
		}
		memcpy(to + HEADER, payload, length);
		memcpy(to, header, sizeof header);
		__atomic_signal_fence(__ATOMIC_SEQ_CST); /* every copy is made */
	}
	return (double)(now_ns() - start) / (double)count;
}

static void copy_floor(const char *path, size_t length, size_t count, double *ret_plain,
                       double *ret_checked)
{
	const int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	uint8_t *base;

	if (fd < 0)
		must(path, -errno);
	must("fallocate", -posix_fallocate(fd, 0, SEGMENT_SIZE));
	base = mmap(NULL, SEGMENT_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (base == MAP_FAILED)
		must("mmap", -errno);
	touch_pages(base, SEGMENT_SIZE);
	*ret_plain = copy_records(base, length, count, false);
	*ret_checked = copy_records(base, length, count, true);
	munmap(base, SEGMENT_SIZE);
	close(fd);
	unlink(path);
}

static void measure(const struct shape *shape, const char *dir)
{
	double single[RUNS], batched[RUNS], running[RUNS], reading[RUNS], copied[RUNS],
		checked[RUNS];
	const size_t half = shape->touched / 2;

	for (size_t i = 0; i < RUNS; i++) {
		cq_writer *w;

		copy_floor(dir, shape->payload, half, &copied[i], &checked[i]);
		w = open_writer(dir, SEGMENT_SIZE);
		touch_pages(w->current->map.base, w->current->map.size);
		single[i] = append_single(w, shape->payload, half);
		batched[i] = append_batched(w, shape->payload, half / BATCH * BATCH);
		must("close", cq_writer_close(w));
		remove_tree(dir);
		w = open_writer(dir, SEGMENT_SIZE);
		running[i] = append_single(w, shape->payload, shape->running);
		/* once, so that the pages are mapped from a warm cache */
		(void)read_all(dir);
		reading[i] = read_all(dir);
		must("close", cq_writer_close(w));
		remove_tree(dir);
	}
	print_heading("append and read, payload of %zu bytes", shape->payload);
	print_spread("append, touched", "ns", single, RUNS);
	print_spread("append of 64, touched", "ns", batched, RUNS);
	print_spread("append, running", "ns", running, RUNS);
	print_spread("floor: memcpy", "ns", copied, RUNS);
	print_spread("floor: memcpy, one CRC", "ns", checked, RUNS);
	print_spread("read, warm, CRC checked", "ns", reading, RUNS);
}

int main(int argc, char **argv)
{
	char dir[4096];

	snprintf(dir, sizeof dir, "%s/throughput-%d", argc > 1 ? argv[1] : ".", (int)getpid());
	for (size_t i = 0; i < sizeof payload; i++)
		payload[i] = (char)(i * 131U);
	for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++)
		measure(&shapes[s], dir);
	return 0;
}
