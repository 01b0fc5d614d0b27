/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_mountpoint.c - the check of the mount point: dead mounts, live mounts, directories
 *
 * The system is made up (--wrap): statx(2) of the mount point, the kernel's table of mounts, the right to
 * unmount.  mount/life/recover.sh does the same with real mounts.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "chronfs.h"
#include "mount/mountpoint.h"
#include "mount/namespaces.h"

#define FD 1000 /* the result of open() */
#define CHILD 4711

static struct chronfs fs;

static struct {
	int stat_error;      /* of the mount point; ENOTCONN: dead, until it is unmounted */
	int aborted;         /* so many requests before are those that the dying process had */
	mode_t mode;         /* of a mount point that answers */
	const char *reached; /* the only path that can be opened */
	const char *fdinfo;  /* contents; NULL: there is none */
	const char *mountinfo;
	const char *
		theirs; /* of process 77, which is in another mount namespace; NULL: it has ended */
	const char *proc;  /* stands for /proc; NULL: it cannot be listed */
	bool no_namespace; /* /proc does not tell ours */
	int umount_error;
	int fork_error;
	int wait_error; /* of the first waitpid() */
	int waits;
	int status; /* of fusermount3 */
	int closed;
	bool no_memory;
	char said[1024];
} made;

#define DEAD "36 1 0:31 / /m rw,nosuid - fuse.chronfs /q rw,user_id=0\n"
#define NAMED "36 1 0:31 / /m rw - fuse.chronfs name rw\n"
#define OTHER_TYPE "36 1 0:31 / /m rw - fuse.sshfs /q rw\n"
#define OTHERS "1 0 8:1 / / rw - ext4 /dev/sda rw\n35 1 0:30 / /other rw - fuse.chronfs /q rw\n"

static int setup(void **state)
{
	static char queue[] = "/q", point[] = "/m";

	(void)state;
	memset(&fs, 0, sizeof fs);
	memset(&made, 0, sizeof made);
	fs.options.queue = queue;
	fs.options.mountpoint = point;
	fs.options.recover = true;
	made.stat_error = ENOTCONN;
	made.mode = S_IFDIR;
	made.reached = "/m";
	made.fdinfo = "pos:\t0\nflags:\t012000000\nmnt_id:\t36\nino:\t1\n";
	made.mountinfo = OTHERS DEAD;
	return 0;
}

/* ---- replacements ---- */

