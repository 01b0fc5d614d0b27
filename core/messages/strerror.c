/* SPDX-License-Identifier: Apache-2.0 */
/* strerror.c - the texts of errors: what they mean for a queue */
#include <errno.h>
#include <string.h>

#include "chronq.h"

/* All other errors mean the same here as elsewhere, and have the system's text. */
static const struct {
	int error;
	const char *text;
} meanings[] = {
	{ EAGAIN,
	  "Resource temporarily unavailable: no segment was ready in time, or no thread is left" },
	{ EBADMSG, "the queue is damaged" },
	{ EBUSY,
	  "in use: another writer has the queue, another process has the reader, or a reader still "
	  "needs the segment" },
	{ ECANCELED, "stopped before anything was changed" },
	{ ECHILD, "opened by another process: a child that was forked opens its own" },
	{ EDQUOT, "no room: the queue has reached its max_bytes, or the disk's quota is used up" },
	{ EEXIST, "a queue is there already, or too much is set aside" },
	{ EFBIG,
	  "File too large: a segment exceeds the limit of file sizes, or too many segments are missing" },
	{ EINVAL, "Invalid argument: out of range, or not what the queue has" },
	{ EIO, "Input/output error: a file is damaged or cut short, or the disk has failed" },
	{ ELOOP, "a file of the queue is a symbolic link" },
	{ EMSGSIZE, "the record is longer than a segment of this queue takes" },
	{ ENODATA, "the records are no longer there, or their segment is missing" },
	{ ENODEV, "the file system cannot map files" },
	{ ENOLINK, "the queue is no replica of that source, or no replica any more" },
	{ ENOTEMPTY, "the directory holds files, but no queue" },
	{ EOPNOTSUPP,
	  "the file system lacks what a queue needs (fallocate, rename without replacing)" },
	{ EOVERFLOW, "the segment ids, or the sequence numbers, are used up" },
	{ EREMOTE, "the queue is a replica: only the records of its source are appended to it" },
	{ EPERM, "a file of the queue must not be written to" },
	{ EPROTONOSUPPORT, "the queue's format is newer than this program" },
	{ ERANGE, "the reader has not passed that record, or the writer has passed it" },
	{ ESTALE, "the reader's file was removed or replaced" },
};

const char *cq_strerror(int error)
{
	const char *text;

	/* also for INT_MIN, whose negation is no int */
	if (error < 0)
		error = (int)-(unsigned)error;
	for (size_t i = 0; i < sizeof meanings / sizeof meanings[0]; i++)
		if (meanings[i].error == error)
			return meanings[i].text;
	text = strerrordesc_np(error);
	return text ? text : "unknown error";
}
