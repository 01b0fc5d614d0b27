/* SPDX-License-Identifier: Apache-2.0 */
/*
 * format.h - every byte on disk
 *
 * The layout of segments, records, control.meta, index.meta, writer.lock, readers/NAME.meta and
 * NNNNNNNNN.idx is chronicle-rs's (segment versions 1 and 2, control version 3).  What is marked
 * "ours" lives in bytes that it reserves, writes as zero and ignores.  docs/format.md explains all
 * of it and must change with this file.
 *
 * All integers are little endian; the structures are naturally aligned, so they are used in place.
 */
#ifndef CQ_FORMAT_H
#define CQ_FORMAT_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the format is little endian");

/* ---- names in the queue directory ---- */

#define CQ_SEGMENT_NAME "%09u.q"                  /* published segment */
#define CQ_SEGMENT_TEMP "%09u.q.tmp"              /* being prepared by the worker */
#define CQ_SEGMENT_TEMP_FALLBACK "%09u.q.new.tmp" /* being prepared by the appending thread */
#define CQ_SEGMENT_BROKEN "%09u.q.broken"   /* bytes that recovery removed, at their offsets */
#define CQ_SEGMENT_CORRUPT "%09u.q.corrupt" /* a damaged segment, set aside whole */
#define CQ_INDEX_NAME "%09u.idx"
#define CQ_INDEX_TEMP "%09u.idx.tmp"
#define CQ_NAME_MAX 32 /* room for any of these */

#define CQ_CONTROL_NAME "control.meta"
#define CQ_CONTROL_TEMP "control.tmp"
#define CQ_POSITION_NAME "index.meta"
#define CQ_DURABLE_NAME "durable.meta" /* ours */
#define CQ_LOCK_NAME "writer.lock"
#define CQ_READERS_DIR "readers"
#define CQ_READER_SUFFIX ".meta"

/* ---- segment ---- */

#define CQ_ALIGN 64U /* records start at multiples of it */
#define CQ_SEGMENT_MAGIC 0x53454730U
#define CQ_SEGMENT_VERSION 2U
#define CQ_SEGMENT_VERSION_1 1U
#define CQ_SEALED 1U              /* flag: no record will follow */
#define CQ_FORMAT_SIZE_MIN 128ULL /* smallest and largest segment that is opened */
#define CQ_FORMAT_SIZE_MAX ((4ULL << 30) - 64)

struct cq_segment_header {
	uint32_t magic;
	uint32_t version;
	uint32_t id;
	uint32_t flags;
	/* ours: valid when ext is 1 and ext_crc is the CRC-32 of bytes 24 to 63.  All zero until the
	 * writer takes the segment; records, used and payload_bytes are zero until it seals it. */
	uint32_t ext;
	uint32_t ext_crc;
	uint64_t stream_base;
	uint64_t first_seq;
	uint64_t records;
	uint64_t used;
	uint64_t payload_bytes;
};
static_assert(sizeof(struct cq_segment_header) == 64, "segment header");
static_assert(offsetof(struct cq_segment_header, magic) == 0, "segment header");
static_assert(offsetof(struct cq_segment_header, version) == 4, "segment header");
static_assert(offsetof(struct cq_segment_header, id) == 8, "segment header");
static_assert(offsetof(struct cq_segment_header, flags) == 12, "segment header");
static_assert(offsetof(struct cq_segment_header, ext) == 16, "segment header");
static_assert(offsetof(struct cq_segment_header, ext_crc) == 20, "segment header");
static_assert(offsetof(struct cq_segment_header, stream_base) == 24, "segment header");
static_assert(offsetof(struct cq_segment_header, first_seq) == 32, "segment header");
static_assert(offsetof(struct cq_segment_header, records) == 40, "segment header");
static_assert(offsetof(struct cq_segment_header, used) == 48, "segment header");
static_assert(offsetof(struct cq_segment_header, payload_bytes) == 56, "segment header");

/* ---- record ---- */

#define CQ_RECORD_VERSION 1U /* 0 in segments of version 1 */
#define CQ_COUNT_MAX \
	(1ULL << 62)                  /* of sequence numbers and stream positions: adding what a
                                               * segment can hold never overflows */
#define CQ_EPOCH_HINT_MAX 0x7FFFFFFFU /* control.meta is not believed to know a higher one */
#define CQ_TYPE_PAD 0xFFFFU           /* skip; payload not checked; counts nowhere */

struct cq_record_header {
	uint32_t commit; /* 0: nothing here (yet); else payload length + 1, stored last (release) */
	uint8_t version;
	uint8_t reserved0[3];
	uint64_t seq;
	uint64_t time_ns;
	uint16_t type;
	uint16_t flags;
	uint32_t payload_crc;
	/* ours: valid when ext is 1 and header_crc is the CRC-32 of the 64 bytes with header_crc zero
	 * and commit as it will be */
	uint32_t ext;
	uint32_t header_crc;
	uint64_t stream_offset;
	uint32_t epoch;
	uint8_t reserved1[12];
};
static_assert(sizeof(struct cq_record_header) == 64, "record header");
static_assert(offsetof(struct cq_record_header, commit) == 0, "record header");
static_assert(offsetof(struct cq_record_header, version) == 4, "record header");
static_assert(offsetof(struct cq_record_header, seq) == 8, "record header");
static_assert(offsetof(struct cq_record_header, time_ns) == 16, "record header");
static_assert(offsetof(struct cq_record_header, type) == 24, "record header");
static_assert(offsetof(struct cq_record_header, flags) == 26, "record header");
static_assert(offsetof(struct cq_record_header, payload_crc) == 28, "record header");
static_assert(offsetof(struct cq_record_header, ext) == 32, "record header");
static_assert(offsetof(struct cq_record_header, header_crc) == 36, "record header");
static_assert(offsetof(struct cq_record_header, stream_offset) == 40, "record header");
static_assert(offsetof(struct cq_record_header, epoch) == 48, "record header");
static_assert(offsetof(struct cq_record_header, reserved1) == 52, "record header");

