/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_fs_requests.c - requests as the kernel seldom sends them, without a kernel
 *
 * Small buffers, interrupted opens, nodes that do not exist, replaced handles of poll(2), no memory for
 * a request that has to wait.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <linux/fs.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "append/ctl.h"
#include "append/lines.h"
#include "append/wait_for_room.h"
#include "fs_support.h"
#include "held/poll.h"
#include "kernel/dispatch.h"
#include "support.h"

/* ---- directories ---- */

/* The kernel's struct fuse_dirent, as in a reply to READDIR. */
struct entry {
	uint64_t ino;
	uint64_t cookie;
	uint32_t length;
	uint32_t type;
	char name[];
};

/* Reads a directory to its end with a buffer of this size; gives the names, a blank behind each. */
static void list(const char *path, size_t size, char names[512])
{
	const uint64_t node = fs_node(path);
	struct fuse_file_info fi = { 0 };
	off_t after = 0;

	names[0] = '\0';
	chronfs_ops.opendir(fs_request(1, 0), node, &fi);
	fs_expect(1, 0);
	for (;;) {
		chronfs_ops.readdir(fs_request(0, 0), node, size, after, &fi);
		fs_expect(0, 0);
		assert_in_range(requests[0].size, 0, size);
		if (requests[0].size == 0)
			break;
		for (size_t at = 0; at < requests[0].size;) {
			struct entry entry;
			size_t end = strlen(names);

			memcpy(&entry, requests[0].bytes + at, sizeof entry);
			(void)snprintf(names + end, 512 - end, "%.*s ", (int)entry.length,
			               requests[0].bytes + at + sizeof entry);
			at += (sizeof entry + entry.length + 7) / 8 * 8;
			after = (off_t)entry.cookie;
		}
	}
	chronfs_ops.releasedir(fs_request(1, 0), node, &fi);
	fs_expect(1, 0);
}

/* Waits until the writer's next segment has its name; after that no name is added during a test. */
static void await_spare(void)
{
	const time_t end = time(NULL) + 120;
	char name[32];

	(void)snprintf(name, sizeof name, "%09d.q", FS_SEGMENTS);
	while (!support_exists(fs_queue, name)) {
		assert_true(time(NULL) < end);
		usleep(1000);
	}
}

/* Each name comes once, in order, however little fits into a reply. */
static void names_through_small_buffers(void **state)
{
	static const char *const paths[] = { "", "segments", "payload", "records", "readers" };
	char all[512], some[512];

	(void)state;
	await_spare();
	for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
		list(paths[i], 8192, all);
		assert_memory_equal(all, ". .. ", 5);
		for (size_t size = 40; size < 120; size += 8) {
			list(paths[i], size, some);
			assert_string_equal(some, all);
		}
		list(paths[i], 32, some); /* up to the first long name */
		assert_memory_equal(some, all, strlen(some));
		assert_in_range(strlen(some), 5, strlen(all) - 1);
		list(paths[i], 31, some);
		assert_string_equal(some, "");
	}
}

/* ---- interrupted opens ---- */

static void interrupted_opens_hold_nothing(void **state)
{
	static const char *const files[] = { "append",
		                             "append.lines",
		                             "ctl",
		                             "segments/000000000.q",
		                             "payload/000000000",
		                             "records/000000000",
		                             "stream",
		                             "metrics" };

	(void)state;
	for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
		const uint64_t node = fs_node(files[i]);
		struct fuse_file_info fi = { .flags = i < 3 ? O_WRONLY : O_RDONLY };

		fs_request(0, 0);
		requests[0].lost = true;
		chronfs_ops.open(REQ(0), node, &fi);
		fs_expect(0, 0);
	}
	for (int i = 0; i < 2; i++) {
		struct fuse_file_info fi = { 0 };

		fs_request(0, 0);
		requests[0].lost = true;
		chronfs_ops.opendir(REQ(0), fs_node(i ? "segments" : ""), &fi);
		fs_expect(0, 0);
	}
	assert_true(fs_nothing_is_open());
	assert_int_equal(fs.user_limits.open_files.used + fs.user_limits.open_dirs.used +
	                         fs.user_limits.open_segments.used + fs.stream_inodes.cached,
	                 0);
}

