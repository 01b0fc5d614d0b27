/* SPDX-License-Identifier: Apache-2.0 */
/*
 * line_splitter.c - fuzzing target: the line splitter against a simple reference
 *
 * Input: a byte for the limit of a line, one for the memory that is available, four that decide where the
 * text is cut into pieces and how much of each is appended, then the text.  The reference cuts the whole
 * text at once.  If memory runs out, only the records that were appended before are compared.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "append/line_splitter.h"
#include "fuzz.h"

#define HEADER 6U
#define BATCH 5U

struct text {
	const uint8_t *bytes;
	size_t size;
	size_t limit;
	size_t at; /* of the next record of the reference */
};

static uint32_t random_state;

static uint32_t random_below(uint32_t n)
{
	random_state = random_state * 1103515245U + 12345U;
	return (random_state >> 16) % n;
}

/* The length of the reference's next record. */
static size_t next_length(const struct text *text)
{
	size_t n = 0;

	while (n < text->limit && text->at + n < text->size)
		if (text->bytes[text->at + n++] == '\n')
			break;
	return n;
}

static void appended(struct text *text, const struct cq_message *message)
{
	const size_t length = next_length(text);

	HELD_CHECK(length > 0 && message->length == length);
	HELD_CHECK(memcmp(message->payload, text->bytes + text->at, length) == 0);
	HELD_CHECK(message->type == CQ_TYPE_DEFAULT);
	text->at += length;
}

/* Returns false when memory was short. */
static bool feed(struct chronfs_line_splitter *splitter, struct text *text, const char *data,
                 size_t size, bool end)
{
	/* a copy of exactly this size: a sanitizer sees reads behind it */
	char *copy = malloc(size > 0 ? size : 1), *at = copy;
	struct cq_message messages[BATCH];
	bool enough = false;
	ssize_t count;
	size_t taken;
	int r;

	HELD_CHECK(copy != NULL);
	if (size > 0)
		memcpy(copy, data, size);
	while ((count = chronfs_line_splitter_cut(splitter, at, size, end, messages,
	                                          1 + random_below(BATCH))) > 0) {
		count -= (ssize_t)random_below((uint32_t)count + 1); /* a full queue takes fewer */
		if (count == 0)
			continue;
		for (ssize_t i = 0; i < count; i++)
			appended(text, &messages[i]);
		taken = chronfs_line_splitter_consume(splitter, messages, (size_t)count);
		HELD_CHECK(taken <= size);
		at += taken;
		size -= taken;
	}
	if (count == 0) {
		HELD_CHECK(!end || size == 0);
		r = chronfs_line_splitter_keep(splitter, at, size);
		enough = r == 0;
		HELD_CHECK(r == 0 || r == -ENOMEM || r == -ENOBUFS);
		chronfs_line_splitter_shrink(splitter);
	} else {
		HELD_CHECK(count == -ENOMEM || count == -ENOBUFS);
	}
	HELD_CHECK(splitter->used < splitter->limit && splitter->used <= splitter->room);
	free(copy);
	return enough;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct chronfs_line_memory memory = { .used = 0 };
	struct text text = { .at = 0 };
	struct chronfs_line_splitter splitter;
	bool enough = true;
	size_t fed = 0, n;

	if (size < HEADER)
		return 0;
	text.limit = 1 + data[0] * (size_t)(data[0] < 128 ? 1 : 16);
	memory.most = data[1] < 128 ? 1U << 20 : data[1] * 4U;
	memcpy(&random_state, data + 2, sizeof random_state);
	text.bytes = data + HEADER;
	text.size = size - HEADER;
	chronfs_line_splitter_init(&splitter, text.limit, &memory);
	while (enough && fed < text.size) {
		n = 1 + random_below(200);
		if (n > text.size - fed)
			n = text.size - fed;
		enough = feed(&splitter, &text, (const char *)text.bytes + fed, n, false);
		fed += n;
		if (enough) /* no byte of the input is anywhere else */
			HELD_CHECK(text.at + splitter.used == fed);
	}
	if (enough && feed(&splitter, &text, "", 0, true))
		HELD_CHECK(text.at == text.size && splitter.used == 0);
	HELD_CHECK(memory.used == splitter.room && memory.used <= memory.most);
	chronfs_line_splitter_fini(&splitter);
	HELD_CHECK(memory.used == 0);
	return 0;
}
