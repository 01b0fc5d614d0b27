/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trust.h - what stands under our names: which files are used, and which are written to
 *
 * A queue's directory may be one that others can put files into.  A name is never a reason to
 * believe, or to change, what is behind it:
 *   Read is any regular file; its contents are checked by whoever reads it.
 *   Written is only a file whose one name this is, so that nothing is changed that somebody knows
 *   under another name; that belongs to us, to the directory's owner or to root, that is to nobody
 *   who could not have replaced it anyway; and, unless the caller says so, that not everybody may
 *   write.
 */
#ifndef CQ_TRUST_H
#define CQ_TRUST_H

#include <stdbool.h>
#include <sys/stat.h>

#include "chronq.h"

/* Before a file is opened for writing (cq_io_open()): EPERM, with a word in the log, if it must not be
 * written to.  0 also when there is no such file, or none that could be opened. */
int cq_trust_named(int dirfd, const char *name, const struct cq_config *config);

/* No link, FIFO, socket or directory stands there: else ELOOP (a link) or EBADMSG, with a word in the
 * log.  0 also where nothing does. */
int cq_trust_regular(int dirfd, const char *name, const struct cq_config *config);

/* No directory stands there, which could be neither written to nor replaced: else EBADMSG, with a word
 * in the log. */
int cq_trust_no_directory(int dirfd, const char *name, const struct cq_config *config);

/* Why a regular file would not be written to, for people; NULL: it would. */
const char *cq_trust_doubt(const struct stat *file, const struct stat *directory);

#endif
