/* SPDX-License-Identifier: Apache-2.0 */
/* test_wait_for_room.c - a full queue without a mount: which requests wait, in which order, how the
 * wait ends */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "append/lines.h"
#include "append/wait_for_room.h"
#include "sink_support.h"

static int setup_blocking(void **state)
{
	sink_setup(state);
	fs.options.full_wait_ms = 60000;
	queue.room = 0;
	return 0;
}

/* These start with a full queue and full=block. */
#define FULL_TEST(name) cmocka_unit_test_setup_teardown(name, setup_blocking, sink_teardown)

static void waits_until_there_is_room(void **state)
{
	struct fuse_file_info fi = opened(APPEND);
	uint64_t count, bytes;

	(void)state;
	assert_int_equal(chronfs_room_wait_step(&fs), -1);
	assert_int_equal(write_text(0, APPEND, &fi, "waits"), NONE);
	chronfs_room_wait_count(&fs, &count, &bytes);
	assert_int_equal(count, 1);
	assert_int_equal(bytes, 5);
	assert_int_equal(fs.counters.waited, 1);
	assert_int_equal(chronfs_room_wait_step(&fs), 20);
	assert_int_equal(reply_to(0), NONE);
	queue.room = 1;
	assert_int_equal(chronfs_room_wait_step(&fs), -1);
	assert_int_equal(reply_to(0), 5);
	assert_string_equal(records(), "waits|");
	chronfs_room_wait_count(&fs, &count, &bytes);
	assert_int_equal(count + bytes, 0);
	assert_int_equal(fs.counters.full, 0);
}

static void no_request_overtakes_another(void **state)
{
	struct fuse_file_info a = opened(APPEND), b = opened(LINES);

	(void)state;
	assert_int_equal(write_text(0, APPEND, &a, "1"), NONE);
	queue.room = 2; /* not tried again yet */
	assert_int_equal(write_text(1, LINES, &b, "2\n3"), NONE);
	assert_int_equal(write_text(2, APPEND, &a, "4"), NONE);
	assert_string_equal(records(), "");
	assert_int_equal(write_flags(3, APPEND, &a, "5", 1, O_NONBLOCK), ERROR(EAGAIN));
	assert_int_equal(chronfs_room_wait_step(&fs), 20);
	assert_int_equal(reply_to(0), 1);
	assert_int_equal(reply_to(1), 3);
	assert_int_equal(reply_to(2), NONE);
	queue.room = 8;
	assert_int_equal(chronfs_room_wait_step(&fs), -1);
	assert_int_equal(reply_to(2), 1);
	assert_string_equal(records(), "1|2\n|4|");
}

static void nonblocking_writes_do_not_wait(void **state)
{
	struct fuse_file_info a = opened(APPEND), b = opened(LINES);

	(void)state;
	assert_int_equal(write_flags(0, APPEND, &a, "x", 1, O_NONBLOCK), ERROR(EAGAIN));
	assert_int_equal(write_flags(0, LINES, &b, "x\n", 1, O_NONBLOCK), ERROR(EAGAIN));
	assert_int_equal(write_flags(0, LINES, &b, "open", 1, O_NONBLOCK), 4);
	assert_int_equal(flush(0, &b, 1), ERROR(EAGAIN));
	assert_int_equal(fs.counters.full, 3);
	assert_int_equal(fs.counters.waited, 0);
	fs.options.full_wait_ms = 0;
	assert_int_equal(write_flags(0, APPEND, &a, "x", 1, O_NONBLOCK), ERROR(EAGAIN));
	assert_int_equal(write_text(0, APPEND, &a, "x"), ERROR(EDQUOT));
	queue.room = 1;
	assert_int_equal(flush(0, &b, 1), 0);
	assert_string_equal(records(), "open|");
}

static void a_full_disk_ends_the_wait(void **state)
{
	struct fuse_file_info a = opened(APPEND);

	(void)state;
	assert_int_equal(write_text(0, APPEND, &a, "x"), NONE);
	queue.error = -EAGAIN; /* the next segment is not prepared yet */
	assert_int_equal(chronfs_room_wait_step(&fs), 20);
	queue.error = -ENOSPC;
	assert_int_equal(chronfs_room_wait_step(&fs), -1);
	assert_int_equal(reply_to(0), ERROR(ENOSPC));
	assert_int_equal(write_text(1, APPEND, &a, "x"), ERROR(ENOSPC));
}

