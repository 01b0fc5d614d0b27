/* SPDX-License-Identifier: Apache-2.0 */
/*
 * compose.h - which records the next message has
 *
 * A frame is full when the next record would make it larger than frame_size, is sent in parts, or is missing.  A record
 * that fits into no message is sent in parts, each as large as a message may be.  publish.h says why that must
 * depend on nothing else.
 */
#ifndef CHRONQ_SHIP_COMPOSE_H
#define CHRONQ_SHIP_COMPOSE_H

#include "ship/publish.h"
#include "ship/source.h"

struct compose {
	struct source *source;
	enum stream_format format;
	size_t frame_size; /* bytes of a frame's body, at most, if it has more than one record */
	size_t most;       /* bytes of a body, at most */
	bool accept_gap;
	uint8_t *buffer; /* most bytes: the frame */
	struct publish_message frame;
	uint64_t gap_first, gap_next; /* this gap is the next message; both equal: none */
	uint64_t part_offset;         /* of the record that comes next, so many bytes are sent */
	uint64_t part_seq;            /* the record whose CRC part_crc is */
	uint32_t part_crc;
	bool have_part_crc;
};

/* For messages of this format and size.  -ENOMEM */
int compose_set(struct compose *compose, enum stream_format format, size_t frame_size, size_t most);
void compose_free(struct compose *compose);

/* The source's next record comes next; so many bytes of it are sent. */
void compose_begin(struct compose *compose, uint64_t part_offset);

/*
 * The next message.  1 with *ret_message, valid until the next call on this or on the source; 0: there is none now.
 * Until compose_sent() another call gives the same message, or a fuller one.
 *   ENODATA  a hole comes next, and accept_gap is not set
 *   others   as source_peek()
 */
int compose_next(struct compose *compose, struct publish_message *ret_message);
/* The first record of the next message; false: there is none now. */
bool compose_oldest(struct compose *compose, struct publish_oldest *ret_oldest);
void compose_sent(struct compose *compose, const struct publish_message *message);

#endif
