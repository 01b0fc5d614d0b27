/* SPDX-License-Identifier: Apache-2.0 */
/* stream.c - URL and description of a stream, and what replies to publishes say; see stream.h. */
#include "stream.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- description ---- */

#define PREFIX "chronq/"
#define VERSION 1

/* Adds " NAME=VALUE", unless the value is 0: not said. */
static void add(char text[STREAM_ABOUT_MAX], const char *name, uint64_t value)
{
	const size_t length = strlen(text);

	if (value > 0)
		(void)snprintf(text + length, STREAM_ABOUT_MAX - length, " %s=%" PRIu64, name,
		               value);
}

void stream_about_put(char text[STREAM_ABOUT_MAX], const struct stream_about *about)
{
	char identity[2 * CQ_IDENTITY_SIZE + 1];

	for (size_t i = 0; i < CQ_IDENTITY_SIZE; i++)
		(void)snprintf(identity + 2 * i, 3, "%02x", about->identity[i]);
	(void)snprintf(text, STREAM_ABOUT_MAX,
	               PREFIX "%d identity=%s format=%s first=%" PRIu64 " segment=%" PRIu64,
	               VERSION, identity, about->format == STREAM_RECORDS ? "record" : "frames",
	               about->first, about->segment_size);
	add(text, "frame", about->frame_size);
	add(text, "message", about->message_size);
}

/* The number of these decimal digits; false: no digits, other characters, or too large. */
static bool number(const char *text, size_t length, uint64_t *ret)
{
	uint64_t n = 0;

	if (length == 0)
		return false;
	for (size_t i = 0; i < length; i++) {
		const unsigned digit = (unsigned)text[i] - '0';

		if (digit > 9 || n > (UINT64_MAX - digit) / 10)
			return false;
		n = 10 * n + digit;
	}
	*ret = n;
	return true;
}

static bool identity(const char *text, size_t length, uint8_t ret[CQ_IDENTITY_SIZE])
{
	static const char digits[] = "0123456789abcdef";

	if (length != 2 * (size_t)CQ_IDENTITY_SIZE)
		return false;
	for (size_t i = 0; i < length; i++) {
		const char *digit = memchr(digits, text[i], sizeof digits - 1);

		if (!digit)
			return false;
		ret[i / 2] = (uint8_t)(ret[i / 2] << 4 | (uint8_t)(digit - digits));
	}
	return true;
}

static bool format(const char *text, size_t length, enum stream_format *ret)
{
	if (length != 6 || (strncmp(text, "record", 6) != 0 && strncmp(text, "frames", 6) != 0))
		return false;
	*ret = text[0] == 'r' ? STREAM_RECORDS : STREAM_FRAMES;
	return true;
}

int stream_about_get(const char *text, struct stream_about *ret_about)
{
	enum { IDENTITY = 1, FORMAT = 2, FIRST = 4, SEGMENT = 8, FRAME = 16, MESSAGE = 32 };
	struct stream_about about = { .first = 0 };
	unsigned seen = 0;
	uint64_t version;
	size_t length;

	if (strncmp(text, PREFIX, strlen(PREFIX)) != 0)
		return -EBADMSG;
	text += strlen(PREFIX);
	length = strcspn(text, " ");
	if (!number(text, length, &version) || version == 0)
		return -EBADMSG;
	if (version > VERSION)
		return -EPROTONOSUPPORT;
	for (text += length; *text; text += length) {
		const char *value;
		unsigned field = 0;
		size_t rest;
		bool good = true;

		length = 1 + strcspn(text + 1, " ");
		value = memchr(text, '=', length);
		if (!value)
			return -EBADMSG;
		value++;
		rest = length - (size_t)(value - text);
		if (strncmp(text, " identity=", 10) == 0) {
			field = IDENTITY;
			good = identity(value, rest, about.identity);
		} else if (strncmp(text, " format=", 8) == 0) {
			field = FORMAT;
			good = format(value, rest, &about.format);
		} else if (strncmp(text, " first=", 7) == 0) {
			field = FIRST;
			good = number(value, rest, &about.first);
		} else if (strncmp(text, " segment=", 9) == 0) {
			field = SEGMENT;
			good = number(value, rest, &about.segment_size);
		} else if (strncmp(text, " frame=", 7) == 0) {
			field = FRAME;
			good = number(value, rest, &about.frame_size);
		} else if (strncmp(text, " message=", 9) == 0) {
			field = MESSAGE;
			good = number(value, rest, &about.message_size);
		}
		if (!good || (seen & field))
			return -EBADMSG;
		seen |= field;
	}
	if ((seen & (IDENTITY | FORMAT | FIRST | SEGMENT)) != (IDENTITY | FORMAT | FIRST | SEGMENT))
		return -EBADMSG;
	*ret_about = about;
	return 0;
}