static void a_wait_ends_at_its_limit(void **state)
{
	struct fuse_file_info a = opened(APPEND), b = opened(LINES);

	(void)state;
	fs.options.full_wait_ms = 1;
	assert_int_equal(write_text(0, APPEND, &a, "x"), NONE);
	assert_int_equal(write_text(1, LINES, &b, "y\n"), NONE);
	while (chronfs_room_wait_step(&fs) != -1)
		usleep(500);
	assert_int_equal(reply_to(0), ERROR(EDQUOT));
	assert_int_equal(reply_to(1), ERROR(EDQUOT));
	queue.room = 8;
	assert_int_equal(chronfs_room_wait_step(&fs), -1);
	assert_string_equal(records(), "");
}

static void an_interrupted_request_gets_eintr(void **state)
{
	struct fuse_file_info a = opened(APPEND), b = opened(LINES);

	(void)state;
	assert_int_equal(write_text(0, APPEND, &a, "x"), NONE);
	assert_int_equal(write_text(1, LINES, &b, "y\n"), NONE);
	interrupt(1);
	assert_int_equal(reply_to(1), ERROR(EINTR));
	assert_int_equal(reply_to(0), NONE);
	interrupt(0);
	assert_int_equal(reply_to(0), ERROR(EINTR));
	assert_int_equal(fs.counters.interrupted, 2);

	/* before the request is parked */
	requests[2].interrupted = true;
	assert_int_equal(write_text(2, APPEND, &a, "x"), ERROR(EINTR));
	queue.room = 8;
	assert_int_equal(chronfs_room_wait_step(&fs), -1);
	assert_string_equal(records(), "");
	interrupt(0); /* too late: the request has its reply */
	assert_int_equal(reply_to(0), ERROR(EINTR));
}

/* An append during the attempt counts, otherwise the interruption does. */
static void interruption_during_an_attempt(void **state)
{
	struct fuse_file_info fi = opened(APPEND);

	(void)state;
	assert_int_equal(write_text(0, APPEND, &fi, "x"), NONE);
	queue.interrupt = 0;
	assert_int_equal(chronfs_room_wait_step(&fs), -1);
	assert_int_equal(reply_to(0), ERROR(EINTR));
	requests[0].interrupted = false;
	assert_int_equal(write_text(0, APPEND, &fi, "y"), NONE);
	queue.interrupt = 0;
	queue.room = 1;
	assert_int_equal(chronfs_room_wait_step(&fs), -1);
	assert_int_equal(reply_to(0), 1);
	assert_string_equal(records(), "y|");
}

/* Lines that are records already count. */
static void the_rest_of_a_write_of_lines_waits(void **state)
{
	struct fuse_file_info fi = opened(LINES);

	(void)state;
	queue.room = 1;
	assert_int_equal(write_text(0, LINES, &fi, "one\ntwo\nthree\nrest"), NONE);
	assert_string_equal(records(), "one\n|");
	queue.room = 1;
	assert_int_equal(chronfs_room_wait_step(&fs), 20);
	assert_string_equal(records(), "two\n|");
	queue.room = 1;
	assert_int_equal(chronfs_room_wait_step(&fs), -1);
	assert_int_equal(reply_to(0), 18);
	assert_int_equal(fs.lines.bytes, 4);
	assert_string_equal(records(), "three\n|");

	queue.room = 1;
	assert_int_equal(write_text(0, LINES, &fi, " of it\nnext\nopen"), NONE);
	interrupt(0);
	assert_int_equal(reply_to(0), 7);
	assert_int_equal(fs.lines.bytes, 0);
	queue.room = 1;
	assert_int_equal(flush(1, &fi, 1), 0);
	assert_string_equal(records(), "rest of it\n|");
}

static void a_durable_write_waits_for_room_and_sync(void **state)
{
	struct fuse_file_info a = opened(APPEND), b = opened(LINES);

	(void)state;
	assert_int_equal(write_flags(0, APPEND, &a, "x", 1, O_DSYNC), NONE);
	assert_int_equal(write_flags(1, LINES, &b, "one\ntwo", 1, O_DSYNC), NONE);
	queue.room = 1;
	assert_int_equal(chronfs_room_wait_step(&fs), 20);
	assert_int_equal(reply_to(0), NONE);
	synced(0);
	assert_int_equal(reply_to(0), 1);
	queue.room = 1;
	assert_int_equal(chronfs_room_wait_step(&fs), 20);
	interrupt(1);
	assert_int_equal(reply_to(1), NONE); /* a part of it was appended, and must be durable */
	synced(0);
	assert_int_equal(reply_to(1), 4);
	assert_string_equal(records(), "x|one\n|");
}

