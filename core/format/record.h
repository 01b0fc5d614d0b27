/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record.h - put and get one record in mapped memory; the only atomics on mapped records
 *
 * The commit word is the commit: a writer stores everything else of a record before it (release), and a
 * reader loads it before anything else (acquire).  A commit word that is not zero never changes.
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

/* Copies, and continues the checksum with the bytes in `to` (the owner of `from` may be changing those),
 * in pieces that stay in the cache until their checksum is computed. */
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

/* CRC of the header with this commit word (put.c). */
uint32_t cq_record_header_crc(const struct cq_record_header *header, uint32_t commit);

/* The state of a committed record. */
enum cq_record_state {
	CQ_RECORD_OK,
	CQ_RECORD_BOUNDS,  /* it would end behind its segment */
	CQ_RECORD_HEADER,  /* header CRC, version or reserved bytes are wrong */
	CQ_RECORD_PAYLOAD, /* payload CRC is wrong */
};

/* Bounds and header alone: *header is a copy taken after the acquire load that gave `commit`. */
static inline enum cq_record_state cq_record_check_header(const struct cq_record_header *header,
                                                          uint32_t commit, uint64_t offset,
                                                          uint64_t size)
{
	/* chronicle-rs leaves all of our fields zero; a record of ours whose ext is damaged does not */
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
	/* No writer leaves all of this zero.  A changed bit in an unused commit word would otherwise look
	 * like an empty record with the right checksum. */
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
 * Loads the record at this offset, a multiple of 64, of a mapped segment.  Returns 1 with a copy of its
 * header if that is sound (the payload is not checked); 0 if there is none (yet), or no room for one; -EIO
 * if it is damaged, and *ret_state says how.  *header may be overwritten in all cases.
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
	/* compared, not stored into the copy: a store would delay the checksum */
	*ret_state = header->commit == commit ? cq_record_check_header(header, commit, offset, size)
	                                      : CQ_RECORD_HEADER;
	return *ret_state == CQ_RECORD_OK ? 1 : -EIO;
}

/* A record, and where it is. */
struct cq_record_at {
	struct cq_record_header header; /* a copy */
	uint64_t offset;
	uint64_t length; /* of its payload */
	uint64_t end;    /* offset behind it */
};

/* Sets the rest of a record whose header is set. */
static inline void cq_record_place(struct cq_record_at *record, uint64_t offset)
{
	record->offset = offset;
	record->length = (uint64_t)record->header.commit - 1;
	record->end = offset + cq_record_span(record->length);
}

/* Shared between processes, as commit words are. */
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

/* A right CRC is not enough: all numbers are within bounds, so that sums of them do not overflow. */
static inline bool cq_segment_ext_valid(const struct cq_segment_header *header)
{
	return header->ext == 1 && header->ext_crc == cq_segment_ext_crc(header) &&
	       header->stream_base <= CQ_COUNT_MAX && header->first_seq <= CQ_COUNT_MAX &&
	       header->used <= CQ_FORMAT_SIZE_MAX && header->records <= header->used &&
	       header->payload_bytes <= header->used;
}

/* A complete header of segment `id`, sealed or not, of a version that this library reads. */
static inline bool cq_segment_header_valid(const struct cq_segment_header *header, uint32_t id)
{
	return header->magic == CQ_SEGMENT_MAGIC && header->id == id &&
	       (header->version == CQ_SEGMENT_VERSION || header->version == CQ_SEGMENT_VERSION_1);
}

#endif
