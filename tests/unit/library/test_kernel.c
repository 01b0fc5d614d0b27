/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_kernel.c - answers of the kernel: interrupted calls, refused calls, unknown file systems, an
 * incomplete /proc
 *
 * Here the system calls themselves fail (kernel.h); the failpoints of core/os/io.c are before them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "files/fs_probe.h"
#include "files/trust.h"
#include "format/format.h"
#include "kernel.h"
#include "meta/boot.h"
#include "meta/lock.h"
#include "os/io.h"
#include "queue_support.h"

static int setup(void **state)
{
	kernel_refuse(NULL, 0, 0, 0);
	kernel_magic = kernel_flags = 0;
	kernel_proc = NULL;
	return qs_setup(state);
}

static int teardown(void **state)
{
	kernel_refuse(NULL, 0, 0, 0);
	kernel_proc = NULL;
	return qs_teardown(state);
}

/* ---- each call ---- */

/* A file of two pages whose first has data. */
static int some_file(struct qs *q)
{
	char bytes[8192] = "some";
	char path[PATH_SIZE];
	int fd;

	qs_write_file(q->base, "file", bytes, sizeof bytes);
	support_path(path, q->base, "file");
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static int do_stat(int fd)
{
	struct stat st;

	return cq_io_stat(fd, &st);
}

static int do_pread(int fd)
{
	char bytes[100];
	ssize_t n = cq_io_pread(fd, bytes, sizeof bytes, 0);

	return n < 0 ? (int)n : n == sizeof bytes && bytes[0] == 's' ? 0 : 1;
}

static int do_seek_data(int fd)
{
	uint64_t begin = 0, end = 0;

	return cq_io_seek_data(fd, 0, &begin, &end);
}

/* Behind all data: the answer is the file's size. */
static int do_seek_end(int fd)
{
	uint64_t begin = 0, end = 0;
	int r = cq_io_seek_data(fd, 1 << 20, &begin, &end);

	return r < 0 ? r : begin != 8192 || end != 8192;
}

static int do_truncate(int fd)
{
	return cq_io_truncate(fd, 4096);
}

static int do_set_times(int fd)
{
	const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = 1 } };

	return cq_io_set_times(fd, times);
}

static int do_duplicate(int fd)
{
	int copy = -1, r = cq_io_duplicate(fd, &copy);

	if (r == 0)
		close(copy);
	return r;
}

static int do_lock_bytes(int fd)
{
	return cq_io_lock_bytes(fd, 80);
}

static int do_event(int fd)
{
	int event = -1, r = cq_io_event(1, &event);

	(void)fd;
	if (r == 0)
		close(event);
	return r;
}

static int do_random(int fd)
{
	uint8_t bytes[16];

	(void)fd;
	return cq_io_random(bytes, sizeof bytes);
}

static int do_write_out(int fd)
{
	return cq_io_write_out(fd, 0, 4096);
}

static int do_populate(int fd)
{
	void *base = NULL;
	int r = cq_io_map(fd, 4096, 1, &base);

	if (r < 0)
		return r;
	r = cq_io_populate(base, 4096);
	cq_io_unmap(base, 4096);
	return r;
}

/* The same file, by its name. */
static int do_open(int fd)
{
	char link[32], path[PATH_SIZE];
	int directory, opened = -1, r;
	ssize_t n;

	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof path - 1);
	assert_true(n > 0);
	path[n] = '\0';
	*strrchr(path, '/') = '\0';
	directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(directory >= 0);
	r = cq_io_open(directory, "file", O_RDWR, &opened);
	if (r == 0)
		close(opened);
	close(directory);
	return r;
}

