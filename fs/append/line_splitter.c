/* SPDX-License-Identifier: Apache-2.0 */
/* line_splitter.c - splits bytes that come in pieces into one record for each line */
#include "append/line_splitter.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fault.h"

#define ROOM_FIRST 256U
#define ROOM_KEPT (64U << 10) /* of an empty open line, at most */

void chronfs_line_splitter_init(struct chronfs_line_splitter *splitter, size_t limit,
                                struct chronfs_line_memory *memory)
{
	*splitter = (struct chronfs_line_splitter){ .limit = limit, .memory = memory };
}

static void free_line(struct chronfs_line_splitter *splitter)
{
	__atomic_sub_fetch(&splitter->memory->used, splitter->room, __ATOMIC_RELAXED);
	free(splitter->open);
	splitter->open = NULL;
	splitter->room = 0;
}

void chronfs_line_splitter_fini(struct chronfs_line_splitter *splitter)
{
	free_line(splitter);
	splitter->used = 0;
}

void chronfs_line_splitter_shrink(struct chronfs_line_splitter *splitter)
{
	if (splitter->used == 0 && splitter->room > ROOM_KEPT)
		free_line(splitter);
}

/* Makes room for a line of `length` bytes, which is at most the limit. */
static int make_room(struct chronfs_line_splitter *splitter, size_t length)
{
	struct chronfs_line_memory *memory = splitter->memory;
	size_t room = 2 * splitter->room;
	int r = -ENOMEM;
	char *grown;

	if (length <= splitter->room)
		return 0;
	if (room < ROOM_FIRST)
		room = ROOM_FIRST;
	if (room < length)
		room = length;
	if (room > splitter->limit)
		room = splitter->limit;
	if (__atomic_add_fetch(&memory->used, room - splitter->room, __ATOMIC_RELAXED) >
	            memory->most &&
	    !chronfs_planted("open_line_unbounded")) {
		r = -ENOBUFS;
		goto over;
	}
	grown = realloc(splitter->open, room);
	if (!grown)
		goto over;
	splitter->open = grown;
	splitter->room = room;
	return 0;
over:
	__atomic_sub_fetch(&memory->used, room - splitter->room, __ATOMIC_RELAXED);
	return r;
}

/* Whether a record that may take `left` more bytes ends in data, and how many of data it takes. */
static bool record_ends(const char *data, size_t size, size_t left, bool end, size_t *ret_length)
{
	const size_t look = size < left ? size : left;
	const char *newline = look > 0 ? memchr(data, '\n', look) : NULL;

	*ret_length = newline ? (size_t)(newline - data) + 1 : look;
	return newline || look == left || end;
}

/* Gives the record that begins with the open line.  Returns as chronfs_line_splitter_cut(). */
static ssize_t join(struct chronfs_line_splitter *splitter, const char *data, size_t size, bool end,
                    struct cq_message *message, size_t *ret_taken)
{
	size_t length;
	int r;

	if (!record_ends(data, size, splitter->limit - splitter->used, end, &length))
		return 0;
	r = make_room(splitter, splitter->used + length);
	if (r < 0)
		return r;
	if (length > 0)
		memcpy(splitter->open + splitter->used, data, length);
	*message = (struct cq_message){
		.payload = splitter->open,
		.length = splitter->used + length,
		.type = CQ_TYPE_DEFAULT,
	};
	*ret_taken = length;
	return 1;
}

ssize_t chronfs_line_splitter_cut(struct chronfs_line_splitter *splitter, const char *data,
                                  size_t size, bool end, struct cq_message *messages, size_t most)
{
	size_t count = 0, at = 0, length;
	ssize_t r;

	if (splitter->limit == 0 && size > 0) /* no record could take a byte */
		return -EMSGSIZE;
	if (splitter->used > 0) {
		r = join(splitter, data, size, end, messages, &at);
		if (r <= 0)
			return r;
		count = 1;
	}
	while (count < most && at < size &&
	       record_ends(data + at, size - at, splitter->limit, end, &length)) {
		messages[count++] = (struct cq_message){
			.payload = data + at,
			.length = length,
			.type = CQ_TYPE_DEFAULT,
		};
		at += length;
	}
	return (ssize_t)count;
}

size_t chronfs_line_splitter_consume(struct chronfs_line_splitter *splitter,
                                     const struct cq_message *messages, size_t count)
{
	size_t bytes = 0;

	for (size_t i = 0; i < count; i++)
		bytes += messages[i].length;
	bytes -= splitter->used; /* the first record began with the open line */
	splitter->used = 0;
	return bytes;
}

int chronfs_line_splitter_keep(struct chronfs_line_splitter *splitter, const char *data,
                               size_t size)
{
	int r;

	if (size == 0)
		return 0;
	r = make_room(splitter, splitter->used + size);
	if (r < 0)
		return r;
	memcpy(splitter->open + (chronfs_planted("open_line_overwritten") ? 0 : splitter->used),
	       data, size);
	splitter->used += size;
	return 0;
}