int __wrap_statx(int dirfd, const char *path, int flags, unsigned mask, struct statx *st);
int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);
int __real_close(int fd);
int __wrap_close(int fd);
FILE *__real_fopen64(const char *path, const char *mode);
FILE *__wrap_fopen64(const char *path, const char *mode);
char *__real_strdup(const char *text);
char *__wrap_strdup(const char *text);
ssize_t __wrap_readlink(const char *path, char *text, size_t size);
DIR *__real_opendir(const char *path);
DIR *__wrap_opendir(const char *path);
int __wrap_umount2(const char *path, int flags);
pid_t __wrap_fork(void);
pid_t __wrap_waitpid(pid_t child, int *status, int flags);
void __wrap_chronfs_log(struct chronfs *mount, enum cq_level level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

int __wrap_statx(int dirfd, const char *path, int flags, unsigned mask, struct statx *st)
{
	(void)dirfd;
	(void)mask;
	assert_string_equal(path, fs.options.mountpoint);
	assert_int_equal(flags, AT_STATX_FORCE_SYNC); /* the kernel would answer for a dead mount */
	*st = (struct statx){ .stx_mode = (uint16_t)made.mode };
	errno = made.aborted > 0 ? ECONNABORTED : made.stat_error;
	if (made.aborted > 0)
		made.aborted--;
	return errno ? -1 : 0;
}

int __wrap_open64(const char *path, int flags, ...)
{
	if (!(flags & O_PATH))
		return __real_open64(path, flags); /* the file of a coverage profile */
	errno = ENOTCONN;
	return made.reached && strcmp(path, made.reached) == 0 ? FD : -1;
}

int __wrap_close(int fd)
{
	if (fd != FD)
		return __real_close(fd);
	made.closed++;
	return 0;
}

FILE *__wrap_fopen64(const char *path, const char *mode)
{
	const char *text = strcmp(path, "/proc/self/mountinfo") == 0 ? made.mountinfo : made.fdinfo;

	if (strcmp(path, "/proc/77/mountinfo") == 0) {
		errno = ENOENT;
		return made.theirs
		               ? fmemopen((void *)(uintptr_t)made.theirs, strlen(made.theirs), "r")
		               : NULL;
	}
	if (strncmp(path, "/proc/self/", strlen("/proc/self/")) != 0)
		return __real_fopen64(path, mode);
	if (text != made.mountinfo)
		assert_string_equal(path, "/proc/self/fdinfo/1000");
	errno = ENOENT;
	return text ? fmemopen((void *)(uintptr_t)text, strlen(text), "r") : NULL;
}

/* The namespaces are 1, and that of process 77: 2. */
ssize_t __wrap_readlink(const char *path, char *text, size_t size)
{
	const bool is_ours = strcmp(path, "/proc/self/ns/mnt") == 0;

	if (!is_ours)
		assert_string_equal(path, "/proc/77/ns/mnt");
	errno = ENOENT;
	if (is_ours && made.no_namespace)
		return -1;
	return snprintf(text, size, "mnt:[%d]", is_ours ? 1 : 2);
}

DIR *__wrap_opendir(const char *path)
{
	assert_string_equal(path, "/proc");
	errno = EMFILE;
	return made.proc ? __real_opendir(made.proc) : NULL;
}

char *__wrap_strdup(const char *text)
{
	return made.no_memory ? NULL : __real_strdup(text);
}

int __wrap_umount2(const char *path, int flags)
{
	assert_string_equal(path, fs.options.mountpoint);
	assert_int_equal(flags, MNT_DETACH | UMOUNT_NOFOLLOW);
	errno = made.umount_error;
	if (made.umount_error)
		return -1;
	made.stat_error = 0;
	made.mountinfo = OTHERS;
	return 0;
}

pid_t __wrap_fork(void)
{
	errno = made.fork_error;
	return made.fork_error ? -1 : CHILD;
}

pid_t __wrap_waitpid(pid_t child, int *status, int flags)
{
	assert_int_equal(child, CHILD);
	assert_int_equal(flags, 0);
	if (made.waits++ == 0 && made.wait_error) {
		errno = made.wait_error;
		return -1;
	}
	*status = made.status;
	if (made.status == 0) {
		made.stat_error = 0;
		made.mountinfo = OTHERS;
	}
	return child;
}

void __wrap_chronfs_log(struct chronfs *mount, enum cq_level level, const char *format, ...)
{
	const size_t length = strlen(made.said);
	va_list args;

	(void)mount;
	(void)level;
	va_start(args, format);
	(void)vsnprintf(made.said + length, sizeof made.said - length, format, args);
	va_end(args);
}

/* ---- tests ---- */

/* The check gives this code and this message; "": no message. */
static void check(int code, const char *text)
{
	assert_int_equal(chronfs_mountpoint_check(&fs), code);
	if (*text ? !strstr(made.said, text) : *made.said)
		fail_msg("\"%s\" is said, not \"%s\"", made.said, text);
}

static void refused(const char *text)
{
	check(CHRONFS_EXIT_NO_MOUNTPOINT, text);
	assert_int_equal(made.closed, 1);
}

static void a_directory(void **state)
{
	static char beside[] = "/m-queue", below[] = "/m/queue", root[] = "/";

	(void)state;
	made.stat_error = 0;
	made.mountinfo = OTHERS;
	check(CHRONFS_EXIT_OK, "");
	fs.options.queue = beside; /* its name begins alike, but it is elsewhere */
	check(CHRONFS_EXIT_OK, "");
	fs.options.queue = below;
	check(CHRONFS_EXIT_NO_MOUNTPOINT, "would hide the queue");
	fs.options.mountpoint = root; /* everything is below it */
	check(CHRONFS_EXIT_NO_MOUNTPOINT, "a mount at / would hide the queue");
}

static void a_dead_mount_is_unmounted(void **state)
{
	(void)state;
	check(CHRONFS_EXIT_OK, "a dead mount was unmounted from /m");
	assert_int_equal(made.closed, 2);
}

/* The process dies while it has our request. */
static void a_mount_that_dies_now(void **state)
{
	(void)state;
	made.aborted = 1;
	check(CHRONFS_EXIT_OK, "a dead mount was unmounted from /m");
	setup(NULL);
	made.aborted = 2; /* another file system's answer to every request */
	check(CHRONFS_EXIT_NO_MOUNTPOINT, "mount point /m: Software caused connection abort");
}

/* A user other than root unmounts with fusermount3. */
static void by_fusermount3(void **state)
{
	(void)state;
	made.umount_error = EPERM;
	made.wait_error = EINTR;
	check(CHRONFS_EXIT_OK, "a dead mount was unmounted from /m");
	assert_int_equal(made.waits, 2);
}

static void it_cannot_be_unmounted(void **state)
{
	static const struct {
		int umount_error, fork_error, wait_error, status;
		const char *text;
	} cases[] = {
		{ EBUSY, 0, 0, 0, "cannot be unmounted: Device or resource busy" },
		{ EPERM, EAGAIN, 0, 0, "cannot be unmounted: Resource temporarily unavailable" },
		{ EPERM, 0, ECHILD, 0, "cannot be unmounted: No child processes" },
		{ EPERM, 0, 0, 1 << 8, "cannot be unmounted: Operation not permitted" },
		{ EPERM, 0, 0, SIGKILL, "cannot be unmounted: Operation not permitted" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		setup(state);
		made.umount_error = cases[i].umount_error;
		made.fork_error = cases[i].fork_error;
		made.wait_error = cases[i].wait_error;
		made.status = cases[i].status;
		refused(cases[i].text);
	}
}

/* mount -f only says whether a mount would work. */
static void only_tried(void **state)
{
	(void)state;
	fs.options.fake = true;
	made.umount_error = EIO; /* must not be called */
	check(CHRONFS_EXIT_OK, "a mount of this queue whose process died");
	setup(state);
	fs.options.fake = true;
	fs.options.recover = false;
	refused("-o recover");
}

static void somebody_elses(void **state)
{
	static const struct {
		const char *mountinfo, *text;
	} cases[] = {
		{ "36 1 0:31 / /m rw - fuse.sshfs host: rw\n", "fuse.sshfs of host:" },
		{ "36 1 0:31 / /m rw - fuse.other /q rw\n", "fuse.other of /q" },
		{ "36 1 0:31 / /m rw - fuse.chronfs /other rw\n", "fuse.chronfs of /other" },
		{ "36 1 0:31 / / rw - fuse.chronfs /q rw\n",
		  "is below a mount whose process died: /" },
		{ "36 1 0:31 / /m\\134040 rw - fuse.chronfs /q rw\n", "died: /m\\040 (" },
		{ "36 1 0:31 / /m rw - fuse.chronfs a\\040b rw\n", "fuse.chronfs of a b;" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		setup(state);
		made.mountinfo = cases[i].mountinfo;
		refused(cases[i].text);
	}
}

/* Where the kernel's files make no sense nothing is unmounted. */
static void a_table_that_makes_no_sense(void **state)
{
	static const char *const tables[] = {
		NULL,
		OTHERS, /* without the mount: we are in a chroot */
		"36 1 0:31 / /m rw fuse.chronfs /q rw\n", /* no separator */
		"36 1 0:31 / /m rw - fuse.chronfs",       /* cut off */
		"36 1 0:31 - fuse.chronfs /q rw\n",
		"",
	};
	static const char *const infos[] = { NULL, "pos:\t0\n", "" };

	for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
		setup(state);
		made.mountinfo = tables[i];
		refused("/m: Transport endpoint is not connected");
	}
	for (size_t i = 0; i < sizeof infos / sizeof infos[0]; i++) {
		setup(state);
		made.fdinfo = infos[i];
		refused("/m: Transport endpoint is not connected");
	}
	/* for a mount point that answers that does not matter */
	setup(state);
	made.stat_error = 0;
	made.mountinfo = NULL;
	check(CHRONFS_EXIT_OK, "");
}

/* The beginning of an escape at the end of a name stays as it is. */
static void half_an_escape(void **state)
{
	static const char *const sources[] = { "/q\\", "/q\\0", "/q\\04" };
	char line[128], source[16];

	for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++) {
		setup(state);
		(void)snprintf(line, sizeof line, "36 1 0:31 / /m rw - fuse.chronfs %s rw\n",
		               sources[i]);
		made.mountinfo = line;
		(void)snprintf(source, sizeof source, "%s", sources[i]);
		fs.options.source = source;
		check(CHRONFS_EXIT_OK, "a dead mount was unmounted");
	}
}

/* The path leads as far as a dead mount; or nowhere. */
static void a_path_below_a_dead_mount(void **state)
{
	static char deep[] = "/m/a/b", relative[] = "m";

	(void)state;
	fs.options.mountpoint = deep;
	refused("/m/a/b is below a mount whose process died: /m (");
	setup(state);
	fs.options.mountpoint = deep;
	made.reached = "/";
	made.fdinfo = "mnt_id:\t1\n";
	refused("/m/a/b is below a mount whose process died: / (");
	setup(state);
	made.reached = NULL;
	fs.options.mountpoint = relative;
	check(CHRONFS_EXIT_NO_MOUNTPOINT, "m: Transport endpoint is not connected");
	assert_int_equal(made.closed, 0);
}

static void a_live_mount(void **state)
{
	(void)state;
	made.stat_error = 0;
	refused("mounted at /m already, by a process that is alive");
}

/* A queue may be mounted below a live mount, in its segments/. */
static void below_a_live_mount(void **state)
{
	static char below[] = "/m/segments";

	(void)state;
	made.stat_error = 0;
	made.reached = fs.options.mountpoint = below;
	check(CHRONFS_EXIT_OK, "");
}

static void no_memory(void **state)
{
	(void)state;
	made.no_memory = true;
	check(CHRONFS_EXIT_NO_MOUNTPOINT, "/m: Transport endpoint is not connected");
}

/* ---- a mount that is left in another mount namespace ---- */

/* The process there, 0: there is none. */
static pid_t left_there(void)
{
	pid_t process = 0;
	const bool there = chronfs_mounted_elsewhere(&fs, &process);

	assert_int_equal(there, process != 0);
	return process;
}

/* By the queue's path, and by the name that fsname= gives it. */
static void left_in_another_namespace(void **state)
{
	static char name[] = "name";
	char proc[] = "/tmp/chronfs-test-XXXXXX", process[64];

	(void)state;
	assert_non_null(mkdtemp(proc));
	(void)snprintf(process, sizeof process, "%s/77", proc);
	assert_int_equal(mkdir(process, 0700), 0);
	made.proc = proc;
	made.mountinfo = OTHERS "36 1 0:31 / /m rw - tmpfs /q rw\n";
	made.theirs = DEAD;
	assert_int_equal(left_there(), 0); /* here the queue is mounted at /other */
	made.mountinfo = "35 1 0:30 / /other rw - fuse.chronfs /r rw\n";
	assert_int_equal(left_there(), 77);
	made.theirs = "36 1 0:31 / /m rw fuse.chronfs /q rw\n" OTHER_TYPE;
	assert_int_equal(left_there(), 0);
	made.theirs = NULL;
	assert_int_equal(left_there(), 0);
	made.theirs = NAMED;
	assert_int_equal(left_there(), 0);
	fs.options.source = name;
	assert_int_equal(left_there(), 77);
	made.mountinfo = NAMED; /* here it is, too */
	assert_int_equal(left_there(), 0);
	made.mountinfo = OTHER_TYPE;
	made.no_namespace = true;
	assert_int_equal(left_there(), 0);
	made.no_namespace = false;
	made.proc = NULL;
	assert_int_equal(left_there(), 0);
	assert_int_equal(rmdir(process), 0);
	assert_int_equal(rmdir(proc), 0);
}

#define TEST(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_directory),
		TEST(a_dead_mount_is_unmounted),
		TEST(a_mount_that_dies_now),
		TEST(by_fusermount3),
		TEST(it_cannot_be_unmounted),
		TEST(only_tried),
		TEST(somebody_elses),
		TEST(a_table_that_makes_no_sense),
		TEST(half_an_escape),
		TEST(a_path_below_a_dead_mount),
		TEST(a_live_mount),
		TEST(below_a_live_mount),
		TEST(no_memory),
		TEST(left_in_another_namespace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
