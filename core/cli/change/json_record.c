/* SPDX-License-Identifier: Apache-2.0 */
/* json_record.c - see json_record.h */
#include "change/json_record.h"

#include <nettle/base64.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/cli.h"

struct parsing {
	struct cli_json_record *record;
	char *fault;
	bool have_length;
	uint64_t length;
};

static bool refuse(const struct parsing *p, const char *why, const char *key)
{
	(void)snprintf(p->fault, CLI_JSON_FAULT_MAX, "%s%s", key, why);
	return false;
}

/* A number of JSON, or its digits in a string. */
static bool take_number(const struct parsing *p, const char *key, const json_t *value,
                        uint64_t most, uint64_t *ret_number)
{
	const char *text = json_string_value(value), *rest;
	uint64_t number;

	if (json_is_integer(value) && json_integer_value(value) >= 0)
		number = (uint64_t)json_integer_value(value);
	else if (!text || !cli_parse_number(text, &rest, &number) || *rest != '\0')
		return refuse(p, " is not a number from 0 on", key);
	if (number > most)
		return refuse(p, " is too large", key);
	*ret_number = number;
	return true;
}

static bool take_base64(const struct parsing *p, const char *key, const json_t *value)
{
	const char *text = json_string_value(value);
	const size_t length = json_string_length(value);
	struct base64_decode_ctx decoding;
	size_t decoded = BASE64_DECODE_LENGTH(length);
	bool done;

	if (!text)
		return refuse(p, " is not a string", key);
	p->record->bytes = malloc(decoded + 1);
	if (!p->record->bytes) /* GCOV_EXCL_BR_LINE: no memory */
		return refuse(p, ": no memory", key);
	base64_decode_init(&decoding);
	done = base64_decode_update(&decoding, &decoded, p->record->bytes, length, text) &&
	       base64_decode_final(&decoding);
	if (!done)
		return refuse(p, " is not base64", key);
	p->record->payload = p->record->bytes;
	p->record->length = decoded;
	return true;
}

static bool take_member(struct parsing *p, const char *key, const json_t *value)
{
	struct cli_json_record *r = p->record;
	uint64_t number;

	if (strcmp(key, "payload") == 0 || strcmp(key, "payload_base64") == 0) {
		if (r->payload)
			return refuse(p, ": there is another payload", key);
		if (key[7] != '\0')
			return take_base64(p, key, value);
		r->payload = json_string_value(value);
		r->length = json_string_length(value);
		if (!r->payload)
			return refuse(p, " is not a string", key);
		return true;
	}
	if (strcmp(key, "seq") == 0)
		return r->have_seq = take_number(p, key, value, UINT64_MAX, &r->seq);
	if (strcmp(key, "time_ns") == 0)
		return r->have_time = take_number(p, key, value, UINT64_MAX, &r->time_ns);
	if (strcmp(key, "stream_offset") == 0)
		return r->have_stream = take_number(p, key, value, UINT64_MAX, &r->stream_offset);
	if (strcmp(key, "length") == 0)
		return p->have_length = take_number(p, key, value, UINT64_MAX, &p->length);
	if (strcmp(key, "type") == 0) {
		if (!take_number(p, key, value, CQ_TYPE_MAX, &number))
			return false;
		r->type = (uint16_t)number;
		return true;
	}
	return refuse(p, ": there is no such member", key);
}

static bool take_all(struct parsing *p)
{
	const char *key;
	json_t *value;

	if (!json_is_object(p->record->object))
		return refuse(p, "not a JSON object", "");
	json_object_foreach(p->record->object, key,
	                    value) if (!take_member(p, key, value)) return false;
	if (!p->record->payload)
		return refuse(p, " is missing", "payload");
	if (p->have_length && p->length != p->record->length)
		return refuse(p, " is not that of the payload", "length");
	return true;
}

bool cli_json_record_parse(const char *line, size_t length, struct cli_json_record *ret_record,
                           char fault[CLI_JSON_FAULT_MAX])
{
	struct cli_json_record record = { .type = CQ_TYPE_DEFAULT };
	struct parsing parsing = { .record = &record, .fault = fault };
	json_error_t error;

	record.object = json_loadb(
		line, length, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_ANY, &error);
	if (!record.object) {
		(void)snprintf(fault, CLI_JSON_FAULT_MAX, "not JSON: %s", error.text);
		return false;
	}
	if (!take_all(&parsing)) {
		cli_json_record_free(&record);
		return false;
	}
	*ret_record = record;
	return true;
}

void cli_json_record_free(struct cli_json_record *record)
{
	json_decref(record->object);
	free(record->bytes);
	record->object = NULL;
	record->bytes = NULL;
}