/* ---- control.meta ---- */

#define CQ_CONTROL_MAGIC 0x4348524EU
#define CQ_CONTROL_VERSION 3U
#define CQ_CONTROL_READY 2U
#define CQ_BOOT_ID_SIZE 16U

/* Each 128-byte line has one kind of user: geometry, position, progress, wake-up. */
struct cq_control_page {
	uint32_t magic;
	uint32_t version;
	uint32_t init_state; /* 0 none, 1 initialising, 2 ready */
	uint32_t reserved0;
	uint64_t epoch;
	uint64_t segment_size;
	/* ours: the kernel's boot_id when the writer had opened the queue; all zero: not known */
	uint8_t boot_id[CQ_BOOT_ID_SIZE];
	uint8_t reserved1[80];
	uint32_t
		segment_gen; /* seqlock over current_segment and write_offset: odd while they change */
	uint32_t current_segment;
	uint8_t reserved2[120];
	uint64_t write_offset;
	uint64_t heartbeat_ns;
	uint8_t reserved3[112];
	uint32_t notify_seq; /* futex word: +1 per commit and per roll */
	uint32_t waiters;
	/* ours, added in 0.1.0: + 1 each time a reader begins to wait.  A writer that finds it unchanged
	 * since a wake-up that woke nobody knows that none of these readers sleeps. */
	uint64_t arrivals;
	uint8_t reserved4[112];
};
static_assert(sizeof(struct cq_control_page) == 512, "control.meta");
static_assert(offsetof(struct cq_control_page, init_state) == 8, "control.meta");
static_assert(offsetof(struct cq_control_page, epoch) == 16, "control.meta");
static_assert(offsetof(struct cq_control_page, segment_size) == 24, "control.meta");
static_assert(offsetof(struct cq_control_page, boot_id) == 32, "control.meta");
static_assert(offsetof(struct cq_control_page, segment_gen) == 128, "control.meta");
static_assert(offsetof(struct cq_control_page, current_segment) == 132, "control.meta");
static_assert(offsetof(struct cq_control_page, write_offset) == 256, "control.meta");
static_assert(offsetof(struct cq_control_page, heartbeat_ns) == 264, "control.meta");
static_assert(offsetof(struct cq_control_page, notify_seq) == 384, "control.meta");
static_assert(offsetof(struct cq_control_page, waiters) == 388, "control.meta");
static_assert(offsetof(struct cq_control_page, arrivals) == 392, "control.meta");

/* ---- index.meta: where the writer stands, for chronicle-rs's writer ---- */

struct cq_position_file {
	uint64_t current_segment;
	uint64_t write_offset;
};
static_assert(sizeof(struct cq_position_file) == 16, "index.meta");

/* ---- durable.meta (ours): how far the queue is known to be on stable storage ---- */

struct cq_watermark_slot {
	uint64_t segment;
	uint64_t offset;
	uint64_t seq; /* next sequence number at that point */
	uint32_t epoch;
	uint32_t generation; /* the valid slot with the higher one counts (serial arithmetic) */
	uint32_t crc;        /* CRC-32 of bytes 0 to 31 */
	uint32_t reserved;
};
static_assert(sizeof(struct cq_watermark_slot) == 40, "durable.meta");
static_assert(offsetof(struct cq_watermark_slot, crc) == 32, "durable.meta");

/* ---- readers/NAME.meta ---- */

struct cq_reader_slot {
	uint64_t segment;
	uint64_t offset;
	uint64_t heartbeat_ns;
	uint64_t generation; /* written to slot generation mod 2; the higher valid one counts */
	uint32_t crc;        /* CRC-32 of bytes 0 to 31 */
	uint32_t reserved;
};
static_assert(sizeof(struct cq_reader_slot) == 40, "readers/NAME.meta");
static_assert(offsetof(struct cq_reader_slot, crc) == 32, "readers/NAME.meta");

/* ---- NNNNNNNNN.idx ---- */

#define CQ_INDEX_MAGIC "CHRIDX1" /* and its terminating zero: 8 bytes */
#define CQ_INDEX_VERSION 1U
#define CQ_INDEX_STRIDE 4096U /* records per entry */
#define CQ_INDEX_PARTIAL 1U   /* flag: covers only what its writer's own run appended */

struct cq_index_header {
	char magic[8];
	uint16_t version;
	uint16_t header_length;
	uint32_t flags;
	uint64_t segment;
	uint64_t segment_size;
	uint32_t data_offset;
	uint32_t stride;
	uint64_t min_seq;
	uint64_t max_seq;
	uint64_t min_time_ns;
	uint64_t max_time_ns;
	uint64_t entries;
};
static_assert(sizeof(struct cq_index_header) == 80, "index header");
static_assert(offsetof(struct cq_index_header, segment) == 16, "index header");
static_assert(offsetof(struct cq_index_header, data_offset) == 32, "index header");
static_assert(offsetof(struct cq_index_header, min_seq) == 40, "index header");
static_assert(offsetof(struct cq_index_header, entries) == 72, "index header");

struct cq_index_entry {
	uint64_t seq;
	uint64_t time_ns;
	uint64_t offset;
};
static_assert(sizeof(struct cq_index_entry) == 24, "index entry");

#endif
