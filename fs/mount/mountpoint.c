/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mountpoint.c - checks the mount point before we mount there
 *
 * A mount whose process has died answers ENOTCONN to every request, also for its mount point, until
 * somebody unmounts it.  With -o recover we unmount it, if it was a mount of this queue by chronfs
 * (its type and source in the table of mounts): so a service can simply be started again.  We never
 * touch another mount, or one that answers.
 *
 * The kernel says which mount a path leads into, through a descriptor that names the place without
 * opening it (O_PATH).  That also works for a dead mount, and for several mounts on top of each other.
 */
#include "mount/mountpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "chronfs.h"
#include "shared/log.h"

/* A line of the table of mounts. */
struct mount_line {
	char *text; /* the others point into it */
	char *mountpoint;
	char *type;
	char *source;
};

/* The table writes blanks and backslashes as \ooo. */
static void unescape(char *text)
{
	char *to = text;

	for (const char *from = text; *from; to++) {
		if (from[0] == '\\' && from[1] && from[2] && from[3]) {
			*to = (char)((from[1] - '0') * 64 + (from[2] - '0') * 8 + (from[3] - '0'));
			from += 4;
		} else {
			*to = *from++;
		}
	}
	*to = '\0';
}

/* ID PARENT MAJOR:MINOR ROOT MOUNTPOINT OPTIONS [TAG...] - TYPE SOURCE OPTIONS */
static bool take_line(char *text, struct mount_line *ret_line)
{
	enum { ROOT = 3, MOUNTPOINT, OPTIONS, FIELDS };
	struct mount_line line = { .text = text };
	char *rest, *field;

	rest = strstr(text, " - ");
	if (!rest)
		return false;
	*rest = '\0';
	rest += 3;
	line.type = strsep(&rest, " ");
	line.source = strsep(&rest, " ");
	for (int i = 0; i < FIELDS; i++) {
		field = strsep(&text, " ");
		if (i == MOUNTPOINT)
			line.mountpoint = field;
	}
	if (!line.source || !line.mountpoint)
		return false;
	unescape(line.source);
	unescape(line.mountpoint);
	*ret_line = line;
	return true;
}

/* Finds the mount with this number.  The caller frees ret_line->text. */
static bool find_mount(uint64_t id, struct mount_line *ret_line)
{
	FILE *table = fopen("/proc/self/mountinfo", "re");
	char *text = NULL;
	size_t size = 0;
	bool found = false;

	if (!table)
		return false;
	while (!found && getline(&text, &size, table) > 0)
		found = strtoull(text, NULL, 10) == id && take_line(text, ret_line);
	(void)fclose(table);
	if (!found)
		free(text);
	return found;
}

bool chronfs_table_has_mount(const char *path, const char *source)
{
	FILE *table = fopen(path, "re");
	struct mount_line line;
	char *text = NULL;
	size_t size = 0;
	bool found = false;

	if (!table)
		return false;
	while (!found && getline(&text, &size, table) > 0)
		found = take_line(text, &line) && strcmp(line.type, "fuse.chronfs") == 0 &&
		        strcmp(line.source, source) == 0;
	(void)fclose(table);
	free(text);
	return found;
}

/* The number of the mount that a descriptor is in: the first field of the table. */
static bool mount_number(int fd, uint64_t *ret_id)
{
	static const char key[] = "mnt_id:";
	char path[64], line[128];
	bool found = false;
	FILE *info;

	(void)snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
	info = fopen(path, "re");
	if (!info)
		return false;
	while (!found && fgets(line, sizeof line, info))
		found = strncmp(line, key, sizeof key - 1) == 0;
	if (found)
		*ret_id = strtoull(line + sizeof key - 1, NULL, 10);
	(void)fclose(info);
	return found;
}

/* Finds the mount that a path leads into.  A dead mount hides everything below its mount point, so the
 * path is shortened until it can be opened.  The caller frees ret_line->text. */
static bool mount_of(const char *path, struct mount_line *ret_line)
{
	char *reach = strdup(path), *slash;
	bool found = false;
	uint64_t id;
	int fd = -1;

	while (reach) {
		fd = open(*reach ? reach : "/", O_PATH | O_CLOEXEC);
		slash = strrchr(reach, '/');
		if (fd >= 0 || !slash)
			break;
		*slash = '\0';
	}
	if (fd >= 0) {
		found = mount_number(fd, &id) && find_mount(id, ret_line);
		close(fd);
	}
	free(reach);
	return found;
}

/* Whether it is a chronfs mount of our queue, exactly at our mount point. */
static bool is_ours(const struct chronfs *fs, const struct mount_line *line)
{
	const struct chronfs_options *options = &fs->options;

	return strcmp(line->type, "fuse.chronfs") == 0 &&
	       strcmp(line->mountpoint, options->mountpoint) == 0 &&
	       strcmp(line->source, options->source ? options->source : options->queue) == 0;
}

/* Unmounts the topmost mount at a path, lazily: programs keep the files that they have open there. */
static int detach(const char *path)
{
	int status;
	pid_t child;

	if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
		return 0;
	if (errno != EPERM)
		return -errno;
	child = fork();
	if (child < 0)
		return -errno;
	if (child == 0) {
		execlp("fusermount3", "fusermount3", "-u", "-z", "--", path, (char *)NULL);
		_exit(127);
	}
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EPERM;
}

