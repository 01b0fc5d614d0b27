/* SPDX-License-Identifier: Apache-2.0 */
/* format.c - see format.h */
#include "read/format.h"

#include <inttypes.h>
#include <nettle/base16.h>
#include <nettle/base64.h>
#include <stdio.h>
#include <string.h>

#define CHUNK 3072U /* bytes of a payload that are encoded at a time: a multiple of 3 */

static bool is_format(const char *format)
{
	for (const char *at = format; *at != '\0'; at++) {
		if (*at == '%' && (at[1] == '\0' || !strchr("stnylogepxb%", at[1]))) {
			cli_note("--format: there is no %.2s (a percent sign is %%%%): %s", at,
			         format);
			return false;
		}
		if (*at == '\\' && (at[1] == '\0' || !strchr("nt0\\c", at[1]))) {
			cli_note("--format: there is no %.2s (a backslash is \\\\): %s", at,
			         format);
			return false;
		}
		if (at[0] == '\\' && at[1] == 'c' && at[2] != '\0') {
			cli_note("--format: \\c is for the end: %s", format);
			return false;
		}
		if (*at == '%' || *at == '\\')
			at++;
	}
	return true;
}

/* The last byte that was written, to know whether a newline is missing. */
struct sink {
	char last;
	bool ok;
};

static void put(struct sink *sink, const void *bytes, size_t length)
{
	if (length == 0 || !sink->ok)
		return;
	sink->ok = cli_output_bytes(bytes, length);
	sink->last = ((const char *)bytes)[length - 1];
}

static void put_hex(struct sink *sink, const struct cq_record *record)
{
	const uint8_t *bytes = record->payload;
	char text[BASE16_ENCODE_LENGTH(CHUNK)];

	for (size_t at = 0; at < record->length; at += CHUNK) {
		const size_t n = record->length - at < CHUNK ? record->length - at : CHUNK;

		base16_encode_update(text, n, bytes + at);
		put(sink, text, BASE16_ENCODE_LENGTH(n));
	}
}

static void put_base64(struct sink *sink, const struct cq_record *record)
{
	const uint8_t *bytes = record->payload;
	char text[BASE64_ENCODE_RAW_LENGTH(CHUNK)];

	for (size_t at = 0; at < record->length; at += CHUNK) {
		const size_t n = record->length - at < CHUNK ? record->length - at : CHUNK;

		base64_encode_raw(text, n, bytes + at);
		put(sink, text, BASE64_ENCODE_RAW_LENGTH(n));
	}
}

static void put_field(struct sink *sink, char field, const struct cq_record *record)
{
	char text[CLI_TIME_MAX] =
		"-"; /* where chronicle-rs wrote, there is no stream offset and no epoch */

	switch (field) {
	case 's':
		(void)snprintf(text, sizeof text, "%" PRIu64, record->seq);
		break;
	case 't':
		cli_format_time(text, record->time_ns);
		break;
	case 'n':
		(void)snprintf(text, sizeof text, "%" PRIu64, record->time_ns);
		break;
	case 'y':
		(void)snprintf(text, sizeof text, "%u", record->type);
		break;
	case 'l':
		(void)snprintf(text, sizeof text, "%zu", record->length);
		break;
	case 'o':
		if (record->have_stream)
			(void)snprintf(text, sizeof text, "%" PRIu64, record->stream_offset);
		break;
	case 'g':
		(void)snprintf(text, sizeof text, "%09" PRIu32, record->segment);
		break;
	case 'e':
		if (record->have_stream)
			(void)snprintf(text, sizeof text, "%" PRIu32, record->epoch);
		break;
	case 'p':
		put(sink, record->payload, record->length);
		return;
	case 'x':
		put_hex(sink, record);
		return;
	case 'b':
		put_base64(sink, record);
		return;
	default:
		text[0] = '%';
		break;
	}
	put(sink, text, strlen(text));
}

static bool write_format(const char *format, const struct cq_record *record)
{
	struct sink sink = { .ok = true };
	const char *at = format, *next;

	while (*at != '\0') {
		next = at + strcspn(at, "%\\");
		put(&sink, at, (size_t)(next - at));
		at = next;
		if (*at == '\0')
			break;
		if (*at == '%')
			put_field(&sink, at[1], record);
		else if (at[1] == 'c')
			return sink.ok;
		else
			put(&sink,
			    at[1] == 'n'   ? "\n"
			    : at[1] == 't' ? "\t"
			    : at[1] == '0' ? ""
			                   : "\\",
			    1);
		at += 2;
	}
	if (sink.last != '\n')
		put(&sink, "\n", 1);
	return sink.ok;
}

bool cli_style_check(const struct cli_style *style)
{
	if (style->json && style->format) {
		cli_note("--json and --format exclude each other");
		return false;
	}
	return !style->format || is_format(style->format);
}

bool cli_style_write(const struct cli_style *style, const struct cq_record *record)
{
	if (style->format)
		return write_format(style->format, record);
	return style->json ? cli_output_json(record, style->exact)
	                   : cli_output_payload(record, style->line);
}
