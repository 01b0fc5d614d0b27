/* SPDX-License-Identifier: Apache-2.0 */
/* trust.c - files with our names: which of them are used, and which are written to; see trust.h */
#include "files/trust.h"

#include <errno.h>

#include "messages/log.h"
#include "os/io.h"

const char *cq_trust_why_not(const struct stat *file, const struct stat *directory)
{
	const char *reason = cq_io_not_ours(file, directory);

	return !reason && file->st_mode & S_IWOTH ? "everybody may write to it" : reason;
}

int cq_trust_to_write(int dirfd, const char *name, const struct cq_config *config)
{
	struct stat file, directory;
	const char *reason;
	int r;

	r = cq_io_stat_at(dirfd, name, &file);
	if (r == -ENOENT)
		return 0;
	if (r == 0)
		r = cq_io_stat(dirfd, &directory);
	if (r < 0 || !S_ISREG(file.st_mode))
		return r;
	reason = config->trust_files ? cq_io_not_ours(&file, &directory)
	                             : cq_trust_why_not(&file, &directory);
	if (!reason)
		return 0;
	cq_log(config, CQ_ERROR, "%s is not written to: %s", name, reason);
	return -EPERM;
}

static const char *kind_of(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFLNK:
		return "a symbolic link";
	case S_IFDIR:
		return "a directory";
	case S_IFIFO:
		return "a FIFO";
	case S_IFSOCK:
		return "a socket";
	default:
		return "a device";
	}
}

static int not_regular(const char *name, mode_t mode, const struct cq_config *config)
{
	cq_log(config, CQ_ERROR, "%s is %s, and has to be a file: move it away", name,
	       kind_of(mode));
	return S_ISLNK(mode) ? -ELOOP : -EBADMSG;
}

int cq_trust_regular(int dirfd, const char *name, const struct cq_config *config)
{
	struct stat st;

	if (cq_io_stat_at(dirfd, name, &st) < 0 || S_ISREG(st.st_mode))
		return 0;
	return not_regular(name, st.st_mode, config);
}

int cq_trust_no_directory(int dirfd, const char *name, const struct cq_config *config)
{
	struct stat st;

	if (cq_io_stat_at(dirfd, name, &st) < 0 || !S_ISDIR(st.st_mode))
		return 0;
	return not_regular(name, st.st_mode, config);
}