static const struct {
	const char *call;
	int (*run)(int fd);
	int error;
	bool again; /* after EINTR */
} calls[] = {
	{ "fstat", do_stat, EIO, false },         { "pread", do_pread, EIO, true },
	{ "lseek", do_seek_data, EINVAL, false }, { "fstat", do_seek_end, EIO, false },
	{ "ftruncate", do_truncate, EIO, true },  { "futimens", do_set_times, EPERM, false },
	{ "flock", cq_io_lock, ENOLCK, true },    { "fcntl", do_duplicate, EMFILE, false },
	{ "fcntl", do_lock_bytes, ENOLCK, true }, { "fdatasync", cq_io_sync_data, EIO, true },
	{ "fsync", cq_io_sync_dir, EIO, true },   { "sync_file_range", do_write_out, EIO, true },
	{ "madvise", do_populate, EFAULT, true }, { "fstat", do_open, ESTALE, false },
	{ "eventfd", do_event, EMFILE, false },   { "getrandom", do_random, ENOSYS, true },
};

/* The error of a refused call is returned, and nothing stays open; an interrupted call is repeated. */
static void refused_and_interrupted(void **state)
{
	int fd = some_file(*state);

	for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
		const unsigned before = kernel_descriptors();

		kernel_refuse(calls[i].call, calls[i].error, 0, 1);
		assert_int_equal(calls[i].run(fd), -calls[i].error);
		assert_int_equal(kernel_refused(), 1);
		if (calls[i].again) {
			kernel_refuse(calls[i].call, EINTR, 0, 3);
			assert_int_equal(calls[i].run(fd), 0);
			assert_int_equal(kernel_refused(), 3);
		}
		kernel_refuse(NULL, 0, 0, 0);
		assert_int_equal(calls[i].run(fd), 0);
		assert_int_equal(kernel_descriptors(), before);
	}
	/* the owner of the directory is unknown */
	kernel_refuse("fstat", EIO, 1, 1);
	assert_int_equal(do_open(fd), -EIO);
	/* POSIX allows either for a lock that another one has */
	kernel_refuse("fcntl", EACCES, 0, 1);
	assert_int_equal(do_lock_bytes(fd), -EBUSY);
	close(fd);
}

/* An error of the disk, or a full disk, fails the sync that this write-out is a part of.  A file system that
 * cannot write out a part causes no error: the sync that follows writes everything. */
static void written_out_in_part(void **state)
{
	static const int reported[] = { EIO, ENOSPC, EDQUOT },
			 not_reported[] = { EINVAL, ENOSYS, ESPIPE };
	int fd = some_file(*state);

	for (size_t i = 0; i < sizeof reported / sizeof reported[0]; i++) {
		kernel_refuse("sync_file_range", reported[i], 0, 1);
		assert_int_equal(do_write_out(fd), -reported[i]);
	}
	for (size_t i = 0; i < sizeof not_reported / sizeof not_reported[0]; i++) {
		kernel_refuse("sync_file_range", not_reported[i], 0, 1);
		assert_int_equal(do_write_out(fd), 0);
		assert_int_equal(kernel_refused(), 1);
	}
	close(fd);
}

/* What a user sees: an open fails, or the writer refuses appends; a failed sync never succeeds. */
static void calls_of_a_writer(void **state)
{
	struct qs *q = *state;
	const unsigned before = kernel_descriptors();
	cq_queue *queue;
	uint32_t *ids;
	size_t count;

	kernel_refuse("flock", ENOLCK, 0, 2); /* no locks on this file system */
	assert_int_equal(qs_try_open(q), -ENOLCK);
	kernel_refuse("fdopendir", ENOMEM, 0, 1);
	assert_int_equal(qs_try_open(q), -ENOMEM);
	kernel_refuse("mmap", ENOMEM, 0, 1);
	assert_int_equal(qs_try_open(q), -ENOMEM);
	assert_int_equal(kernel_descriptors(), before);
	qs_open(q);
	qs_append(q->writer, 0, 2);
	kernel_refuse("fdatasync", EINTR, 0, 2);
	assert_int_equal(cq_writer_sync(q->writer), 0);
	assert_int_equal(kernel_refused(), 2);
	qs_append(q->writer, 2, 2);
	kernel_refuse("fdatasync", EIO, 0, 1);
	assert_int_equal(cq_writer_sync(q->writer), -EIO);
	assert_int_equal(cq_writer_append(q->writer, 1, "x", 1, NULL), -EIO);
	assert_int_equal(cq_writer_close(q->writer), -EIO);
	q->writer = NULL;
	kernel_refuse(NULL, 0, 0, 0);
	qs_expect(q->dir, 0, 4);
	assert_int_equal(cq_queue_open(q->dir, &queue), 0);
	kernel_refuse("fdopendir", EMFILE, 0, 1);
	assert_int_equal(cq_queue_list(queue, &ids, &count), -EMFILE);
	assert_int_equal(cq_queue_list(queue, &ids, &count), 0);
	free(ids);
	cq_queue_close(queue);
	assert_int_equal(kernel_descriptors(), before);
}

