/* SPDX-License-Identifier: Apache-2.0 */
/* wire.c - CRCs, the entries of frames, and the check of a whole message: see wire.h */
#include "wire/wire.h"

#include <chronq.h>
#include <endian.h>
#include <errno.h>
#include <libdeflate.h>
#include <string.h>

#include "wire/fault.h"

/* An entry of a frame as it is sent: WIRE_ENTRY_SIZE bytes. */
struct entry {
	uint32_t length;
	uint32_t crc;
	uint8_t time_ns[8]; /* not aligned to 8 */
	uint16_t type;
	uint16_t zero;
};
_Static_assert(sizeof(struct entry) == WIRE_ENTRY_SIZE, "an entry has no padding");

/* What a record's CRC covers beside its payload. */
struct covered {
	uint64_t seq;
	uint64_t time_ns;
	uint32_t length;
	uint16_t type;
	uint16_t zero;
};
_Static_assert(sizeof(struct covered) == 24, "what the CRC covers has no padding");

uint32_t wire_crc_begin(const struct wire_record *record)
{
	const struct covered covered = {
		.seq = htole64(record->seq),
		.time_ns = htole64(record->time_ns),
		.length = htole32((uint32_t)record->length),
		.type = htole16(record->type),
	};

	return libdeflate_crc32(0, &covered, sizeof covered);
}

uint32_t wire_crc_more(uint32_t crc, const void *piece, size_t size)
{
	/* without bytes the piece may be NULL, for which libdeflate returns the CRC of nothing */
	return size > 0 ? libdeflate_crc32(crc, piece, size) : crc;
}

uint32_t wire_crc(const struct wire_record *record)
{
	return wire_crc_more(wire_crc_begin(record), record->payload, record->length);
}

size_t wire_entry_put(void *to, const struct wire_record *record, uint32_t *ret_crc)
{
	uint8_t *const payload = (uint8_t *)to + WIRE_ENTRY_SIZE;
	const uint64_t time_ns = htole64(record->time_ns);
	struct wire_record copy = *record;
	struct entry entry = { .length = htole32((uint32_t)record->length),
		               .type = htole16(record->type) };

	if (record->length > 0)
		memcpy(payload, record->payload, record->length);
	copy.payload = payload;
	*ret_crc = wire_crc(&copy);
	entry.crc = htole32(*ret_crc);
	memcpy(entry.time_ns, &time_ns, sizeof time_ns);
	memcpy(to, &entry, sizeof entry);
	return WIRE_ENTRY_SIZE + record->length;
}

int wire_entry_next(const void *body, size_t size, size_t *at, struct wire_record *record,
                    uint32_t *ret_crc)
{
	struct wire_record next = { .seq = record->seq };
	struct entry entry;
	uint32_t crc;

	if (*at == size)
		return 0;
	if (size - *at < WIRE_ENTRY_SIZE)
		return -EBADMSG;
	memcpy(&entry, (const uint8_t *)body + *at, sizeof entry);
	next.payload = (const uint8_t *)body + *at + WIRE_ENTRY_SIZE;
	next.length = le32toh(entry.length);
	next.type = le16toh(entry.type);
	memcpy(&next.time_ns, entry.time_ns, sizeof next.time_ns);
	next.time_ns = le64toh(next.time_ns);
	if (next.length > size - *at - WIRE_ENTRY_SIZE || next.type > CQ_TYPE_MAX ||
	    entry.zero != 0)
		return -EBADMSG;
	crc = wire_crc(&next);
	if (crc != le32toh(entry.crc) && !wire_planted("entry_crc_ignored"))
		return -EBADMSG;
	*at += WIRE_ENTRY_SIZE + next.length;
	*record = next;
	*ret_crc = crc;
	return 1;
}

static bool is_last(const struct wire_head *head, uint64_t time_ns, uint32_t crc)
{
	return head->last.time_ns == time_ns && head->last.crc == crc;
}

/* Whether so many payload bytes fit behind the head's position. */
static bool fits_stream(const struct wire_head *head, uint64_t bytes)
{
	return !head->have_stream || bytes <= WIRE_COUNT_MAX - head->stream;
}

static bool frame_is_sound(const struct wire_head *head, const void *body, size_t size)
{
	struct wire_record record = { .seq = head->first };
	uint64_t bytes = 0;
	size_t at = 0;
	uint32_t crc = 0;
	int r;

	while ((r = wire_entry_next(body, size, &at, &record, &crc)) > 0) {
		bytes += record.length;
		record.seq++;
	}
	/* next is above first: a frame without an entry does not get there */
	return r == 0 && (record.seq == head->next || wire_planted("frame_count_unchecked")) &&
	       is_last(head, record.time_ns, crc) && fits_stream(head, bytes);
}

void wire_record_of(const struct wire_head *head, const void *body, size_t size,
                    struct wire_record *ret_record)
{
	*ret_record = (struct wire_record){
		.seq = head->first,
		.time_ns = head->last.time_ns,
		.payload = body,
		.length = size,
		.type = head->type,
	};
}

static bool record_is_sound(const struct wire_head *head, const void *body, size_t size)
{
	struct wire_record record;

	wire_record_of(head, body, size, &record);
	return size <= CQ_SEGMENT_SIZE_MAX && head->last.crc == wire_crc(&record) &&
	       fits_stream(head, size);
}

static bool part_is_sound(const struct wire_head *head, size_t size)
{
	const uint64_t rest = head->part_length - head->part_offset;

	/* the last part, and no other, ends where the record ends */
	return size > 0 && (head->next > head->first ? size == rest : size < rest);
}

int wire_check(const struct wire_head *head, const void *body, size_t size)
{
	bool sound = false;

	switch (head->kind) {
	case WIRE_RECORD:
		sound = record_is_sound(head, body, size);
		break;
	case WIRE_FRAME:
		sound = frame_is_sound(head, body, size);
		break;
	case WIRE_PART:
		sound = part_is_sound(head, size);
		break;
	case WIRE_GAP:
		sound = size == 0;
		break;
	}
	return sound ? 0 : -EBADMSG;
}
