/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record.h - put and get one record in mapped memory; the only atomics on mapped records
 *
 * The commit word is the commit: everything else of a record is stored before its release store,
 * and a reader loads it with acquire before anything else.  A stored commit word never changes.
 */
#ifndef CQ_RECORD_H
#define CQ_RECORD_H

#include <errno.h>
#include <libdeflate.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "format/format.h"
#include "os/fault.h"

static inline uint32_t cq_crc32(uint32_t crc, const void *data, size_t length)
{
	return libdeflate_crc32(crc, data, length);
}

/* Copies, and goes on with the checksum of what was stored in `to` (the owner of `from` may be
 * changing it): in pieces that stay in the cache until their checksum is taken. */
static inline uint32_t cq_crc32_copy(uint32_t crc, void *to, const void *from, size_t length)
{
	const size_t piece = 32U << 10;

	for (size_t done = 0, n; done < length; done += n) {
		n = length - done < piece ? length - done : piece;
		memcpy((uint8_t *)to + done, (const uint8_t *)from + done, n);
		crc = cq_crc32(crc, (const uint8_t *)to + done, n);
	}
	return crc;
}

/* Bytes that a record with this payload takes. */
static inline uint64_t cq_record_span(uint64_t payload_length)
{
	return (sizeof(struct cq_record_header) + payload_length + CQ_ALIGN - 1) &
	       ~(uint64_t)(CQ_ALIGN - 1);
}

/* The largest payload that fits into a segment of this size. */
static inline uint64_t cq_record_max_payload(uint64_t segment_size)
{
	return segment_size - sizeof(struct cq_segment_header) - sizeof(struct cq_record_header);
}

static inline uint32_t cq_commit_load(const uint8_t *at)
{
	const struct cq_record_header *h = (const struct cq_record_header *)(const void *)at;

	return __atomic_load_n(&h->commit, __ATOMIC_ACQUIRE);
}

static inline void cq_commit_store(uint8_t *at, uint32_t commit)
{
	struct cq_record_header *h = (struct cq_record_header *)(void *)at;

	__atomic_store_n(&h->commit, commit, __ATOMIC_RELEASE);
}

/* CRC over the header as it will be once committed. */
static inline uint32_t cq_record_header_crc(const struct cq_record_header *header, uint32_t commit)
{
	struct cq_record_header h = *header;

	h.commit = commit;
	h.header_crc = 0;
	return cq_crc32(0, &h, sizeof h);
}

/* How a committed record at `offset` of a segment of `size` bytes looks. */
enum cq_record_state {
	CQ_RECORD_OK,
	CQ_RECORD_BOUNDS,  /* its length leads out of the segment */
	CQ_RECORD_HEADER,  /* header CRC, version or reserved bytes are wrong */
	CQ_RECORD_PAYLOAD, /* payload CRC is wrong */
};

/* Bounds and header alone: *header is a copy taken after the acquire load that gave `commit`. */
static inline enum cq_record_state cq_record_check_header(const struct cq_record_header *header,
                                                          uint32_t commit, uint64_t offset,
                                                          uint64_t size)
{
	/* what chronicle-rs writes in our place; one of our own that lost its ext is no such */
	static const uint8_t none[sizeof *header - offsetof(struct cq_record_header, ext)];

	if (cq_record_span((uint64_t)commit - 1) > size - offset && !cq_planted("length_trusted"))
		return CQ_RECORD_BOUNDS;
	if (header->version > CQ_RECORD_VERSION)
		return CQ_RECORD_HEADER;
	if (header->ext == 1 && header->header_crc != cq_record_header_crc(header, commit) &&
	    !cq_planted("header_crc_ignored"))
		return CQ_RECORD_HEADER;
	if (header->ext == 1 &&
	    (header->seq >= CQ_COUNT_MAX || header->stream_offset > CQ_COUNT_MAX))
		return CQ_RECORD_HEADER;
	if (header->ext != 1 && memcmp(&header->ext, none, sizeof none) != 0)
		return CQ_RECORD_HEADER;
	/* no record that was written is all zero: a changed bit where nothing stands would be one,
	 * empty, with the right checksum of nothing */
	if (header->ext != 1 && memcmp(&header->version, none,
	                               offsetof(struct cq_record_header, ext) -
	                                       offsetof(struct cq_record_header, version)) == 0)
		return CQ_RECORD_HEADER;
	return CQ_RECORD_OK;
}

/* Whether a record can begin at this offset of a segment. */
static inline bool cq_record_fits(uint64_t segment_size, uint64_t offset)
{
	return offset <= segment_size - sizeof(struct cq_record_header);
}

/*
 * Looks for a record at this offset, a multiple of 64, of a mapped segment.  1 with a copy of its header
 * when that is sound (its payload is not looked at); 0: none is there (yet), or there is no room for one;
 * -EIO: it is damaged, and *ret_state says how.  *header is where the copy is made, whatever comes of it.
 */
static inline int cq_record_load(const uint8_t *base, uint64_t size, uint64_t offset,
                                 struct cq_record_header *header, enum cq_record_state *ret_state)
{
	uint32_t commit;

	if (!cq_record_fits(size, offset))
		return 0;
	commit = cq_commit_load(base + offset);
	if (commit == 0)
		return 0;
	memcpy(header, base + offset, sizeof *header);
	/* a commit word never changes; and a store into the copy would make the checksum wait for it */
	*ret_state = header->commit == commit ? cq_record_check_header(header, commit, offset, size)
	                                      : CQ_RECORD_HEADER;
	return *ret_state == CQ_RECORD_OK ? 1 : -EIO;
}

/* A record, and where it stands. */
struct cq_record_at {
	struct cq_record_header header; /* a copy */
	uint64_t offset;
	uint64_t length; /* of its payload */
	uint64_t end;    /* offset of what follows */
};

/* The record whose header is there already stands at this offset. */
static inline void cq_record_place(struct cq_record_at *record, uint64_t offset)
{
	record->offset = offset;
	record->length = (uint64_t)record->header.commit - 1;
	record->end = offset + cq_record_span(record->length);
}

/* Segment header flags are shared between processes too. */
static inline uint32_t cq_segment_flags_load(const uint8_t *base)
{
	const struct cq_segment_header *h = (const struct cq_segment_header *)(const void *)base;

	return __atomic_load_n(&h->flags, __ATOMIC_ACQUIRE);
}

static inline uint32_t cq_segment_ext_crc(const struct cq_segment_header *header)
{
	return cq_crc32(0, &header->stream_base,
	                sizeof *header - offsetof(struct cq_segment_header, stream_base));
}

/* With the CRC right, still no more than can be: whoever adds these numbers need not look. */
static inline bool cq_segment_ext_valid(const struct cq_segment_header *header)
{
	return header->ext == 1 && header->ext_crc == cq_segment_ext_crc(header) &&
	       header->stream_base <= CQ_COUNT_MAX && header->first_seq <= CQ_COUNT_MAX &&
	       header->used <= CQ_FORMAT_SIZE_MAX && header->records <= header->used &&
	       header->payload_bytes <= header->used;
}

/* A complete header of segment `id`, sealed or not, of a version that we read. */
static inline bool cq_segment_header_valid(const struct cq_segment_header *header, uint32_t id)
{
	return header->magic == CQ_SEGMENT_MAGIC && header->id == id &&
	       (header->version == CQ_SEGMENT_VERSION || header->version == CQ_SEGMENT_VERSION_1);
}

#endif