/* A dead writer's temp file is replaced, whatever it holds, and never written to: it may have a second name. */
static void small_file_replaced(void **state)
{
	struct qs *q = *state;
	char text[8] = "";

	qs_write_file(q->dir, "small.tmp", "left behind", 11);
	assert_int_equal(linkat(q->dirfd, "small.tmp", q->dirfd, "second", 0), 0);
	assert_int_equal(cq_io_replace(q->dirfd, "small.tmp", "small", "fresh", 5), 0);
	support_peek(q->dir, "small", 0, text, 5);
	assert_string_equal(text, "fresh");
	support_peek(q->dir, "second", 0, text, 4);
	assert_memory_equal(text, "left", 4);
	assert_false(support_exists(q->dir, "small.tmp"));
}

/* ---- file systems ---- */

/* Btrfs writes a changed page to a new place, unless a flag of the file forbids it.  If the flag cannot be set,
 * the file is used nevertheless. */
static void in_place_on_btrfs(void **state)
{
	struct qs *q = *state;

	kernel_magic = BTRFS_SUPER_MAGIC;
	qs_open(q);
	assert_true(kernel_flags & FS_NOCOW_FL);
	qs_close(q);
	qs_anew(q);
	kernel_flags = 0;
	kernel_refuse("ioctl", ENOTTY, 0, 1000);
	qs_open(q);
	qs_append(q->writer, 0, 40);
	assert_true(kernel_refused() > 0);
	assert_int_equal(kernel_flags, 0);
	qs_close(q);
	qs_expect(q->dir, 0, 40);
	qs_anew(q);
	kernel_magic = EXT4_SUPER_MAGIC;
	kernel_refuse(NULL, 0, 0, 0);
	qs_open(q);
	assert_int_equal(kernel_flags, 0);
	/* nor is it needed that the file system tells what it is */
	kernel_magic = BTRFS_SUPER_MAGIC;
	kernel_refuse("fstatfs", EIO, 0, 1);
	qs_append(q->writer, 0, 40);
	qs_prepare(q->writer);
	assert_int_equal(kernel_refused(), 1);
	assert_int_equal(kernel_flags, 0);
	qs_close(q);
	qs_expect(q->dir, 0, 40);
}

/* Known file systems are trusted.  On any other the probe tries the calls that a queue needs, and leaves nothing
 * behind. */
