/* SPDX-License-Identifier: Apache-2.0 */
/* strerror.c - what the errors of this library mean, for people */
#include <errno.h>
#include <string.h>

#include "chronq.h"

/* Errors that mean the same here as elsewhere have the system's text. */
static const struct {
	int error;
	const char *text;
} meanings[] = {
	{ EAGAIN,
	  "Resource temporarily unavailable: no segment was ready in time, or no thread is to be had" },
	{ EBADMSG, "the queue is damaged" },
	{ EBUSY, "in use: another writer has the queue, or a reader still needs the segment" },
	{ ECANCELED, "stopped before anything was changed" },
	{ ECHILD, "opened by another process: a child that was forked opens its own" },
	{ EDQUOT, "no room: the queue has all its max_bytes, or the disk's quota is used up" },
	{ EEXIST, "too much is set aside already" },
	{ EFBIG, "File too large: no segment may be so large, or too many are missing" },
	{ EINVAL, "Invalid argument: out of range, or not what the queue has" },
	{ EIO, "Input/output error: a file is damaged or cut short, or the disk has failed" },
	{ ELOOP, "a symbolic link stands under a name of the queue's" },
	{ EMSGSIZE, "the record is longer than a segment of this queue takes" },
	{ ENODATA, "the records are not there any more, or their segment is missing" },
	{ ENODEV, "its files cannot be mapped" },
	{ ENOTEMPTY, "the directory holds files, but no queue" },
	{ EOPNOTSUPP,
	  "the file system lacks what a queue needs (fallocate, rename without replacing)" },
	{ EOVERFLOW, "its segment ids, or its sequence numbers, are used up" },
	{ EPERM, "a file of it is not to be written to" },
	{ EPROTONOSUPPORT, "the queue's format is newer than this program" },
};

const char *cq_strerror(int error)
{
	const char *text;

	/* an error of a stranger's may be INT_MIN */
	if (error < 0)
		error = (int)-(unsigned)error;
	for (size_t i = 0; i < sizeof meanings / sizeof meanings[0]; i++)
		if (meanings[i].error == error)
			return meanings[i].text;
	text = strerrordesc_np(error);
	return text ? text : "unknown error";
}
