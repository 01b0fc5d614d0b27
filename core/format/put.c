/* SPDX-License-Identifier: Apache-2.0 */
/* put.c - a record's header and payload, and their checksums; see put.h */
#include "format/put.h"

#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "format/record.h"
#include "os/fault.h"

bool cq_put_portable;

static void portable_header(uint8_t *at, uint64_t commit_version, uint64_t seq, uint64_t time_ns,
                            uint64_t type_crc, uint64_t stream_offset, uint32_t epoch)
{
	struct cq_record_header h = {
		.commit = (uint32_t)commit_version,
		.version = (uint8_t)(commit_version >> 32),
		.seq = seq,
		.time_ns = time_ns,
		.type = (uint16_t)type_crc,
		.payload_crc = (uint32_t)(type_crc >> 32),
		.ext = 1,
		.stream_offset = stream_offset,
		.epoch = epoch,
	};

	h.header_crc = cq_crc32(0, &h, sizeof h);
	memcpy(at + sizeof h.commit, (const uint8_t *)&h + sizeof h.commit,
	       sizeof h - sizeof h.commit);
}

static uint32_t portable_header_crc(const struct cq_record_header *header, uint32_t commit)
{
	struct cq_record_header h = *header;

	h.commit = commit;
	h.header_crc = 0;
	return cq_crc32(0, &h, sizeof h);
}

#if defined(__x86_64__)
#define FAST __attribute__((target("pclmul,ssse3")))

FAST static inline __m128i load(const uint8_t *from)
{
	return _mm_loadu_si128((const __m128i *)(const void *)from);
}

/* Multiplies by x^n modulo the polynomial of CRC-32 (bits reflected), where the two constants are
 * x^(n + 32) and x^(n - 32). */
FAST static inline __m128i shift_by(__m128i word, __m128i constants)
{
	return _mm_xor_si128(_mm_clmulepi64_si128(word, constants, 0x00),
	                     _mm_clmulepi64_si128(word, constants, 0x11));
}

#define SHIFT_128 _mm_set_epi64x(0x0ccaa009e, 0x1751997d0)
#define SHIFT_256 _mm_set_epi64x(0x15a546366, 0x0f1da05aa)
#define SHIFT_288 _mm_set_epi64x(0x1dac4fb5c, 0x14e01d2d4)
#define SHIFT_384 _mm_set_epi64x(0x174359406, 0x03db1ecdc)

/* The remainder of 128 bits, by Barrett's method; inverted, as a CRC-32 is. */
FAST static inline uint32_t reduce(__m128i word)
{
	const __m128i low32 = _mm_set_epi32(0, 0, 0, -1);
	const __m128i by64 = _mm_set_epi64x(0, 0x163cd6124);
	const __m128i barrett = _mm_set_epi64x(0x1f7011641, 0x1db710641);
	__m128i folded, quotient;

	folded =
		_mm_xor_si128(_mm_srli_si128(word, 8), _mm_clmulepi64_si128(SHIFT_128, word, 0x01));
	folded = _mm_xor_si128(_mm_srli_si128(folded, 4),
	                       _mm_clmulepi64_si128(_mm_and_si128(folded, low32), by64, 0x00));
	quotient = _mm_clmulepi64_si128(_mm_and_si128(folded, low32), barrett, 0x10);
	folded = _mm_xor_si128(folded,
	                       _mm_clmulepi64_si128(_mm_and_si128(quotient, low32), barrett, 0x00));
	return ~(uint32_t)_mm_cvtsi128_si32(_mm_srli_si128(folded, 4));
}

/* Of four words in a row.  Its steps wait for no other record's, so that several records overlap. */
FAST static inline uint32_t sum_of_header(__m128i w0, __m128i w1, __m128i w2, __m128i w3)
{
	const __m128i start = _mm_set_epi32(0, 0, 0, -1);

	return reduce(_mm_xor_si128(_mm_xor_si128(shift_by(_mm_xor_si128(w0, start), SHIFT_384),
	                                          shift_by(w1, SHIFT_256)),
	                            _mm_xor_si128(shift_by(w2, SHIFT_128), w3)));
}

