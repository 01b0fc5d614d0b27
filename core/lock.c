/* SPDX-License-Identifier: Apache-2.0 */
/* lock.c - writer.lock; see lock.h */
#include "lock.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "fault.h"
#include "format.h"
#include "io.h"

/* Field 22 of /proc/PID/stat; the command in field 2 may hold spaces and parentheses. */
static int process_start_time(pid_t pid, uint64_t *ret_start)
{
	char path[32], text[1024];
	const char *at;
	ssize_t n;
	int fd, r;

	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	r = cq_io_open(AT_FDCWD, path, O_RDONLY, &fd);
	if (r < 0)
		return r;
	n = cq_io_pread(fd, text, sizeof text - 1, 0);
	close(fd);
	if (n < 0)
		return (int)n;
	text[n] = '\0';
	at = strrchr(text, ')');
	for (int field = 2; at && field < 22; field++) {
		at = strchr(at, ' ');
		if (at)
			at++;
	}
	if (!at || sscanf(at, "%" SCNu64, ret_start) != 1)
		return -EBADMSG;
	return 0;
}

int cq_lock_describe(int fd, uint64_t epoch)
{
	uint64_t start = 0;
	char text[80];
	int length, r;

	r = process_start_time(getpid(), &start);
	if (r < 0 && r != -ENOENT) /* ENOENT: no /proc here; the kernel's lock does without */
		return r;
	length = snprintf(text, sizeof text, "%d %" PRIu64 " %" PRIu64 "\n", (int)getpid(), start,
	                  epoch);
	r = cq_io_pwrite(fd, text, (size_t)length, 0);
	if (r < 0)
		return r;
	cq_point("lock.described");
	return cq_io_truncate(fd, (uint64_t)length);
}

static int take(int fd, int *ret_fd)
{
	int r = cq_io_lock(fd);

	if (r < 0) {
		close(fd);
		return r;
	}
	cq_point("lock.held");
	*ret_fd = fd;
	return 0;
}

int cq_lock_try(int dirfd, int *ret_fd)
{
	int fd, r;

	r = cq_io_open(dirfd, CQ_LOCK_NAME, O_RDWR, &fd);
	return r < 0 ? r : take(fd, ret_fd);
}

int cq_lock_acquire(int dirfd, int *ret_fd)
{
	int fd, r;

	r = cq_lock_try(dirfd, ret_fd);
	if (r != -ENOENT)
		return r;
	r = cq_io_create_new(dirfd, CQ_LOCK_NAME, 0640, &fd);
	cq_point("lock.created");
	if (r == -EEXIST) /* another writer made it just now */
		return cq_lock_try(dirfd, ret_fd);
	return r < 0 ? r : take(fd, ret_fd);
}

/*
 * Whether any process holds a flock on this file; read from the kernel's list so that looking never
 * keeps a starting writer out.  Where the list's device number is not stat's (btrfs subvolumes), the
 * inode number and the pid in the text have to agree.
 */
static bool locked_now(const struct stat *st, pid_t named)
{
	char line[256], kind[16];
	unsigned device_major, device_minor;
	uint64_t inode;
	int pid;
	bool found = false;
	FILE *locks = fopen("/proc/locks", "re");

	if (!locks)
		return false;
	while (!found && fgets(line, sizeof line, locks)) {
		if (sscanf(line, "%*d: %15s %*s %*s %d %x:%x:%" SCNu64, kind, &pid, &device_major,
		           &device_minor, &inode) != 5)
			continue;
		found = strcmp(kind, "FLOCK") == 0 && inode == st->st_ino &&
		        ((device_major == major(st->st_dev) && device_minor == minor(st->st_dev)) ||
		         pid == named);
	}
	fclose(locks);
	return found;
}

int cq_lock_holder(int dirfd, struct cq_holder *ret_holder)
{
	struct cq_holder holder = { 0 };
	struct stat st;
	uint64_t start;
	char text[80];
	ssize_t n;
	int fd, pid, r;

	r = cq_io_open(dirfd, CQ_LOCK_NAME, O_RDONLY, &fd);
	if (r == -ENOENT) {
		*ret_holder = holder;
		return 0;
	}
	if (r < 0)
		return r;
	r = cq_io_stat(fd, &st);
	n = r < 0 ? r : cq_io_pread(fd, text, sizeof text - 1, 0);
	close(fd);
	if (n < 0)
		return (int)n;
	text[n] = '\0';
	if (sscanf(text, "%d %" SCNu64, &pid, &holder.start_time) == 2 && pid > 0) {
		holder.pid = pid;
		holder.alive = process_start_time(pid, &start) == 0 && start == holder.start_time;
	} else {
		holder.start_time = 0;
	}
	holder.locked = locked_now(&st, holder.pid);
	*ret_holder = holder;
	return 0;
}

void cq_lock_release(int fd)
{
	if (fd >= 0)
		close(fd);
}
