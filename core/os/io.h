/* SPDX-License-Identifier: Apache-2.0 */
/*
 * io.h - the system's calls on the files of a queue
 *
 * Each returns a negative errno on failure, retries EINTR, and has a failpoint of its own name
 * (fault.h).  Names are single components below dirfd; symbolic links are never followed and every
 * descriptor is close-on-exec.
 *
 * A few calls elsewhere have no failpoint.  Some read what is not a file of the queue (its path, the kind of
 * file system, /proc/locks): their failure counts as "no".  Others undo something, and their failure changes
 * nothing (close, unlock, rmdir of a directory just made).
 */
#ifndef CQ_IO_H
#define CQ_IO_H

#include <dirent.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>

/* Returns the descriptor. */
int cq_io_open_dir(int dirfd, const char *path, int *ret_fd);
/* For people: the reason why this process never writes to a file in that directory; NULL: it may.  Such a
 * file, or its owner, has nothing to do with the queue, so no option allows more. */
const char *cq_io_not_ours(const struct stat *file, const struct stat *directory);
/* Opens a regular file, else EBADMSG (a symbolic link: ELOOP); for writing, a file that
 * cq_io_not_ours() accepts, else EPERM. */
int cq_io_open(int dirfd, const char *name, int flags, int *ret_fd);
/* O_CREAT|O_EXCL, read-write.  The file gets `mode`, less what the umask takes. */
int cq_io_create_new(int dirfd, const char *name, mode_t mode, int *ret_fd);
int cq_io_mkdir(int dirfd, const char *name, mode_t mode);

int cq_io_stat(int fd, struct stat *ret_stat);
int cq_io_stat_at(int dirfd, const char *name, struct stat *ret_stat);

/* fallocate() of the whole file: the space is reserved, or the call fails.  Beyond RLIMIT_FSIZE it
 * gives EFBIG, as the writes and cq_io_truncate() do; none of them raises SIGXFSZ. */
int cq_io_allocate(int fd, uint64_t size);

/* Gives the blocks between these offsets back, if the file system can: zeros are read there. */
void cq_io_release(int fd, uint64_t from, uint64_t to);

/* Reads until length, end of file, or error; returns the bytes read. */
ssize_t cq_io_pread(int fd, void *buffer, size_t length, uint64_t offset);
/* Writes both, one behind the other, by one call; -EIO if the system wrote less.  As cq_io_pwrite()
 * otherwise. */
int cq_io_pwrite_two(int fd, const void *first, size_t first_length, const void *second,
                     size_t second_length, uint64_t offset);
/* Writes all of it. */
int cq_io_pwrite(int fd, const void *buffer, size_t length, uint64_t offset);
/* The first piece at or behind `offset` that may hold data; the file's end, twice, when only a hole
 * follows.  Pages that a process has read count as data, too, even where the disk has none. */
int cq_io_seek_data(int fd, uint64_t offset, uint64_t *ret_begin, uint64_t *ret_end);
/* Drops clean pages behind `from` from the page cache, if it can, and starts writing the dirty ones. */
void cq_io_drop_clean(int fd, uint64_t from);

int cq_io_truncate(int fd, uint64_t size);
int cq_io_set_times(int fd, const struct timespec times[2]);

/* flock() for this open file alone, without waiting; EBUSY: another has it. */
int cq_io_lock(int fd);
/* A lock of the file's first bytes for this open file alone (F_OFD_SETLK), without waiting; EBUSY: another
 * has it.  Only a process that may write to the file can have it.  It ends with the open file, so with the
 * process. */
int cq_io_lock_bytes(int fd, size_t length);
void cq_io_unlock_bytes(int fd, size_t length);
int cq_io_duplicate(int fd, int *ret_fd);

/* Starts writing the file's dirty pages, so that several files share what a sync costs. */
void cq_io_start_writeback(int fd);
/* Writes these bytes out and waits for it, which makes nothing durable.  Returns the error of a failed
 * write, which a later sync may not report again.  0 where the system cannot do it. */
int cq_io_write_out(int fd, uint64_t offset, uint64_t length);
int cq_io_sync_data(int fd);
int cq_io_sync_dir(int fd);

/* EOPNOTSUPP where it cannot be done without replacing. */
int cq_io_rename_noreplace(int dirfd, const char *from, const char *to);
/* These two: EBADMSG if `to`, or `name`, is a directory. */
int cq_io_rename(int dirfd, const char *from, const char *to);
int cq_io_unlink(int dirfd, const char *name);

/* A descriptor that counts (eventfd(2)), non-blocking. */
int cq_io_event(unsigned count, int *ret_fd);

/* Fills the buffer with random bytes, at most 256. */
int cq_io_random(void *buffer, size_t length);

int cq_io_map(int fd, size_t size, int writable, void **ret_base);
void cq_io_unmap(void *base, size_t size);
/* Makes the pages present and writable; EFAULT where a store would raise SIGBUS. */
int cq_io_populate(void *base, size_t length);

/* Makes the file `name` hold exactly these bytes, at once or not at all: written as `temp`, then
 * renamed.  Not synced. */
int cq_io_replace(int dirfd, const char *temp, const char *name, const void *buffer, size_t length);

/* Opens a fresh stream over the directory, positioned at its beginning. */
int cq_io_list(int dirfd, DIR **ret_dir);
/* The next name in it, good until the next call: 1; 0: that was all. */
int cq_io_next_name(DIR *dir, const char **ret_name);

#endif