/* ---- nodes that do not exist ---- */

static void check_no_node(uint64_t node)
{
	struct fuse_file_info fi = { .flags = O_RDONLY, .poll_events = POLLIN | POLLPRI };
	struct stat attr = { 0 };

	chronfs_ops.getattr(fs_request(0, 0), node, NULL);
	fs_expect(0, ENOENT);
	chronfs_ops.setattr(fs_request(0, 0), node, &attr, FUSE_SET_ATTR_MODE, NULL);
	fs_expect(0, ENOENT);
	chronfs_ops.open(fs_request(0, 0), node, &fi);
	fs_expect(0, EINVAL);
	chronfs_ops.read(fs_request(0, 0), node, 100, 0, &fi);
	fs_expect(0, 0);
	assert_int_equal(requests[0].size, 0);
	chronfs_ops.write(fs_request(0, 0), node, "x", 1, 0, &fi);
	fs_expect(0, EBADF);
	chronfs_ops.lseek(fs_request(0, 0), node, 0, SEEK_DATA, &fi);
	fs_expect(0, ENOENT);
	chronfs_ops.flush(fs_request(0, 0), node, &fi);
	fs_expect(0, 0);
	chronfs_ops.getxattr(fs_request(0, 0), node, "user.chronfs.sealed", 64);
	fs_expect(0, ENODATA);
	chronfs_ops.listxattr(fs_request(0, 0), node, 64);
	fs_expect(0, 0);
	assert_int_equal(requests[0].size, 0);
	chronfs_ops.poll(fs_request(0, 0), node, &fi, NULL);
	fs_expect(0, 0);
	assert_int_equal(requests[0].events, POLLIN);
	chronfs_ops.ioctl(fs_request(0, 0), node, (unsigned)FS_IOC_GETFLAGS, NULL, &fi, 0, NULL, 0,
	                  sizeof(unsigned));
	fs_expect(0, 0);
	chronfs_ops.unlink(fs_request(0, 0), node, "000000000.q");
	fs_expect(0, EPERM);
	chronfs_ops.flock(fs_request(0, 0), node, &fi, LOCK_SH | LOCK_NB);
	fs_expect(0, 0);
	chronfs_ops.flock(fs_request(0, 0), node, &fi, LOCK_UN);
	fs_expect(0, 0);
}

static void nodes_that_do_not_exist(void **state)
{
	struct fuse_file_info fi = { 0 };
	const uint64_t none = chronfs_node(CHRONFS_NONE, 7);

	(void)state;
	check_no_node(none);
	check_no_node(chronfs_node(CHRONFS_KINDS, 0));
	check_no_node(chronfs_node((1U << CHRONFS_KIND_BITS) - 1, 0));
	assert_int_equal(chronfs_node_ino(none), none);
	/* fsync of any node makes the records durable */
	chronfs_ops.fsync(fs_request(0, 0), none, 0, &fi);
	while (__atomic_load_n(&requests[0].replies, __ATOMIC_ACQUIRE) == 0)
		usleep(100);
	fs_expect(0, 0);
	/* a directory cannot be opened as a file */
	chronfs_ops.open(fs_request(0, 0), CHRONFS_NODE_ROOT, &fi);
	fs_expect(0, EINVAL);
	chronfs_ops.flush(fs_request(0, 0), fs_node("stream"), &fi);
	fs_expect(0, 0);
	chronfs_ops.lseek(fs_request(0, 0), fs_node("append"), 0, SEEK_CUR, &fi);
	fs_expect(0, EINVAL);
	chronfs_ops.write(fs_request(0, 0), fs_node("stream"), "x", 1, 0, &fi);
	fs_expect(0, EBADF);
}

/* ---- attributes ---- */

