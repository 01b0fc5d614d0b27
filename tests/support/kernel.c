/* SPDX-License-Identifier: Apache-2.0 */
/* kernel.c - system calls and allocations that fail on request; see kernel.h */
#include "kernel.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>

#include "os/fault.h"

static struct {
	const char *call;
	int error;
	unsigned skip, left, given;
} request;

long kernel_magic;
int kernel_flags;
const char *kernel_proc;
void (*kernel_allocating)(void);

static _Atomic bool memory_watched; /* by the library's threads, too */

void kernel_watch_memory(bool watch)
{
	atomic_store(&memory_watched, watch);
}

void kernel_refuse(const char *call, int error, unsigned skip, unsigned times)
{
	request.call = call;
	request.error = error;
	request.skip = skip;
	request.left = times;
	request.given = 0;
}

unsigned kernel_refused(void)
{
	return request.given;
}

unsigned kernel_descriptors(void)
{
	char path[64];
	struct stat st;
	unsigned count = 0;

	for (int fd = 0; fd < 100; fd++) {
		snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
		count += lstat(path, &st) == 0;
	}
	return count;
}

static bool refused(const char *call)
{
	if (!request.call || strcmp(call, request.call) != 0 || request.left == 0)
		return false;
	if (request.skip > 0) {
		request.skip--;
		return false;
	}
	request.left--;
	request.given++;
	errno = request.error;
	return true;
}

static bool no_memory(const char *call)
{
	return refused(call) || (atomic_load(&memory_watched) && cq_failpoint("malloc") < 0);
}

/* The linker puts __wrap_X in X's place and calls the system's __real_X.  The names with 64 are those
 * that glibc gives to calls with 64-bit offsets. */
#define CALL(type, failure, name, symbol, parameters, arguments) \
	CALL_UNLESS(refused(name), type, failure, symbol, parameters, arguments)
#define CALL_UNLESS(fails, type, failure, symbol, parameters, arguments) \
	type __real_##symbol parameters;                                 \
	type __wrap_##symbol parameters;                                 \
	type __wrap_##symbol parameters                                  \
	{                                                                \
		if (fails)                                               \
			return failure;                                  \
		return __real_##symbol arguments;                        \
	}

CALL(int, -1, "fstat", fstat64, (int fd, struct stat *st), (fd, st))
CALL(ssize_t, -1, "pread", pread64, (int fd, void *to, size_t n, off_t at), (fd, to, n, at))
CALL(ssize_t, -1, "pwrite", pwrite64, (int fd, const void *from, size_t n, off_t at),
     (fd, from, n, at))
CALL(ssize_t, -1, "pwritev", pwritev64, (int fd, const struct iovec *iov, int n, off_t at),
     (fd, iov, n, at))
CALL(off_t, -1, "lseek", lseek64, (int fd, off_t at, int from), (fd, at, from))
CALL(int, -1, "ftruncate", ftruncate64, (int fd, off_t size), (fd, size))
CALL(int, -1, "fallocate", fallocate64, (int fd, int mode, off_t at, off_t n), (fd, mode, at, n))
CALL(int, -1, "futimens", futimens, (int fd, const struct timespec times[2]), (fd, times))
CALL(int, -1, "flock", flock, (int fd, int operation), (fd, operation))
CALL(int, -1, "fdatasync", fdatasync, (int fd), (fd))
CALL(int, -1, "fsync", fsync, (int fd), (fd))
CALL(int, -1, "sync_file_range", sync_file_range, (int fd, off_t at, off_t n, unsigned how),
     (fd, at, n, how))
CALL(int, -1, "eventfd", eventfd, (unsigned count, int flags), (count, flags))
CALL(ssize_t, -1, "getrandom", getrandom, (void *to, size_t n, unsigned flags), (to, n, flags))
CALL(int, -1, "madvise", madvise, (void *base, size_t n, int advice), (base, n, advice))
CALL(DIR *, NULL, "fdopendir", fdopendir, (int fd), (fd))
CALL(int, -1, "renameat2", renameat2,
     (int from_fd, const char *from, int to_fd, const char *to, unsigned flags),
     (from_fd, from, to_fd, to, flags))