static void file_systems(void **state)
{
	static const long known[] = { EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC, BTRFS_SUPER_MAGIC,
		                      TMPFS_MAGIC };
	static const struct {
		const char *call;
		int error, result;
	} tries[] = {
		{ "renameat2", EINVAL, -EOPNOTSUPP }, { "renameat2", ENOSYS, -EOPNOTSUPP },
		{ "renameat2", EIO, -EIO },           { "fallocate", EOPNOTSUPP, -EOPNOTSUPP },
		{ "fallocate", ENOSPC, 0 },           { "fallocate", EDQUOT, 0 },
	};
	struct qs *q = *state;

	kernel_refuse("renameat2", EINVAL, 0, 1);
	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
		kernel_magic = known[i];
		assert_int_equal(cq_fs_probe(q->dirfd), 0);
	}
	assert_int_equal(kernel_refused(), 0);
	kernel_magic = 0x1234;
	for (size_t i = 0; i < sizeof tries / sizeof tries[0]; i++) {
		kernel_refuse(tries[i].call, tries[i].error, 0, 1);
		assert_int_equal(cq_fs_probe(q->dirfd), tries[i].result);
		assert_int_equal(kernel_refused(), 1);
		assert_int_equal(qs_count_names(q->dir, ""), 2); /* . and .. */
		assert_int_equal(cq_fs_probe(q->dirfd), 0);
	}
	/* its kind is unknown */
	kernel_refuse("fstatfs", ENOSYS, 0, 1);
	assert_int_equal(cq_fs_probe(q->dirfd), 0);
	assert_int_equal(qs_count_names(q->dir, ""), 2);
	/* a queue that was copied to such a file system */
	kernel_magic = 0;
	qs_open(q);
	qs_close(q);
	kernel_magic = 0x1234;
	kernel_refuse("renameat2", EINVAL, 0, 100);
	assert_int_equal(qs_try_open(q), -EOPNOTSUPP);
	kernel_refuse(NULL, 0, 0, 0);
	qs_open(q);
	qs_close(q);
	/* the name that the probe uses is taken: the file stays */
	qs_write_file(q->dir, CQ_CONTROL_TEMP, "x", 1);
	assert_int_equal(cq_fs_probe(q->dirfd), -EEXIST);
	assert_true(support_exists(q->dir, CQ_CONTROL_TEMP));
}

/* ---- /proc ---- */

static struct cq_holder holder_of(struct qs *q)
{
	struct cq_holder holder = CQ_SIZED(holder);

	assert_int_equal(cq_lock_holder(q->dirfd, &holder), 0);
	return holder;
}

/* The kernel's list of locks decides.  Where its device number is not stat()'s (btrfs), the pid in the lock's
 * text must agree. */
static void list_of_locks(void **state)
{
	struct qs *q = *state;
	static const struct {
		const char *before;
		int pid;
		unsigned more_major, more_minor, more_inode;
		const char *behind;
		bool locked;
	} lists[] = {
		{ "1: FLOCK ADVISORY WRITE", 1, 0, 0, 0, "", true },
		{ "1: POSIX ADVISORY WRITE", 1, 0, 0, 0, "", false },
		{ "1: FLOCK ADVISORY WRITE", 1, 0, 0, 1, "", false },
		{ "1: -> FLOCK ADVISORY WRITE", 77, 0, 0, 0, "",
		  false }, /* a process that waits for it */
		{ "1: FLOCK ADVISORY WRITE", 77, 3, 0, 0, "", true },
		{ "1: FLOCK ADVISORY WRITE", 77, 0, 3, 0, "", true },
		{ "1: FLOCK ADVISORY WRITE", 1, 3, 0, 0, "", false },
		{ "1: FLOCK ADVISORY WRITE", 1, 0, 3, 0, "", false },
		{ "nonsense\n2: FLOCK ADVISORY WRITE", 1, 0, 0, 0, "3: FLOCK\n", true },
	};
	char text[256];
	struct stat st;

	qs_write_file(q->dir, CQ_LOCK_NAME, "77 12 1\n", 8);
	assert_int_equal(fstatat(q->dirfd, CQ_LOCK_NAME, &st, 0), 0);
	kernel_proc = q->base;
	assert_false(holder_of(q).locked); /* no list */
	for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
		int n = snprintf(text, sizeof text, "%s %d %02x:%02x:%ju 0 EOF\n%s",
		                 lists[i].before, lists[i].pid,
		                 major(st.st_dev) + lists[i].more_major,
		                 minor(st.st_dev) + lists[i].more_minor,
		                 (uintmax_t)st.st_ino + lists[i].more_inode, lists[i].behind);

		qs_write_file(q->base, "locks", text, (size_t)n);
		assert_int_equal(holder_of(q).locked, lists[i].locked);
		assert_int_equal(holder_of(q).pid, 77);
	}
}

