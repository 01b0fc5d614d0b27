/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reader_lock.h - a named reader in use: the flock on its file
 *
 * Invariants
 *   A handle of a named reader holds a flock on readers/NAME.meta from its open to its close.  The kernel
 *   ends the lock with the process, however that dies.  So one handle at a time has a name, and whoever sets
 *   or deletes a reader holds the lock, too, and so meets no handle.
 *   The locked file is the one that has the name, at the time of the lock and of each cq_reader_lock_check():
 *   a lock on a file that was deleted meanwhile keeps nobody out.
 *   Nobody makes the file of a reader but an open that then holds its lock: so no commit brings back a reader
 *   that was deleted.
 *   A release unlocks explicitly: a child that was forked meanwhile has the same open file, which would keep
 *   the lock.
 *
 * This lock and the lock of each write (reader_file.h) are of one open file.  On local file systems they do
 * not interact: recovery writes the position of a reader that is in use.  Over NFS a flock is a lock of all
 * bytes, of the same owner as the write's.  The write's lock covers the bytes of the slots alone, so when it
 * ends, all other bytes stay locked, and the name stays taken.
 *
 * chronicle-rs takes neither lock, and does not notice ours.
 */
#ifndef CQ_READER_LOCK_H
#define CQ_READER_LOCK_H

#include <stdbool.h>
#include <sys/types.h>

/*
 * Opens the file of a reader and locks it; `create` makes it, and readers/, if missing.
 *   EBUSY   another handle has the reader, in this process or in another one
 *   ENOENT  there is no such file, and not `create`
 *   ELOOP, EBADMSG  its name belongs to something else
 */
int cq_reader_lock_open(int dirfd, const char *name, bool create, int *ret_fd);

/* 0; -ESTALE: the reader's file is another one by now, or missing.  Any other error: unknown. */
int cq_reader_lock_check(int dirfd, const char *name, int fd);

/* Deletes the file, for a caller that has it locked.  ESTALE as above: nothing was deleted. */
int cq_reader_lock_delete(int dirfd, const char *name, int fd);

/* Unlocks and closes; first deletes a file that is empty, as it is before the first position is stored. */
void cq_reader_lock_close(int dirfd, const char *name, int fd);

/* Whether a handle has the reader, and whose; pid 0: unknown.  Takes no lock.  ENOENT, ELOOP, EBADMSG as
 * above. */
int cq_reader_lock_holder(int dirfd, const char *name, bool *ret_locked, pid_t *ret_pid);

#endif
