/* SPDX-License-Identifier: Apache-2.0 */
/* flock.c - /proc/locks; see flock.h */
#include "meta/flock.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

bool cq_flock_held(const struct stat *file, pid_t named, pid_t *ret_pid)
{
	char line[256], kind[16];
	unsigned device_major, device_minor;
	uint64_t inode;
	int pid = 0;
	bool found = false;
	FILE *locks = fopen("/proc/locks", "re");

	if (!locks)
		return false;
	while (!found && fgets(line, sizeof line, locks)) {
		if (sscanf(line, "%*d: %15s %*s %*s %d %x:%x:%" SCNu64, kind, &pid, &device_major,
		           &device_minor, &inode) != 5)
			continue;
		found = strcmp(kind, "FLOCK") == 0 && inode == file->st_ino &&
		        ((device_major == major(file->st_dev) &&
		          device_minor == minor(file->st_dev)) ||
		         pid == named);
	}
	fclose(locks);
	if (found)
		*ret_pid = pid;
	return found;
}
