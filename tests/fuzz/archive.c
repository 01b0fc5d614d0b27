/* SPDX-License-Identifier: Apache-2.0 */
/* archive.c - several named files as one input of a fuzzer; see archive.h */
#include "archive.h"

#include <stdbool.h>
#include <string.h>

#define READERS "readers/"
#define ENTRY_HEADER 3U

static bool name_allowed(const char *name)
{
	const char *file = name;

	if (strncmp(file, READERS, sizeof READERS - 1) == 0)
		file += sizeof READERS - 1;
	return *file != '\0' && !strchr(file, '/') && strcmp(file, ".") != 0 &&
	       strcmp(file, "..") != 0 && strcmp(file, "readers") != 0;
}

void archive_unpack(struct held *held, uint8_t *ret_flags, const uint8_t *data, size_t size)
{
	char name[HELD_NAME_SIZE];
	size_t at = 1, length, bytes;

	held->count = 0;
	*ret_flags = size > 0 ? data[0] : 0;
	while (at < size && size - at > ENTRY_HEADER && held->count < HELD_FILES) {
		length = data[at];
		bytes = data[at + 1] | (size_t)data[at + 2] << 8;
		at += ENTRY_HEADER;
		if (length > size - at || bytes > size - at - length)
			return;
		if (length < sizeof name) {
			memcpy(name, data + at, length);
			name[length] = '\0';
			if (name_allowed(name))
				held_set(held, name, data + at + length, bytes);
		}
		at += length + bytes;
	}
}

size_t archive_pack(const struct held *held, uint8_t flags, uint8_t *data, size_t max_size)
{
	size_t at = 1, length;

	if (max_size == 0)
		return 0;
	data[0] = flags;
	for (size_t i = 0; i < held->count; i++) {
		const struct held_file *file = &held->files[i];

		length = strlen(file->name);
		if (file->size > ARCHIVE_FILE_MAX || max_size - at < ENTRY_HEADER + length ||
		    max_size - at - ENTRY_HEADER - length < file->size)
			return 0;
		data[at] = (uint8_t)length;
		data[at + 1] = (uint8_t)file->size;
		data[at + 2] = (uint8_t)(file->size >> 8);
		memcpy(data + at + ENTRY_HEADER, file->name, length);
		at += ENTRY_HEADER + length;
		if (file->size > 0)
			memcpy(data + at, file->bytes, file->size);
		at += file->size;
	}
	return at;
}
