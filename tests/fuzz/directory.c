/* SPDX-License-Identifier: Apache-2.0 */
/*
 * directory.c - fuzzing target: a whole directory of hostile files, as archive.h packs them
 *
 * A mutation changes the contents of a file, or the set of files: it removes one, adds one with the name of the
 * next segment, exchanges the names of two, or cuts one short.
 */
#include <stdio.h>
#include <string.h>

#include "archive.h"
#include "files/dir.h"
#include "fuzz.h"

static uint8_t scratch[ARCHIVE_FILE_MAX];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct held held;
	uint8_t flags;

	archive_unpack(&held, &flags, data, size);
	fuzz_exercise(&held, flags);
	held_free(&held);
	return 0;
}

static void change_contents(struct held *held, struct held_file *file, unsigned seed)
{
	char name[HELD_NAME_SIZE];
	size_t size = file->size;

	memcpy(name, file->name, sizeof name);
	memcpy(scratch, file->bytes, size);
	size = fuzz_mutate(name, scratch, size, sizeof scratch, seed);
	held_set(held, name, scratch, size);
}

/* A segment's copy becomes the next segment; anything else becomes a reader's file. */
static void copy_file(struct held *held, const struct held_file *file, unsigned seed)
{
	char name[HELD_NAME_SIZE] = "readers/copy.meta";
	uint32_t id;

	if (held->count == HELD_FILES)
		return;
	memcpy(scratch, file->bytes, file->size);
	if (cq_segment_name_parse(file->name, &id) && id < 999999998) {
		id += seed % 3;
		(void)snprintf(name, sizeof name, "%09u.q", id);
		if (file->size >= 12)
			memcpy(scratch + 8, &id, sizeof id);
	}
	held_set(held, name, scratch, file->size);
}

static void exchange_names(struct held_file *a, struct held_file *b)
{
	char name[HELD_NAME_SIZE];

	memcpy(name, a->name, sizeof name);
	memcpy(a->name, b->name, sizeof name);
	memcpy(b->name, name, sizeof name);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
	const unsigned random = seed * 2654435761U;
	struct held_file *file, *other;
	struct held held;
	uint8_t flags;
	size_t n;

	archive_unpack(&held, &flags, data, size);
	if (held.count == 0) {
		held_free(&held);
		return LLVMFuzzerMutate(data, size, max_size);
	}
	file = &held.files[(random >> 8) % held.count];
	other = &held.files[(random >> 20) % held.count];
	switch (random >> 4 & 15) {
	case 0:
		held_drop(&held, file->name);
		break;
	case 1:
		copy_file(&held, file, random >> 16);
		break;
	case 2:
		exchange_names(file, other);
		break;
	case 3:
		if (file->size > 0)
			file->size = (random >> 12) % file->size;
		break;
	case 4:
		flags ^= FUZZ_ACCEPT_LOSS;
		break;
	default:
		change_contents(&held, file, seed);
		break;
	}
	n = archive_pack(&held, flags, data, max_size);
	held_free(&held);
	return n > 0 ? n : LLVMFuzzerMutate(data, size, max_size);
}
