/* SPDX-License-Identifier: Apache-2.0 */
/*
 * namespaces.c - a mount that was unmounted here and is left in another mount namespace
 *
 * A mount namespace begins with a copy of every mount (a container, unshare --mount, a service with a
 * namespace of its own).  umount removes the mount here.  Its daemon runs, and holds the queue, until
 * the last copy is unmounted.  We find the copies in the tables of mounts of the processes there.
 */
#include "mount/namespaces.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chronfs.h"
#include "mount/mountpoint.h"

/* The mount namespace of a process, as a text that is the same for all its processes. */
static bool namespace_of(const char *process, char text[64])
{
	char path[320];
	ssize_t n;

	(void)snprintf(path, sizeof path, "/proc/%s/ns/mnt", process);
	n = readlink(path, text, 63);
	text[n > 0 ? n : 0] = '\0';
	return n > 0;
}

static bool has_mount(const struct chronfs *fs, const char *process)
{
	const struct chronfs_options *options = &fs->options;
	char path[320];

	(void)snprintf(path, sizeof path, "/proc/%s/mountinfo", process);
	return chronfs_table_has_mount(path, options->queue) ||
	       (options->source && chronfs_table_has_mount(path, options->source));
}

bool chronfs_mounted_elsewhere(const struct chronfs *fs, pid_t *ret_process)
{
	char ours[64], theirs[64], last[64] = "";
	const struct dirent *entry;
	bool found = false;
	DIR *processes;

	if (!namespace_of("self", ours) || has_mount(fs, "self"))
		return false;
	processes = opendir("/proc");
	if (!processes)
		return false;
	// NOLINTNEXTLINE(concurrency-mt-unsafe): of a directory that is ours
	while (!found && (entry = readdir(processes)) != NULL) {
		if (entry->d_name[0] < '1' || entry->d_name[0] > '9' ||
		    !namespace_of(entry->d_name, theirs) || strcmp(theirs, ours) == 0 ||
		    strcmp(theirs, last) == 0)
			continue;
		memcpy(last, theirs, sizeof last);
		found = has_mount(fs, entry->d_name);
		if (found)
			*ret_process = (pid_t)strtol(entry->d_name, NULL, 10);
	}
	(void)closedir(processes);
	return found;
}
