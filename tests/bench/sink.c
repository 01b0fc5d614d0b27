/* SPDX-License-Identifier: Apache-2.0 */
/* sink.c - write(2) to a file that is held open, each one timed: MNT/append, or any other sink */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "samples.h"

#define MOST_RUNS 99

int main(int argc, char **argv)
{
	static uint64_t results[MOST_RUNS][PERCENTILES];
	static double rates[MOST_RUNS];
	const size_t size = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
	const size_t count = argc > 3 ? strtoul(argv[3], NULL, 10) : 0;
	const size_t runs = argc > 4 ? strtoul(argv[4], NULL, 10) : 5;
	char *bytes = malloc(size + 1);
	int fd;

	if (size < 1 || count < 1 || runs < 1 || runs > MOST_RUNS || !bytes) {
		fprintf(stderr, "usage: sink FILE BYTES COUNT [RUNS]\n");
		return 2;
	}
	memset(bytes, 'x', size);
	fd = open(argv[1], O_WRONLY | O_APPEND | O_CLOEXEC);
	if (fd < 0)
		must(argv[1], -errno);
	printf("writes of %zu bytes, %zu a run, %zu runs\n", size, count, runs);
	for (size_t i = 0; i < runs; i++) {
		struct samples samples;
		uint64_t begin;

		samples_init(&samples, count);
		begin = now_ns();
		for (size_t n = 0; n < count; n++) {
			uint64_t start = now_ns();

			if (write(fd, bytes, size) != (ssize_t)size)
				must("write", -errno);
			samples_add(&samples, now_ns() - start);
		}
		rates[i] = (double)count / ((double)(now_ns() - begin) / 1e9);
		samples_percentiles(&samples, results[i]);
		samples_fini(&samples);
	}
	print_percentiles(results, runs);
	print_spread("rate", "writes/s", rates, runs);
	close(fd);
	free(bytes);
	return 0;
}
