/* SPDX-License-Identifier: Apache-2.0 */
/* io.c - the system's calls on the files of a queue; see io.h */
#include "os/io.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "os/fault.h"
#include "os/io_trace.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

#define FAILPOINT(name)                           \
	do {                                      \
		int failure = cq_failpoint(name); \
		if (failure < 0)                  \
			return failure;           \
	} while (0)

/* Runs a call that gives -1 and errno, again after EINTR. */
#define RETRY(call)                                     \
	__extension__({                                 \
		__typeof__(call) result;                \
		do                                      \
			result = (call);                \
		while (result == -1 && errno == EINTR); \
		result;                                 \
	})

static int open_flags(int dirfd, const char *name, int flags, mode_t mode, int *ret_fd)
{
	const int follow = cq_planted("follows_symlinks") ? 0 : O_NOFOLLOW;
	int fd = RETRY(openat(dirfd, name, flags | O_CLOEXEC | follow, mode));

	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

int cq_io_open_dir(int dirfd, const char *path, int *ret_fd)
{
	int fd;

	FAILPOINT("open_dir");
	/* The queue's own path may contain symbolic links, a name below it not. */
	if (dirfd != AT_FDCWD)
		return open_flags(dirfd, path, O_RDONLY | O_DIRECTORY, 0, ret_fd);
	fd = RETRY(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

const char *cq_io_not_ours(const struct stat *file, const struct stat *directory)
{
	if (file->st_nlink > 1)
		return "it has a second name (a hard link)";
	if (file->st_uid != geteuid() && file->st_uid != directory->st_uid && file->st_uid != 0)
		return "it belongs to another user";
	return NULL;
}

static int check_opened(int dirfd, int fd, bool writing)
{
	struct stat file, directory = { 0 };

	if (fstat(fd, &file) < 0)
		return -errno;
	if (!S_ISREG(file.st_mode))
		return -EBADMSG;
	if (!writing)
		return 0;
	if (fstat(dirfd, &directory) < 0)
		return -errno;
	return cq_io_not_ours(&file, &directory) ? -EPERM : 0;
}

int cq_io_open(int dirfd, const char *name, int flags, int *ret_fd)
{
	int fd = -1, r;

	FAILPOINT("open");
	/* O_NONBLOCK: a FIFO with the name of a file of the queue must not block us */
	r = open_flags(dirfd, name, flags | O_NONBLOCK, 0, &fd);
	if (r == -ENXIO || r == -EISDIR) /* a socket; a directory, for writing */
		return -EBADMSG;
	if (r < 0)
		return r;
	r = check_opened(dirfd, fd, (flags & O_ACCMODE) != O_RDONLY);
	if (r < 0)
		close(fd);
	else
		*ret_fd = fd;
	return r;
}

/* Btrfs writes a changed page to a new place: where none is free, a store into a mapped file would raise
 * SIGBUS in spite of the space that was allocated.  Only an empty file can be exempted; a file that cannot
 * be exempted is used all the same. */
static void write_in_place(int fd)
{
	struct statfs fs;
	int flags;

	if (fstatfs(fd, &fs) < 0 || fs.f_type != BTRFS_SUPER_MAGIC)
		return;
	if (ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0)
		return;
	flags |= FS_NOCOW_FL;
	(void)ioctl(fd, FS_IOC_SETFLAGS, &flags);
}

int cq_io_create_new(int dirfd, const char *name, mode_t mode, int *ret_fd)
{
	int fd = -1, r;

	FAILPOINT("create_new");
	r = open_flags(dirfd, name, O_RDWR | O_CREAT | O_EXCL, mode, &fd);
	if (r < 0)
		return r;
	write_in_place(fd);
	cq_io_trace_call(CQ_EVENT_CREATE, dirfd, fd, name, NULL);
	*ret_fd = fd;
	return 0;
}

int cq_io_mkdir(int dirfd, const char *name, mode_t mode)
{
	FAILPOINT("mkdir");
	if (mkdirat(dirfd, name, mode) < 0)
		return -errno;
	cq_io_trace_call(CQ_EVENT_MKDIR, dirfd, -1, name, NULL);
	return 0;
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

/*
 * A write beyond RLIMIT_FSIZE gives EFBIG and raises SIGXFSZ, which ends a program that does not handle
 * it.  For us it is one failed call: these two hold the signal back during a call that makes a file grow,
 * and take it away before the program sees it.
 */
static void hold_sigxfsz(sigset_t *ret_old)
{
	sigset_t held;

	sigemptyset(&held);
	sigaddset(&held, SIGXFSZ);
	pthread_sigmask(SIG_BLOCK, &held, ret_old);
}

static void let_go_sigxfsz(const sigset_t *old, int r)
{
	const struct timespec at_once = { 0 };
	sigset_t held;

	sigemptyset(&held);
	sigaddset(&held, SIGXFSZ);
	if (r == -EFBIG)
		(void)sigtimedwait(&held, NULL, &at_once);
	pthread_sigmask(SIG_SETMASK, old, NULL);
}

int cq_io_allocate(int fd, uint64_t size)
{
	sigset_t old;
	int r;

	FAILPOINT("allocate");
	hold_sigxfsz(&old);
	/* not posix_fallocate(): where the file system cannot allocate, glibc would write every page */
	r = RETRY(fallocate(fd, 0, 0, (off_t)size)) < 0 ? -errno : 0;
	let_go_sigxfsz(&old, r);
	if (r < 0)
		return r;
	cq_io_trace_call(CQ_EVENT_WRITE, -1, fd, NULL, NULL);
	return 0;
}

void cq_io_release(int fd, uint64_t from, uint64_t to)
{
	(void)RETRY(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)from,
	                      (off_t)(to - from)));
}

ssize_t cq_io_pread(int fd, void *buffer, size_t length, uint64_t offset)
{
	size_t done = 0;

	FAILPOINT("pread");
	while (done < length) {
		ssize_t n = RETRY(
			pread(fd, (char *)buffer + done, length - done, (off_t)(offset + done)));

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
	sigset_t old;
	int r = 0;

	FAILPOINT("pwrite");
	hold_sigxfsz(&old);
	while (done < length && r == 0) {
		ssize_t n = RETRY(pwrite(fd, (const char *)buffer + done, length - done,
		                         (off_t)(offset + done)));

		if (n < 0)
			r = -errno;
		else
			done += (size_t)n;
	}
	let_go_sigxfsz(&old, r);
	if (r < 0)
		return r;
	cq_io_trace_call(CQ_EVENT_WRITE, -1, fd, NULL, NULL);
	return 0;
}

int cq_io_pwrite_two(int fd, const void *first, size_t first_length, const void *second,
                     size_t second_length, uint64_t offset)
{
	union {
		const void *from;
		void *to;
	} a = { .from = first }, b = { .from = second };
	const struct iovec iov[2] = { { a.to, first_length }, { b.to, second_length } };
	sigset_t old;
	ssize_t n;
	int r = 0;

	FAILPOINT("pwrite_two");
	hold_sigxfsz(&old);
	n = RETRY(pwritev(fd, iov, 2, (off_t)offset));
	if (n < 0)
		r = -errno;
	else if ((size_t)n < first_length + second_length)
		r = -EIO;
	let_go_sigxfsz(&old, r);
	if (n > 0)
		cq_io_trace_call(CQ_EVENT_WRITE, -1, fd, NULL, NULL);
	return r;
}

int cq_io_seek_data(int fd, uint64_t offset, uint64_t *ret_begin, uint64_t *ret_end)
{
	off_t begin, end;
	struct stat st;

	FAILPOINT("seek_data");
	begin = lseek(fd, (off_t)offset, SEEK_DATA);
	end = begin < 0 ? -1 : lseek(fd, begin, SEEK_HOLE);
	if (end < 0 && errno != ENXIO)
		return -errno;
	if (end < 0) {
		if (fstat(fd, &st) < 0)
			return -errno;
		begin = end = st.st_size;
	}
	*ret_begin = (uint64_t)begin;
	*ret_end = (uint64_t)end;
	return 0;
}

void cq_io_drop_clean(int fd, uint64_t from)
{
	(void)posix_fadvise(fd, (off_t)from, 0, POSIX_FADV_DONTNEED);
}

int cq_io_truncate(int fd, uint64_t size)
{
	sigset_t old;
	int r;

	FAILPOINT("truncate");
	hold_sigxfsz(&old);
	r = RETRY(ftruncate(fd, (off_t)size)) < 0 ? -errno : 0;
	let_go_sigxfsz(&old, r);
	if (r < 0)
		return r;
	cq_io_trace_call(CQ_EVENT_WRITE, -1, fd, NULL, NULL);
	return 0;
}

int cq_io_set_times(int fd, const struct timespec times[2])
{
	FAILPOINT("set_times");
	return futimens(fd, times) < 0 ? -errno : 0;
}

int cq_io_lock(int fd)
{
	FAILPOINT("lock");
	if (RETRY(flock(fd, LOCK_EX | LOCK_NB)) < 0)
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	return 0;
}

int cq_io_lock_bytes(int fd, size_t length)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = (off_t)length };

	FAILPOINT("lock_bytes");
	if (RETRY(fcntl(fd, F_OFD_SETLK, &lock)) < 0)
		return errno == EAGAIN || errno == EACCES ? -EBUSY : -errno;
	return 0;
}

void cq_io_unlock_bytes(int fd, size_t length)
{
	struct flock lock = { .l_type = F_UNLCK, .l_whence = SEEK_SET, .l_len = (off_t)length };

	(void)RETRY(fcntl(fd, F_OFD_SETLK, &lock));
}

int cq_io_duplicate(int fd, int *ret_fd)
{
	int copy;

	FAILPOINT("duplicate");
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (copy < 0)
		return -errno;
	*ret_fd = copy;
	return 0;
}

void cq_io_start_writeback(int fd)
{
	(void)sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE); /* errors show in the sync */
}

