/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_fs_access.c - owners and modes of all nodes, attributes that are set to what they are, and how
 * much the senders of requests may hold
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <sys/file.h>
#include <unistd.h>

#include "fs_support.h"
#include "kernel/dispatch.h"

#define STRANGER 1002
#define LOCKED chronfs_node(CHRONFS_METRICS, 0)

static const char *const directories[] = { "", "segments", "payload", "readers" };
static const char *const sinks[] = { "append", "append.lines" };
static const char *const files[] = { "stream",
	                             "stats.json",
	                             "metrics",
	                             "segments/000000000.q",
	                             "segments/000000002.q",
	                             "payload/000000000",
	                             "payload/000000002" };
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- owners and modes ---- */

static struct stat stat_of(const char *path)
{
	chronfs_ops.getattr(fs_request(0, 0), fs_node(path), NULL);
	fs_expect(0, 0);
	return requests[0].attr;
}

static void check_owner(const char *path, mode_t mode)
{
	struct stat st = stat_of(path);

	assert_int_equal(st.st_mode, mode);
	assert_int_equal(st.st_uid, FS_OWNER);
	assert_int_equal(st.st_gid, FS_GROUP);
	if (*path) { /* what a lookup replies is the same */
		(void)fs_node(path);
		assert_int_equal(requests[3].entry.attr.st_mode, mode);
		assert_int_equal(requests[3].entry.attr.st_uid, FS_OWNER);
		assert_int_equal(requests[3].entry.attr.st_gid, FS_GROUP);
	}
}

static void check_owners(mode_t dir, mode_t sink, mode_t file)
{
	for (size_t i = 0; i < COUNT(directories); i++)
		check_owner(directories[i], S_IFDIR | dir);
	for (size_t i = 0; i < COUNT(sinks); i++)
		check_owner(sinks[i], S_IFREG | sink);
	for (size_t i = 0; i < COUNT(files); i++)
		check_owner(files[i], S_IFREG | file);
}

static void modes_have_the_umask(void **state)
{
	(void)state;
	check_owners(0555, 0644, 0444); /* 022, if no other is given */
	fs.options.access.umask = 0;
	check_owners(0555, 0666, 0444);
	fs.options.access.umask = 007;
	check_owners(0550, 0660, 0440);
	fs.options.access.umask = 0137;
	check_owners(0440, 0640, 0440);
	fs.options.allow_trim = true;
	fs.options.access.umask = 027;
	check_owner("segments", S_IFDIR | 0750);
	check_owner("payload", S_IFDIR | 0550);
}

/* Whatever uid=, gid= and umask= say. */
static void ctl_is_the_mounters(void **state)
{
	struct stat st;

	(void)state;
	fs.gid = 77;
	fs.options.access.umask = 0;
	st = stat_of("ctl");
	assert_int_equal(st.st_mode, S_IFREG | 0200);
	assert_int_equal(st.st_uid, FS_MOUNTER);
	assert_int_equal(st.st_gid, 77);
	fs.options.access.umask = 0777;
	fs.options.access.ctl_shared = true;
	fs.options.access.ctl_gid = 88;
	st = stat_of("ctl");
	assert_int_equal(st.st_mode, S_IFREG | 0220);
	assert_int_equal(st.st_uid, FS_MOUNTER);
	assert_int_equal(st.st_gid, 88);
}

/* ---- setting attributes ---- */

static int set(const char *path, struct stat attr, int to_set)
{
	chronfs_ops.setattr(fs_request(0, 0), fs_node(path), &attr, to_set, NULL);
	assert_int_equal(requests[0].replies, 1);
	return requests[0].error;
}

/* What it is already succeeds, and what it is not is refused: each alone, and all together. */
static void only_what_it_is_can_be_set(void **state)
{
	const int all = FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID;
	static const char *const paths[] = { "",
		                             "segments",
		                             "append",
		                             "append.lines",
		                             "ctl",
		                             "stream",
		                             "stats.json",
		                             "segments/000000000.q",
		                             "payload/000000002" };

	(void)state;
	for (size_t i = 0; i < COUNT(paths); i++) {
		const struct stat is = stat_of(paths[i]);
		struct stat wanted = is;

		assert_int_equal(set(paths[i], is, FUSE_SET_ATTR_MODE), 0);
		assert_int_equal(set(paths[i], is, FUSE_SET_ATTR_UID), 0);
		assert_int_equal(set(paths[i], is, FUSE_SET_ATTR_GID), 0);
		assert_int_equal(set(paths[i], is, all), 0);
		assert_int_equal(requests[0].attr.st_mode, is.st_mode);
		wanted.st_mode = is.st_mode & 07777; /* chmod(2) gives no type */
		assert_int_equal(set(paths[i], wanted, all), 0);

		wanted.st_mode = is.st_mode ^ 0004;
		assert_int_equal(set(paths[i], wanted, FUSE_SET_ATTR_MODE), EPERM);
		assert_int_equal(set(paths[i], wanted, all), EPERM);
		wanted.st_mode = is.st_mode | S_ISGID;
		assert_int_equal(set(paths[i], wanted, FUSE_SET_ATTR_MODE), EPERM);
		wanted = is;
		wanted.st_uid++;
		assert_int_equal(set(paths[i], wanted, FUSE_SET_ATTR_UID), EPERM);
		assert_int_equal(set(paths[i], wanted, all), EPERM);
		wanted = is;
		wanted.st_gid++;
		assert_int_equal(set(paths[i], wanted, FUSE_SET_ATTR_GID), EPERM);
		assert_int_equal(set(paths[i], wanted, all), EPERM);
		assert_int_equal(stat_of(paths[i]).st_mode, is.st_mode);
	}
}

