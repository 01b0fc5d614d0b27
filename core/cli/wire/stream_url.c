/* SPDX-License-Identifier: Apache-2.0 */
/* stream_url.c - the URL of a stream; see stream.h. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stream.h"

#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#define DIGITS "0123456789"
#define HEX DIGITS "ABCDEFabcdef"
/* What RFC 3986 lets stand in user and password, beside %XX. */
#define USER LETTERS DIGITS "-._~!$&'()*+;="
#define PORT_DEFAULT "4222"

/* Bytes of text, below `length`, that are all of these characters. */
static size_t span(const char *text, size_t length, const char *characters)
{
	size_t n = 0;

	while (n < length && text[n] && strchr(characters, text[n]))
		n++;
	return n;
}

/* Whether this is USER or USER:PASSWORD. */
static bool good_user(const char *text, size_t length)
{
	bool colon = false;
	size_t at = 0;

	while (at < length) {
		at += span(text + at, length - at, USER);
		if (at == length)
			break;
		if (text[at] == '%' && span(text + at + 1, length - at - 1, HEX) >= 2) {
			at += 3;
		} else if (text[at] == ':' && !colon && at > 0) {
			colon = true;
			at++;
		} else {
			return false;
		}
	}
	return length > 0;
}

/* The length of the host at the beginning; 0: there is none. */
static size_t host(const char *text, size_t length)
{
	size_t n;

	if (length == 0 || text[0] != '[')
		return span(text, length, LETTERS DIGITS "-._");
	n = 1 + span(text + 1, length - 1, HEX ":.");
	return n > 2 && n < length && text[n] == ']' ? n + 1 : 0;
}

static bool good_port(const char *text, size_t length)
{
	unsigned port = 0;

	if (length == 0 || length > 5 || span(text, length, DIGITS) != length)
		return false;
	for (size_t i = 0; i < length; i++)
		port = 10 * port + (unsigned)(text[i] - '0');
	return port > 0 && port <= 65535;
}

/* Adds one server at *at of the storage. */
static const char *add(struct stream_url *url, char **at, const char *scheme, const char *user,
                       size_t user_length, const char *text, size_t length)
{
	const size_t name = host(text, length);
	const char *port = PORT_DEFAULT;
	size_t port_length = strlen(port);

	if (length == 0)
		return "a host is empty";
	if (name == 0 || (name < length && text[name] != ':'))
		return "a host is neither a name nor an address (an IPv6 address has to be in brackets)";
	if (name < length) {
		port = text + name + 1;
		port_length = length - name - 1;
		if (!good_port(port, port_length))
			return "a port is no number from 1 to 65535";
	}
	if (url->count == STREAM_SERVERS_MAX)
		return "too many hosts; 16 are enough, the servers name the others";
	url->servers[url->count++] = *at;
	*at += sprintf(*at, "%s%.*s%s%.*s:%.*s", scheme, (int)user_length, user,
	               user_length ? "@" : "", (int)name, text, (int)port_length, port) +
	       1;
	return NULL;
}

static const char *parse(const char *text, const char *scheme, struct stream_url *url)
{
	const size_t length = strcspn(text, "/");
	const char *end = text + length, *name = end + 1, *user = text;
	size_t user_length = 0, name_length;
	const char *why = NULL;
	char *at = url->storage;

	if (*end == '\0')
		return "no stream: nats://HOST/STREAM";
	name_length = strlen(name);
	if (name_length == 0)
		return "no stream: nats://HOST/STREAM";
	if (span(name, name_length, LETTERS DIGITS "-_") != name_length)
		return "the name of a stream has letters, digits, - and _";
	if (name_length > STREAM_NAME_MAX)
		return "the name of the stream is longer than 64 characters";
	memcpy(url->name, name, name_length + 1);

	for (const char *c = end; c-- > text;) {
		if (*c == '@') {
			user_length = (size_t)(c - text);
			if (!good_user(user, user_length))
				return "user and password come once, before the first host; other characters than "
				       "letters, digits and -._~!$&'()*+;= are written as %XX";
			text = c + 1;
			break;
		}
	}
	while (!why) {
		const size_t one = strcspn(text, ",/");

		why = add(url, &at, scheme, user, user_length, text, one);
		text += one;
		if (*text != ',')
			break;
		text++;
	}
	return why;
}

int stream_url_parse(const char *text, struct stream_url *ret_url, const char **ret_why)
{
	static const char *const schemes[] = { "nats://", "tls://" };
	struct stream_url url = { .count = 0 };
	const char *why = "a URL begins with nats:// or tls://";

	for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
		const size_t length = strlen(schemes[i]);

		if (strncmp(text, schemes[i], length) != 0)
			continue;
		/* Each server has the scheme, the user, a port and a terminator. */
		url.storage = calloc(STREAM_SERVERS_MAX + 1, strlen(text) + 16);
		if (!url.storage)
			return -ENOMEM;
		why = parse(text + length, schemes[i], &url);
	}
	if (why) {
		stream_url_free(&url);
		*ret_why = why;
		return -EINVAL;
	}
	*ret_url = url;
	return 0;
}

void stream_url_free(struct stream_url *url)
{
	for (int i = 0; i < url->count; i++)
		explicit_bzero(url->servers[i], strlen(url->servers[i]));
	free(url->storage);
	memset(url, 0, sizeof *url);
}
