/* SPDX-License-Identifier: Apache-2.0 */
/*
 * put.h - stores a record's header and payload, with their checksums
 *
 * What is stored and what is summed are the same registers.  A checksum that loads, in wide words, what was
 * just stored in narrow ones waits until those stores have left the processor's store buffer, behind all
 * older ones that missed the cache; and so no two records overlap.
 *
 * These functions, and cq_record_header_crc(), are two each: one for x86-64 processors with PCLMULQDQ, found
 * at run time, and a portable one on libdeflate.  They store the same bytes and give the same checksums.
 */
#ifndef CQ_PUT_H
#define CQ_PUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Stores the header of a record, with its checksum, except for the commit word: that stays zero, and the
 * caller stores it last. */
void cq_put_header(uint8_t *at, uint32_t commit, uint8_t version, uint64_t seq, uint64_t time_ns,
                   uint16_t type, uint32_t payload_crc, uint64_t stream_offset, uint32_t epoch);

/* Copies a payload and returns its CRC-32, of the bytes in `to`: the owner of `from` may be changing those. */
uint32_t cq_put_payload(uint8_t *to, const void *from, size_t length);

/* Both, for a payload of `length` bytes that is in one piece. */
void cq_put_record(uint8_t *at, uint8_t version, uint64_t seq, uint64_t time_ns, uint16_t type,
                   uint64_t stream_offset, uint32_t epoch, const void *payload, size_t length);

/* For tests: from now on the portable functions, also where there are faster ones. */
extern bool cq_put_portable;

#endif