/* The list has the device of the mount, which the list of mounts has, too. */
static void list_of_mounts(void **state)
{
	static const struct {
		const char *before;
		unsigned long long more_id;
		bool locked;
	} lists[] = {
		{ "", 0, true },
		{ "", 1, false },
		{ "nonsense\n1 2 3\n", 0, true },
	};
	struct qs *q = *state;
	char text[256];
	struct statx mount;
	struct stat st;
	int n;

	assert_int_equal(statx(q->dirfd, "", AT_EMPTY_PATH, STATX_MNT_ID, &mount), 0);
	if (!(mount.stx_mask & STATX_MNT_ID))
		NOT_HERE("the kernel does not tell the number of a mount (Linux 5.8)");
	qs_write_file(q->dir, CQ_LOCK_NAME, "77 12 1\n", 8);
	assert_int_equal(fstatat(q->dirfd, CQ_LOCK_NAME, &st, 0), 0);
	n = snprintf(text, sizeof text,
	             "1: FLOCK ADVISORY WRITE 5 fd:09:%ju 0 EOF\n"
	             "2: FLOCK ADVISORY WRITE 6 fd:07:%ju 0 EOF\n",
	             (uintmax_t)st.st_ino, (uintmax_t)st.st_ino);
	kernel_proc = q->base;
	qs_write_file(q->base, "locks", text, (size_t)n);
	assert_false(holder_of(q).locked); /* no list of mounts */
	for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
		n = snprintf(text, sizeof text, "%s%llu 1 253:7 / / rw - x y z\n", lists[i].before,
		             mount.stx_mnt_id + lists[i].more_id);
		qs_write_file(q->base, "mountinfo", text, (size_t)n);
		assert_int_equal(holder_of(q).locked, lists[i].locked);
		/* a kernel that does not tell which mount it is: then nobody is found */
		kernel_refuse("statx", ENOSYS, 0, 10);
		assert_false(holder_of(q).locked);
		kernel_refuse("mount id", EINVAL, 0, 10);
		assert_false(holder_of(q).locked);
		kernel_refuse(NULL, 0, 0, 0);
	}
}

/* The directory is locked, writer.lock is not, and its text names nobody: who has the directory is said, as far
 * as it is known. */
static void holder_of_the_directory(void **state)
{
	static const char good[] = "77 (a) S 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 12 9";
	static const struct {
		int pid;
		const char *stat;
		int pid_told;
		bool alive;
	} cases[] = {
		{ 77, good, 77, true },
		{ 77, "", 77, false },
		{ 0, good, 0, false },
		{ -1, good, 0, false }, /* of open file descriptions */
	};
	struct qs *q = *state;
	struct cq_holder holder;
	char text[128];
	struct stat st;

	qs_write_file(q->dir, CQ_LOCK_NAME, "", 0);
	assert_int_equal(fstat(q->dirfd, &st), 0);
	kernel_proc = q->base;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		int n = snprintf(text, sizeof text,
		                 "1: FLOCK  ADVISORY  WRITE %d %02x:%02x:%ju 0 EOF\n", cases[i].pid,
		                 major(st.st_dev), minor(st.st_dev), (uintmax_t)st.st_ino);

		qs_write_file(q->base, "locks", text, (size_t)n);
		qs_write_file(q->base, "stat", cases[i].stat, strlen(cases[i].stat));
		holder = holder_of(q);
		assert_true(holder.locked);
		assert_int_equal(holder.pid, cases[i].pid_told);
		assert_int_equal(holder.alive, cases[i].alive);
	}
}

/* A process whose start time is unknown is not taken for the one in the lock's text; a writer that does not know
 * its own writes no text. */
