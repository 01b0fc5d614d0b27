/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mounted.c - see mounted.h
 *
 * The table of mounts names the mounts of chronfs; the stats.json of each says which process serves it.  The queue's
 * mount is the one that the holder of the queue's lock serves: that knows no second way to the directory, and no
 * option that changes the name in the table.
 */
#include "shared/mounted.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/cli.h"

#define MOUNTS "/proc/self/mountinfo"

/* Undoes the octal escapes of the table, in place. */
static void unescape(char *text)
{
	char *to = text;

	for (const char *at = text; *at != '\0'; to++) {
		if (*at == '\\') { /* three digits follow: a backslash is escaped, too */
			*to = (char)strtol((char[]){ at[1], at[2], at[3], '\0' }, NULL, 8);
			at += 4;
		} else {
			*to = *at++;
		}
	}
	*to = '\0';
}

/* The mount point in a line of the table, if it is a mount of chronfs; else NULL. */
static char *chronfs_in(char *line)
{
	char *at = line;

	if (!strstr(line, " - fuse.chronfs "))
		return NULL;
	for (int field = 1; field < 5; field++) { /* the fifth, counted from 1 */
		at = strchr(at, ' ');
		if (!at) /* GCOV_EXCL_BR_LINE: the kernel's lines have more */
			return NULL;
		at++;
	}
	at[strcspn(at, " ")] = '\0';
	unescape(at);
	return at;
}

static bool is_served_by(const char *mount, pid_t pid)
{
	char path[PATH_MAX];
	json_t *stats;
	bool is;

	/* of a name that is too long the rest is cut off: no such file */
	(void)snprintf(path, sizeof path, "%s/stats.json", mount);
	stats = json_load_file(path, 0, NULL);
	is = json_integer_value(json_object_get(stats, "pid")) == pid &&
	     json_is_false(json_object_get(stats, "read_only"));
	json_decref(stats);
	return is;
}

/* The ctl of the mount that this process serves; false: there is none to be seen. */
static bool find_ctl(pid_t pid, char ctl[PATH_MAX])
{
	FILE *table = fopen(MOUNTS, "re");
	bool found = false;
	char *line = NULL, *mount;
	size_t size = 0;

	while (table && !found && getline(&line, &size, table) > 0) {
		mount = chronfs_in(line);
		found = mount && is_served_by(mount, pid);
		if (found) /* shorter than the name of stats.json, which was read */
			(void)snprintf(ctl, PATH_MAX, "%s/ctl", mount);
	}
	free(line);
	if (table)
		(void)fclose(table);
	return found;
}

static int write_command(const char *ctl, const char *command)
{
	const int fd = open(ctl, O_WRONLY | O_CLOEXEC);
	int r = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, command, strlen(command)) < 0)
		r = -errno;
	(void)close(fd);
	return r;
}

int cli_mounted_do(const char *dir, const struct cq_holder *holder, const char *command)
{
	char ctl[PATH_MAX];
	int r;

	if (holder->pid == 0) {
		cli_note("%s: another process has the queue", dir);
		return -ENOLINK;
	}
	if (!find_ctl(holder->pid, ctl)) {
		cli_note(
			"%s: process %d has the queue, and serves no mount that can be read here; if it "
			"serves one: echo %s > MOUNT/ctl",
			dir, (int)holder->pid, command);
		return -ENOLINK;
	}
	r = write_command(ctl, command);
	if (r < 0 && r != -EBUSY) {
		cli_note("%s: process %d has the queue, and %s: %s", dir, (int)holder->pid, ctl,
		         cq_strerror(r));
		return -ENOLINK;
	}
	return r;
}