/* To set an attribute to its own value is no change; one nanosecond more is a change. */
static void times_are_compared_exactly(void **state)
{
	const uint64_t node = fs_node("segments/000000000.q");
	struct stat is, wanted;

	(void)state;
	chronfs_ops.getattr(fs_request(0, 0), node, NULL);
	fs_expect(0, 0);
	is = wanted = requests[0].attr;
	chronfs_ops.setattr(fs_request(0, 0), node, &wanted,
	                    FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_ATIME, NULL);
	fs_expect(0, 0);
	wanted.st_mtim.tv_nsec = (is.st_mtim.tv_nsec + 1) % 1000000000;
	chronfs_ops.setattr(fs_request(0, 0), node, &wanted, FUSE_SET_ATTR_MTIME, NULL);
	fs_expect(0, EPERM);
	wanted = is;
	wanted.st_atim.tv_sec++;
	chronfs_ops.setattr(fs_request(0, 0), node, &wanted, FUSE_SET_ATTR_ATIME, NULL);
	fs_expect(0, EPERM);
}

static struct timespec segments_changed(void)
{
	chronfs_ops.getattr(fs_request(0, 0), fs_node("segments"), NULL);
	fs_expect(0, 0);
	return requests[0].attr.st_mtim;
}

/* The time of the queue's directory is that of its last change, whichever file changed.  Changes in the
 * same tick of the clock have the same time. */
static void two_changes_at_the_same_time(void **state)
{
	struct timespec times[2] = { { 0 } }, now;
	char path[PATH_SIZE];

	(void)state;
	assert_int_equal(clock_gettime(CLOCK_REALTIME, &now), 0);
	times[1].tv_sec = now.tv_sec - 100;
	assert_int_equal(utimensat(AT_FDCWD, fs_queue, times, 0), 0);
	assert_int_equal(segments_changed().tv_sec, now.tv_sec - 100);
	times[1] = now;
	assert_int_equal(utimensat(AT_FDCWD, fs_queue, times, 0), 0);
	assert_int_equal(segments_changed().tv_sec, now.tv_sec - 100); /* no segment came or went */
	support_path(path, fs_queue, "000000000.q");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(utimensat(AT_FDCWD, fs_queue, times, 0), 0);
	now = segments_changed();
	assert_memory_equal(&now, &times[1], sizeof now);
	/* in the same second of a time long ago, but not at the same moment of it */
	times[1] = (struct timespec){ .tv_sec = now.tv_sec - 100 };
	assert_int_equal(utimensat(AT_FDCWD, fs_queue, times, 0), 0);
	(void)segments_changed();
	times[1].tv_nsec = 1;
	support_path(path, fs_queue, "000000001.q");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(utimensat(AT_FDCWD, fs_queue, times, 0), 0);
	now = segments_changed();
	assert_memory_equal(&now, &times[1], sizeof now);
}

static void attributes_need_their_room(void **state)
{
	const uint64_t node = fs_node("append");
	struct fuse_file_info fi = { 0 };

	(void)state;
	chronfs_ops.ioctl(fs_request(0, 0), node, (unsigned)FS_IOC_GETFLAGS, NULL, &fi, 0, NULL, 0,
	                  sizeof(unsigned) - 1);
	fs_expect(0, ENOTTY);
	chronfs_ops.ioctl(fs_request(0, 0), node, (unsigned)FS_IOC_FSGETXATTR, NULL, &fi, 0, NULL,
	                  0, sizeof(struct fsxattr) - 1);
	fs_expect(0, ENOTTY);
	chronfs_ops.ioctl(fs_request(0, 0), node, (unsigned)FS_IOC_FSGETXATTR, NULL, &fi, 0, NULL,
	                  0, sizeof(struct fsxattr));
	fs_expect(0, 0);
	assert_int_equal(requests[0].size, sizeof(struct fsxattr));
	chronfs_ops.listxattr(fs_request(0, 0), fs_node("stream"), 1);
	fs_expect(0, ERANGE);
	chronfs_ops.listxattr(fs_request(0, 0), fs_node("stream"), 64);
	fs_expect(0, 0);
	assert_string_equal(requests[0].bytes, "user.chronfs.begin");
}

/* chattr(1), by its old and its new request. */
static void no_attribute_can_be_set(void **state)
{
	static const unsigned orders[] = { (unsigned)FS_IOC_SETFLAGS, (unsigned)FS_IOC_FSSETXATTR };
	struct fuse_file_info fi = { 0 };

	(void)state;
	for (int i = 0; i < 2; i++) {
		chronfs_ops.ioctl(fs_request(0, 0), fs_node("append"), orders[i], NULL, &fi, 0,
		                  NULL, 0, 0);
		fs_expect(0, EPERM);
	}
}

