/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire_words.c - fuzzing target: what people and servers say about a stream
 *
 * Input: a byte that says what follows it: a URL, a stream's description, or the reply to a publish.
 *
 *   A URL that is taken has servers each of which, with the stream's name, is a URL that says the same.
 *   A description that is taken has one canonical text, which says the same.
 *   What a reply says of an error can be shown on a terminal.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "headers.h"
#include "wire/stream.h"

static void free_url(struct stream_url *url)
{
	stream_url_free(url);
	HELD_CHECK(!url->storage && url->count == 0 && url->name[0] == '\0');
}

static void url(const char *text)
{
	struct stream_url url, again;
	const char *why = NULL;
	char *joined;
	size_t size = 1;
	int r = stream_url_parse(text, &url, &why);

	if (r < 0) {
		HELD_CHECK(r == -EINVAL && why);
		return;
	}
	HELD_CHECK(url.count > 0 && url.count <= STREAM_SERVERS_MAX);
	HELD_CHECK(strlen(url.name) <= STREAM_NAME_MAX);
	/* each server with the stream is a URL of its own, whose server is the same */
	for (int i = 0; i < url.count; i++)
		size += strlen(url.servers[i]) + 1;
	joined = malloc(size + STREAM_NAME_MAX + 1);
	HELD_CHECK(joined);
	for (int i = 0; i < url.count; i++) {
		(void)sprintf(joined, "%s/%s", url.servers[i], url.name);
		HELD_CHECK(stream_url_parse(joined, &again, &why) == 0);
		HELD_CHECK(again.count == 1 && strcmp(again.servers[0], url.servers[i]) == 0);
		HELD_CHECK(strcmp(again.name, url.name) == 0);
		free_url(&again);
	}
	free(joined);
	free_url(&url);
}

static void description(const char *text)
{
	char canonical[STREAM_ABOUT_MAX], second[STREAM_ABOUT_MAX];
	struct stream_about about, again;

	if (stream_about_get(text, &about) < 0)
		return;
	stream_about_put(canonical, &about);
	HELD_CHECK(stream_about_get(canonical, &again) == 0);
	stream_about_put(second, &again);
	HELD_CHECK(strcmp(canonical, second) == 0);
}

static void reply(const char *body, size_t size)
{
	struct stream_reply reply;

	if (stream_reply_parse(body, size, &reply) < 0)
		return;
	HELD_CHECK((reply.answer == STREAM_STORED) == (reply.sequence > 0));
	HELD_CHECK((reply.answer == STREAM_STORED) == (reply.text[0] == '\0'));
	HELD_CHECK(memchr(reply.text, '\0', sizeof reply.text));
	for (const char *c = reply.text; *c; c++)
		HELD_CHECK(*c >= ' ' && *c <= '~');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text;

	if (size == 0)
		return 0;
	/* of exactly this size: a sanitizer sees reads behind it */
	text = malloc(size);
	HELD_CHECK(text);
	memcpy(text, data + 1, size - 1);
	text[size - 1] = '\0';
	switch (data[0] % 3) {
	case 0:
		url(text);
		break;
	case 1:
		description(text);
		break;
	default:
		text = realloc(text, size > 1 ? size - 1 : 1);
		HELD_CHECK(text);
		reply(text, size - 1);
		break;
	}
	free(text);
	return 0;
}