/* When the mount point answers ENOTCONN.  CHRONFS_EXIT_OK: the dead mount is gone, look again. */
static int clear_dead(struct chronfs *fs)
{
	const char *path = fs->options.mountpoint;
	struct mount_line line;
	int code = CHRONFS_EXIT_NO_MOUNTPOINT, r;

	if (!mount_of(path, &line)) {
		chronfs_log(fs, CQ_ERROR, "%s: %s", path, strerrordesc_np(ENOTCONN));
		return code;
	}
	if (strcmp(line.mountpoint, path) != 0) {
		chronfs_log(fs, CQ_ERROR, "%s is below a mount whose process died: %s (%s of %s)",
		            path, line.mountpoint, line.type, line.source);
	} else if (!is_ours(fs, &line)) {
		chronfs_log(fs, CQ_ERROR,
		            "at %s there is a mount whose process died, not one of this queue: %s "
		            "of %s; fusermount3 -u %s unmounts it",
		            path, line.type, line.source, path);
	} else if (!fs->options.recover || fs->options.fake) {
		chronfs_log(fs, CQ_ERROR,
		            "at %s there is a mount of this queue whose process died; -o recover, "
		            "or fusermount3 -u %s, unmounts it",
		            path, path);
		if (fs->options.recover)
			code = CHRONFS_EXIT_OK;
	} else {
		r = detach(path);
		if (r < 0) {
			chronfs_log(fs, CQ_ERROR, "the dead mount at %s cannot be unmounted: %s",
			            path, strerrordesc_np(-r));
		} else {
			chronfs_log(fs, CQ_NOTICE, "a dead mount was unmounted from %s", path);
			code = CHRONFS_EXIT_OK;
		}
	}
	free(line.text);
	return code;
}

/* Refuses a mount point where a chronfs mount is alive.  A mount over it would hide its queue from
 * programs that know only the path. */
static int refuse_live(struct chronfs *fs)
{
	const char *path = fs->options.mountpoint;
	int code = CHRONFS_EXIT_OK;
	struct mount_line line;

	if (!mount_of(path, &line))
		return CHRONFS_EXIT_OK;
	if (is_ours(fs, &line)) {
		chronfs_log(fs, CQ_ERROR, "mounted at %s already, by a process that is alive",
		            path);
		code = CHRONFS_EXIT_NO_MOUNTPOINT;
	} else if (strcmp(line.type, "fuse.chronfs") == 0 && strcmp(line.mountpoint, path) == 0) {
		chronfs_log(fs, CQ_ERROR, "at %s another queue is mounted: %s; umount %s first",
		            path, line.source, path);
		code = CHRONFS_EXIT_NO_MOUNTPOINT;
	}
	free(line.text);
	return code;
}

/* Whether the mount would cover the queue's directory, so that no other program could reach it. */
static bool hides_queue(const struct chronfs_options *options)
{
	size_t length = strlen(options->mountpoint);

	if (strcmp(options->mountpoint, "/") == 0) /* everything is below it */
		length = 0;
	return strncmp(options->queue, options->mountpoint, length) == 0 &&
	       (options->queue[length] == '\0' || options->queue[length] == '/');
}

/* Whether the mount point is itself a queue, as when the two arguments have changed places. */
static bool is_queue(const char *path)
{
	uint32_t *ids = NULL;
	size_t count = 0;
	cq_queue *queue;

	if (cq_queue_open(path, &queue) < 0)
		return false;
	(void)cq_queue_list(queue, &ids, &count);
	free(ids);
	cq_queue_close(queue);
	return count > 0;
}

int chronfs_mountpoint_check(struct chronfs *fs)
{
	const struct chronfs_options *options = &fs->options;
	bool aborted = false;
	struct statx st;
	int code;

	if (hides_queue(options)) {
		chronfs_log(fs, CQ_ERROR, "a mount at %s would hide the queue",
		            options->mountpoint);
		return CHRONFS_EXIT_NO_MOUNTPOINT;
	}
	/* asks the daemon: the kernel keeps the attributes of the root of a dead mount for a second */
	while (statx(AT_FDCWD, options->mountpoint, AT_STATX_FORCE_SYNC, STATX_TYPE, &st) < 0) {
		if (errno == ECONNABORTED && !aborted) {
			aborted = true; /* it died while it had this request; the next one says ENOTCONN */
			continue;
		}
		if (errno != ENOTCONN) {
			chronfs_log(fs, CQ_ERROR, "mount point %s: %s", options->mountpoint,
			            strerrordesc_np(errno));
			return CHRONFS_EXIT_NO_MOUNTPOINT;
		}
		code = clear_dead(fs);
		if (code != CHRONFS_EXIT_OK || options->fake)
			return code;
	}
	if (!S_ISDIR(st.stx_mode)) {
		chronfs_log(fs, CQ_ERROR, "mount point %s: %s", options->mountpoint,
		            strerrordesc_np(ENOTDIR));
		return CHRONFS_EXIT_NO_MOUNTPOINT;
	}
	if (is_queue(options->mountpoint)) {
		chronfs_log(fs, CQ_ERROR,
		            "the mount point %s is a queue itself, which the mount would hide: "
		            "chronfs QUEUE MOUNTPOINT",
		            options->mountpoint);
		return CHRONFS_EXIT_NO_MOUNTPOINT;
	}
	return refuse_live(fs);
}
