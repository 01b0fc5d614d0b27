/* SPDX-License-Identifier: Apache-2.0 */
/*
 * segment_bytes.c - the payloads of one segment; see segment_bytes.h
 *
 * Invariant: a byte is given only from a record whose header was found sound on the way from a known
 * record, and whose payload's checksum was found right by this read or an earlier one.
 */
#include "stream/segment_bytes.h"

#include <errno.h>
#include <string.h>

#include "catalog/mapped.h"
#include "format/put.h"
#include "format/record.h"
#include "format/walk.h"

/* Copies `n` bytes of a record's payload from byte `skip` on, and checks the whole payload unless
 * `checked`. */
static inline int give(const struct cq_mapped *mapped, const struct cq_record_at *record,
                       uint64_t skip, uint8_t *to, uint64_t n, bool checked)
{
	const uint8_t *from = mapped->map.base + record->offset + sizeof record->header;
	const uint64_t length = record->length;
	uint32_t crc = 0;

	if (checked) {
		memcpy(to, from + skip, n);
		return 0;
	}
	if (n == length)
		return cq_put_payload(to, from, n) == record->header.payload_crc ? 0 : -EIO;
	if (skip > 0)
		crc = cq_crc32(crc, from, skip);
	crc = cq_crc32_copy(crc, to, from + skip, n);
	if (skip + n < length)
		crc = cq_crc32(crc, from + skip + n, length - skip - n);
	return crc == record->header.payload_crc ? 0 : -EIO;
}

/*
 * The bytes of the records that come next are on their way while this one is summed and copied.  The
 * processor's own reading ahead ends with each page, so small records would wait for memory most of the
 * time.  An address that is not mapped yet does no harm.
 */
#define AHEAD 2048U
#define AHEAD_MOST 512U /* of a record: the processor reads on in a longer one */

static inline void read_ahead(const struct cq_mapped *mapped, const struct cq_record_at *record)
{
	const uint64_t span = record->end - record->offset;
	const uint64_t n = span < AHEAD_MOST ? span : AHEAD_MOST;

	if (record->offset + AHEAD + AHEAD_MOST > mapped->map.size)
		return;
	for (uint64_t at = 0; at < n; at += 64)
		__builtin_prefetch(mapped->map.base + record->offset + AHEAD + at);
}

/* Reads from the cursor on, and moves it to where the read ended.  0 or an error; *ret_done is set in
 * both cases. */
static int read_records(struct cq_segment_bytes *p, struct cq_read_cursor *cursor, uint8_t *to,
                        size_t length, uint64_t position, size_t *ret_done)
{
	const struct cq_mapped *mapped = &p->mapped;
	struct cq_record_start place = cursor->place;
	struct cq_walk walk = cq_walk_mapped(&mapped->map, place.offset);
	bool checked = cursor->checked;
	struct cq_record_at record;
	size_t done = 0;
	int r = 1;

	while (done < length && (r = cq_walk_next(&walk, &record)) > 0) {
		uint64_t skip, n;

		read_ahead(mapped, &record);
		if (position < place.position + record.length) {
			skip = position - place.position;
			n = record.length - skip < length - done ? record.length - skip
			                                         : length - done;
			r = give(mapped, &record, skip, to + done, n, checked);
			if (r < 0)
				break;
			done += n;
			position += n;
			if (skip + n < record.length) {
				checked = true;
				break;
			}
		}
		checked = false;
		cq_record_start_pass(p, &place, &record);
	}
	if (r == 0 && done < length)
		r = cq_mapped_check_end(mapped, &walk);
	*cursor = (struct cq_read_cursor){ place, checked };
	*ret_done = done;
	return r < 0 ? r : 0;
}

ssize_t cq_segment_bytes_read(struct cq_segment_bytes *p, void *buffer, size_t length,
                              uint64_t position)
{
	const struct cq_segment_start start = cq_segment_start_find(p, CQ_BY_POSITION, position);
	struct cq_read_cursor cursor = start.cursor;
	size_t done = 0;
	int r, there;

	r = read_records(p, &cursor, buffer, length, position, &done);
	if (done > 0)
		cq_segment_start_keep(p, &start, &cursor);
	there = cq_mapped_still_there(&p->mapped);
	if (there < 0)
		return there;
	return done > 0 ? (ssize_t)done : r;
}

int cq_segment_bytes_follow(struct cq_segment_bytes *p, struct cq_record_start *place)
{
	struct cq_walk walk = cq_walk_mapped(&p->mapped.map, place->offset);
	struct cq_record_at record;
	int r;

	while ((r = cq_walk_next(&walk, &record)) == 1)
		cq_record_start_pass(p, place, &record);
	place->offset = walk.offset;
	return r;
}
