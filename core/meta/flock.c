/* SPDX-License-Identifier: Apache-2.0 */
/* flock.c - /proc/locks; see flock.h */
#include "meta/flock.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

/* The device that the kernel's lists have for the mount of this open file; before Linux 5.8 unknown. */
static bool mount_device(int fd, dev_t *ret_device)
{
	unsigned device_major, device_minor;
	unsigned long long id;
	struct statx file;
	char line[4096];
	bool found = false;
	FILE *mounts;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &file) < 0 ||
	    !(file.stx_mask & STATX_MNT_ID))
		return false;
	mounts = fopen("/proc/self/mountinfo", "re");
	if (!mounts)
		return false;
	while (!found && fgets(line, sizeof line, mounts))
		found = sscanf(line, "%llu %*u %u:%u ", &id, &device_major, &device_minor) == 3 &&
		        id == file.stx_mnt_id;
	fclose(mounts);
	if (found)
		*ret_device = makedev(device_major, device_minor);
	return found;
}

bool cq_flock_held(int beside, const struct stat *file, pid_t named, pid_t *ret_pid)
{
	char line[256], kind[16];
	unsigned device_major, device_minor;
	dev_t device = file->st_dev;
	uint64_t inode;
	int pid = 0;
	bool found = false, asked = false;
	FILE *locks = fopen("/proc/locks", "re");

	if (!locks)
		return false;
	while (!found && fgets(line, sizeof line, locks)) {
		if (sscanf(line, "%*d: %15s %*s %*s %d %x:%x:%" SCNu64, kind, &pid, &device_major,
		           &device_minor, &inode) != 5 ||
		    strcmp(kind, "FLOCK") != 0 || inode != file->st_ino)
			continue;
		found = makedev(device_major, device_minor) == device || pid == named;
		if (!found && !asked) {
			asked = true;
			if (mount_device(beside, &device))
				found = makedev(device_major, device_minor) == device;
		}
	}
	fclose(locks);
	if (found)
		*ret_pid = pid;
	return found;
}
