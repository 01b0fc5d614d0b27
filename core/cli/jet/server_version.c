/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server_version.c - asks a NATS server for its version
 *
 * libnats knows it and does not tell.  A server sends a line "INFO {...}" to each new connection, in the clear, also
 * where TLS follows; so a second connection reads that line and is closed.
 */
#include <ctype.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "jet/jet.h"

#define WAIT_MS 1000
#define INFO_MAX 8192

/* HOST and PORT of [SCHEME://][USER:PASSWORD@]HOST[:PORT]; false: too long. */
static bool split(const char *url, char host[256], char port[8])
{
	const char *at = strstr(url, "://"), *end, *colon;
	size_t length;

	url = at ? at + 3 : url;
	at = strrchr(url, '@');
	url = at ? at + 1 : url;
	end = url + strcspn(url, "/");
	colon = NULL;
	if (*url == '[') { /* IPv6 */
		const char *close = strchr(url, ']');

		if (!close || close > end)
			return false;
		if (close[1] == ':')
			colon = close + 1;
		url++;
		length = (size_t)(close - url);
	} else {
		colon = memchr(url, ':', (size_t)(end - url));
		length = (size_t)((colon ? colon : end) - url);
	}
	if (length == 0 || length > 255 || (colon && end - colon > 7))
		return false;
	(void)snprintf(host, 256, "%.*s", (int)length, url);
	(void)snprintf(port, 8, "%.*s", colon ? (int)(end - colon - 1) : 4,
	               colon ? colon + 1 : "4222");
	return true;
}

static int connect_to(const char *host, const char *port)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *list, *a;
	int fd = -1, error;
	socklen_t size = sizeof error;

	if (getaddrinfo(host, port, &hints, &list) != 0)
		return -1;
	for (a = list; a && fd < 0; a = a->ai_next) {
		fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (fd < 0)
			continue;
		(void)connect(fd, a->ai_addr, a->ai_addrlen); /* SO_ERROR tells how it ended */
		error = 0;
		if (poll(&(struct pollfd){ .fd = fd, .events = POLLOUT }, 1, WAIT_MS) != 1 ||
		    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0 || error != 0) {
			close(fd);
			fd = -1;
		}
	}
	freeaddrinfo(list);
	return fd;
}

/* The first line, or what came of it. */
static void read_line(int fd, char line[INFO_MAX])
{
	size_t have = 0;
	ssize_t n;

	while (have < INFO_MAX - 1) {
		if (poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, WAIT_MS) != 1)
			break;
		n = read(fd, line + have, INFO_MAX - 1 - have);
		if (n <= 0)
			break;
		have += (size_t)n;
		if (memchr(line, '\n', have))
			break;
	}
	line[have] = '\0';
}

/* Three numbers with dots between them, and perhaps more. */
static bool parse_version(const char *text, unsigned ret_version[3])
{
	char *end;

	for (int i = 0; i < 3; i++) {
		unsigned long number = strtoul(text, &end, 10);

		if (end == text || number > 9999 || (i < 2 && *end != '.'))
			return false;
		ret_version[i] = (unsigned)number;
		text = end + 1;
	}
	return true;
}

bool jet_server_version(const char *url, unsigned ret_version[3])
{
	static const char key[] = "\"version\":\"";
	char host[256], port[8], line[INFO_MAX];
	unsigned version[3];
	const char *at;
	int fd;

	if (!split(url, host, port))
		return false;
	fd = connect_to(host, port);
	if (fd < 0)
		return false;
	read_line(fd, line);
	close(fd);
	at = strncmp(line, "INFO ", 5) == 0 ? strstr(line, key) : NULL;
	if (!at || !parse_version(at + sizeof key - 1, version))
		return false;
	memcpy(ret_version, version, sizeof version);
	return true;
}
