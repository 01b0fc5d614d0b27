/* SPDX-License-Identifier: Apache-2.0 */
/* reader_lock.c - the flock on a reader's file; see reader_lock.h */
#include "meta/reader_lock.h"

#include <errno.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "meta/flock.h"
#include "meta/reader_file.h"
#include "os/fault.h"
#include "os/io.h"

#define TRIES 100 /* if another process keeps replacing the file */

/* Below the queue's directory. */
#define PATH_SIZE (sizeof CQ_READERS_DIR "/" CQ_READER_SUFFIX + CQ_READER_NAME_MAX)

static void file_path(char path[PATH_SIZE], const char *name)
{
	(void)snprintf(path, PATH_SIZE, CQ_READERS_DIR "/%s" CQ_READER_SUFFIX, name);
}

int cq_reader_lock_check(int dirfd, const char *name, int fd)
{
	struct stat locked, named;
	char path[PATH_SIZE];
	int r;

	r = cq_io_stat(fd, &locked);
	if (r < 0)
		return r;
	file_path(path, name);
	r = cq_io_stat_at(dirfd, path, &named);
	if (r < 0)
		return r == -ENOENT || r == -ENOTDIR ? -ESTALE : r;
	return locked.st_dev == named.st_dev && locked.st_ino == named.st_ino ? 0 : -ESTALE;
}

int cq_reader_lock_open(int dirfd, const char *name, bool create, int *ret_fd)
{
	int fd = -1, r = -EBUSY;

	for (int i = 0; i < TRIES; i++) {
		r = cq_reader_file_open(dirfd, name, create, &fd);
		if (r < 0)
			return r;
		cq_point("reader.opened");
		r = cq_io_lock(fd);
		if (r == 0 && !cq_planted("reader_lock_unchecked"))
			r = cq_reader_lock_check(dirfd, name, fd);
		if (r == 0) {
			*ret_fd = fd;
			return 0;
		}
		close(fd);
		if (r != -ESTALE)
			return r;
		r = -EBUSY;
	}
	return r;
}

int cq_reader_lock_delete(int dirfd, const char *name, int fd)
{
	char path[PATH_SIZE];
	int r;

	r = cq_reader_lock_check(dirfd, name, fd);
	if (r < 0)
		return r;
	file_path(path, name);
	return cq_io_unlink(dirfd, path);
}

void cq_reader_lock_close(int dirfd, const char *name, int fd)
{
	struct stat st;

	if (cq_io_stat(fd, &st) == 0 && st.st_size == 0)
		(void)cq_reader_lock_delete(dirfd, name, fd);
	(void)flock(fd, LOCK_UN);
	close(fd);
}

int cq_reader_lock_holder(int dirfd, const char *name, bool *ret_locked, pid_t *ret_pid)
{
	char path[PATH_SIZE];
	struct stat st;
	pid_t pid = 0;
	int r;

	file_path(path, name);
	r = cq_io_stat_at(dirfd, path, &st);
	if (r < 0)
		return r;
	*ret_locked = cq_flock_held(dirfd, &st, 0, &pid);
	*ret_pid = pid > 0 ? pid : 0;
	return 0;
}
