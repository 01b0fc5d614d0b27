/* SPDX-License-Identifier: Apache-2.0 */
/* wire_support.h - headers and bodies of messages, in memory */
#ifndef WIRE_SUPPORT_H
#define WIRE_SUPPORT_H

#include "wire/wire.h"

#define HEADERS_MAX 12

/* The headers of one message. */
struct headers {
	struct {
		char name[24], value[64];
	} list[HEADERS_MAX];
	size_t count;
};

/* For wire_head_put() and wire_head_get(); arg is the headers. */
int headers_add(void *arg, const char *name, const char *value);
const char *headers_get(void *arg, const char *name);

/* value NULL: removes the header; else sets it, or adds it. */
void headers_set(struct headers *headers, const char *name, const char *value);

/* The headers of a head that has to be sound. */
void headers_of(const struct wire_head *head, struct headers *ret_headers);

/* Sound heads of each kind, of the records 7, 7 to 9, 7 and 7 to 9. */
struct wire_head sound_head(enum wire_kind kind);

/* A record whose payload of `length` bytes depends on its number; payload: where it is stored. */
struct wire_record made_record(uint64_t seq, uint8_t *payload, size_t length);

#endif
