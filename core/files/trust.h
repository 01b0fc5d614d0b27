/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trust.h - files with our names: which of them are used, and which are written to
 *
 * A queue's directory may be one that others can put files into.  A name is never a reason to believe, or
 * to change, what the file holds:
 *   Any regular file is read; the reading code checks its contents.
 *   A file is written to only if it has no other name, so that nothing is changed that is known under
 *   another name; if it belongs to us, to the directory's owner or to root, which are those who could
 *   have replaced it anyway; and, unless the caller allows it (trust_files), if not everybody may write
 *   to it.
 */
#ifndef CQ_TRUST_H
#define CQ_TRUST_H

#include <stdbool.h>
#include <sys/stat.h>

#include "chronq.h"

/* Before a file is opened for writing (cq_io_open()): EPERM, with a message in the log, if it must not be
 * written to.  0 also when there is no such file, or it is no regular file. */
int cq_trust_to_write(int dirfd, const char *name, const struct cq_config *config);

/* Why a regular file would not be written to, for people; NULL: it would. */
const char *cq_trust_why_not(const struct stat *file, const struct stat *directory);

/* The name is no link, FIFO, socket, device or directory: else ELOOP (a link) or EBADMSG, with a message in
 * the log.  0 also where there is no such name. */
int cq_trust_regular(int dirfd, const char *name, const struct cq_config *config);

/* The name is no directory, which could be neither written to nor replaced: else EBADMSG, with a message in
 * the log. */
int cq_trust_no_directory(int dirfd, const char *name, const struct cq_config *config);

#endif