/* ---- seeks ---- */

/* Before the beginning and behind the end there is neither data nor a hole. */
static void seeks_to_nowhere(void **state)
{
	static const char *const paths[] = { "payload/000000000", "records/000000000",
		                             "segments/000000000.q" };

	(void)state;
	for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
		const uint64_t node = fs_node(paths[i]);
		struct fuse_file_info fi = fs_open(node, O_RDONLY);
		off_t size;

		chronfs_ops.getattr(fs_request(0, 0), node, NULL);
		fs_expect(0, 0);
		size = requests[0].attr.st_size;
		for (int whence = SEEK_DATA; whence <= SEEK_HOLE; whence++) {
			chronfs_ops.lseek(fs_request(0, 0), node, -1, whence, &fi);
			fs_expect(0, ENXIO);
			chronfs_ops.lseek(fs_request(0, 0), node, size, whence, &fi);
			fs_expect(0, ENXIO);
			chronfs_ops.lseek(fs_request(0, 0), node, 1, whence, &fi);
			fs_expect(0, 0);
		}
		fs_release(node, &fi);
	}
}

/* ---- opens ---- */

/* Whoever could leave a piece of a line waits for the room that others wait for already. */
static void too_many_pieces_wait_for_room(void **state)
{
	struct fuse_file_info fi = { .flags = O_WRONLY };
	const uint64_t node = fs_node("append.lines");

	(void)state;
	fs.room_waits.leftovers.count += 1U << 20;
	chronfs_ops.open(fs_request(0, 0), node, &fi);
	fs_expect(0, EDQUOT);
	assert_true(fs_nothing_is_open());
	fi.flags = O_RDONLY;
	chronfs_ops.open(fs_request(0, 0), node, &fi); /* it can leave nothing */
	fs_expect(0, 0);
	fs_release(node, &requests[0].opened);
	fs.room_waits.leftovers.count -= 1U << 20;
	fi = fs_open(node, O_WRONLY);
	fs_release(node, &fi);
}

/* The size of the stream that this process finds. */
static off_t stream_size_for(pid_t process)
{
	fs_request(0, 0);
	requests[0].from.pid = process;
	chronfs_ops.lookup(REQ(0), CHRONFS_NODE_ROOT, "stream");
	fs_expect(0, 0);
	return requests[0].entry.attr.st_size;
}

/* A process that has the stream open finds it with the beginning that it knows, also after a trim.  One that
 * has no number here, because it is in another namespace, or that has ended, finds what there is now. */
static void a_sender_without_a_number(void **state)
{
	const uint64_t node = fs_node("stream");
	struct fuse_file_info fi = fs_open(node, O_RDONLY);
	uint64_t its;

	(void)state;
	assert_int_equal(cq_writer_trim(fs.writer, 3, 1), 1);
	assert_int_equal(stream_size_for(getpid()), 3 * FS_SEGMENTS * FS_PAYLOAD);
	assert_int_equal(stream_size_for(0), 3 * (FS_SEGMENTS - 1) * FS_PAYLOAD);
	assert_int_equal(stream_size_for(999999999), 3 * (FS_SEGMENTS - 1) * FS_PAYLOAD);
	fs_release(node, &fi);

	/* two that have no number are not the same process */
	fi = (struct fuse_file_info){ .flags = O_RDONLY };
	fs_request(2, 0);
	requests[2].from.pid = 0;
	chronfs_ops.open(REQ(2), requests[0].entry.ino, &fi);
	fs_expect(2, 0);
	its = requests[0].entry.ino;
	fi = requests[2].opened;
	assert_int_equal(cq_writer_trim(fs.writer, 6, 1), 1);
	assert_int_equal(stream_size_for(0), 3 * (FS_SEGMENTS - 2) * FS_PAYLOAD);
	fs_release(its, &fi);
}

/* ---- poll ---- */