int cq_io_write_out(int fd, uint64_t offset, uint64_t length)
{
	const unsigned how =
		SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;

	FAILPOINT("write_out");
	if (RETRY(sync_file_range(fd, (off_t)offset, (off_t)length, how)) < 0)
		return errno == EIO || errno == ENOSPC || errno == EDQUOT ? -errno : 0;
	return 0;
}

int cq_io_sync_data(int fd)
{
	FAILPOINT("sync_data");
	if (RETRY(fdatasync(fd)) < 0)
		return -errno;
	cq_io_trace_call(CQ_EVENT_SYNC_DATA, -1, fd, NULL, NULL);
	return 0;
}

int cq_io_sync_dir(int fd)
{
	FAILPOINT("sync_dir");
	if (RETRY(fsync(fd)) < 0)
		return -errno;
	cq_io_trace_call(CQ_EVENT_SYNC_DIR, -1, fd, NULL, NULL);
	return 0;
}

int cq_io_rename_noreplace(int dirfd, const char *from, const char *to)
{
	int r = cq_failpoint("rename_noreplace");

	if (r == 0 && renameat2(dirfd, from, dirfd, to, RENAME_NOREPLACE) < 0)
		r = -errno;
	if (r == 0)
		cq_io_trace_call(CQ_EVENT_RENAME, dirfd, -1, from, to);
	/* the file system, or the kernel, does not know the flag */
	return r == -EINVAL || r == -ENOSYS ? -EOPNOTSUPP : r;
}

