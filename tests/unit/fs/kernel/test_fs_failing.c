/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_fs_failing.c - each operation of the mount with each of its calls failing
 *
 * The test runs an operation undisturbed and counts its calls of the library, of the system, and for
 * memory.  Then it runs the operation once for each of these calls, which fails (EIO or EBADMSG, ENOMEM).
 * The request must get one reply, with that error or as if no call had failed.  Afterwards the user must
 * hold nothing of the daemon, and the same operation must succeed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <linux/fs.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "append/ctl.h"
#include "fs_support.h"
#include "held/background.h"
#include "held/poll.h"
#include "kernel/dispatch.h"
#include "kernel/request.h"
#include "mount/daemon.h"
#include "shared/user_limits.h"
#include "status/stats.h"

#define BUFFER 8192

struct operation {
	const char *path;
	const char *name;
	void (*run)(fuse_req_t req, uint64_t node, struct fuse_file_info *fi);
	int flags; /* of the open before it; CLOSED: no open, DIRECTORY: the open of a directory */
	/* Calls whose failure does not make this request fail, each between commas. */
	const char *forgiven;
};

#define CLOSED (-1)
#define DIRECTORY (-2)

/* ---- the operations ---- */

static void getattr(fuse_req_t req, uint64_t node, struct fuse_file_info *fi)
{
	chronfs_ops.getattr(req, node, fi);
}

static void setattr(fuse_req_t req, uint64_t node, struct fuse_file_info *fi)
{
	struct stat attr = { 0 };

	chronfs_ops.setattr(req, node, &attr, 0, fi);
}

static void open_file(fuse_req_t req, uint64_t node, struct fuse_file_info *fi)
{
	struct fuse_file_info its = *fi;

	chronfs_ops.open(req, node, &its);
	fs_calls_end();
	if (requests[0].error == 0)
		fs_release(node, &its);
}

static void open_dir(fuse_req_t req, uint64_t node, struct fuse_file_info *fi)
{
	struct fuse_file_info its = *fi;

	chronfs_ops.opendir(req, node, &its);
	fs_calls_end();
	if (requests[0].error == 0)
		chronfs_ops.releasedir(fs_request(1, 0), node, &its);
}

static void read_file(fuse_req_t req, uint64_t node, struct fuse_file_info *fi)
{
	chronfs_ops.read(req, node, BUFFER, 0, fi);
	if (requests[0].error == 0)
		assert_true(requests[0].size > 0);
}

static void read_dir(fuse_req_t req, uint64_t node, struct fuse_file_info *fi)
{
	chronfs_ops.readdir(req, node, BUFFER, 0, fi);
}

static void read_dir_plus(fuse_req_t req, uint64_t node, struct fuse_file_info *fi)
{
	chronfs_ops.readdirplus(req, node, BUFFER, 0, fi);
}

static void seek_data(fuse_req_t req, uint64_t node, struct fuse_file_info *fi)
{
	chronfs_ops.lseek(req, node, 0, SEEK_DATA, fi);
}

static void seek_hole(fuse_req_t req, uint64_t node, struct fuse_file_info *fi)
{
	chronfs_ops.lseek(req, node, 0, SEEK_HOLE, fi);
}

static void poll_file(fuse_req_t req, uint64_t node, struct fuse_file_info *fi)
{
	struct fuse_file_info its = *fi;
	int handle;

	its.poll_events = POLLIN | POLLOUT;
	chronfs_ops.poll(req, node, &its, (struct fuse_pollhandle *)(void *)&handle);
	assert_int_equal(handles_destroyed, requests[0].error != 0);
	chronfs_poll_release(&fs, node, &its);
	assert_int_equal(handles_destroyed, 1);
	handles_destroyed = 0;
}

static void get_records(fuse_req_t req, uint64_t node, struct fuse_file_info *fi)
{
	(void)fi;
	chronfs_ops.getxattr(req, node, "user.chronfs.records", 64);
}

static void get_sealed(fuse_req_t req, uint64_t node, struct fuse_file_info *fi)
{
	(void)fi;
	chronfs_ops.getxattr(req, node, "user.chronfs.sealed", 64);
}

static void get_begin(fuse_req_t req, uint64_t node, struct fuse_file_info *fi)
{
	(void)fi;
	chronfs_ops.getxattr(req, node, "user.chronfs.begin", 64);
}