/* A read of a sink gives its end at once; whether it can be written to is not asked. */
static void a_sink_is_polled_for_input(void **state)
{
	const uint64_t node = fs_node("append");
	struct fuse_file_info fi = fs_open(node, O_RDWR), its = fi;

	(void)state;
	its.poll_events = POLLIN;
	chronfs_ops.poll(fs_request(0, 0), node, &its, NULL);
	fs_expect(0, 0);
	assert_int_equal(requests[0].events, POLLIN);
	its.poll_events = POLLIN | POLLOUT;
	chronfs_ops.poll(fs_request(0, 0), node, &its, NULL);
	fs_expect(0, 0);
	assert_int_equal(requests[0].events, POLLIN | POLLOUT);
	fs_release(node, &fi);
}

static void poll_with_handle(uint64_t node, struct fuse_file_info *fi, unsigned events)
{
	static int handles[8], next;

	fi->poll_events = events;
	chronfs_ops.poll(fs_request(0, 0), node, fi,
	                 (struct fuse_pollhandle *)(void *)&handles[next++ % 8]);
	fs_expect(0, 0);
}

/* An open file has one handle, the newest.  Two open files of a node have one each.  A closed file is
 * not notified any more. */
static void handles_of_poll(void **state)
{
	const uint64_t stream = fs_node("stream");
	struct fuse_file_info a = fs_open(stream, O_RDONLY | O_DIRECT),
			      b = fs_open(stream, O_RDONLY | O_NONBLOCK);

	(void)state;
	poll_with_handle(stream, &a, 0); /* 0: as an old kernel, which does not name events */
	assert_true(requests[0].events & POLLIN);
	chronfs_ops.read(fs_request(0, 0), stream, 1 << 16, 0, &a);
	chronfs_ops.read(fs_request(0, 0), stream, 1 << 16, 0, &b);
	poll_with_handle(stream, &a, POLLIN);
	assert_int_equal(handles_destroyed, 1); /* the older one */
	assert_int_equal(requests[0].events, 0);
	poll_with_handle(stream, &b, POLLIN);
	assert_int_equal(requests[0].events, 0);
	assert_int_equal(handles_destroyed, 1);
	assert_int_equal(chronfs_poll_step(&fs), -1);
	assert_int_equal(handles_told, 1); /* only the first asked for more than POLLIN */
	poll_with_handle(stream, &a, POLLIN);
	fs_release(stream, &a);
	assert_int_equal(handles_told, 1);
	assert_int_equal(handles_destroyed, 3);
	assert_int_equal(cq_writer_append(fs.writer, CQ_TYPE_DEFAULT, "x", 1, NULL), 0);
	assert_int_equal(chronfs_poll_step(&fs), -1);
	assert_int_equal(handles_told, 2);
	assert_int_equal(handles_destroyed, 4);
	assert_null(fs.polls.first);
	fs_release(stream, &b);
}

/* Nothing tells a read-only mount of a change: it asks, the longer nothing comes the less often, down to once a
 * second, and as often as at first after a change. */
static void asked_less_and_less_often(void **state)
{
	cq_writer *const writer = fs.writer;
	const uint64_t stream = fs_node("stream");
	struct fuse_file_info fi = fs_open(stream, O_RDONLY | O_NONBLOCK);

	(void)state;
	fs.writer = NULL;
	assert_int_equal(chronfs_poll_step(&fs), -1); /* nobody polls */
	chronfs_ops.read(fs_request(0, 0), stream, 1 << 16, 0, &fi);
	poll_with_handle(stream, &fi, POLLIN);
	assert_in_range(chronfs_poll_step(&fs), 50, 1000);
	fs.polls.changed_ms -= 4000;
	assert_in_range(chronfs_poll_step(&fs), 500, 1000);
	fs.polls.changed_ms -= 100000;
	assert_int_equal(chronfs_poll_step(&fs), 1000);
	assert_int_equal(handles_told, 0);
	fs.writer = writer;
	assert_int_equal(cq_writer_append(fs.writer, CQ_TYPE_DEFAULT, "x", 1, NULL), 0);
	fs.writer = NULL;
	assert_int_equal(chronfs_poll_step(&fs), -1); /* it has been told */
	assert_int_equal(handles_told, 1);
	chronfs_ops.read(fs_request(0, 0), stream, 1 << 16, 0, &fi);
	poll_with_handle(stream, &fi, POLLIN);
	assert_in_range(chronfs_poll_step(&fs), 50, 1000);
	fs.writer = writer;
	fs_release(stream, &fi);
}