/* While a request of a file waits, the other requests on the file wait behind it. */
static void requests_on_one_file_keep_their_order(void **state)
{
	struct fuse_file_info fi = opened(LINES);

	(void)state;
	assert_int_equal(write_text(0, LINES, &fi, "a"), 1);
	assert_int_equal(write_text(1, LINES, &fi, "b\nc"), NONE);
	assert_int_equal(write_text(2, LINES, &fi, "d"), NONE); /* though it needs no room */
	assert_int_equal(flush(3, &fi, 1), NONE);
	assert_int_equal(fsync_lines(4, &fi), NONE);
	fs.options.line_timeout_ms = 1;
	queue.room = 8;
	assert_int_equal(chronfs_room_wait_step(&fs), -1);
	assert_int_equal(reply_to(1), 3);
	assert_int_equal(reply_to(2), 1);
	assert_int_equal(reply_to(3), 0);
	synced(0);
	assert_int_equal(reply_to(4), 0);
	assert_string_equal(records(), "ab\n|cd|");
}

static void a_close_waits_and_can_be_interrupted(void **state)
{
	struct fuse_file_info fi = opened(LINES);

	(void)state;
	assert_int_equal(write_text(0, LINES, &fi, "open"), 4);
	assert_int_equal(flush(1, &fi, 1), NONE);
	interrupt(1);
	assert_int_equal(reply_to(1), ERROR(EINTR));
	assert_int_equal(flush(1, &fi, 1), NONE);
	queue.room = 1;
	assert_int_equal(chronfs_room_wait_step(&fs), -1);
	assert_int_equal(reply_to(1), 0);
	assert_string_equal(records(), "open|");
}

/* line_timeout leaves the line to the close that waits, and appends it after the interruption. */
static void a_line_times_out_after_an_interrupted_close(void **state)
{
	struct fuse_file_info fi = opened(LINES);

	(void)state;
	fs.options.line_timeout_ms = 1;
	assert_int_equal(write_text(0, LINES, &fi, "open"), 4);
	assert_int_equal(flush(1, &fi, 1), NONE);
	usleep(2000);
	assert_int_equal(chronfs_line_timeout_step(&fs), -1); /* leaves it to the close */
	interrupt(1);
	queue.room = 1;
	while (chronfs_line_timeout_step(&fs) != -1)
		usleep(500);
	assert_string_equal(records(), "open|");
}

static void leftovers_come_first(void **state)
{
	struct fuse_file_info a = opened(APPEND), b = opened(LINES), c = opened(LINES);

	(void)state;
	assert_int_equal(write_text(0, LINES, &b, "left"), 4);
	assert_int_equal(write_text(0, LINES, &c, "left, too"), 9);
	released(LINES, &b);
	released(LINES, &c);
	assert_int_equal(fs.lines.bytes, 13);
	assert_int_equal(chronfs_room_wait_step(&fs), 100);
	assert_int_equal(write_text(0, APPEND, &a, "1"), NONE);
	queue.room = 2;
	assert_int_equal(chronfs_room_wait_step(&fs), 20);
	assert_string_equal(records(), "left|left, too|");
	assert_int_equal(fs.lines.bytes, 0);
	queue.room = 1;
	assert_int_equal(chronfs_room_wait_step(&fs), -1);
	assert_int_equal(reply_to(0), 1);
	assert_int_equal(fs.counters.partials_lost, 0);
}

/* Neither after errors of the disk, nor when there is room for one record only. */
static void leftovers_delay_no_request(void **state)
{
	struct fuse_file_info a = opened(APPEND), b = opened(LINES);

	(void)state;
	assert_int_equal(write_text(0, LINES, &b, "left"), 4);
	queue.error = -ENOSPC;
	released(LINES, &b);
	assert_int_equal(chronfs_room_wait_step(&fs), 100);
	queue.room = 1;
	assert_int_equal(write_text(0, APPEND, &a, "1"), 1);
	queue.room = 1;
	assert_int_equal(chronfs_room_wait_step(&fs), -1);
	assert_string_equal(records(), "1|left|");

	/* after EIO no append succeeds any more */
	b = opened(LINES);
	assert_int_equal(write_text(0, LINES, &b, "left"), 4);
	queue.error = -EIO;
	released(LINES, &b);
	assert_int_equal(chronfs_room_wait_step(&fs), -1);
	assert_int_equal(fs.counters.partials_lost, 1);
	assert_int_equal(fs.lines.bytes, 0);
}