static void list_attributes(fuse_req_t req, uint64_t node, struct fuse_file_info *fi)
{
	(void)fi;
	chronfs_ops.listxattr(req, node, 0);
}

static void statfs(fuse_req_t req, uint64_t node, struct fuse_file_info *fi)
{
	(void)fi;
	chronfs_ops.statfs(req, node);
}

static void lock(fuse_req_t req, uint64_t node, struct fuse_file_info *fi)
{
	chronfs_ops.flock(req, node, fi, LOCK_EX | LOCK_NB);
}

/* The flusher's reply may come later. */
static void await(void)
{
	fs_calls_end();
	while (__atomic_load_n(&requests[0].replies, __ATOMIC_ACQUIRE) == 0)
		sched_yield();
}

static void sync_file(fuse_req_t req, uint64_t node, struct fuse_file_info *fi)
{
	chronfs_ops.fsync(req, node, 0, fi);
	await();
}

static void write_record(fuse_req_t req, uint64_t node, struct fuse_file_info *fi)
{
	chronfs_ops.write(req, node, "x\n", 2, 0, fi);
	await();
}

/* A line that stays open. */
static void write_piece(fuse_req_t req, uint64_t node, struct fuse_file_info *fi)
{
	chronfs_ops.write(req, node, "piece", 5, 0, fi);
}

static void command(fuse_req_t req, uint64_t node, struct fuse_file_info *fi)
{
	chronfs_ops.write(req, node, "trim 0", 6, 0, fi);
	fs_calls_end();
	(void)chronfs_ctl_step(&fs);
}

static void command_sync(fuse_req_t req, uint64_t node, struct fuse_file_info *fi)
{
	chronfs_ops.write(req, node, "sync", 4, 0, fi);
	await();
}

/* ---- each ---- */

#define FIGURES \
	"cq_stream_extent,cq_queue_readers,cq_queue_ends,cq_queue_segment_attr,cq_queue_position,"
#define TIMES "cq_queue_ends,cq_queue_segment_attr,cq_queue_position,"
#define PROCESS "open," /* of /proc: without it a thread counts as a process */
#define CONTENT "cq_segment_open,cq_segment_info,"