/* Open files of two kinds may have the same number as handle. */
static void handles_of_two_kinds(void **state)
{
	struct fuse_file_info fi = { .fh = 1 };

	(void)state;
	poll_with_handle(chronfs_node(CHRONFS_CTL, 1), &fi, POLLIN);
	poll_with_handle(chronfs_node(CHRONFS_CTL, 2), &fi, POLLIN);
	assert_int_equal(handles_destroyed, 0);
	chronfs_poll_release(&fs, chronfs_node(CHRONFS_CTL, 2), &fi);
	assert_int_equal(handles_destroyed, 1);
	assert_non_null(fs.polls.first);
	chronfs_poll_release(&fs, chronfs_node(CHRONFS_CTL, 1), &fi);
	assert_null(fs.polls.first);
}

/* A file that is not polled is closed, then the mount ends: the polled file's handle is destroyed. */
static void the_mount_ends_while_a_file_is_polled(void **state)
{
	struct fuse_file_info fi = { .fh = 1 };

	(void)state;
	poll_with_handle(chronfs_node(CHRONFS_CTL, 1), &fi, POLLIN);
	chronfs_poll_release(&fs, chronfs_node(CHRONFS_CTL, 2), &fi);
	assert_int_equal(handles_destroyed, 0);
	fs_end();
	assert_int_equal(handles_destroyed, 1);
	assert_int_equal(handles_told, 0);
}

/* ---- ctl ---- */

static long ctl_write(int i, uint64_t node, struct fuse_file_info *fi, const char *text)
{
	chronfs_ops.write(REQ(i), node, text, strlen(text), 0, fi);
	return requests[i].replies;
}

/* An interruption ends its own job, if no thread works on that yet. */
static void jobs_are_interrupted(void **state)
{
	const uint64_t node = fs_node("ctl");
	struct fuse_file_info fi = fs_open(node, O_WRONLY);

	(void)state;
	for (int i = 0; i < 3; i++) {
		fs_request(i, 0);
		assert_int_equal(ctl_write(i, node, &fi, "roll"), 0);
	}
	fs_interrupt(1);
	fs_expect(1, EINTR);
	fs_interrupt(1); /* it has its reply already */
	fs_expect(1, EINTR);
	assert_int_equal(chronfs_ctl_step(&fs), 0);
	fs_expect(0, 0);
	assert_int_equal(chronfs_ctl_step(&fs), -1);
	fs_expect(2, 0);
	assert_int_equal(chronfs_ctl_step(&fs), -1);

	fs_request(0, 0);
	requests[0].interrupted = true; /* before it was parked */
	ctl_write(0, node, &fi, "roll");
	fs_expect(0, EINTR);
	assert_null(fs.ctl.jobs.first);
	fs_request(0, 0);
	ctl_write(0, node, &fi, "");
	fs_expect(0, 0);
	assert_int_equal(requests[0].size, 0);

	/* the end of the mount replies to the rest */
	fs_request(0, 0);
	assert_int_equal(ctl_write(0, node, &fi, "trim 1"), 0);
	fs_end();
	fs_expect(0, ENOTCONN);
}

static void unlink_is_refused(void **state)
{
	const uint64_t segments = fs_node("segments");

	(void)state;
	chronfs_ops.unlink(fs_request(0, 0), segments, "000000000.q");
	fs_expect(0, EPERM); /* no allow_trim */
	fs.options.allow_trim = true;
	chronfs_ops.unlink(fs_request(0, 0), segments, "000000000.idx");
	fs_expect(0, ENOENT);
	chronfs_ops.unlink(fs_request(0, 0), CHRONFS_NODE_ROOT, "append");
	fs_expect(0, EPERM);
	chronfs_ops.unlink(fs_request(0, 0), segments, "000000000.q");
	assert_int_equal(requests[0].replies, 0);
	assert_int_equal(chronfs_ctl_step(&fs), -1);
	fs_expect(0, 0);
	chronfs_ops.lookup(fs_request(0, 0), segments, "000000000.q");
	fs_expect(0, ENOENT);
	chronfs_ops.getattr(fs_request(0, 0), chronfs_node(CHRONFS_PAYLOAD_SEALED, 0), NULL);
	fs_expect(0, ENOENT);
	chronfs_ops.getattr(fs_request(0, 0), chronfs_node(CHRONFS_SEGMENT_SEALED, 0), NULL);
	fs_expect(0, ENOENT);
}

