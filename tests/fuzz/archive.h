/* SPDX-License-Identifier: Apache-2.0 */
/*
 * archive.h - several named files as one input of a fuzzer
 *
 * A byte of flags, then for each file: a byte, the length of its name; two bytes, its size (little
 * endian); the name; the bytes.  A rest at the end, and files with names that no file of a queue can have,
 * are ignored.
 */
#ifndef CQ_FUZZ_ARCHIVE_H
#define CQ_FUZZ_ARCHIVE_H

#include <stddef.h>
#include <stdint.h>

#include "held.h"

#define ARCHIVE_FILE_MAX 65535U

void archive_unpack(struct held *held, uint8_t *ret_flags, const uint8_t *data, size_t size);

/* Returns the length; 0: it does not fit. */
size_t archive_pack(const struct held *held, uint8_t flags, uint8_t *data, size_t max_size);

#endif
