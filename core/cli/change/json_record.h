/* SPDX-License-Identifier: Apache-2.0 */
/* json_record.h - a record from a line of chronq export, cat --json, or of one's own */
#ifndef CHRONQ_JSON_RECORD_H
#define CHRONQ_JSON_RECORD_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cli_json_record {
	bool have_seq, have_time, have_stream;
	uint64_t seq, time_ns, stream_offset;
	uint16_t type; /* CQ_TYPE_DEFAULT if it has none */
	const void *payload;
	size_t length;
	json_t *object; /* holds a payload that is text */
	uint8_t *bytes; /* holds one that was base64 */
};

#define CLI_JSON_FAULT_MAX 256

/* Parses one line.  False: it is no such record, and `fault` says why; nothing is to be freed. */
bool cli_json_record_parse(const char *line, size_t length, struct cli_json_record *ret_record,
                           char fault[CLI_JSON_FAULT_MAX]);
void cli_json_record_free(struct cli_json_record *record);

#endif