static void unlink_on_a_read_only_mount(void **state)
{
	const uint64_t segments = fs_node("segments");

	(void)state;
	fs.options.allow_trim = true;
	chronfs_ops.unlink(fs_request(0, 0), segments, "000000000.q");
	fs_expect(0, EPERM);
}

/* ---- writes ---- */

/* A write of no bytes appends no record. */
static void empty_writes(void **state)
{
	static const char *const names[] = { "append", "append.lines", "ctl" };

	(void)state;
	for (int i = 0; i < 3; i++) {
		const uint64_t node = fs_node(names[i]);
		struct fuse_file_info fi = fs_open(node, O_WRONLY);

		chronfs_ops.write(fs_request(0, 0), node, "", 0, 0, &fi);
		fs_expect(0, 0);
		assert_int_equal(requests[0].size, 0);
		fs_release(node, &fi);
	}
	chronfs_ops.getattr(fs_request(0, 0), fs_node("stream"), NULL);
	fs_expect(0, 0);
	assert_int_equal(requests[0].attr.st_size, 3 * FS_SEGMENTS * FS_PAYLOAD);
}

/* Without memory for its wait a write is refused, and none of it is appended later. */
static void no_memory_to_wait(void **state)
{
	static const char *const names[] = { "append", "append.lines" };

	(void)state;
	fs.options.full_wait_ms = 1000;
	made_up.append_error = EDQUOT;
	for (int i = 0; i < 2; i++) {
		const uint64_t node = fs_node(names[i]);
		struct fuse_file_info fi = fs_open(node, O_WRONLY);

		fs_request(0, 0);
		fs_calls_begin(1);
		chronfs_ops.write(REQ(0), node, "line\n", 5, 0, &fi);
		fs_calls_end();
		fs_expect(0, ENOMEM);
		assert_int_equal(calls.error, ENOMEM);
		assert_null(fs.room_waits.requests.first);
		fs_release(node, &fi);
	}
	made_up.append_error = 0;
	assert_int_equal(chronfs_room_wait_step(&fs), -1);
}

/* A line_timeout of more milliseconds than poll(2) takes is waited for in pieces. */
static void a_line_may_stay_open_for_months(void **state)
{
	const uint64_t node = fs_node("append.lines");
	struct fuse_file_info fi = fs_open(node, O_WRONLY);

	(void)state;
	fs.options.line_timeout_ms = (uint64_t)INT32_MAX + 100000;
	chronfs_ops.write(fs_request(0, 0), node, "piece", 5, 0, &fi);
	fs_expect(0, 0);
	assert_int_equal(chronfs_line_timeout_step(&fs), INT32_MAX);
	assert_int_equal(fs.lines.bytes, 5);
	fs_release(node, &fi);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fs_setup, fs_teardown)
#define READ_ONLY_TEST(name) cmocka_unit_test_setup_teardown(name, fs_setup_read_only, fs_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(names_through_small_buffers),
		TEST(interrupted_opens_hold_nothing),
		TEST(nodes_that_do_not_exist),
		TEST(times_are_compared_exactly),
		READ_ONLY_TEST(two_changes_at_the_same_time),
		TEST(attributes_need_their_room),
		TEST(no_attribute_can_be_set),
		TEST(seeks_to_nowhere),
		TEST(too_many_pieces_wait_for_room),
		TEST(a_sender_without_a_number),
		TEST(a_sink_is_polled_for_input),
		TEST(handles_of_poll),
		TEST(asked_less_and_less_often),
		TEST(handles_of_two_kinds),
		TEST(the_mount_ends_while_a_file_is_polled),
		TEST(jobs_are_interrupted),
		TEST(unlink_is_refused),
		READ_ONLY_TEST(unlink_on_a_read_only_mount),
		TEST(empty_writes),
		TEST(no_memory_to_wait),
		TEST(a_line_may_stay_open_for_months),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