/* The checksum of a header.  `more` is added to the sum. */
FAST static inline uint32_t sum_fields(uint64_t commit_version, uint64_t seq, uint64_t time_ns,
                                       uint64_t type_crc, uint64_t stream_offset, uint32_t epoch,
                                       __m128i more)
{
	return sum_of_header(_mm_set_epi64x((int64_t)seq, (int64_t)commit_version),
	                     _mm_set_epi64x((int64_t)type_crc, (int64_t)time_ns),
	                     _mm_set_epi64x((int64_t)stream_offset, 1),
	                     _mm_xor_si128(_mm_set_epi64x(0, epoch), more));
}

FAST static inline void store_header(uint8_t *at, uint64_t commit_version, uint64_t seq,
                                     uint64_t time_ns, uint64_t type_crc, uint64_t stream_offset,
                                     uint32_t epoch, uint32_t crc)
{
	const uint32_t version = (uint32_t)(commit_version >> 32);

	memcpy(at + 4, &version, sizeof version);
	memcpy(at + 8, &seq, sizeof seq);
	_mm_storeu_si128((__m128i *)(void *)(at + 16),
	                 _mm_set_epi64x((int64_t)type_crc, (int64_t)time_ns));
	_mm_storeu_si128(
		(__m128i *)(void *)(at + 32),
		_mm_set_epi64x((int64_t)stream_offset, (int64_t)((uint64_t)crc << 32 | 1)));
	_mm_storeu_si128((__m128i *)(void *)(at + 48), _mm_set_epi64x(0, epoch));
}

FAST static void fast_header(uint8_t *at, uint64_t commit_version, uint64_t seq, uint64_t time_ns,
                             uint64_t type_crc, uint64_t stream_offset, uint32_t epoch)
{
	const uint32_t crc = sum_fields(commit_version, seq, time_ns, type_crc, stream_offset,
	                                epoch, _mm_setzero_si128());

	store_header(at, commit_version, seq, time_ns, type_crc, stream_offset, epoch, crc);
}

FAST static uint32_t fast_header_crc(const struct cq_record_header *header, uint32_t commit)
{
	const uint8_t *from = (const uint8_t *)header;
	const __m128i all_but_first = _mm_set_epi32(-1, -1, -1, 0);
	const __m128i all_but_second = _mm_set_epi32(-1, -1, 0, -1);
	const __m128i w0 = _mm_or_si128(_mm_and_si128(load(from), all_but_first),
	                                _mm_cvtsi32_si128((int)commit));
	/* header_crc is its second quarter */
	const __m128i w2 = _mm_and_si128(load(from + 32), all_but_second);

	return sum_of_header(w0, load(from + 16), w2, load(from + 48));
}

static bool fast(void)
{
	return !cq_put_portable && __builtin_cpu_supports("pclmul") && /* GCOV_EXCL_BR_LINE: both */
	       __builtin_cpu_supports("ssse3");
}

/* libdeflate is faster for longer payloads, and shorter ones fill no word. */
#define FAST_MIN 16U
#define FAST_MAX 256U

/* Copies, and returns the sum that is still to be reduced.  Its first word has leading zero bytes, which change
 * no checksum, so that the others are full. */
