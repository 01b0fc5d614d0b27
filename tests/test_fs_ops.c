/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_fs_ops.c - the mount's handlers without a mount
 *
 * libfuse's replies and the writer's calls are replaced by ours (--wrap), so that every errno of the
 * library, an answer that comes later, and running out of memory can be seen at the handler.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chronfs.h"

static struct chronfs fs;
static int request; /* its address stands for a request */
#define REQ ((fuse_req_t)(void *)&request)

static struct {
	int replies;
	int error;      /* of the last reply; 0: it was no error */
	size_t written; /* of the last reply, when it was a write's */
	int appends;
	size_t appended;
	int append_result;
	struct cq_sync_request *sync; /* handed over, not answered yet */
	bool no_memory;
} seen;

/* ---- replacements ---- */

void *__wrap_fuse_req_userdata(fuse_req_t req);
int __wrap_fuse_reply_err(fuse_req_t req, int error);
int __wrap_fuse_reply_write(fuse_req_t req, size_t count);
int __wrap_cq_writer_append(cq_writer *writer, uint16_t type, const void *payload, size_t length,
                            uint64_t *ret_seq);
void __wrap_cq_writer_sync_async(cq_writer *writer, struct cq_sync_request *sync);
size_t __wrap_cq_writer_max_payload(const cq_writer *writer);
struct chronfs_pending *__wrap_chronfs_pending_new(fuse_req_t req);
struct chronfs_pending *__real_chronfs_pending_new(fuse_req_t req);

void *__wrap_fuse_req_userdata(fuse_req_t req)
{
	assert_ptr_equal(req, REQ);
	return &fs;
}

int __wrap_fuse_reply_err(fuse_req_t req, int error)
{
	assert_ptr_equal(req, REQ);
	seen.replies++;
	seen.error = error;
	return 0;
}

int __wrap_fuse_reply_write(fuse_req_t req, size_t count)
{
	assert_ptr_equal(req, REQ);
	seen.replies++;
	seen.error = 0;
	seen.written = count;
	return 0;
}

int __wrap_cq_writer_append(cq_writer *writer, uint16_t type, const void *payload, size_t length,
                            uint64_t *ret_seq)
{
	assert_ptr_equal(writer, fs.writer);
	assert_int_equal(type, CQ_TYPE_DEFAULT);
	assert_non_null(payload);
	assert_null(ret_seq);
	seen.appends++;
	seen.appended = length;
	return seen.append_result;
}

void __wrap_cq_writer_sync_async(cq_writer *writer, struct cq_sync_request *sync)
{
	assert_ptr_equal(writer, fs.writer);
	assert_null(seen.sync);
	seen.sync = sync;
}

size_t __wrap_cq_writer_max_payload(const cq_writer *writer)
{
	assert_ptr_equal(writer, fs.writer);
	return 3968;
}

struct chronfs_pending *__wrap_chronfs_pending_new(fuse_req_t req)
{
	return seen.no_memory ? NULL : __real_chronfs_pending_new(req);
}

static int setup(void **state)
{
	(void)state;
	memset(&fs, 0, sizeof fs);
	memset(&seen, 0, sizeof seen);
	fs.writer = (cq_writer *)(void *)&fs;
	fs.write_limit = 1000;
	fs.ready_fd = -1;
	return 0;
}

static void write_bytes(size_t size, int flags)
{
	static const char data[1 << 20];
	struct fuse_file_info fi = { .flags = flags };

	chronfs_ops.write(REQ, chronfs_node(CHRONFS_APPEND, 1), data, size, 12345, &fi);
}

/* ---- node ids ---- */

static void node_arithmetic(void **state)
{
	const uint32_t ids[] = { 0, 1, 255, 256, 65536, CQ_SEGMENT_ID_MAX };

	(void)state;
	assert_int_equal(CHRONFS_NODE_ROOT, FUSE_ROOT_ID);
	for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
		uint64_t live = chronfs_node(CHRONFS_SEGMENT_LIVE, ids[i]);
		uint64_t sealed = chronfs_node(CHRONFS_SEGMENT_SEALED, ids[i]);

		assert_int_equal(chronfs_node_kind(live), CHRONFS_SEGMENT_LIVE);
		assert_int_equal(chronfs_node_kind(sealed), CHRONFS_SEGMENT_SEALED);
		assert_int_equal(chronfs_node_segment(live), ids[i]);
		assert_int_equal(chronfs_node_segment(sealed), ids[i]);
		assert_int_not_equal(live, sealed);
		assert_int_equal(chronfs_node_ino(live), chronfs_node_ino(sealed));
		assert_int_not_equal(chronfs_node_ino(live), FUSE_ROOT_ID);
	}
}

