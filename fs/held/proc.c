/* SPDX-License-Identifier: Apache-2.0 */
/* proc.c - what /proc says of a client's process or thread; see proc.h */
#include "held/proc.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "shared/parse_number.h"

#define STAT_PENDING 31 /* signals that are pending for this thread */

void chronfs_proc_read(pid_t pid, const char *name, char text[CHRONFS_PROC_TEXT])
{
	char path[64];
	ssize_t n = -1;
	int fd;

	(void)snprintf(path, sizeof path, "/proc/%ld/%s", (long)pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = read(fd, text, CHRONFS_PROC_TEXT - 1);
		close(fd);
	}
	text[n > 0 ? n : 0] = '\0';
}

uint64_t chronfs_proc_stat_field(pid_t pid, int number)
{
	const char *field, *end;
	char text[CHRONFS_PROC_TEXT];
	uint64_t value;

	chronfs_proc_read(pid, "stat", text);
	field = strrchr(text, ')'); /* the second; the name in it may hold any character */
	for (int i = 2; field && i < number; i++) {
		field = strchr(field, ' ');
		if (field)
			field++;
	}
	return field && chronfs_parse_number(field, &value, &end) ? value : 0;
}

bool chronfs_proc_is_killed(pid_t thread)
{
	return thread != 0 && (chronfs_proc_stat_field(thread, STAT_PENDING) >> (SIGKILL - 1) & 1);
}
