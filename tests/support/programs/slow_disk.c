/* SPDX-License-Identifier: Apache-2.0 */
/*
 * slow_disk.c - a disk whose reads wait for as long as a test wants
 *
 *   slow_disk DIRECTORY MOUNTPOINT HELD
 *
 * Shows DIRECTORY at MOUNTPOINT.  A read of a file whose name is also a name in the directory HELD
 * waits until that name is gone.  All else goes to DIRECTORY at once.  The kernel keeps what it has
 * read, as of any disk.  Stays in the foreground; ends when it is unmounted.
 */
#define FUSE_USE_VERSION 312

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#define INTERVAL_NS 5000000L

static int root, held;

static int result(int r)
{
	return r < 0 ? -errno : 0;
}

/* Below the directory.  NULL: the file was deleted while it was open; no file has an empty name. */
static const char *name_of(const char *path)
{
	if (!path)
		return "";
	return path[1] == '\0' ? "." : path + 1;
}

static void *slow_init(struct fuse_conn_info *conn, struct fuse_config *config)
{
	conn->max_background = 1000; /* as many reads may wait */
	conn->congestion_threshold = 1000;
	config->kernel_cache = 1;
	config->hard_remove = 1;
	config->nullpath_ok = 1;
	config->use_ino = 1;
	config->attr_timeout = 0;
	config->entry_timeout = 0;
	return NULL;
}

static int slow_getattr(const char *path, struct stat *st, struct fuse_file_info *fi)
{
	return result(fi ? fstat((int)fi->fh, st)
	                 : fstatat(root, name_of(path), st, AT_SYMLINK_NOFOLLOW));
}

static int slow_readdir(const char *path, void *buffer, fuse_fill_dir_t fill, off_t offset,
                        struct fuse_file_info *fi, enum fuse_readdir_flags flags)
{
	const int fd = openat((int)fi->fh, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *entry;
	DIR *dir;

	(void)path;
	(void)offset;
	(void)flags;
	if (fd < 0)
		return -errno;
	dir = fdopendir(fd);
	while ((entry = readdir(dir)))
		(void)fill(buffer, entry->d_name, NULL, 0, 0);
	closedir(dir);
	return 0;
}

static int slow_open(const char *path, struct fuse_file_info *fi)
{
	int fd = openat(root, name_of(path), fi->flags | O_CLOEXEC);

	fi->fh = (uint64_t)fd;
	return result(fd);
}

static int slow_opendir(const char *path, struct fuse_file_info *fi)
{
	return slow_open(path, fi);
}

static int slow_create(const char *path, mode_t mode, struct fuse_file_info *fi)
{
	int fd = openat(root, name_of(path), fi->flags | O_CREAT | O_CLOEXEC, mode);

	fi->fh = (uint64_t)fd;
	return result(fd);
}

/* The name of an open file in its directory. */
static bool is_held(int fd)
{
	char link[64], path[4096];
	const char *slash;
	ssize_t n;

	(void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof path - 1);
	if (n < 0)
		return false;
	path[n] = '\0';
	slash = strrchr(path, '/');
	return slash && slash[1] && faccessat(held, slash + 1, F_OK, 0) == 0;
}

static int slow_read(const char *path, char *buffer, size_t size, off_t offset,
                     struct fuse_file_info *fi)
{
	const struct timespec interval = { .tv_nsec = INTERVAL_NS };
	ssize_t n;

	(void)path;
	while (is_held((int)fi->fh))
		nanosleep(&interval, NULL);
	n = pread((int)fi->fh, buffer, size, offset);
	return n < 0 ? -errno : (int)n;
}

static int slow_write(const char *path, const char *buffer, size_t size, off_t offset,
                      struct fuse_file_info *fi)
{
	const ssize_t n = pwrite((int)fi->fh, buffer, size, offset);

	(void)path;
	return n < 0 ? -errno : (int)n;
}

static int slow_release(const char *path, struct fuse_file_info *fi)
{
	(void)path;
	return result(close((int)fi->fh));
}

static int slow_fsync(const char *path, int data, struct fuse_file_info *fi)
{
	(void)path;
	return result(data ? fdatasync((int)fi->fh) : fsync((int)fi->fh));
}

static int slow_fallocate(const char *path, int mode, off_t offset, off_t length,
                          struct fuse_file_info *fi)
{
	(void)path;
	return result(fallocate((int)fi->fh, mode, offset, length));
}

static int slow_truncate(const char *path, off_t size, struct fuse_file_info *fi)
{
	int fd, r;

	if (fi)
		return result(ftruncate((int)fi->fh, size));
	fd = openat(root, name_of(path), O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = result(ftruncate(fd, size));
	close(fd);
	return r;
}

static int slow_chmod(const char *path, mode_t mode, struct fuse_file_info *fi)
{
	return result(fi ? fchmod((int)fi->fh, mode) : fchmodat(root, name_of(path), mode, 0));
}

static int slow_utimens(const char *path, const struct timespec times[2], struct fuse_file_info *fi)
{
	return result(fi ? futimens((int)fi->fh, times)
	                 : utimensat(root, name_of(path), times, AT_SYMLINK_NOFOLLOW));
}

static int slow_rename(const char *from, const char *to, unsigned flags)
{
	return result(renameat2(root, name_of(from), root, name_of(to), flags));
}

static int slow_unlink(const char *path)
{
	return result(unlinkat(root, name_of(path), 0));
}

static int slow_mkdir(const char *path, mode_t mode)
{
	return result(mkdirat(root, name_of(path), mode));
}

static int slow_statfs(const char *path, struct statvfs *st)
{
	(void)path;
	return result(fstatvfs(root, st));
}

static const struct fuse_operations operations = {
	.init = slow_init,
	.getattr = slow_getattr,
	.readdir = slow_readdir,
	.opendir = slow_opendir,
	.releasedir = slow_release,
	.fsyncdir = slow_fsync,
	.open = slow_open,
	.create = slow_create,
	.read = slow_read,
	.write = slow_write,
	.release = slow_release,
	.fsync = slow_fsync,
	.fallocate = slow_fallocate,
	.truncate = slow_truncate,
	.chmod = slow_chmod,
	.utimens = slow_utimens,
	.rename = slow_rename,
	.unlink = slow_unlink,
	.mkdir = slow_mkdir,
	.statfs = slow_statfs,
};

int main(int argc, char **argv)
{
	char foreground[] = "-f",
	     options[] = "-omax_threads=1000,max_idle_threads=10,fsname=slow_disk";
	char *arguments[] = { argv[0], foreground, options, argv[2], NULL };

	if (argc != 4) {
		fprintf(stderr, "usage: slow_disk DIRECTORY MOUNTPOINT HELD\n");
		return 2;
	}
	root = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	held = open(argv[3], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root < 0 || held < 0) {
		perror(root < 0 ? argv[1] : argv[3]);
		return 1;
	}
	umask(0);
	return fuse_main(4, arguments, &operations, NULL);
}
