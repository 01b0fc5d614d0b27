/* SPDX-License-Identifier: Apache-2.0 */
/* head.c - a message's headers: see wire.h */
#include <chronq.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "wire/fault.h"
#include "wire/wire.h"

static const char *const kinds[] = {
	[WIRE_RECORD] = "record",
	[WIRE_FRAME] = "frame",
	[WIRE_PART] = "part",
	[WIRE_GAP] = "gap",
};
#define KINDS (sizeof kinds / sizeof kinds[0])

/* Which headers a kind has. */
static bool has_fingerprint(enum wire_kind kind)
{
	return kind != WIRE_GAP;
}

static bool has_type(enum wire_kind kind)
{
	return kind == WIRE_RECORD || kind == WIRE_PART;
}

/* Whether the numbers of a head fit together. */
static bool is_sound(const struct wire_head *head)
{
	if (head->first >= WIRE_COUNT_MAX || head->next > WIRE_COUNT_MAX ||
	    (head->have_stream && head->stream > WIRE_COUNT_MAX))
		return false;
	if (has_type(head->kind) && head->type > CQ_TYPE_MAX)
		return false;
	switch (head->kind) {
	case WIRE_RECORD:
		return head->next == head->first + 1;
	case WIRE_FRAME:
	case WIRE_GAP:
		return head->next > head->first;
	case WIRE_PART:
		return (head->next == head->first || head->next == head->first + 1) &&
		       head->part_offset < head->part_length &&
		       head->part_length <= CQ_SEGMENT_SIZE_MAX &&
		       (!head->have_stream || head->part_length <= WIRE_COUNT_MAX - head->stream);
	}
	return false;
}

/* ---- put ---- */

struct putting {
	int (*put)(void *arg, const char *name, const char *value);
	void *arg;
	int error;
};

static void put_text(struct putting *p, const char *name, const char *value)
{
	if (p->error == 0)
		p->error = p->put(p->arg, name, value);
}

static void put_number(struct putting *p, const char *name, uint64_t number)
{
	char text[24];

	(void)snprintf(text, sizeof text, "%" PRIu64, number);
	put_text(p, name, text);
}

int wire_head_put(const struct wire_head *head,
                  int (*put)(void *arg, const char *name, const char *value), void *arg)
{
	struct putting p = { .put = put, .arg = arg };
	char text[48];

	if (!is_sound(head))
		return -EINVAL;
	put_text(&p, "Chronq-Kind", kinds[head->kind]);
	put_number(&p, "Chronq-First", head->first);
	put_number(&p, "Chronq-Next", head->next);
	if (head->have_stream)
		put_number(&p, "Chronq-Stream", head->stream);
	if (has_fingerprint(head->kind)) {
		put_number(&p, "Chronq-Epoch", head->last.epoch);
		put_number(&p, "Chronq-Time", head->last.time_ns);
		(void)snprintf(text, sizeof text, "%08" PRIx32, head->last.crc);
		put_text(&p, "Chronq-CRC", text);
	}
	if (has_type(head->kind))
		put_number(&p, "Chronq-Type", head->type);
	if (head->kind == WIRE_PART) {
		(void)snprintf(text, sizeof text, "%" PRIu64 "/%" PRIu64, head->part_offset,
		               head->part_length);
		put_text(&p, "Chronq-Part", text);
	}
	return p.error;
}

/* ---- get ---- */

/* Takes a number at *at, which is then behind it.  False: there is none, it is above `most`, or it begins with a zero
 * that it does not need. */
static bool take_number(const char **at, uint64_t most, uint64_t *ret_number)
{
	const char *digits = *at;
	uint64_t number = 0, digit;

	for (; *digits >= '0' && *digits <= '9'; digits++) {
		digit = (uint64_t)(*digits - '0');
		if (digits - *at > 0 && number == 0)
			return false;
		if ((digit > most || number > (most - digit) / 10) && !wire_planted("number_wraps"))
			return false;
		number = number * 10 + digit;
	}
	if (digits == *at)
		return false;
	*at = digits;
	*ret_number = number;
	return true;
}

static bool get_number(const char *text, uint64_t most, uint64_t *ret_number)
{
	return text && take_number(&text, most, ret_number) && *text == '\0';
}

static bool get_crc(const char *text, uint32_t *ret_crc)
{
	static const char digits[] = "0123456789abcdef";
	uint32_t crc = 0;
	size_t i;

	if (!text)
		return false;
	for (i = 0; i < 8 && text[i] != '\0'; i++) {
		const char *digit = strchr(digits, text[i]);

		if (!digit)
			return false;
		crc = crc << 4 | (uint32_t)(digit - digits);
	}
	if (i < 8 || text[8] != '\0')
		return false;
	*ret_crc = crc;
	return true;
}

static bool get_part(const char *text, struct wire_head *head)
{
	return text && take_number(&text, CQ_SEGMENT_SIZE_MAX, &head->part_offset) &&
	       *text++ == '/' && get_number(text, CQ_SEGMENT_SIZE_MAX, &head->part_length);
}

struct getting {
	const char *(*get)(void *arg, const char *name);
	void *arg;
};

static const char *value_of(const struct getting *g, const char *name)
{
	return g->get(g->arg, name);
}

/* The headers of the last record, or none of them. */
static bool get_fingerprint(const struct getting *g, struct wire_head *head)
{
	uint64_t epoch;

	if (!has_fingerprint(head->kind))
		return !value_of(g, "Chronq-Epoch") && !value_of(g, "Chronq-Time") &&
		       !value_of(g, "Chronq-CRC");
	if (!get_number(value_of(g, "Chronq-Epoch"), UINT32_MAX, &epoch) ||
	    !get_number(value_of(g, "Chronq-Time"), UINT64_MAX, &head->last.time_ns) ||
	    !get_crc(value_of(g, "Chronq-CRC"), &head->last.crc))
		return false;
	head->last.epoch = (uint32_t)epoch;
	return true;
}

static bool get_type(const struct getting *g, struct wire_head *head)
{
	const char *text = value_of(g, "Chronq-Type");
	uint64_t type;

	if (!has_type(head->kind))
		return !text;
	if (!get_number(text, CQ_TYPE_MAX, &type))
		return false;
	head->type = (uint16_t)type;
	return true;
}

/* All but the kind, which is set. */
static bool get_rest(const struct getting *g, struct wire_head *head)
{
	const char *stream = value_of(g, "Chronq-Stream"), *part = value_of(g, "Chronq-Part");

	head->have_stream = stream != NULL;
	return get_number(value_of(g, "Chronq-First"), WIRE_COUNT_MAX, &head->first) &&
	       get_number(value_of(g, "Chronq-Next"), WIRE_COUNT_MAX, &head->next) &&
	       (!stream || get_number(stream, WIRE_COUNT_MAX, &head->stream)) &&
	       get_fingerprint(g, head) && get_type(g, head) &&
	       (head->kind == WIRE_PART ? get_part(part, head) : !part) && is_sound(head);
}

int wire_head_get(const char *(*get)(void *arg, const char *name), void *arg,
                  struct wire_head *ret_head)
{
	const struct getting g = { .get = get, .arg = arg };
	const char *kind = get(arg, "Chronq-Kind");
	struct wire_head head = { .first = 0 };
	size_t i;

	if (!kind)
		return -EBADMSG;
	for (i = 0; i < KINDS && strcmp(kind, kinds[i]) != 0; i++)
		;
	if (i == KINDS)
		return -EPROTONOSUPPORT;
	head.kind = (enum wire_kind)i;
	if (!get_rest(&g, &head))
		return -EBADMSG;
	*ret_head = head;
	return 0;
}