/* ---- what the senders may hold ---- */

/* Locks one more byte of a file; the errno, or 0. */
static int lock_one(uid_t uid, gid_t gid, int group_count, gid_t last_group)
{
	static off_t at;
	struct fuse_file_info fi = { .lock_owner = 1, .flags = O_RDWR };
	struct flock lock = { .l_type = F_WRLCK, .l_start = at, .l_len = 1, .l_pid = 1 };

	at += 2;
	fs_request(0, uid);
	requests[0].from.gid = gid;
	requests[0].group_count = group_count;
	requests[0].last_group = last_group;
	chronfs_ops.setlk(REQ(0), LOCKED, &fi, &lock, 0);
	assert_int_equal(requests[0].replies, 1);
	return requests[0].error;
}

/* How many of eight locks such a sender can have in all, at most. */
static size_t share(uid_t uid, gid_t gid, int group_count, gid_t last_group)
{
	size_t held = 0;

	fs.user_limits.locks.most = 8;
	while (held < 9 && lock_one(uid, gid, group_count, last_group) == 0)
		held++;
	assert_int_equal(requests[0].error, ENOLCK);
	assert_int_equal(fs.user_limits.locks.used, held);
	chronfs_file_locks_close(&fs, LOCKED, 1);
	assert_int_equal(fs.user_limits.locks.used, 0);
	return held;
}

static void shares_of_a_limit(void **state)
{
	struct chronfs_access *access = &fs.options.access;

	(void)state;
	assert_int_equal(share(0, 0, 0, 0), 8);
	assert_int_equal(share(FS_MOUNTER, FS_NO_GROUP, 0, 0), 8);
	assert_int_equal(share(FS_OWNER, FS_NO_GROUP, 0, 0), 6);
	assert_int_equal(share(STRANGER, FS_NO_GROUP, 0, 0), 4);

	/* the umask of the test, 022, lets the group only read */
	assert_int_equal(share(STRANGER, FS_GROUP, 1, FS_GROUP), 4);
	access->umask = 002;
	assert_int_equal(share(STRANGER, FS_GROUP, 0, 0), 6);
	assert_int_equal(share(STRANGER, FS_NO_GROUP, 0, 0), 4);
	assert_int_equal(share(STRANGER, FS_NO_GROUP, 1, FS_GROUP), 6);
	assert_int_equal(share(STRANGER, FS_NO_GROUP, 20, FS_GROUP), 6);
	assert_int_equal(share(STRANGER, FS_NO_GROUP, 20, FS_NO_GROUP), 4);
	/* /proc does not tell; there are more than are looked at */
	assert_int_equal(share(STRANGER, FS_NO_GROUP, -ENOENT, FS_GROUP), 4);
	assert_int_equal(share(STRANGER, FS_NO_GROUP, 1000, FS_GROUP), 4);

	access->umask = 022;
	access->ctl_shared = true;
	access->ctl_gid = 88;
	assert_int_equal(share(STRANGER, 88, 0, 0), 6);
	assert_int_equal(share(STRANGER, FS_NO_GROUP, 2, 88), 6);
	assert_int_equal(share(STRANGER, FS_GROUP, 2, FS_GROUP), 4);
}

/* One too many of each kind is refused as a full table of files, and what is refused holds nothing. */
static void one_open_too_many(void **state)
{
	struct fuse_file_info fi = { .flags = O_RDONLY };
	const uint64_t file = fs_node("stats.json"), segment = fs_node("segments/000000000.q"),
		       dir = fs_node("readers");

	(void)state;
	fs.user_limits.open_files.most = 0;
	fs.user_limits.open_dirs.most = 0;
	fs.user_limits.open_segments.most = 0;
	for (int i = 0; i < 2; i++) {
		chronfs_ops.open(fs_request(0, STRANGER), file, &fi);
		fs_expect(0, ENFILE);
		chronfs_ops.open(fs_request(0, STRANGER), segment, &fi);
		fs_expect(0, ENFILE);
		chronfs_ops.opendir(fs_request(0, STRANGER), dir, &fi);
		fs_expect(0, ENFILE);
		assert_true(fs_nothing_is_open());
		assert_int_equal(fs.user_limits.open_files.used + fs.user_limits.open_dirs.used +
		                         fs.user_limits.open_segments.used,
		                 0);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fs_setup, fs_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(modes_have_the_umask),       TEST(ctl_is_the_mounters),
		TEST(only_what_it_is_can_be_set), TEST(shares_of_a_limit),
		TEST(one_open_too_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