static const struct operation reading[] = {
	{ "", "getattr", getattr, CLOSED, NULL },
	{ "segments", "getattr", getattr, CLOSED, NULL },
	{ "payload", "getattr", getattr, CLOSED, NULL },
	{ "segments/000000000.q", "getattr", getattr, CLOSED, NULL },
	{ "segments/000000002.q", "getattr", getattr, O_RDONLY, NULL },
	{ "payload/000000000", "getattr", getattr, CLOSED, NULL },
	{ "payload/000000002", "getattr", getattr, O_RDONLY, NULL },
	{ "records", "getattr", getattr, CLOSED, NULL },
	{ "records/000000000", "getattr", getattr, CLOSED, NULL },
	{ "records/000000002", "getattr", getattr, O_RDONLY, NULL },
	{ "readers", "getattr", getattr, CLOSED, NULL },
	{ "readers/some", "getattr", getattr, CLOSED, FIGURES },
	{ "stream", "getattr", getattr, CLOSED, FIGURES },
	{ "stats.json", "getattr", getattr, CLOSED, FIGURES },
	{ "metrics", "getattr", getattr, CLOSED, FIGURES },
	{ "segments/000000000.q", "setattr", setattr, CLOSED, NULL },
	{ "", "statfs", statfs, CLOSED, NULL },

	{ "segments/000000000.q", "open", open_file, CLOSED, NULL },
	{ "payload/000000000", "open", open_file, CLOSED, NULL },
	{ "records/000000000", "open", open_file, CLOSED, NULL },
	{ "stream", "open", open_file, CLOSED, PROCESS },
	{ "stats.json", "open", open_file, CLOSED, NULL },
	{ "metrics", "open", open_file, CLOSED, NULL },
	{ "readers/some", "open", open_file, CLOSED, NULL },

	{ "segments/000000000.q", "read", read_file, O_RDONLY, NULL },
	{ "segments/000000002.q", "read", read_file, O_RDONLY, NULL },
	{ "payload/000000000", "read", read_file, O_RDONLY, NULL },
	{ "payload/000000002", "read", read_file, O_RDONLY, NULL },
	{ "records/000000000", "read", read_file, O_RDONLY, NULL },
	{ "records/000000002", "read", read_file, O_RDONLY, NULL },
	{ "stream", "read", read_file, O_RDONLY, NULL },
	{ "stream", "read", read_file, O_RDONLY | O_NONBLOCK, "cq_stream_pread," },
	{ "stats.json", "read", read_file, O_RDONLY, FIGURES },
	{ "metrics", "read", read_file, O_RDONLY, FIGURES },
	{ "readers/some", "read", read_file, O_RDONLY, NULL },

	{ "segments/000000000.q", "SEEK_DATA", seek_data, O_RDONLY, NULL },
	{ "segments/000000000.q", "SEEK_HOLE", seek_hole, O_RDONLY, NULL },
	{ "payload/000000000", "SEEK_HOLE", seek_hole, O_RDONLY, NULL },
	{ "stream", "SEEK_DATA", seek_data, O_RDONLY, NULL },
	{ "stream", "SEEK_HOLE", seek_hole, O_RDONLY, NULL },
	{ "stream", "SEEK_HOLE", seek_hole, O_RDONLY | O_NONBLOCK, NULL },
	{ "metrics", "SEEK_HOLE", seek_hole, O_RDONLY, FIGURES },

	{ "stream", "poll", poll_file, O_RDONLY | O_NONBLOCK, "cq_stream_extent," },
	{ "segments/000000002.q", "poll", poll_file, O_RDONLY, NULL },

	{ "", "opendir", open_dir, CLOSED, NULL },
	{ "segments", "opendir", open_dir, CLOSED, NULL },
	{ "readers", "opendir", open_dir, CLOSED, NULL },
	{ "", "readdir", read_dir, DIRECTORY, FIGURES PROCESS },
	{ "", "readdirplus", read_dir_plus, DIRECTORY, FIGURES PROCESS },
	{ "segments", "readdir", read_dir, DIRECTORY, NULL },
	{ "readers", "readdir", read_dir, DIRECTORY, TIMES },
	{ "readers", "readdirplus", read_dir_plus, DIRECTORY, TIMES },
	{ "segments", "readdirplus", read_dir_plus, DIRECTORY, "cq_queue_segment_attr," },
	{ "payload", "readdirplus", read_dir_plus, DIRECTORY, "cq_queue_segment_attr," },
	{ "records", "readdirplus", read_dir_plus, DIRECTORY, "cq_queue_segment_attr," },

	{ "segments/000000000.q", "getxattr", get_records, CLOSED, NULL },
	{ "segments/000000002.q", "getxattr", get_sealed, CLOSED, NULL },
	{ "segments/000000000.q", "listxattr", list_attributes, CLOSED, CONTENT },
	{ "stream", "getxattr", get_begin, CLOSED, FIGURES },
	{ "stream", "listxattr", list_attributes, CLOSED, NULL },
	{ "stream", "flock", lock, O_RDONLY, NULL },
	{ "stream", "fsync", sync_file, O_RDONLY, NULL },
};

static const struct operation writing[] = {
	{ "append", "open", open_file, CLOSED, NULL },
	{ "append.lines", "open", open_file, CLOSED, NULL },
	{ "append", "write", write_record, O_WRONLY, NULL },
	{ "append", "write", write_record, O_WRONLY | O_DSYNC, NULL },
	{ "append.lines", "write", write_record, O_WRONLY, NULL },
	{ "append.lines", "write", write_record, O_WRONLY | O_DSYNC, NULL },
	{ "append.lines", "write", write_piece, O_WRONLY, NULL },
	{ "append.lines", "fsync", sync_file, O_WRONLY, NULL },
	{ "append", "poll", poll_file, O_WRONLY, NULL },
	{ "ctl", "write", command, O_WRONLY, NULL },
	{ "ctl", "write", command_sync, O_WRONLY, NULL },
};

