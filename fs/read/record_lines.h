/* SPDX-License-Identifier: Apache-2.0 */
/* record_lines.h - the lines of records/NNNNNNNNN; see record_lines.c */
#ifndef CHRONFS_RECORD_LINES_H
#define CHRONFS_RECORD_LINES_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "chronq-fs.h"

#define CHRONFS_RECORD_LINE 90 /* bytes, with the newline */

/* Reads the lines of segment `id` as bytes, as cq_stream_segment_pread() reads its payloads.  Errors as
 * cq_stream_segment_read_records(). */
ssize_t chronfs_record_lines_pread(cq_stream *stream, uint32_t id, void *buffer, size_t length,
                                   uint64_t offset);

#endif
