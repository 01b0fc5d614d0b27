/* SPDX-License-Identifier: Apache-2.0 */
/*
 * one_file.c - fuzzing target: one hostile file in an otherwise sound queue
 *
 * FUZZ_FILE is its name.  The first byte of the input has flags (see below), the rest is the file.
 */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

#define NO_DURABLE (FUZZ_FLAGS << 0)
#define NO_CONTROL (FUZZ_FLAGS << 1)
#define NO_INDEX (FUZZ_FLAGS << 2)
#define ANY_SIZE (FUZZ_FLAGS << 3) /* else a segment is filled up, or cut, to its size */
#define CURRENT (FUZZ_FLAGS << 4)  /* a segment: the current one, else one in the middle */

static struct held queue;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	fuzz_make_queue(&queue);
	return 0;
}

static bool is_segment(void)
{
	return strcmp(FUZZ_FILE, "000000001.q") == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t segment[FUZZ_SEGMENT_SIZE] = { 0 };
	struct held held = { .count = 0 };
	const char *name = FUZZ_FILE;
	unsigned flags;

	if (size == 0)
		return 0;
	flags = *data++;
	size--;
	if (is_segment() && !(flags & ANY_SIZE)) {
		memcpy(segment, data, size < sizeof segment ? size : sizeof segment);
		data = segment;
		size = sizeof segment;
	}
	if (is_segment() && (flags & CURRENT))
		name = "000000003.q";
	for (size_t i = 0; i < queue.count; i++)
		held_set(&held, queue.files[i].name, queue.files[i].bytes, queue.files[i].size);
	if (flags & NO_DURABLE)
		held_drop(&held, "durable.meta");
	if (flags & NO_CONTROL)
		held_drop(&held, "control.meta");
	if (flags & NO_INDEX)
		held_drop(&held, "000000001.idx");
	held_set(&held, name, data, size);
	fuzz_exercise(&held, flags);
	held_free(&held);
	return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
	if (size < 2 || seed % 16 == 0)
		return LLVMFuzzerMutate(data, size, max_size);
	if (seed % 16 == 1) {
		data[0] = (uint8_t)(seed >> 8);
		return size;
	}
	return 1 + fuzz_mutate(FUZZ_FILE, data + 1, size - 1, max_size - 1, seed);
}
