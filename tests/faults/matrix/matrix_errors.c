/* SPDX-License-Identifier: Apache-2.0 */
/* matrix_errors.c - what each call can fail with; see matrix.h.  The likeliest error comes first. */
#include "matrix.h"

#include <errno.h>
#include <string.h>

#define MOST 10

static const struct {
	const char *call;
	int errors[MOST];
} table[] = {
	/* files */
	{ "open", { EMFILE, ENFILE, ENOMEM, EACCES, EIO } },
	{ "open_dir", { EMFILE, ENFILE, ENOMEM, EACCES, EIO } },
	{ "create_new", { ENOSPC, EMFILE, ENFILE, ENOMEM, EACCES, EROFS, EDQUOT, EIO, EEXIST } },
	{ "mkdir", { ENOSPC, EDQUOT, EACCES, EROFS, ENOMEM, EIO } },
	{ "stat", { EIO, ENOMEM } },
	{ "stat_at", { EIO, ENOMEM, EACCES } },
	{ "allocate", { ENOSPC, EDQUOT, EFBIG, EIO, EOPNOTSUPP } },
	{ "pread", { EIO, ENOMEM } },
	{ "pwrite", { ENOSPC, EDQUOT, EFBIG, EIO } },
	{ "pwrite_two", { ENOSPC, EDQUOT, EFBIG, EIO } },
	{ "seek_data", { EIO } },
	{ "truncate", { EIO, ENOSPC } },
	{ "set_times", { EIO, EPERM, EROFS } },
	{ "write_out", { EIO, ENOSPC, EDQUOT } },
	{ "sync_data", { EIO, ENOSPC, EDQUOT } },
	{ "sync_dir", { EIO, ENOSPC, EDQUOT } },
	{ "rename_noreplace", { ENOSPC, EEXIST, EINVAL, EACCES, EROFS, EDQUOT, ENOMEM, EIO } },
	{ "rename", { ENOSPC, EACCES, EROFS, EDQUOT, ENOMEM, EIO } },
	{ "unlink", { EIO, EACCES, EROFS, EBUSY, ENOMEM } },
	{ "list", { EMFILE, ENFILE, ENOMEM, EACCES, EIO } },
	{ "next_name", { EIO, ENOMEM } },
	/* memory */
	{ "map", { ENOMEM, ENFILE, EACCES, EAGAIN } },
	{ "populate", { EFAULT, ENOMEM, EINVAL } },
	{ "malloc", { ENOMEM } },
	/* the rest */
	{ "event", { EMFILE, ENFILE, ENOMEM } },
	{ "random", { ENOSYS } },
	{ "lock", { ENOLCK, EBUSY } },
	{ "lock_bytes", { ENOLCK, ENOMEM } },
	{ "duplicate", { EMFILE } },
	{ "thread", { EAGAIN } },
};

const int *mx_errors(const char *call)
{
	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
		if (strcmp(table[i].call, call) == 0)
			return table[i].errors;
	return NULL;
}

const char *mx_call(size_t nth)
{
	return nth < sizeof table / sizeof table[0] ? table[nth].call : NULL;
}
