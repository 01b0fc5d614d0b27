/* SPDX-License-Identifier: Apache-2.0 */
/* headers.h - the headers of one message, for the targets of core/cli/wire */
#ifndef CQ_FUZZ_HEADERS_H
#define CQ_FUZZ_HEADERS_H

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fuzz.h"
#include "wire/wire.h"

#define HEADERS_MAX 12U

struct headers {
	struct {
		char name[32], value[64];
	} list[HEADERS_MAX];
	size_t count;
};

static inline const char *headers_get(void *arg, const char *name)
{
	const struct headers *h = arg;

	for (size_t i = 0; i < h->count; i++)
		if (strcmp(h->list[i].name, name) == 0)
			return h->list[i].value;
	return NULL;
}

/* Too many, one twice, or one that is too long: an error. */
static inline int headers_add(void *arg, const char *name, const char *value)
{
	struct headers *h = arg;

	if (h->count == HEADERS_MAX || headers_get(h, name) ||
	    strlen(name) >= sizeof h->list[0].name || strlen(value) >= sizeof h->list[0].value)
		return -ENOBUFS;
	(void)snprintf(h->list[h->count].name, sizeof h->list[0].name, "%s", name);
	(void)snprintf(h->list[h->count].value, sizeof h->list[0].value, "%s", value);
	h->count++;
	return 0;
}

#endif
