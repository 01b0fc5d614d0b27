/* SPDX-License-Identifier: Apache-2.0 */
/* io.c - the only system calls on files that can fail; see io.h */
#include "io.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fault.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

#define FAILPOINT(name)                            \
	do {                                       \
		int failure = cq_failpoint(name);  \
		if (failure < 0)                   \
			return failure;            \
	} while (0)

/* Runs a call that gives -1 and errno, again after EINTR. */
#define RETRY(call)                                        \
	__extension__({                                    \
		__typeof__(call) result;                   \
		do                                         \
			result = (call);                   \
		while (result == -1 && errno == EINTR);    \
		result;                                    \
	})

static int open_flags(int dirfd, const char *name, int flags, mode_t mode, int *ret_fd)
{
	int fd = RETRY(openat(dirfd, name, flags | O_CLOEXEC | O_NOFOLLOW, mode));

	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

int cq_io_open_dir(int dirfd, const char *path, int *ret_fd)
{
	int fd;

	FAILPOINT("open_dir");
	/* The queue's own path may lead over symbolic links; what is below it may not. */
	if (dirfd != AT_FDCWD)
		return open_flags(dirfd, path, O_RDONLY | O_DIRECTORY, 0, ret_fd);
	fd = RETRY(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

int cq_io_open(int dirfd, const char *name, int flags, int *ret_fd)
{
	FAILPOINT("open");
	/* O_NONBLOCK: a FIFO planted under one of our names must not stop us */
	return open_flags(dirfd, name, flags | O_NONBLOCK, 0, ret_fd);
}

int cq_io_create_new(int dirfd, const char *name, mode_t mode, int *ret_fd)
{
	FAILPOINT("create_new");
	return open_flags(dirfd, name, O_RDWR | O_CREAT | O_EXCL, mode, ret_fd);
}

int cq_io_mkdir(int dirfd, const char *name, mode_t mode)
{
	FAILPOINT("mkdir");
	return mkdirat(dirfd, name, mode) < 0 ? -errno : 0;
}

int cq_io_stat(int fd, struct stat *ret_stat)
{
	FAILPOINT("stat");
	return fstat(fd, ret_stat) < 0 ? -errno : 0;
}

int cq_io_stat_at(int dirfd, const char *name, struct stat *ret_stat)
{
	FAILPOINT("stat_at");
	return fstatat(dirfd, name, ret_stat, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

int cq_io_allocate(int fd, uint64_t size)
{
	FAILPOINT("allocate");
	/* not posix_fallocate(): where the file system cannot, glibc would write every page */
	return RETRY(fallocate(fd, 0, 0, (off_t)size)) < 0 ? -errno : 0;
}

ssize_t cq_io_pread(int fd, void *buffer, size_t length, uint64_t offset)
{
	size_t done = 0;

	FAILPOINT("pread");
	while (done < length) {
		ssize_t n = RETRY(pread(fd, (char *)buffer + done, length - done,
		                        (off_t)(offset + done)));

		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

int cq_io_pwrite(int fd, const void *buffer, size_t length, uint64_t offset)
{
	size_t done = 0;

	FAILPOINT("pwrite");
	while (done < length) {
		ssize_t n = RETRY(pwrite(fd, (const char *)buffer + done, length - done,
		                         (off_t)(offset + done)));

		if (n < 0)
			return -errno;
		done += (size_t)n;
	}
	return 0;
}

int cq_io_seek_data(int fd, uint64_t offset, uint64_t *ret_offset)
{
	off_t at;
	struct stat st;

	FAILPOINT("seek_data");
	at = lseek(fd, (off_t)offset, SEEK_DATA);
	if (at >= 0) {
		*ret_offset = (uint64_t)at;
		return 0;
	}
	if (errno != ENXIO)
		return -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	*ret_offset = (uint64_t)st.st_size;
	return 0;
}

void cq_io_start_writeback(int fd)
{
	(void)sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE); /* errors show in the sync */
}

int cq_io_sync_data(int fd)
{
	FAILPOINT("sync_data");
	return RETRY(fdatasync(fd)) < 0 ? -errno : 0;
}

int cq_io_sync_dir(int fd)
{
	FAILPOINT("sync_dir");
	return RETRY(fsync(fd)) < 0 ? -errno : 0;
}

int cq_io_rename_noreplace(int dirfd, const char *from, const char *to)
{
	FAILPOINT("rename_noreplace");
	return renameat2(dirfd, from, dirfd, to, RENAME_NOREPLACE) < 0 ? -errno : 0;
}

int cq_io_rename(int dirfd, const char *from, const char *to)
{
	FAILPOINT("rename");
	return renameat(dirfd, from, dirfd, to) < 0 ? -errno : 0;
}

int cq_io_unlink(int dirfd, const char *name)
{
	FAILPOINT("unlink");
	return unlinkat(dirfd, name, 0) < 0 ? -errno : 0;
}

int cq_io_map(int fd, size_t size, int writable, void **ret_base)
{
	void *base;

	FAILPOINT("map");
	base = mmap(NULL, size, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
	if (base == MAP_FAILED)
		return -errno;
	*ret_base = base;
	return 0;
}

void cq_io_unmap(void *base, size_t size)
{
	munmap(base, size);
}

int cq_io_populate(void *base, size_t length)
{
	FAILPOINT("populate");
	return RETRY(madvise(base, length, MADV_POPULATE_WRITE)) < 0 ? -errno : 0;
}

int cq_io_replace(int dirfd, const char *temp, const char *name, const void *buffer, size_t length)
{
	int fd = -1, r;

	r = cq_io_create_new(dirfd, temp, 0640, &fd);
	if (r == -EEXIST) {
		/* a leftover of a writer that died just here */
		r = cq_io_unlink(dirfd, temp);
		if (r == 0)
			r = cq_io_create_new(dirfd, temp, 0640, &fd);
	}
	if (r < 0)
		return r;
	r = cq_io_pwrite(fd, buffer, length, 0);
	close(fd);
	if (r == 0)
		r = cq_io_rename(dirfd, temp, name);
	if (r < 0)
		unlinkat(dirfd, temp, 0);
	return r;
}

int cq_io_list(int dirfd, DIR **ret_dir)
{
	int fd, saved;
	DIR *dir;

	FAILPOINT("list");
	/* a descriptor of its own: a stream takes over both descriptor and position */
	fd = RETRY(openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	if (fd < 0)
		return -errno;
	dir = fdopendir(fd);
	if (!dir) {
		saved = errno;
		close(fd);
		return -saved;
	}
	*ret_dir = dir;
	return 0;
}