static void each_lookup_of_a_sink_is_a_node(void **state)
{
	struct fuse_entry_param a, b;

	(void)state;
	chronfs_sink_entry(&fs, &a);
	chronfs_sink_entry(&fs, &b);
	assert_int_not_equal(a.ino, b.ino);
	assert_int_equal(a.attr.st_ino, b.attr.st_ino);
	assert_true(a.entry_timeout <= 0 && a.attr_timeout <= 0);
	assert_int_equal(chronfs_node_kind(b.ino), CHRONFS_APPEND);
}

/* ---- the sink ---- */

static void write_is_one_record(void **state)
{
	(void)state;
	write_bytes(1000, O_WRONLY);
	assert_int_equal(seen.appends, 1);
	assert_int_equal(seen.appended, 1000);
	assert_int_equal(seen.replies, 1);
	assert_int_equal(seen.written, 1000);
	assert_null(seen.sync);
}

static void write_over_the_limit_appends_nothing(void **state)
{
	(void)state;
	write_bytes(1001, O_WRONLY);
	assert_int_equal(seen.error, EMSGSIZE);
	assert_int_equal(seen.appends, 0);
}

static void write_of_nothing_is_no_record(void **state)
{
	(void)state;
	write_bytes(0, O_WRONLY | O_DSYNC);
	assert_int_equal(seen.replies, 1);
	assert_int_equal(seen.error, 0);
	assert_int_equal(seen.written, 0);
	assert_int_equal(seen.appends, 0);
	assert_null(seen.sync);
}

static void errors_of_the_queue_pass_through(void **state)
{
	const int errors[] = { EMSGSIZE, ENOSPC, EDQUOT, EAGAIN, EIO, EOVERFLOW, EMFILE };

	for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
		setup(state);
		seen.append_result = -errors[i];
		write_bytes(10, O_WRONLY | (i % 2 ? O_DSYNC : 0));
		assert_int_equal(seen.replies, 1);
		assert_int_equal(seen.error, errors[i]);
		assert_null(seen.sync); /* what was not appended is not waited for */
	}
}

static void durable_write_is_answered_after_the_flush(void **state)
{
	const int flags[] = { O_DSYNC, O_SYNC, 0 };

	for (size_t i = 0; i < 3; i++) {
		setup(state);
		if (flags[i] == 0)
			fs.options.sync = CHRONFS_SYNC_ALWAYS;
		write_bytes(10, O_WRONLY | flags[i]);
		assert_int_equal(seen.appends, 1);
		assert_int_equal(seen.replies, 0);
		assert_non_null(seen.sync);
		seen.sync->done(seen.sync, 0);
		assert_int_equal(seen.replies, 1);
		assert_int_equal(seen.written, 10);
	}
}

static void failed_flush_fails_the_write(void **state)
{
	(void)state;
	write_bytes(10, O_WRONLY | O_DSYNC);
	assert_non_null(seen.sync);
	seen.sync->done(seen.sync, -EIO);
	assert_int_equal(seen.replies, 1);
	assert_int_equal(seen.error, EIO);
}

static void durable_write_without_memory_appends_nothing(void **state)
{
	(void)state;
	seen.no_memory = true;
	write_bytes(10, O_WRONLY | O_DSYNC);
	assert_int_equal(seen.replies, 1);
	assert_int_equal(seen.error, ENOMEM);
	assert_int_equal(seen.appends, 0);
}

static void fsync_waits_for_the_flush(void **state)
{
	(void)state;
	chronfs_ops.fsync(REQ, CHRONFS_NODE_ROOT, 0, NULL);
	assert_int_equal(seen.replies, 0);
	assert_non_null(seen.sync);
	seen.sync->done(seen.sync, 0);
	assert_int_equal(seen.replies, 1);
	assert_int_equal(seen.error, 0);
	assert_int_equal(seen.written, 0);

	setup(state);
	chronfs_ops.fsyncdir(REQ, CHRONFS_NODE_ROOT, 0, NULL);
	assert_non_null(seen.sync);
	seen.sync->done(seen.sync, -EIO);
	assert_int_equal(seen.error, EIO);
}

static void fsync_of_a_read_only_mount(void **state)
{
	(void)state;
	fs.writer = NULL;
	chronfs_ops.fsync(REQ, CHRONFS_NODE_ROOT, 0, NULL);
	assert_int_equal(seen.replies, 1);
	assert_int_equal(seen.error, 0);
}

