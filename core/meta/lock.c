/* SPDX-License-Identifier: Apache-2.0 */
/* lock.c - writer.lock; see lock.h */
#include "meta/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "format/format.h"
#include "meta/flock.h"
#include "os/fault.h"
#include "os/io.h"

#define TRIES 100 /* if another process keeps replacing the file */

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

/* The text is three numbers and `rest`. */
static int describe(const struct cq_lock *lock, uint64_t epoch, const char *rest)
{
	uint64_t start = 0;
	char text[128];
	int length, r;

	r = process_start_time(getpid(), &start);
	if (r < 0 && r != -ENOENT) /* ENOENT: no /proc here; the lock does not need it */
		return r;
	length = snprintf(text, sizeof text, "%d %" PRIu64 " %" PRIu64 "%s\n", (int)getpid(), start,
	                  epoch, rest);
	r = cq_io_pwrite(lock->file, text, (size_t)length, 0);
	if (r < 0)
		return r;
	cq_point("lock.described");
	return cq_io_truncate(lock->file, (uint64_t)length);
}

int cq_lock_describe(const struct cq_lock *lock, uint64_t epoch)
{
	return describe(lock, epoch, "");
}

int cq_lock_describe_closing(const struct cq_lock *lock, uint64_t epoch, uint64_t progress)
{
	char rest[40];

	snprintf(rest, sizeof rest, " closing %" PRIu64, progress);
	return describe(lock, epoch, rest);
}

int cq_lock_describe_closed(const struct cq_lock *lock, uint64_t epoch)
{
	return describe(lock, epoch, " closed");
}

/* EBUSY: another writer has it.  *ret_fd is -1 if directories cannot be locked here. */
static int lock_directory(int dirfd, int *ret_fd)
{
	int fd, r;

	r = cq_io_open_dir(dirfd, ".", &fd);
	if (r < 0)
		return r;
	r = cq_io_lock(fd);
	if (r < 0) {
		close(fd);
		fd = -1;
	}
	if (r == -EBUSY)
		return r;
	*ret_fd = fd;
	return 0;
}

static int open_file(int dirfd, bool make, int *ret_fd)
{
	int r;

	for (int i = 0; i < TRIES; i++) {
		r = cq_io_open(dirfd, CQ_LOCK_NAME, O_RDWR, ret_fd);
		if (r != -ENOENT || !make)
			return r;
		r = cq_io_create_new(dirfd, CQ_LOCK_NAME, 0640, ret_fd);
		cq_point("lock.created");
		if (r != -EEXIST) /* another writer made it just now */
			return r;
	}
	return -EBUSY;
}

static int check_name(int dirfd, int fd)
{
	struct stat locked, named;
	int r;

	r = cq_io_stat(fd, &locked);
	if (r < 0)
		return r;
	r = cq_io_stat_at(dirfd, CQ_LOCK_NAME, &named);
	if (r < 0)
		return r == -ENOENT ? -ESTALE : r;
	return locked.st_dev == named.st_dev && locked.st_ino == named.st_ino ? 0 : -ESTALE;
}

int cq_lock_check(int dirfd, const struct cq_lock *lock)
{
	return cq_planted("lock_name_unchecked") ? 0 : check_name(dirfd, lock->file);
}

/* The file may be replaced between its open and its lock: then the lock on it means nothing. */
static int lock_file(int dirfd, bool make, int *ret_fd)
{
	int fd = -1, r;

	for (int i = 0; i < TRIES; i++) {
		r = open_file(dirfd, make, &fd);
		if (r < 0)
			return r;
		cq_point("lock.opened");
		r = cq_io_lock(fd);
		if (r == 0)
			r = check_name(dirfd, fd);
		if (r == 0) {
			*ret_fd = fd;
			return 0;
		}
		close(fd);
		if (r != -ESTALE)
			return r;
	}
	return -EBUSY;
}

static int acquire(int dirfd, bool make, struct cq_lock *ret_lock)
{
	struct cq_lock lock = CQ_LOCK_NONE;
	int r;

	r = lock_directory(dirfd, &lock.directory);
	if (r == 0)
		r = lock_file(dirfd, make, &lock.file);
	if (r < 0) {
		cq_lock_release(&lock);
		return r;
	}
	cq_point("lock.held");
	*ret_lock = lock;
	return 0;
}

int cq_lock_try(int dirfd, struct cq_lock *ret_lock)
{
	return acquire(dirfd, false, ret_lock);
}

int cq_lock_acquire(int dirfd, struct cq_lock *ret_lock)
{
	return acquire(dirfd, true, ret_lock);
}

/* Parses the text; one that cannot be parsed gives pid 0. */
static struct cq_holder read_text(const char *text)
{
	struct cq_holder holder = { 0 };
	char word[16] = "";
	uint64_t start;
	int pid;

	if (sscanf(text, "%d %" SCNu64 " %*u %15s %" SCNu64, &pid, &holder.start_time, word,
	           &holder.progress) < 2 ||
	    pid <= 0)
		return (struct cq_holder){ 0 };
	holder.pid = pid;
	holder.alive = process_start_time(pid, &start) == 0 && start == holder.start_time;
	/* a text of a dead process is that of an earlier writer */
	holder.closing =
		holder.alive && (strcmp(word, "closing") == 0 || strcmp(word, "closed") == 0);
	if (strcmp(word, "closed") == 0)
		holder.progress = UINT64_MAX;
	return holder;
}

/* If the directory is locked and writer.lock is not, writer.lock was replaced, and its text does not name the
 * process that holds the directory. */
static void find_directory_holder(int dirfd, struct cq_holder *holder)
{
	struct cq_holder other = { .locked = true, .closing = true };
	struct stat st;

	if (fstat(dirfd, &st) < 0 || !cq_flock_held(dirfd, &st, 0, &other.pid))
		return;
	if (other.pid < 0)
		other.pid = 0;
	other.alive = other.pid > 0 && process_start_time(other.pid, &other.start_time) == 0;
	*holder = other;
}

int cq_lock_holder(int dirfd, struct cq_holder *ret_holder)
{
	struct cq_holder holder = { 0 };
	struct stat st;
	char text[128];
	pid_t pid;
	ssize_t n;
	int fd, r;

	r = cq_io_open(dirfd, CQ_LOCK_NAME, O_RDONLY, &fd);
	if (r == 0) {
		r = cq_io_stat(fd, &st);
		n = r < 0 ? r : cq_io_pread(fd, text, sizeof text - 1, 0);
		close(fd);
		if (n < 0)
			return (int)n;
		text[n] = '\0';
		text[strcspn(text, "\n")] = '\0';
		holder = read_text(text);
		holder.locked = cq_flock_held(dirfd, &st, holder.pid, &pid);
	} else if (r != -ENOENT) {
		return r;
	}
	if (!holder.locked)
		find_directory_holder(dirfd, &holder);
	*ret_holder = holder;
	return 0;
}

void cq_lock_unlock(const struct cq_lock *lock)
{
	if (lock->directory >= 0)
		(void)flock(lock->directory, LOCK_UN);
	if (lock->file >= 0)
		(void)flock(lock->file, LOCK_UN);
}

void cq_lock_release(struct cq_lock *lock)
{
	cq_lock_unlock(lock);
	if (lock->directory >= 0)
		close(lock->directory);
	if (lock->file >= 0)
		close(lock->file);
	*lock = CQ_LOCK_NONE;
}
