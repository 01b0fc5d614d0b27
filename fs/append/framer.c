/* SPDX-License-Identifier: Apache-2.0 */
/* framer.c - bytes that come in pieces, cut into one record per line; see framer.h */
#include "append/framer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fault.h"

#define ROOM_FIRST 256U
#define ROOM_KEPT (64U << 10) /* an empty open line keeps no more than this */

void chronfs_framer_init(struct chronfs_framer *framer, size_t limit, struct chronfs_budget *budget)
{
	*framer = (struct chronfs_framer){ .limit = limit, .budget = budget };
}

static void give_back(struct chronfs_framer *framer)
{
	__atomic_sub_fetch(&framer->budget->used, framer->room, __ATOMIC_RELAXED);
	free(framer->open);
	framer->open = NULL;
	framer->room = 0;
}

void chronfs_framer_fini(struct chronfs_framer *framer)
{
	give_back(framer);
	framer->used = 0;
}

void chronfs_framer_settle(struct chronfs_framer *framer)
{
	if (framer->used == 0 && framer->room > ROOM_KEPT)
		give_back(framer);
}

/* Room for a line of `length` bytes, which is no more than the limit. */
static int make_room(struct chronfs_framer *framer, size_t length)
{
	struct chronfs_budget *budget = framer->budget;
	size_t room = 2 * framer->room;
	int r = -ENOMEM;
	char *grown;

	if (length <= framer->room)
		return 0;
	if (room < ROOM_FIRST)
		room = ROOM_FIRST;
	if (room < length)
		room = length;
	if (room > framer->limit)
		room = framer->limit;
	if (__atomic_add_fetch(&budget->used, room - framer->room, __ATOMIC_RELAXED) >
	            budget->most &&
	    !chronfs_planted("open_line_unbounded")) {
		r = -ENOBUFS;
		goto over;
	}
	grown = realloc(framer->open, room);
	if (!grown)
		goto over;
	framer->open = grown;
	framer->room = room;
	return 0;
over:
	__atomic_sub_fetch(&budget->used, room - framer->room, __ATOMIC_RELAXED);
	return r;
}

/* Whether a record ends in data when it can take `left` more bytes, and how many of data it takes. */
static bool record_ends(const char *data, size_t size, size_t left, bool end, size_t *ret_length)
{
	const size_t look = size < left ? size : left;
	const char *newline = look > 0 ? memchr(data, '\n', look) : NULL;

	*ret_length = newline ? (size_t)(newline - data) + 1 : look;
	return newline || look == left || end;
}

/* The one that begins with the open line.  As chronfs_framer_cut(). */
static ssize_t join(struct chronfs_framer *framer, const char *data, size_t size, bool end,
                    struct cq_message *message, size_t *ret_taken)
{
	size_t length;
	int r;

	if (!record_ends(data, size, framer->limit - framer->used, end, &length))
		return 0;
	r = make_room(framer, framer->used + length);
	if (r < 0)
		return r;
	if (length > 0)
		memcpy(framer->open + framer->used, data, length);
	*message = (struct cq_message){
		.payload = framer->open,
		.length = framer->used + length,
		.type = CQ_TYPE_DEFAULT,
	};
	*ret_taken = length;
	return 1;
}

ssize_t chronfs_framer_cut(struct chronfs_framer *framer, const char *data, size_t size, bool end,
                           struct cq_message *messages, size_t most)
{
	size_t count = 0, at = 0, length;
	ssize_t r;

	if (framer->limit == 0 && size > 0) /* no record would ever take a byte */
		return -EMSGSIZE;
	if (framer->used > 0) {
		r = join(framer, data, size, end, messages, &at);
		if (r <= 0)
			return r;
		count = 1;
	}
	while (count < most && at < size &&
	       record_ends(data + at, size - at, framer->limit, end, &length)) {
		messages[count++] = (struct cq_message){
			.payload = data + at,
			.length = length,
			.type = CQ_TYPE_DEFAULT,
		};
		at += length;
	}
	return (ssize_t)count;
}

size_t chronfs_framer_appended(struct chronfs_framer *framer, const struct cq_message *messages,
                               size_t count)
{
	size_t bytes = 0;

	for (size_t i = 0; i < count; i++)
		bytes += messages[i].length;
	bytes -= framer->used; /* an open line was the beginning of the first */
	framer->used = 0;
	return bytes;
}

int chronfs_framer_keep(struct chronfs_framer *framer, const char *data, size_t size)
{
	int r;

	if (size == 0)
		return 0;
	r = make_room(framer, framer->used + size);
	if (r < 0)
		return r;
	memcpy(framer->open + (chronfs_planted("open_line_overwritten") ? 0 : framer->used), data,
	       size);
	framer->used += size;
	return 0;
}
