/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_fs_ops.c - the mount's handlers without a mount: nodes, limits, fsync, options
 *
 * The test replaces libfuse's replies and the writer's calls (--wrap), so it sees a reply that comes
 * after its handler has returned.
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
#include "kernel/dispatch.h"
#include "kernel/request.h"

static struct chronfs fs;
static int request; /* its address stands for a request */
#define REQ ((fuse_req_t)(void *)&request)

static struct {
	int replies;
	int error;                    /* of the last reply; 0: it was no error */
	struct cq_sync_request *sync; /* handed over, not answered yet */
} seen;

/* ---- replacements ---- */

void *__wrap_fuse_req_userdata(fuse_req_t req);
int __wrap_fuse_reply_err(fuse_req_t req, int error);
void __wrap_cq_writer_sync_async(cq_writer *writer, struct cq_sync_request *sync);
size_t __wrap_cq_writer_max_payload(const cq_writer *writer);

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

/* ---- node ids ---- */

static void node_arithmetic(void **state)
{
	const uint32_t ids[] = { 0, 1, 255, 256, 65536, CQ_SEGMENT_ID_MAX };

	(void)state;
	assert_int_equal(CHRONFS_NODE_ROOT, FUSE_ROOT_ID);
	for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
		uint64_t live = chronfs_node(CHRONFS_SEGMENT_UNSEALED, ids[i]);
		const struct stat one = { .st_ino = 7, .st_mtim = { 1, 2 } };
		const struct stat other = { .st_ino = 7, .st_mtim = { 1, 3 } };
		uint64_t sealed =
			chronfs_node(CHRONFS_SEGMENT_SEALED, chronfs_sealed_value(ids[i], &one));
		uint64_t again =
			chronfs_node(CHRONFS_SEGMENT_SEALED, chronfs_sealed_value(ids[i], &other));

		assert_int_equal(chronfs_node_kind(live), CHRONFS_SEGMENT_UNSEALED);
		assert_int_equal(chronfs_node_kind(sealed), CHRONFS_SEGMENT_SEALED);
		assert_int_equal(chronfs_node_segment(live), ids[i]);
		assert_int_equal(chronfs_node_segment(sealed), ids[i]);
		assert_int_not_equal(live, sealed);
		assert_int_not_equal(again, sealed);
		assert_int_equal(chronfs_node_ino(again), chronfs_node_ino(sealed));
		assert_int_equal(chronfs_node_ino(live), chronfs_node_ino(sealed));
		assert_int_not_equal(chronfs_node_ino(live), FUSE_ROOT_ID);
	}
}

/* ---- fsync, limits ---- */

static void fsync_waits_for_the_flush(void **state)
{
	(void)state;
	chronfs_ops.fsync(REQ, CHRONFS_NODE_ROOT, 0, NULL);
	assert_int_equal(seen.replies, 0);
	assert_non_null(seen.sync);
	seen.sync->done(seen.sync, 0);
	assert_int_equal(seen.replies, 1);
	assert_int_equal(seen.error, 0);

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
	                              FUSE_CAP_SPLICE_MOVE | FUSE_CAP_READDIRPLUS_AUTO |
	                              FUSE_CAP_ASYNC_DIO),
	                 0);
	assert_true(conn.want & FUSE_CAP_READDIRPLUS);

	fs.writer = NULL;
	chronfs_ops.init(&fs, &conn);
	assert_int_equal(fs.write_limit, (1U << 20) - (size_t)sysconf(_SC_PAGESIZE));
}

/* The kernel splits a write that does not fit into the pages of a request; the first piece is longer
 * than all pages but one. */
static void limit_follows_the_pages_of_a_request(void **state)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct fuse_conn_info conn = { .max_write = 16U << 20, .capable = ~0U, .want = ~0U };

	(void)state;
	fs.request.pages = 4;
	chronfs_ops.init(&fs, &conn);
	assert_int_equal(conn.max_write, 4 * page);
	assert_int_equal(fs.write_limit, 3968); /* the limit of a segment is smaller */
	fs.writer = NULL;
	chronfs_ops.init(&fs, &conn);
	assert_int_equal(fs.write_limit, 3 * page);
	fs.request.pages = 1;
	assert_int_equal(chronfs_request_read_limit(&fs), 0); /* read-only: there are no writes */
	chronfs_ops.init(&fs, &conn);
	assert_int_equal(fs.write_limit, 0);
}

/* ---- options ---- */

/* Parses "chronfs /tmp /tmp -o TEXT"; the result is to be freed when it is 0. */
static int parse(const char *text, struct chronfs_options *ret_options)
{
	char copy[256], name[] = "chronfs", queue[] = "/tmp", point[] = "/tmp", o[] = "-o";
	char *argv[] = { name, queue, point, o, copy, NULL };

	(void)snprintf(copy, sizeof copy, "%s", text);
	return chronfs_options_parse(ret_options, 5, argv, false);
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

	/* the library must not sync each append itself: the caller would wait */
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
	assert_int_equal(chronfs_options_parse(&o, 3, argv, false), 0);
	assert_int_equal(rmdir(dir), 0);
	assert_string_equal(o.queue, dir);
	assert_non_null(strstr(o.args.argv[1], "fsname=/tmp/chronfs\\,test\\\\"));
	chronfs_options_fini(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(node_arithmetic, setup),
		cmocka_unit_test_setup(fsync_waits_for_the_flush, setup),
		cmocka_unit_test_setup(fsync_of_a_read_only_mount, setup),
		cmocka_unit_test_setup(limit_is_the_smaller, setup),
		cmocka_unit_test_setup(limit_follows_the_pages_of_a_request, setup),
		cmocka_unit_test_setup(options_are_understood, setup),
		cmocka_unit_test_setup(odd_paths_are_escaped, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