static bool is_forgiven(const struct operation *op, const char *call)
{
	char name[64];

	/* an open file shows the attributes that it had at its open */
	if (calls.error == EBADMSG && op->flags >= 0 &&
	    (strcmp(call, "cq_queue_segment_attr") == 0 || strcmp(call, "cq_stream_segment") == 0 ||
	     strcmp(call, "cq_stream_segment_records") == 0))
		return true;
	(void)snprintf(name, sizeof name, "%s,", call);
	return op->forgiven && strstr(op->forgiven, name);
}

/* EBADMSG: a file that does not belong to the queue any more is shown as deleted. */
static bool is_told_as(const char *call, int error, int told)
{
	static const char of_files[] = "cq_queue_segment_attr,cq_segment_open,cq_stream_segment,"
				       "cq_stream_segment_records,cq_queue_reader,";
	char name[64];

	(void)snprintf(name, sizeof name, "%s,", call ? call : "");
	if (error == EBADMSG && strstr(of_files, name))
		error = ENOENT;
	return told == 0 || told == error;
}

/* Runs the operation once, with this call failing; returns the number of calls. */
static int once(const struct operation *op, int failing)
{
	const uint64_t node = fs_node(op->path);
	struct fuse_file_info fi = { .flags = op->flags < 0 ? O_RDONLY : op->flags };
	int made;

	if (op->flags >= 0)
		fi = fs_open(node, op->flags);
	if (op->flags == DIRECTORY) {
		chronfs_ops.opendir(fs_request(1, 0), node, &fi);
		fs_expect(1, 0);
	}
	fs.status_files.metrics_size = 0; /* no text was made yet */
	fs.directory.changed.tv_sec = 0;
	fs_request(0, 0);
	fs_calls_begin(failing);
	op->run(REQ(0), node, &fi);
	fs_calls_end();
	made = calls.made;

	if (requests[0].replies != 1 || !is_told_as(calls.name, calls.error, requests[0].error) ||
	    (requests[0].error == 0 && calls.error != 0 && !is_forgiven(op, calls.name)))
		fail_msg("%s of /%s, call %d (%s) failing with %d: %d answers, error %d", op->name,
		         op->path, failing, calls.name ? calls.name : "none", calls.error,
		         requests[0].replies, requests[0].error);
	if (op->flags >= 0)
		fs_release(node, &fi);
	if (op->flags == DIRECTORY)
		chronfs_ops.releasedir(fs_request(1, 0), node, &fi);
	assert_true(fs_nothing_is_open());
	assert_null(fs.polls.first);
	assert_null(fs.ctl.jobs.first);
	assert_int_equal(fs.user_limits.open_files.used + fs.user_limits.open_dirs.used +
	                         fs.user_limits.open_segments.used + fs.user_limits.locks.used +
	                         fs.lines.memory.used + fs.stream_inodes.cached,
	                 0);
	return made;
}

static int each(const struct operation *ops, size_t count)
{
	int runs = 0;

	for (const struct operation *op = ops; op < ops + count; op++) {
		int most = once(op, 0);

		if (requests[0].error != 0)
			fail_msg("%s of /%s: error %d", op->name, op->path, requests[0].error);
		for (int failing = 1; failing <= most; failing++) {
			once(op, failing);
			assert_int_not_equal(calls.error, 0);
			once(op, 0);
			runs++;
		}
	}
	return runs;
}

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void each_call_of_each_operation(void **state)
{
	(void)state;
	printf("# %d calls\n", each(reading, COUNT(reading)) + each(writing, COUNT(writing)));
	library_error = EBADMSG;
	printf("# %d calls\n", each(reading, COUNT(reading)));
}

static void each_call_on_a_read_only_mount(void **state)
{
	(void)state;
	printf("# %d calls\n", each(reading, COUNT(reading)));
	library_error = EBADMSG;
	printf("# %d calls\n", each(reading, COUNT(reading)));
}

/* A failing lookup gets the error, and the next lookup finds the name. */
static void each_call_of_a_lookup(void **state)
{
	static const char *const names[] = { "payload",    "readers", "records", "segments",
		                             "stats.json", "metrics", "stream" };

	(void)state;
	for (size_t i = 0; i < COUNT(names); i++) {
		for (int failing = 1; calls.failing == 0 || calls.error != 0; failing++) {
			fs.status_files.metrics_size = 0;
			fs_request(0, 0);
			fs_calls_begin(failing);
			chronfs_ops.lookup(REQ(0), CHRONFS_NODE_ROOT, names[i]);
			fs_calls_end();
			assert_int_equal(requests[0].replies, 1);
			if (requests[0].error != 0)
				assert_int_equal(requests[0].error, calls.error);
			else if (calls.error != 0)
				assert_non_null(strstr(FIGURES PROCESS, calls.name));
			(void)fs_node(names[i]);
		}
		calls.failing = 0;
	}
}