static void the_end_of_the_mount_appends_what_has_room(void **state)
{
	struct fuse_file_info a = opened(APPEND), b = opened(LINES), c = opened(LINES),
			      d = opened(LINES);

	(void)state;
	assert_int_equal(write_text(0, LINES, &b, "closed"), 6);
	released(LINES, &b);
	assert_int_equal(write_text(0, APPEND, &a, "1"), NONE);
	queue.room = 1;
	assert_int_equal(write_text(1, LINES, &c, "2\nopen"), NONE);
	assert_int_equal(write_text(2, LINES, &d, "lost"), 4);
	queue.room = 3;
	chronfs_fini(&fs);
	assert_int_equal(reply_to(0), 1);
	assert_int_equal(reply_to(1), 6);
	assert_int_equal(queue.count, 3);
	assert_string_equal(queue.records[0], "1");
	assert_string_equal(queue.records[1], "2\n");
	assert_int_equal(fs.counters.partials_lost, 2);
	assert_non_null(strstr(queue.said, " bytes that were written without a newline are lost"));
	sink_mount(); /* for the end of the test */
}

static void the_end_of_the_mount_replies_to_waiting_requests(void **state)
{
	struct fuse_file_info a = opened(APPEND), b = opened(LINES);

	(void)state;
	assert_int_equal(write_text(0, APPEND, &a, "1"), NONE);
	queue.room = 1;
	assert_int_equal(write_text(1, LINES, &b, "2\n3\n"), NONE);
	queue.room = 0;
	chronfs_fini(&fs);
	assert_int_equal(reply_to(0), ERROR(EDQUOT));
	assert_int_equal(reply_to(1), ERROR(EDQUOT));
	sink_mount(); /* for the end of the test */
}

static void memory_of_waiting_requests_is_bounded(void **state)
{
	struct fuse_file_info fi = opened(LINES);
	const size_t size = 40U << 20;
	char *text = malloc(size + 1);
	uint64_t count, bytes;

	(void)state;
	assert_non_null(text);
	memset(text, '\n', size);
	text[size] = '\0';
	assert_int_equal(write_text(0, LINES, &fi, text), NONE);
	assert_int_equal(write_text(1, LINES, &fi, text), ERROR(EDQUOT));
	assert_int_equal(write_text(2, LINES, &fi, "small\n"), NONE);
	interrupt(0);
	interrupt(2);
	chronfs_room_wait_count(&fs, &count, &bytes);
	assert_int_equal(bytes, 0);
	free(text);
}

static void poll_tells_whether_there_is_room(void **state)
{
	const uint64_t nodes[] = { APPEND, LINES };
	const unsigned both = POLLIN | POLLOUT;

	(void)state;
	for (size_t n = 0; n < 2; n++) {
		struct fuse_file_info fi = opened(nodes[n]);

		queue.room = 1;
		assert_int_equal(poll_sink(0, nodes[n], &fi, both), both);
		assert_int_equal(poll_sink(0, nodes[n], &fi, POLLOUT), POLLOUT);
		queue.room = 0;
		assert_int_equal(poll_sink(0, nodes[n], &fi, both), POLLIN);
		assert_int_equal(poll_sink(0, nodes[n], &fi, POLLOUT), 0);
		assert_int_equal(write_text(1, nodes[n], &fi, "waits\n"), NONE);
		queue.room = 1; /* for the request that waits */
		assert_int_equal(poll_sink(0, nodes[n], &fi, POLLOUT), 0);
		assert_int_equal(chronfs_room_wait_step(&fs), -1);
		queue.room = 0;
		queue.error = -EIO; /* as a write would get at once */
		assert_int_equal(poll_sink(0, nodes[n], &fi, POLLOUT), POLLOUT | POLLERR);
		queue.error = -EDQUOT;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FULL_TEST(waits_until_there_is_room),
		FULL_TEST(no_request_overtakes_another),
		FULL_TEST(nonblocking_writes_do_not_wait),
		FULL_TEST(a_full_disk_ends_the_wait),
		FULL_TEST(a_wait_ends_at_its_limit),
		FULL_TEST(an_interrupted_request_gets_eintr),
		FULL_TEST(interruption_during_an_attempt),
		FULL_TEST(the_rest_of_a_write_of_lines_waits),
		FULL_TEST(a_durable_write_waits_for_room_and_sync),
		FULL_TEST(requests_on_one_file_keep_their_order),
		FULL_TEST(a_close_waits_and_can_be_interrupted),
		FULL_TEST(a_line_times_out_after_an_interrupted_close),
		FULL_TEST(leftovers_come_first),
		FULL_TEST(leftovers_delay_no_request),
		FULL_TEST(the_end_of_the_mount_appends_what_has_room),
		FULL_TEST(the_end_of_the_mount_replies_to_waiting_requests),
		FULL_TEST(memory_of_waiting_requests_is_bounded),
		FULL_TEST(poll_tells_whether_there_is_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
