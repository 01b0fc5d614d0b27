/* SPDX-License-Identifier: Apache-2.0 */
/*
 * format.h - every byte on disk
 *
 * The layouts are chronicle-rs's in its newest form: segment version 2 (version 1 differs in the record
 * version alone), control version 3, index version 1.  A field marked "ours" uses bytes that chronicle-rs
 * reserves, writes as zero and ignores; the mark names the version of chronfs that added it.  durable.meta
 * is ours as a whole.  All other fields are chronicle-rs's.  docs/format.md explains all of it and must
 * change with this file; test_format compares the two.
 *
 * All integers are little endian; the structures are naturally aligned, so they are used in place.
 */
#ifndef CQ_FORMAT_H
#define CQ_FORMAT_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the format is little endian");

/* The layout of a structure, held against docs/format.md. */
#define CQ_SIZE(type, size) static_assert(sizeof(struct type) == (size), #type)
#define CQ_AT(type, field, offset) \
	static_assert(offsetof(struct type, field) == (offset), #type "." #field)

/* ---- names in the queue directory ---- */

#define CQ_SEGMENT_NAME "%09u.q"                  /* published segment */
#define CQ_SEGMENT_TEMP "%09u.q.tmp"              /* being prepared by the preparer */
#define CQ_SEGMENT_TEMP_FALLBACK "%09u.q.new.tmp" /* ours: being prepared by the appending thread */
#define CQ_SEGMENT_BROKEN "%09u.q.broken" /* ours: bytes that recovery removed, at their offsets */
#define CQ_SEGMENT_CORRUPT "%09u.q.corrupt" /* ours: a damaged segment, set aside whole */
#define CQ_INDEX_NAME "%09u.idx"
#define CQ_INDEX_TEMP "%09u.idx.tmp" /* ours */
#define CQ_NAME_MAX 32               /* room for any of these */

#define CQ_CONTROL_NAME "control.meta"
#define CQ_CONTROL_TEMP "control.tmp"
#define CQ_POSITION_NAME "index.meta"
#define CQ_DURABLE_NAME "durable.meta"   /* ours */
#define CQ_IDENTITY_NAME "identity.meta" /* ours */
#define CQ_IDENTITY_TEMP "identity.tmp"  /* ours */
#define CQ_LOCK_NAME "writer.lock"
#define CQ_READERS_DIR "readers"
#define CQ_READER_SUFFIX ".meta"

/* ---- segment: NNNNNNNNN.q ---- */

#define CQ_ALIGN 64U /* records start at multiples of it */
#define CQ_SEGMENT_MAGIC 0x53454730U
#define CQ_SEGMENT_VERSION 2U
#define CQ_SEGMENT_VERSION_1 1U
#define CQ_SEALED 1U              /* flag: no record will follow */
#define CQ_FORMAT_SIZE_MIN 128ULL /* smallest and largest segment that is opened */
#define CQ_FORMAT_SIZE_MAX ((4ULL << 30) - 64)

struct cq_segment_header {
	uint32_t magic;   /* CQ_SEGMENT_MAGIC */
	uint32_t version; /* CQ_SEGMENT_VERSION, or CQ_SEGMENT_VERSION_1 in older queues */
	uint32_t id;      /* as in the file's name */
	uint32_t flags;   /* CQ_SEALED or 0; stored last (release) */

	/* ours, 0.1.0: all zero until the writer takes the segment; the last three are zero until it
	 * seals the segment */
	uint32_t ext;           /* 1: the following fields are filled */
	uint32_t ext_crc;       /* CRC-32 of bytes 24 to 63 */
	uint64_t stream_base;   /* payload bytes of the queue before this segment */
	uint64_t first_seq;     /* of the first record that it holds or will hold */
	uint64_t records;       /* number of records */
	uint64_t used;          /* offset behind the last record */
	uint64_t payload_bytes; /* sum of payload lengths */
};
CQ_SIZE(cq_segment_header, 64);
CQ_AT(cq_segment_header, magic, 0);
CQ_AT(cq_segment_header, version, 4);
CQ_AT(cq_segment_header, id, 8);
CQ_AT(cq_segment_header, flags, 12);
CQ_AT(cq_segment_header, ext, 16);
CQ_AT(cq_segment_header, ext_crc, 20);
CQ_AT(cq_segment_header, stream_base, 24);
CQ_AT(cq_segment_header, first_seq, 32);
CQ_AT(cq_segment_header, records, 40);
CQ_AT(cq_segment_header, used, 48);
CQ_AT(cq_segment_header, payload_bytes, 56);

/* ---- record ---- */

#define CQ_RECORD_VERSION 1U /* 0 in segments of version 1 */
/* Of sequence numbers and stream offsets: a segment's worth added to it does not overflow. */
#define CQ_COUNT_MAX (1ULL << 62)
#define CQ_EPOCH_HINT_MAX 0x7FFFFFFFU /* a higher epoch in control.meta is not trusted */
#define CQ_TYPE_PAD 0xFFFFU           /* readers skip it; payload not checked; counts nowhere */

struct cq_record_header {
	uint32_t commit; /* 0: no record (yet); else payload length + 1, stored last (release) */
	uint8_t version; /* CQ_RECORD_VERSION, or 0 */
	uint8_t reserved0[3];
	uint64_t seq;         /* sequence number */
	uint64_t time_ns;     /* of the append */
	uint16_t type;        /* the user's, or CQ_TYPE_PAD */
	uint16_t flags;       /* 0 */
	uint32_t payload_crc; /* CRC-32 of the payload */

	/* ours, 0.1.0 */
	uint32_t ext;        /* 1: the following fields are filled; 0 in records by chronicle-rs */
	uint32_t header_crc; /* CRC-32 of the 64 bytes with the final commit and header_crc zero */
	uint64_t stream_offset; /* of the first payload byte in the queue's stream */
	uint32_t epoch;         /* the writer's, low 32 bits */
	uint8_t reserved1[12];  /* zero; covered by header_crc */
};
CQ_SIZE(cq_record_header, 64);
CQ_AT(cq_record_header, commit, 0);
CQ_AT(cq_record_header, version, 4);
CQ_AT(cq_record_header, reserved0, 5);
CQ_AT(cq_record_header, seq, 8);
CQ_AT(cq_record_header, time_ns, 16);
CQ_AT(cq_record_header, type, 24);
CQ_AT(cq_record_header, flags, 26);
CQ_AT(cq_record_header, payload_crc, 28);
CQ_AT(cq_record_header, ext, 32);
CQ_AT(cq_record_header, header_crc, 36);
CQ_AT(cq_record_header, stream_offset, 40);
CQ_AT(cq_record_header, epoch, 48);
CQ_AT(cq_record_header, reserved1, 52);

/* ---- control.meta ---- */

#define CQ_CONTROL_MAGIC 0x4348524EU
#define CQ_CONTROL_VERSION 3U
#define CQ_CONTROL_READY 2U
#define CQ_BOOT_ID_SIZE 16U

#define CQ_CONTROL_LANDMARKS 12U

/* Each 128-byte line has one kind of user: geometry, position, progress, wake-up. */
struct cq_control_page {
	uint32_t magic;      /* CQ_CONTROL_MAGIC */
	uint32_t version;    /* CQ_CONTROL_VERSION */
	uint32_t init_state; /* 0 none, 1 being filled, CQ_CONTROL_READY */
	uint32_t reserved0;
	uint64_t epoch;                   /* + 1 with each opening for writing, from 1 */
	uint64_t segment_size;            /* the queue's geometry */
	uint8_t boot_id[CQ_BOOT_ID_SIZE]; /* ours, 0.1.0: the machine's when the writer had opened
	                                   * the queue; all zero: not known */
	uint8_t reserved1[80];

	uint32_t segment_gen;     /* sequence lock of current_segment and write_offset: odd while
	                           * they change */
	uint32_t current_segment; /* the one that the writer appends to */
	uint8_t reserved2[120];

	uint64_t write_offset; /* of the next record */
	uint64_t heartbeat_ns; /* the writer's last sign of life */
	/* ours, 0.2.0: places of records in a segment, for seeks in it while it has no index (meta/control.h) */
	uint32_t landmarks_of; /* the segment's id + 1; 0: there are none */
	uint32_t reserved3;
	uint64_t landmarks[CQ_CONTROL_LANDMARKS]; /* offset << 32 | low 32 bits of seq; 0: none */
	uint8_t reserved5[8];

	uint32_t notify_seq; /* futex word: + 1 with each commit, roll and opening for writing */
	uint32_t waiters;    /* readers that sleep or are about to */
	uint64_t arrivals; /* ours, 0.1.0: + 1 each time a reader begins to wait (meta/control.c) */
	uint32_t
		flushes; /* ours, 0.2.0: futex word: + 1 after each flush that has moved the watermark */
	uint8_t reserved4[108];
};
CQ_SIZE(cq_control_page, 512);
CQ_AT(cq_control_page, magic, 0);
CQ_AT(cq_control_page, version, 4);
CQ_AT(cq_control_page, init_state, 8);
CQ_AT(cq_control_page, epoch, 16);
CQ_AT(cq_control_page, segment_size, 24);
CQ_AT(cq_control_page, boot_id, 32);
CQ_AT(cq_control_page, segment_gen, 128);
CQ_AT(cq_control_page, current_segment, 132);
CQ_AT(cq_control_page, write_offset, 256);
CQ_AT(cq_control_page, heartbeat_ns, 264);
CQ_AT(cq_control_page, landmarks_of, 272);
CQ_AT(cq_control_page, landmarks, 280);
CQ_AT(cq_control_page, notify_seq, 384);
CQ_AT(cq_control_page, waiters, 388);
CQ_AT(cq_control_page, arrivals, 392);
CQ_AT(cq_control_page, flushes, 400);

/* ---- index.meta: the writer's position when it last opened or closed the queue ---- */

struct cq_position_file {
	uint64_t current_segment;
	uint64_t write_offset;
};
CQ_SIZE(cq_position_file, 16);
CQ_AT(cq_position_file, current_segment, 0);
CQ_AT(cq_position_file, write_offset, 8);

/* ---- durable.meta (ours, 0.1.0): two slots of the watermark, and a listing ---- */

struct cq_watermark_slot {
	uint64_t segment; /* the place up to which all records are on stable storage */
	uint64_t offset;
	uint64_t seq;        /* next sequence number at that place */
	uint32_t epoch;      /* the writer's */
	uint32_t generation; /* the valid slot with the higher one counts (serial arithmetic) */
	uint32_t crc;        /* CRC-32 of bytes 0 to 31 */
	uint32_t reserved;
};
CQ_SIZE(cq_watermark_slot, 40);
CQ_AT(cq_watermark_slot, segment, 0);
CQ_AT(cq_watermark_slot, offset, 8);
CQ_AT(cq_watermark_slot, seq, 16);
CQ_AT(cq_watermark_slot, epoch, 24);
CQ_AT(cq_watermark_slot, generation, 28);
CQ_AT(cq_watermark_slot, crc, 32);
CQ_AT(cq_watermark_slot, reserved, 36);

/* Behind the slots: which segments there were when a writer closed the queue (files/listing.c). */
struct cq_listing_record {
	uint8_t boot_id[CQ_BOOT_ID_SIZE]; /* the machine's */
	uint64_t device;                  /* of the queue's directory: st_dev, st_ino */
	uint64_t inode;
	uint64_t changed_ns; /* st_ctim of the directory; 0: the record says nothing */
	uint32_t oldest;     /* each id from this one to `newest` has a segment, and no other has */
	uint32_t newest;
	uint32_t crc; /* CRC-32 of bytes 0 to 47 */
	uint32_t reserved;
};
CQ_SIZE(cq_listing_record, 56);
CQ_AT(cq_listing_record, boot_id, 0);
CQ_AT(cq_listing_record, device, 16);
CQ_AT(cq_listing_record, inode, 24);
CQ_AT(cq_listing_record, changed_ns, 32);
CQ_AT(cq_listing_record, oldest, 40);
CQ_AT(cq_listing_record, newest, 44);
CQ_AT(cq_listing_record, crc, 48);
CQ_AT(cq_listing_record, reserved, 52);

struct cq_durable_file {
	struct cq_watermark_slot slots[2];
	struct cq_listing_record listing;
};
CQ_SIZE(cq_durable_file, 136);
CQ_AT(cq_durable_file, slots, 0);
CQ_AT(cq_durable_file, listing, 80);

/* ---- identity.meta (ours, 0.2.0): which queue this is ---- */

#define CQ_IDENTITY_MAGIC 0x44495143U /* "CQID" in the file */
#define CQ_IDENTITY_VERSION 1U

struct cq_identity_file {
	uint32_t magic;   /* CQ_IDENTITY_MAGIC */
	uint32_t version; /* CQ_IDENTITY_VERSION */
	uint8_t id[16];   /* random; not all zero */
	uint8_t source
		[16]; /* the identity of the queue of which this one is a replica; all zero: of none */
	uint32_t crc; /* CRC-32 of bytes 0 to 39 */
	uint32_t
		settled; /* 1: the file's name is on the disk, so the identity may be given to others */
};
CQ_SIZE(cq_identity_file, 48);
CQ_AT(cq_identity_file, magic, 0);
CQ_AT(cq_identity_file, version, 4);
CQ_AT(cq_identity_file, id, 8);
CQ_AT(cq_identity_file, source, 24);
CQ_AT(cq_identity_file, crc, 40);
CQ_AT(cq_identity_file, settled, 44);

/* ---- readers/NAME.meta: two slots of the committed position ---- */

struct cq_reader_slot {
	uint64_t segment; /* the place of the next record to read */
	uint64_t offset;
	uint64_t heartbeat_ns; /* the reader's last sign of life */
	uint64_t generation; /* + 1 with each write, which goes to slot generation mod 2; the valid
	                        * slot with the higher one counts */
	uint32_t crc;        /* CRC-32 of bytes 0 to 31 */
	uint32_t reserved;
};
CQ_SIZE(cq_reader_slot, 40);
CQ_AT(cq_reader_slot, segment, 0);
CQ_AT(cq_reader_slot, offset, 8);
CQ_AT(cq_reader_slot, heartbeat_ns, 16);
CQ_AT(cq_reader_slot, generation, 24);
CQ_AT(cq_reader_slot, crc, 32);
CQ_AT(cq_reader_slot, reserved, 36);

/* ---- index: NNNNNNNNN.idx ---- */

#define CQ_INDEX_MAGIC "CHRIDX1" /* and its terminating zero: 8 bytes */
#define CQ_INDEX_VERSION 1U
#define CQ_INDEX_STRIDE 4096U /* records per entry */
#define CQ_INDEX_PARTIAL 1U   /* flag: covers only the records that its writer itself appended */

struct cq_index_header {
	char magic[8]; /* CQ_INDEX_MAGIC */
	uint16_t version;
	uint16_t header_length; /* 80 */
	uint32_t flags;         /* CQ_INDEX_PARTIAL or 0 */
	uint64_t segment;       /* id */
	uint64_t segment_size;
	uint32_t data_offset; /* of the first record in the segment */
	uint32_t stride;      /* CQ_INDEX_STRIDE */
	uint64_t min_seq;
	uint64_t max_seq;
	uint64_t min_time_ns;
	uint64_t max_time_ns;
	uint64_t entries; /* that follow the header */
};
CQ_SIZE(cq_index_header, 80);
CQ_AT(cq_index_header, magic, 0);
CQ_AT(cq_index_header, version, 8);
CQ_AT(cq_index_header, header_length, 10);
CQ_AT(cq_index_header, flags, 12);
CQ_AT(cq_index_header, segment, 16);
CQ_AT(cq_index_header, segment_size, 24);
CQ_AT(cq_index_header, data_offset, 32);
CQ_AT(cq_index_header, stride, 36);
CQ_AT(cq_index_header, min_seq, 40);
CQ_AT(cq_index_header, max_seq, 48);
CQ_AT(cq_index_header, min_time_ns, 56);
CQ_AT(cq_index_header, max_time_ns, 64);
CQ_AT(cq_index_header, entries, 72);

struct cq_index_entry {
	uint64_t seq; /* of the record at `offset` */
	uint64_t time_ns;
	uint64_t offset;
};
CQ_SIZE(cq_index_entry, 24);
CQ_AT(cq_index_entry, seq, 0);
CQ_AT(cq_index_entry, time_ns, 8);
CQ_AT(cq_index_entry, offset, 16);

#endif
