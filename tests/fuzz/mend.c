/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mend.c - mutations that pass the checksums; see fuzz.h
 *
 * A fuzzer alone never finds a right CRC: all its inputs would fail at the first one.  So three of four
 * mutations are followed by a correction of the checksums.  The files consist of numbers, so some mutations
 * set a number to a value that matters.
 */
#include <string.h>

#include "format/record.h"
#include "fuzz.h"

static bool ends_in(const char *name, const char *suffix)
{
	const size_t length = strlen(name), tail = strlen(suffix);

	return length >= tail && strcmp(name + length - tail, suffix) == 0;
}

/* ---- checksums ---- */

static void mend_record(uint8_t *at, uint64_t length)
{
	struct cq_record_header h;

	memcpy(&h, at, sizeof h);
	h.payload_crc = cq_crc32(0, at + sizeof h, length);
	if (h.ext == 1)
		h.header_crc = cq_record_header_crc(&h, h.commit);
	memcpy(at, &h, sizeof h);
}

static void mend_segment(uint8_t *bytes, size_t size)
{
	struct cq_segment_header header;
	uint64_t offset = sizeof header;
	struct cq_record_header h;

	if (size < sizeof header)
		return;
	memcpy(&header, bytes, sizeof header);
	if (header.ext == 1)
		header.ext_crc = cq_segment_ext_crc(&header);
	memcpy(bytes, &header, sizeof header);
	while (offset <= size && size - offset >= sizeof h) {
		memcpy(&h, bytes + offset, sizeof h);
		if (h.commit == 0 || cq_record_span((uint64_t)h.commit - 1) > size - offset)
			break;
		mend_record(bytes + offset, (uint64_t)h.commit - 1);
		offset += cq_record_span((uint64_t)h.commit - 1);
	}
}

/* Of durable.meta and of readers/NAME.meta: 32 bytes, their checksum, 4 more. */
static void mend_slots(uint8_t *bytes, size_t size)
{
	static_assert(offsetof(struct cq_reader_slot, crc) ==
	                      offsetof(struct cq_watermark_slot, crc),
	              "slots are alike");
	const size_t covered = offsetof(struct cq_reader_slot, crc);
	uint32_t crc;

	for (size_t at = 0; size - at >= sizeof(struct cq_reader_slot);
	     at += sizeof(struct cq_reader_slot)) {
		crc = cq_crc32(0, bytes + at, covered);
		memcpy(bytes + at + covered, &crc, sizeof crc);
	}
}

void fuzz_mend(const char *name, uint8_t *bytes, size_t size)
{
	if (ends_in(name, ".q"))
		mend_segment(bytes, size);
	else if (strcmp(name, CQ_DURABLE_NAME) == 0 || strncmp(name, CQ_READERS_DIR "/", 8) == 0)
		mend_slots(bytes, size);
}

/* ---- numbers ---- */

static uint64_t choose_value(unsigned random, size_t size)
{
	const uint64_t values[] = {
		0,
		1,
		2,
		63,
		64,
		65,
		128,
		192,
		4096,
		size,
		size - 1,
		size - 63,
		size - 64,
		size - 65,
		size - 128,
		size + 1,
		0xFFFF,
		CQ_SEGMENT_MAGIC,
		CQ_CONTROL_MAGIC,
		999999999,
		1000000000,
		INT32_MAX,
		UINT32_MAX,
		UINT32_MAX - 1,
		1ULL << 32,
		CQ_FORMAT_SIZE_MAX,
		CQ_FORMAT_SIZE_MAX + 64,
		INT64_MAX,
		1ULL << 63,
		UINT64_MAX,
		UINT64_MAX - 63,
	};

	return values[random % (sizeof values / sizeof values[0])];
}

static void set_number(uint8_t *bytes, size_t size, unsigned random)
{
	static const uint8_t widths[] = { 4, 8, 4, 2 };
	const size_t width = widths[random % 4];
	uint64_t value, old = 0;
	size_t at;

	if (size < width)
		return;
	at = (random >> 2) % (size / width) * width;
	memcpy(&old, bytes + at, width);
	value = choose_value(random >> 14, size);
	if ((random >> 2) % 5 == 0) /* near the present value */
		value = old + (random >> 20) % 5 - 2;
	memcpy(bytes + at, &value, width);
}

size_t fuzz_mutate(const char *name, uint8_t *bytes, size_t size, size_t max_size, unsigned seed)
{
	const unsigned random = (seed ^ 0x9E3779B9U) * 2654435761U;

	if (size > 0 && random >> 28 < 6)
		set_number(bytes, size, random * 747796405U + seed);
	else
		size = LLVMFuzzerMutate(bytes, size, max_size);
	if ((random >> 26 & 3) != 0)
		fuzz_mend(name, bytes, size);
	return size;
}
