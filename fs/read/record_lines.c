/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record_lines.c - the lines of records/NNNNNNNNN: one for each record, all of one width
 *
 *   sequence number   20 digits, with leading zeros
 *   time              RFC 3339 in UTC, nine digits behind the second
 *   stream offset     right-aligned in 20 columns
 *   payload length    right-aligned in 10 columns
 *   type              right-aligned in 5 columns
 *
 * with a blank between them and a newline at the end.  So line N (from 0) begins at byte N * 90.  The two
 * columns that a program searches have no blanks, so the lines sort by their first column, in every locale,
 * and by the second one where the clock was not set back.  The three that a program calculates with have no
 * leading zeros, which shells take for octal numbers.  Every column has room for the highest value.
 */
#include "read/record_lines.h"

#include <string.h>
#include <time.h>

#define SEQ 20
#define TIME_AT (SEQ + 1)
#define SECOND 20 /* of the time: up to the dot */
#define TIME (SECOND + 10)
#define OFFSET_AT (TIME_AT + TIME + 1)
#define OFFSET 20
#define LENGTH_AT (OFFSET_AT + OFFSET + 1)
#define LENGTH 10
#define TYPE_AT (LENGTH_AT + LENGTH + 1)
#define TYPE 5
_Static_assert(TYPE_AT + TYPE + 1 == CHRONFS_RECORD_LINE, "the width");

#define BATCH 256 /* records that are asked for at a time */

#define BILLION 1000000000U

/* The second of the line before: most lines have the same one. */
struct second {
	uint64_t number;
	char text[SECOND + 1];
};

static void put_digits(char *to, unsigned width, uint64_t value)
{
	for (unsigned i = width; i-- > 0; value /= 10)
		to[i] = (char)('0' + value % 10);
}

/* The column has room for the highest value of its kind. */
static void put_aligned(char *to, unsigned width, uint64_t value)
{
	unsigned i = width;

	do {
		to[--i] = (char)('0' + value % 10);
		value /= 10;
	} while (value > 0);
	memset(to, ' ', i);
}

static void put_time(char *to, uint64_t time_ns, struct second *second)
{
	const time_t at = (time_t)(time_ns / BILLION);
	struct tm tm;

	if (second->text[0] == '\0' || second->number != time_ns / BILLION) {
		second->number = time_ns / BILLION;
		/* 64 bits of nanoseconds end in 2554: the year has four digits */
		(void)gmtime_r(&at, &tm);
		(void)strftime(second->text, sizeof second->text, "%Y-%m-%dT%H:%M:%S.", &tm);
	}
	memcpy(to, second->text, SECOND);
	put_digits(to + SECOND, 9, time_ns % BILLION);
	to[SECOND + 9] = 'Z';
}

static void put_line(char *line, const struct cq_record_info *record, struct second *second)
{
	put_digits(line, SEQ, record->seq);
	line[TIME_AT - 1] = ' ';
	put_time(line + TIME_AT, record->time_ns, second);
	line[OFFSET_AT - 1] = ' ';
	put_aligned(line + OFFSET_AT, OFFSET, record->stream_offset);
	line[LENGTH_AT - 1] = ' ';
	put_aligned(line + LENGTH_AT, LENGTH, record->length);
	line[TYPE_AT - 1] = ' ';
	put_aligned(line + TYPE_AT, TYPE, record->type);
	line[CHRONFS_RECORD_LINE - 1] = '\n';
}

/* The lines of so many records, from byte `skip` of the first one on; returns how many bytes of at most
 * `length`. */
static size_t put_lines(char *to, size_t length, size_t skip, const struct cq_record_info *records,
                        size_t count, struct second *second)
{
	char line[CHRONFS_RECORD_LINE];
	size_t done = 0;

	for (size_t i = 0; i < count; i++, skip = 0) {
		size_t n = CHRONFS_RECORD_LINE - skip;

		if (n > length - done)
			n = length - done;
		if (n == CHRONFS_RECORD_LINE) {
			put_line(to + done, &records[i], second);
		} else {
			put_line(line, &records[i], second);
			memcpy(to + done, line + skip, n);
		}
		done += n;
	}
	return done;
}

ssize_t chronfs_record_lines_pread(cq_stream *stream, uint32_t id, void *buffer, size_t length,
                                   uint64_t offset)
{
	struct cq_record_info records[BATCH];
	struct second second = { .text = "" };
	size_t done = 0;
	ssize_t n = 0;

	while (done < length) {
		const uint64_t at = offset + done;
		const size_t skip = at % CHRONFS_RECORD_LINE;
		size_t count =
			(length - done + skip + CHRONFS_RECORD_LINE - 1) / CHRONFS_RECORD_LINE;

		if (count > BATCH)
			count = BATCH;
		n = cq_stream_segment_read_records(stream, id, at / CHRONFS_RECORD_LINE, records,
		                                   count);
		if (n <= 0)
			break;
		done += put_lines((char *)buffer + done, length - done, skip, records, (size_t)n,
		                  &second);
		if ((size_t)n < count) /* the end, or an error for the next call */
			break;
	}
	return done > 0 ? (ssize_t)done : n;
}