/* EISDIR: a directory has the name of a file of the queue. */
static int not_a_file(int error)
{
	return error == EISDIR ? -EBADMSG : -error;
}

int cq_io_rename(int dirfd, const char *from, const char *to)
{
	FAILPOINT("rename");
	if (renameat(dirfd, from, dirfd, to) < 0)
		return not_a_file(errno);
	cq_io_trace_call(CQ_EVENT_RENAME, dirfd, -1, from, to);
	return 0;
}

int cq_io_unlink(int dirfd, const char *name)
{
	FAILPOINT("unlink");
	if (unlinkat(dirfd, name, 0) < 0)
		return not_a_file(errno);
	cq_io_trace_call(CQ_EVENT_UNLINK, dirfd, -1, name, NULL);
	return 0;
}

int cq_io_event(unsigned count, int *ret_fd)
{
	int fd;

	FAILPOINT("event");
	fd = eventfd(count, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

int cq_io_random(void *buffer, size_t length)
{
	FAILPOINT("random");
	/* so few bytes come all at once, or not at all */
	return RETRY(getrandom(buffer, length, 0)) < 0 ? -errno : 0;
}

int cq_io_map(int fd, size_t size, int writable, void **ret_base)
{
	const int access = writable ? PROT_READ | PROT_WRITE : PROT_READ;
	void *base = MAP_FAILED;
	int r = cq_failpoint("map");

	if (r == 0) {
		base = mmap(NULL, size, access, MAP_SHARED, fd, 0);
		r = base == MAP_FAILED ? -errno : 0;
	}
	/* EAGAIN: too much locked memory (mlockall()); callers that open segments take it for "not yet" */
	if (r < 0)
		return r == -EAGAIN ? -ENOMEM : r;
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
		/* left over from a writer that died here */
		r = cq_io_unlink(dirfd, temp);
		if (r == 0)
			r = cq_io_create_new(dirfd, temp, 0640, &fd);
	}
	if (r < 0)
		return r;
	cq_point("replace.created");
	r = cq_io_pwrite(fd, buffer, length, 0);
	close(fd);
	cq_point("replace.written");
	if (r == 0)
		r = cq_io_rename(dirfd, temp, name);
	cq_point("replace.renamed");
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

int cq_io_next_name(DIR *dir, const char **ret_name)
{
	const struct dirent *entry;

	FAILPOINT("next_name");
	errno = 0;
	entry = readdir(dir); // NOLINT(concurrency-mt-unsafe): no other thread has this stream
	if (!entry)
		return -errno;
	*ret_name = entry->d_name;
	return 1;
}