FAST static inline __m128i sum_payload(uint8_t *to, const uint8_t *from, size_t length)
{
	static const uint8_t slide[] = { 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128,
		                         128, 128, 128, 128, 128, 0,   1,   2,   3,   4,   5,
		                         6,   7,   8,   9,   10,  11,  12,  13,  14,  15 };
	static const uint8_t start[32] = { 255, 255, 255, 255 };
	const size_t rest = length % 16;
	__m128i word, sum, inverted;

	word = load(from);
	_mm_storeu_si128((__m128i *)(void *)to, word);
	sum = _mm_shuffle_epi8(_mm_xor_si128(word, load(start)), load(slide + rest));
	inverted = load(start + rest); /* those of the first four bytes that are behind this word */
	for (size_t at = rest; at < length; at += 16) {
		word = load(from + at);
		_mm_storeu_si128((__m128i *)(void *)(to + at), word);
		sum = _mm_xor_si128(shift_by(sum, SHIFT_128), _mm_xor_si128(word, inverted));
		inverted = _mm_setzero_si128();
	}
	return sum;
}

FAST static uint32_t fast_payload(uint8_t *to, const uint8_t *from, size_t length)
{
	return reduce(sum_payload(to, from, length));
}

/* The payload's checksum is part of what the header's is a checksum of.  To the header's sum it adds the same
 * as the payload's sum does before it is reduced (times x^32, and inverted: hence the ones), shifted by the
 * 256 bits that follow.  So the two reductions, each a long chain of instructions, run side by side. */
FAST static void fast_record(uint8_t *at, uint64_t commit_version, uint64_t seq, uint64_t time_ns,
                             uint16_t type, uint64_t stream_offset, uint32_t epoch,
                             const uint8_t *payload, size_t length)
{
	const uint64_t ones = (uint64_t)UINT32_MAX << 32;
	const __m128i sum = sum_payload(at + sizeof(struct cq_record_header), payload, length);
	uint32_t payload_crc, crc;

	cq_point("append.payload");
	crc = sum_fields(commit_version, seq, time_ns, type | ones, stream_offset, epoch,
	                 shift_by(sum, SHIFT_288));
	payload_crc = reduce(sum);
	store_header(at, commit_version, seq, time_ns, type | (uint64_t)payload_crc << 32,
	             stream_offset, epoch, crc);
}

static bool fast_for(size_t length)
{
	return length >= FAST_MIN && length <= FAST_MAX && fast();
}
#endif

void cq_put_header(uint8_t *at, uint32_t commit, uint8_t version, uint64_t seq, uint64_t time_ns,
                   uint16_t type, uint32_t payload_crc, uint64_t stream_offset, uint32_t epoch)
{
	const uint64_t commit_version = commit | (uint64_t)version << 32;
	const uint64_t type_crc = type | (uint64_t)payload_crc << 32;

#if defined(__x86_64__)
	if (fast()) {
		fast_header(at, commit_version, seq, time_ns, type_crc, stream_offset, epoch);
		return;
	}
#endif
	portable_header(at, commit_version, seq, time_ns, type_crc, stream_offset, epoch);
}

uint32_t cq_record_header_crc(const struct cq_record_header *header, uint32_t commit)
{
#if defined(__x86_64__)
	if (fast())
		return fast_header_crc(header, commit);
#endif
	return portable_header_crc(header, commit);
}

uint32_t cq_put_payload(uint8_t *to, const void *from, size_t length)
{
#if defined(__x86_64__)
	if (fast_for(length))
		return fast_payload(to, from, length);
#endif
	return cq_crc32_copy(0, to, from, length);
}

void cq_put_record(uint8_t *at, uint8_t version, uint64_t seq, uint64_t time_ns, uint16_t type,
                   uint64_t stream_offset, uint32_t epoch, const void *payload, size_t length)
{
	const uint32_t commit = (uint32_t)length + 1;
	uint32_t payload_crc;

#if defined(__x86_64__)
	if (fast_for(length)) {
		fast_record(at, commit | (uint64_t)version << 32, seq, time_ns, type, stream_offset,
		            epoch, payload, length);
		return;
	}
#endif
	payload_crc = cq_put_payload(at + sizeof(struct cq_record_header), payload, length);
	cq_point("append.payload");
	cq_put_header(at, commit, version, seq, time_ns, type, payload_crc, stream_offset, epoch);
}