/* ---- outside of requests ---- */

static void no_background_thread(void **state)
{
	static const chronfs_step_fn no_steps[] = { NULL };
	int failing = 1;

	(void)state;
	for (; failing <= 2; failing++) {
		fs_calls_begin(failing);
		assert_int_equal(chronfs_background_start(&fs, no_steps),
		                 -(failing == 1 ? ENOMEM : EAGAIN));
		fs_calls_end();
		assert_null(fs.background);
	}
	chronfs_background_wake(&fs); /* the library may do that while the queue is being closed */
	chronfs_background_stop(&fs);
	chronfs_background_fini(&fs);
}

static void no_thread_for_the_signals(void **state)
{
	struct chronfs_signals *signals = NULL;

	(void)state;
	for (int failing = 1; failing <= 2; failing++) {
		fs_calls_begin(failing);
		assert_int_equal(chronfs_signals_start(NULL, &signals),
		                 -(failing == 1 ? ENOMEM : EAGAIN));
		fs_calls_end();
		assert_null(signals);
	}
	chronfs_signals_stop(signals);
}

/* Open segment files may take half of the daemon's descriptors. */
static void limit_of_descriptors(void **state)
{
	struct rlimit own = { 0 };
	const int have = getrlimit(RLIMIT_NOFILE, &own);
	const struct {
		rlim_t now, most;
		int failing;
		size_t shared;
	} cases[] = {
		{ 100, 100, 0, 50 },
		{ 100, own.rlim_max, 0, own.rlim_max / 2 }, /* it takes all that it may */
		{ 100, 400, 2, 50 },                        /* setrlimit() fails */
		{ 100, 400, 1, 512 },                       /* getrlimit() fails */
	};

	(void)state;
	assert_int_equal(have, 0);
	for (size_t i = 0; i < COUNT(cases); i++) {
		made_up.descriptors = cases[i].now;
		made_up.descriptors_max = cases[i].most;
		fs_calls_begin(cases[i].failing);
		chronfs_user_limits_init(&fs);
		fs_calls_end();
		assert_int_equal(fs.user_limits.open_segments.most, cases[i].shared);
	}
}

/* The longest record follows from the pages of a request.  Where the kernel does not say how many, it is
 * the number that all kernels give.  The smallest number that was ever read counts. */
static void pages_of_a_request(void **state)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	const struct {
		const char *text;
		size_t pages, then;
	} cases[] = {
		{ "64\n", 64, 64 }, { "none", 256, 64 }, { "", 256, 64 },    { "many\n", 256, 64 },
		{ "0\n", 256, 64 }, { "32\n", 32, 32 },  { "99\n", 99, 32 },
	};
	size_t before = 0;

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct fuse_conn_info conn = { .max_write = 1U << 20 };

		made_up.max_pages = cases[i].text;
		fs.request.pages = 0;
		assert_int_equal(chronfs_request_read_limit(&fs), 0);
		assert_int_equal(fs.request.pages, cases[i].pages);
		fs.request.pages = before;
		chronfs_request_init(&fs, &conn);
		assert_int_equal(fs.request.pages, cases[i].then);
		assert_int_equal(conn.max_write, cases[i].then * page);
		assert_in_range(fs.write_limit, 1, conn.max_write - page);
		before = fs.request.pages;
	}
	made_up.max_pages = "1\n";
	assert_int_equal(chronfs_request_read_limit(&fs), -EINVAL);
	assert_non_null(strstr(said, "max_pages_limit is 1"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fs_setup, fs_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(each_call_of_each_operation),
		cmocka_unit_test_setup_teardown(each_call_on_a_read_only_mount, fs_setup_read_only,
		                                fs_teardown),
		TEST(each_call_of_a_lookup),
		TEST(no_background_thread),
		TEST(no_thread_for_the_signals),
		TEST(limit_of_descriptors),
		TEST(pages_of_a_request),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