static void start_time_of_a_process(void **state)
{
	static const char *const texts[] = {
		"",
		"77 (no end",
		"77 (a) S 1 2 3",
		"77 (a) S 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 x",
	};
	static const char good[] = "77 (a ) b) S 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 12 9";
	struct qs *q = *state;
	char there[16] = "";
	struct cq_lock lock;

	qs_write_file(q->dir, CQ_LOCK_NAME, "77 12 1\n", 8);
	qs_write_file(q->base, "locks", "", 0);
	kernel_proc = q->base;
	assert_false(holder_of(q).alive);
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		qs_write_file(q->base, "stat", texts[i], strlen(texts[i]));
		assert_false(holder_of(q).alive);
		assert_int_equal(cq_lock_try(q->dirfd, &lock), 0);
		assert_int_equal(cq_lock_describe(&lock, 2), -EBADMSG);
		cq_lock_release(&lock);
		support_peek(q->dir, CQ_LOCK_NAME, 0, there, 8);
		assert_string_equal(there, "77 12 1\n");
	}
	qs_write_file(q->base, "stat", good, sizeof good - 1);
	assert_true(holder_of(q).alive);
}

/* ---- the boot of the machine ---- */

/* Without a valid boot id the id is all zero, which counts as another boot: a power cut is assumed. */
static void boot_ids(void **state)
{
	static const char good[] = "01234567-89ab-cdef-0123-456789abcdef\n";
	static const uint8_t number[CQ_BOOT_ID_SIZE] = { 0x01, 0x23, 0x45, 0x67, 0x89, 0xab,
		                                         0xcd, 0xef, 0x01, 0x23, 0x45, 0x67,
		                                         0x89, 0xab, 0xcd, 0xef };
	static const uint8_t unknown[CQ_BOOT_ID_SIZE];
	static const char *const texts[] = { "", "\n", "01234567-89ab-cdef-0123-456789abcde\n",
		                             "01234567-89ab-cdef-0123-456789abcdeX\n",
		                             "no number of a boot, and as long as one" };
	static const int wants[] = { EMFILE, ENFILE, ENOMEM };
	uint8_t id[CQ_BOOT_ID_SIZE];
	struct qs *q = *state;

	kernel_proc = q->base;
	memset(id, 0x5A, sizeof id);
	assert_int_equal(cq_boot_id(id), 0); /* no such file */
	assert_memory_equal(id, unknown, sizeof id);
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		qs_write_file(q->base, "boot_id", texts[i], strlen(texts[i]));
		memset(id, 0x5A, sizeof id);
		assert_int_equal(cq_boot_id(id), 0);
		assert_memory_equal(id, unknown, sizeof id);
	}
	qs_write_file(q->base, "boot_id", good, sizeof good - 1);
	assert_int_equal(cq_boot_id(id), 0);
	assert_memory_equal(id, number, sizeof id);
	/* a lack of descriptors or memory is an error, not another boot */
	for (size_t i = 0; i < sizeof wants / sizeof wants[0]; i++) {
		kernel_refuse("openat", wants[i], 0, 1);
		assert_int_equal(cq_boot_id(id), -wants[i]);
	}
}

/* ---- other users ---- */

static void files_of_root(struct qs *q)
{
	const struct stat directory = { .st_uid = 4242 };

	(void)q;
	CHILD(setuid(4343) == 0);
	/* root may write to any file anyway */
	CHILD(!cq_trust_why_not(&(struct stat){ .st_nlink = 1, .st_uid = 0 }, &directory));
	CHILD(!cq_trust_why_not(&(struct stat){ .st_nlink = 1, .st_uid = 4242 }, &directory));
	CHILD(!cq_trust_why_not(&(struct stat){ .st_nlink = 1, .st_uid = 4343 }, &directory));
	CHILD(cq_trust_why_not(&(struct stat){ .st_nlink = 1, .st_uid = 4444 }, &directory));
}

static void whose_files_are_trusted(void **state)
{
	if (geteuid() != 0)
		NOT_HERE("needs root");
	qs_run(files_of_root, *state);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

static const struct CMUnitTest tests[] = {
	TEST(refused_and_interrupted),
	TEST(calls_of_a_writer),
	TEST(small_file_replaced),
	TEST(in_place_on_btrfs),
	TEST(file_systems),
	TEST(list_of_locks),
	TEST(list_of_mounts),
	TEST(holder_of_the_directory),
	TEST(start_time_of_a_process),
	TEST(boot_ids),
	TEST(whose_files_are_trusted),
	TEST(written_out_in_part),
};

QS_MAIN(tests)