static void limit_is_the_smaller(void **state)
{
	struct fuse_conn_info conn = { .max_write = 16U << 20, .capable = ~0U, .want = ~0U };

	(void)state;
	chronfs_ops.init(&fs, &conn);
	assert_int_equal(conn.max_write, 1U << 20);
	assert_int_equal(fs.write_limit, 3968);
	assert_int_equal(conn.want & (FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE |
	                              FUSE_CAP_SPLICE_MOVE | FUSE_CAP_READDIRPLUS_AUTO),
	                 0);
	assert_true(conn.want & FUSE_CAP_READDIRPLUS);

	fs.writer = NULL;
	chronfs_ops.init(&fs, &conn);
	assert_int_equal(fs.write_limit, (1U << 20) - (size_t)sysconf(_SC_PAGESIZE));
}

/* ---- options ---- */

/* Parses "chronfs /tmp /tmp -o TEXT"; the result is to be freed when it is 0. */
static int parse(const char *text, struct chronfs_options *ret_options)
{
	char copy[256], name[] = "chronfs", queue[] = "/tmp", point[] = "/tmp", o[] = "-o";
	char *argv[] = { name, queue, point, o, copy, NULL };

	(void)snprintf(copy, sizeof copy, "%s", text);
	return chronfs_options_parse(ret_options, 5, argv);
}

static void options_are_understood(void **state)
{
	struct chronfs_options o;

	(void)state;
	assert_int_equal(
		parse("segment_size=64K,sync=interval=250,prealloc_wait=0,require_prealloc,"
	              "retain_segments=7,retain_bytes=3G,retain_age=2d,reader_ttl=5,"
	              "reader_max_lag=10M,accept_loss,allow_other",
	              &o),
		0);
	assert_int_equal(o.queue_config.segment_size, 65536);
	assert_int_equal(o.sync, CHRONFS_SYNC_INTERVAL);
	assert_int_equal(o.queue_config.sync, CQ_SYNC_INTERVAL);
	assert_int_equal(o.queue_config.sync_interval_ms, 250);
	assert_int_equal(o.queue_config.prealloc_wait_ms, 0);
	assert_true(o.queue_config.require_prealloc);
	assert_int_equal(o.queue_config.retain_segments, 7);
	assert_int_equal(o.queue_config.retain_bytes, 3ULL << 30);
	assert_int_equal(o.queue_config.retain_age_ms, 2 * 86400000);
	assert_int_equal(o.queue_config.reader_ttl_ms, 5000);
	assert_int_equal(o.queue_config.reader_max_lag_bytes, 10 << 20);
	assert_true(o.queue_config.accept_loss);
	assert_false(o.read_only);
	chronfs_options_fini(&o);

	/* the library never syncs each append itself: its caller would wait */
	assert_int_equal(parse("sync=always", &o), 0);
	assert_int_equal(o.sync, CHRONFS_SYNC_ALWAYS);
	assert_int_equal(o.queue_config.sync, CQ_SYNC_NONE);
	chronfs_options_fini(&o);

	assert_int_equal(parse("ro,noatime", &o), 0);
	assert_true(o.read_only);
	chronfs_options_fini(&o);
}

/* A comma in the queue's path must not end the option that carries it. */
static void odd_paths_are_escaped(void **state)
{
	char dir[] = "/tmp/chronfs,test\\XXXXXX", name[] = "chronfs", point[] = "/tmp";
	char *argv[] = { name, dir, point, NULL };
	struct chronfs_options o;

	(void)state;
	assert_non_null(mkdtemp(dir));
	assert_int_equal(chronfs_options_parse(&o, 3, argv), 0);
	assert_int_equal(rmdir(dir), 0);
	assert_string_equal(o.queue, dir);
	assert_non_null(strstr(o.args.argv[1], "fsname=/tmp/chronfs\\,test\\\\"));
	chronfs_options_fini(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(node_arithmetic, setup),
		cmocka_unit_test_setup(each_lookup_of_a_sink_is_a_node, setup),
		cmocka_unit_test_setup(write_is_one_record, setup),
		cmocka_unit_test_setup(write_over_the_limit_appends_nothing, setup),
		cmocka_unit_test_setup(write_of_nothing_is_no_record, setup),
		cmocka_unit_test_setup(errors_of_the_queue_pass_through, setup),
		cmocka_unit_test_setup(durable_write_is_answered_after_the_flush, setup),
		cmocka_unit_test_setup(failed_flush_fails_the_write, setup),
		cmocka_unit_test_setup(durable_write_without_memory_appends_nothing, setup),
		cmocka_unit_test_setup(fsync_waits_for_the_flush, setup),
		cmocka_unit_test_setup(fsync_of_a_read_only_mount, setup),
		cmocka_unit_test_setup(limit_is_the_smaller, setup),
		cmocka_unit_test_setup(options_are_understood, setup),
		cmocka_unit_test_setup(odd_paths_are_escaped, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
