/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gather.h - everything that a reader, the stream and verification return for a small queue, as data
 *
 * For tests that compare it with what they know.  The queue may be damaged in any way; a loop that
 * exceeds its bound ends the program.
 */
#ifndef CQ_TEST_GATHER_H
#define CQ_TEST_GATHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chronq.h"

#define GATHER_BYTES (1U << 20) /* the most of all payloads, and of the stream */
#define GATHER_RECORDS 16384U

struct gathered_record {
	uint64_t seq;
	uint64_t time_ns;
	uint16_t type;
	uint32_t segment;
	uint64_t offset;
	size_t at; /* of its payload in bytes[] */
	size_t length;
};

struct gathered {
	struct gathered_record records[GATHER_RECORDS];
	size_t count;
	uint8_t bytes[GATHER_BYTES];
	size_t used;
	unsigned complaints; /* errors that the reader returned */
	int error;           /* it could not be opened */
};

/* With an anonymous passive reader, from the oldest record to the last, over damage and gaps. */
void gather_records(const char *dir, struct gathered *gathered);

struct gathered_stream {
	uint64_t begin, end;
	uint8_t bytes[GATHER_BYTES]; /* from begin on, as far as there is room */
	bool there[GATHER_BYTES];
	unsigned complaints;
	int error;
};

/* Looks at the records of each segment by number, too: the program ends where they contradict each other. */
void gather_stream(const char *dir, struct gathered_stream *stream);

struct gathered_findings {
	struct cq_verify_result result;
	int error;
	char text[4096]; /* of those that are damage, a line each */
	size_t used;
	uint32_t lowest; /* segment named by one of those; UINT32_MAX: none */
};

/* The caller knows that there is no writer. */
void gather_findings(const char *dir, struct gathered_findings *findings);

#endif
