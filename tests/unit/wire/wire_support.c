/* SPDX-License-Identifier: Apache-2.0 */
/* wire_support.c - see wire_support.h */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "wire_support.h"

int headers_add(void *arg, const char *name, const char *value)
{
	struct headers *h = arg;

	assert_true(h->count < HEADERS_MAX);
	assert_null(headers_get(h, name));
	(void)snprintf(h->list[h->count].name, sizeof h->list[0].name, "%s", name);
	(void)snprintf(h->list[h->count].value, sizeof h->list[0].value, "%s", value);
	h->count++;
	return 0;
}

const char *headers_get(void *arg, const char *name)
{
	const struct headers *h = arg;

	for (size_t i = 0; i < h->count; i++)
		if (strcmp(h->list[i].name, name) == 0)
			return h->list[i].value;
	return NULL;
}

void headers_set(struct headers *headers, const char *name, const char *value)
{
	for (size_t i = 0; i < headers->count; i++)
		if (strcmp(headers->list[i].name, name) == 0) {
			headers->list[i] = headers->list[--headers->count];
			break;
		}
	if (value)
		(void)headers_add(headers, name, value);
}

void headers_of(const struct wire_head *head, struct headers *ret_headers)
{
	ret_headers->count = 0;
	assert_int_equal(wire_head_put(head, headers_add, ret_headers), 0);
}

struct wire_head sound_head(enum wire_kind kind)
{
	struct wire_head head = {
		.kind = kind,
		.first = 7,
		.next = kind == WIRE_RECORD || kind == WIRE_PART ? 8 : 10,
		.have_stream = true,
		.stream = 4096,
	};

	if (kind != WIRE_GAP)
		head.last = (struct wire_fingerprint){ .epoch = 3,
			                               .crc = 0x00c0ffee,
			                               .time_ns = 1700000000123456789 };
	if (kind == WIRE_RECORD || kind == WIRE_PART)
		head.type = 5;
	if (kind == WIRE_PART) {
		head.part_offset = 100;
		head.part_length = 250;
	}
	return head;
}

struct wire_record made_record(uint64_t seq, uint8_t *payload, size_t length)
{
	for (size_t i = 0; i < length; i++)
		payload[i] = (uint8_t)(seq * 31 + i * 7 + (i >> 8));
	return (struct wire_record){
		.seq = seq,
		.time_ns = 1700000000000000000 + seq,
		.payload = payload,
		.length = length,
		.type = (uint16_t)(seq % 9),
	};
}
