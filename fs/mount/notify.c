/* SPDX-License-Identifier: Apache-2.0 */
/* notify.c - messages to the service manager; see notify.h */
#include "mount/notify.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define SEND_S 1 /* seconds that we wait for the service manager at most */

void chronfs_notify(const char *format, ...)
{
	const struct timeval most = { .tv_sec = SEND_S };
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const char *name =
		getenv("NOTIFY_SOCKET"); // NOLINT(concurrency-mt-unsafe): no thread sets one
	char text[512];
	size_t length;
	va_list ap;
	int fd;

	length = name ? strlen(name) : 0;
	if (length < 2 || length >= sizeof address.sun_path || (*name != '/' && *name != '@'))
		return;
	va_start(ap, format);
	(void)vsnprintf(text, sizeof text, format, ap);
	va_end(ap);
	memcpy(address.sun_path, name, length);
	if (*name == '@') /* an abstract one */
		address.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &most, sizeof most);
	(void)sendto(fd, text, strlen(text), MSG_NOSIGNAL, (const struct sockaddr *)&address,
	             (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length));
	close(fd);
}