/* ---- replies ---- */

enum stream_answer stream_answer_of(int error, int status)
{
	switch (error) {
	case 10071: /* wrong last sequence: N */
	case 10164: /* wrong last sequence */
	case 10063: /* expected stream sequence does not match */
		return STREAM_WRONG_LAST;
	case 10077: /* storing failed: maximum bytes or messages exceeded, no space left on device */
	case 10047: /* insufficient storage resources */
	case 10028: /* insufficient memory resources */
	case 10023: /* insufficient resources */
	case 10002: /* resource limits exceeded for account */
	case 10053: /* limits of the account's streams */
	case 10120: /* no limit for this number of replicas */
		return STREAM_FULL;
	case 10059: /* stream not found */
		return STREAM_NO_STREAM;
	case 10054: /* message size exceeds maximum */
	case 10097: /* header size exceeds maximum */
		return STREAM_TOO_LARGE;
	case 10004: /* incomplete results */
	case 10005: /* no suitable peers for placement */
	case 10006: /* not in clustered mode, as a server that has just started */
	case 10007: /* cluster not assigned to this server */
	case 10008: /* temporarily unavailable */
	case 10009: /* not the leader */
	case 10035: /* account not found, as on a server that has not all of them yet */
	case 10039: /* not enabled for the account, likewise */
	case 10041: /* error of RAFT */
	case 10076: /* JetStream not enabled, as on a server whose disk has failed */
	case 10118: /* stream is offline */
	case 10194: /* the same with a reason */
	case 10158: /* a message of that identity is in process */
	case 10163: /* expected last sequence temporarily unavailable */
	case 10167: /* too many requests */
		return STREAM_UNAVAILABLE;
	case 10010: /* clustering is required: 503, but not for a time */
	case 10036: /* not supported in clustered mode, likewise */
		return STREAM_REFUSED;
	default:
		break;
	}
	if (status == 401 || status == 403)
		return STREAM_DENIED;
	if (error == 0 && status == 404)
		return STREAM_NO_STREAM;
	if (status == 408 || status == 429 || status == 503)
		return STREAM_UNAVAILABLE;
	return STREAM_REFUSED;
}

static int integer(const json_t *object, const char *name)
{
	const json_int_t n = json_integer_value(json_object_get(object, name));

	return n < 0 || n > INT_MAX ? 0 : (int)n;
}

static void failed(const json_t *error, struct stream_reply *ret)
{
	const char *text = json_string_value(json_object_get(error, "description"));
	const int detail = integer(error, "err_code"), status = integer(error, "code");

	ret->answer = stream_answer_of(detail, status);
	ret->code = detail ? detail : status;
	(void)snprintf(ret->text, sizeof ret->text, "%s", text && *text ? text : "no text");
	for (char *c = ret->text; *c; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
}

int stream_reply_parse(const char *body, size_t size, struct stream_reply *ret_reply)
{
	struct stream_reply reply = { .answer = STREAM_STORED };
	const json_t *error, *sequence;
	json_t *root;
	int r = 0;

	if (size == 0) {
		reply.answer = STREAM_NO_STREAM;
		reply.code = 503;
		(void)snprintf(reply.text, sizeof reply.text, "no responders");
		*ret_reply = reply;
		return 0;
	}
	root = json_loadb(body, size, JSON_ALLOW_NUL, NULL);
	if (!root)
		return -EBADMSG;
	error = json_object_get(root, "error");
	sequence = json_object_get(root, "seq");
	if (json_is_object(error)) {
		failed(error, &reply);
	} else if (!json_is_integer(sequence) || json_integer_value(sequence) <= 0 ||
	           !json_is_string(json_object_get(root, "stream"))) {
		r = -EBADMSG;
	} else {
		reply.sequence = (uint64_t)json_integer_value(sequence);
		(void)snprintf(reply.stream, sizeof reply.stream, "%s",
		               json_string_value(json_object_get(root, "stream")));
	}
	json_decref(root);
	if (r == 0)
		*ret_reply = reply;
	return r;
}