CALL(void *, (void *)-1, "mmap", mmap64,
     (void *at, size_t n, int access, int flags, int fd, off_t from),
     (at, n, access, flags, fd, from))
CALL(int, -1, "sigaction", sigaction,
     (int number, const struct sigaction *action, struct sigaction *old), (number, action, old))
CALL_UNLESS(no_memory("malloc"), void *, NULL, malloc, (size_t n), (n))
CALL_UNLESS(no_memory("realloc"), void *, NULL, realloc, (void *old, size_t n), (old, n))
CALL(char *, NULL, "strdup", strdup, (const char *text), (text))

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);

void *__wrap_calloc(size_t count, size_t size)
{
	/* any thread allocates */
	void (*hook)(void) = __atomic_exchange_n(&kernel_allocating, NULL, __ATOMIC_ACQ_REL);

	if (hook)
		hook();
	return no_memory("calloc") ? NULL : __real_calloc(count, size);
}

int __real_fcntl64(int fd, int command, ...);
int __wrap_fcntl64(int fd, int command, ...);

int __wrap_fcntl64(int fd, int command, ...)
{
	va_list arguments;
	long argument;

	va_start(arguments, command);
	argument = va_arg(arguments, long);
	va_end(arguments);
	return refused("fcntl") ? -1 : __real_fcntl64(fd, command, argument);
}

int __real_fstatfs64(int fd, struct statfs *fs);
int __wrap_fstatfs64(int fd, struct statfs *fs);

int __wrap_fstatfs64(int fd, struct statfs *fs)
{
	int r = refused("fstatfs") ? -1 : __real_fstatfs64(fd, fs);

	if (r == 0 && kernel_magic != 0)
		fs->f_type = kernel_magic;
	return r;
}

int __real_statx(int dirfd, const char *path, int flags, unsigned mask, struct statx *st);
int __wrap_statx(int dirfd, const char *path, int flags, unsigned mask, struct statx *st);

/* "mount id": it succeeds, but does not tell that, as before Linux 5.8. */
int __wrap_statx(int dirfd, const char *path, int flags, unsigned mask, struct statx *st)
{
	int r = refused("statx") ? -1 : __real_statx(dirfd, path, flags, mask, st);

	if (r == 0 && refused("mount id"))
		st->stx_mask &= ~STATX_MNT_ID;
	return r;
}

int __real_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...);

int __wrap_ioctl(int fd, unsigned long command, ...)
{
	va_list arguments;
	int *flags;

	va_start(arguments, command);
	flags = va_arg(arguments, int *);
	va_end(arguments);
	if (refused("ioctl"))
		return -1;
	if (kernel_magic == 0)
		return __real_ioctl(fd, command, flags);
	if (command == FS_IOC_SETFLAGS)
		kernel_flags = *flags;
	else
		*flags = kernel_flags;
	return 0;
}

/* What is opened for a path below /proc. */
static const char *instead(const char *path, char there[PATH_MAX])
{
	if (!kernel_proc || strncmp(path, "/proc/", 6) != 0)
		return path;
	snprintf(there, PATH_MAX, "%s%s", kernel_proc, strrchr(path, '/'));
	return there;
}

int __real_openat64(int dirfd, const char *path, int flags, ...);
int __wrap_openat64(int dirfd, const char *path, int flags, ...);

int __wrap_openat64(int dirfd, const char *path, int flags, ...)
{
	char there[PATH_MAX];
	va_list arguments;
	mode_t mode = 0;

	va_start(arguments, flags);
	if (flags & O_CREAT)
		mode = va_arg(arguments, mode_t);
	va_end(arguments);
	return refused("openat") ? -1 : __real_openat64(dirfd, instead(path, there), flags, mode);
}

FILE *__real_fopen64(const char *path, const char *mode);
FILE *__wrap_fopen64(const char *path, const char *mode);

FILE *__wrap_fopen64(const char *path, const char *mode)
{
	char there[PATH_MAX];

	return refused("fopen") ? NULL : __real_fopen64(instead(path, there), mode);
}
