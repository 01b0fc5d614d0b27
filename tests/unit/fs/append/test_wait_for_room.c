/* SPDX-License-Identifier: Apache-2.0 */
/* test_wait_for_room.c - a full queue without a mount: who waits, in which order, how it ends */
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

/* The queue is full and full=block is set when these begin. */
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
	assert_int_equal(answer_of(0), NONE);
	queue.room = 1;
	assert_int_equal(chronfs_room_wait_step(&fs), -1);
	assert_int_equal(answer_of(0), 5);
	assert_string_equal(records(), "waits|");
	chronfs_room_wait_count(&fs, &count, &bytes);
	assert_int_equal(count + bytes, 0);
	assert_int_equal(fs.counters.full, 0);
}

static void nobody_overtakes(void **state)
{
	struct fuse_file_info a = opened(APPEND), b = opened(LINES);

	(void)state;
	assert_int_equal(write_text(0, APPEND, &a, "1"), NONE);
	queue.room = 2; /* nobody has tried since */
	assert_int_equal(write_text(1, LINES, &b, "2\n3"), NONE);
	assert_int_equal(write_text(2, APPEND, &a, "4"), NONE);
	assert_string_equal(records(), "");
	assert_int_equal(write_flags(3, APPEND, &a, "5", 1, O_NONBLOCK), ERROR(EAGAIN));
	assert_int_equal(chronfs_room_wait_step(&fs), 20);
	assert_int_equal(answer_of(0), 1);
	assert_int_equal(answer_of(1), 3);
	assert_int_equal(answer_of(2), NONE);
	queue.room = 8;
	assert_int_equal(chronfs_room_wait_step(&fs), -1);
	assert_int_equal(answer_of(2), 1);
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

static void a_full_disk_is_not_waited_for(void **state)
{
	struct fuse_file_info a = opened(APPEND);

	(void)state;
	assert_int_equal(write_text(0, APPEND, &a, "x"), NONE);
	queue.error = -EAGAIN; /* the next segment is not prepared yet */
	assert_int_equal(chronfs_room_wait_step(&fs), 20);
	queue.error = -ENOSPC;
	assert_int_equal(chronfs_room_wait_step(&fs), -1);
	assert_int_equal(answer_of(0), ERROR(ENOSPC));
	assert_int_equal(write_text(1, APPEND, &a, "x"), ERROR(ENOSPC));
}

static void time_is_up(void **state)
{
	struct fuse_file_info a = opened(APPEND), b = opened(LINES);

	(void)state;
	fs.options.full_wait_ms = 1;
	assert_int_equal(write_text(0, APPEND, &a, "x"), NONE);
	assert_int_equal(write_text(1, LINES, &b, "y\n"), NONE);
	while (chronfs_room_wait_step(&fs) != -1)
		usleep(500);
	assert_int_equal(answer_of(0), ERROR(EDQUOT));
	assert_int_equal(answer_of(1), ERROR(EDQUOT));
	queue.room = 8;
	assert_int_equal(chronfs_room_wait_step(&fs), -1);
	assert_string_equal(records(), "");
}

static void interruption_is_answered(void **state)
{
	struct fuse_file_info a = opened(APPEND), b = opened(LINES);

	(void)state;
	assert_int_equal(write_text(0, APPEND, &a, "x"), NONE);
	assert_int_equal(write_text(1, LINES, &b, "y\n"), NONE);
	interrupt(1);
	assert_int_equal(answer_of(1), ERROR(EINTR));
	assert_int_equal(answer_of(0), NONE);
	interrupt(0);
	assert_int_equal(answer_of(0), ERROR(EINTR));
	assert_int_equal(fs.counters.interrupted, 2);

	/* it came before the request was parked */
	requests[2].interrupted = true;
	assert_int_equal(write_text(2, APPEND, &a, "x"), ERROR(EINTR));
	queue.room = 8;
	assert_int_equal(chronfs_room_wait_step(&fs), -1);
	assert_string_equal(records(), "");
	interrupt(0); /* late: of a request that is answered */
	assert_int_equal(answer_of(0), ERROR(EINTR));
}

/* While it is being tried: what was appended counts, else the interruption. */
static void interruption_during_an_attempt(void **state)
{
	struct fuse_file_info fi = opened(APPEND);

	(void)state;
	assert_int_equal(write_text(0, APPEND, &fi, "x"), NONE);
	queue.interrupt = 0;
	assert_int_equal(chronfs_room_wait_step(&fs), -1);
	assert_int_equal(answer_of(0), ERROR(EINTR));
	requests[0].interrupted = false;
	assert_int_equal(write_text(0, APPEND, &fi, "y"), NONE);
	queue.interrupt = 0;
	queue.room = 1;
	assert_int_equal(chronfs_room_wait_step(&fs), -1);
	assert_int_equal(answer_of(0), 1);
	assert_string_equal(records(), "y|");
}

/* The rest of a write of lines waits; what is in records already counts. */
static void lines_wait_in_part(void **state)
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
	assert_int_equal(answer_of(0), 18);
	assert_int_equal(fs.lines.bytes, 4);
	assert_string_equal(records(), "three\n|");

	queue.room = 1;
	assert_int_equal(write_text(0, LINES, &fi, " of it\nnext\nopen"), NONE);
	interrupt(0);
	assert_int_equal(answer_of(0), 7);
	assert_int_equal(fs.lines.bytes, 0);
	queue.room = 1;
	assert_int_equal(flush(1, &fi, 1), 0);
	assert_string_equal(records(), "rest of it\n|");
}

static void durable_write_waits_twice(void **state)
{
	struct fuse_file_info a = opened(APPEND), b = opened(LINES);

	(void)state;
	assert_int_equal(write_flags(0, APPEND, &a, "x", 1, O_DSYNC), NONE);
	assert_int_equal(write_flags(1, LINES, &b, "one\ntwo", 1, O_DSYNC), NONE);
	queue.room = 1;
	assert_int_equal(chronfs_room_wait_step(&fs), 20);
	assert_int_equal(answer_of(0), NONE);
	flushed(0);
	assert_int_equal(answer_of(0), 1);
	queue.room = 1;
	assert_int_equal(chronfs_room_wait_step(&fs), 20);
	interrupt(1);
	assert_int_equal(answer_of(1), NONE); /* a part of it was appended, and has to be durable */
	flushed(0);
	assert_int_equal(answer_of(1), 4);
	assert_string_equal(records(), "x|one\n|");
}

/* No other request on a file passes one of it that waits. */
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
	assert_int_equal(answer_of(1), 3);
	assert_int_equal(answer_of(2), 1);
	assert_int_equal(answer_of(3), 0);
	flushed(0);
	assert_int_equal(answer_of(4), 0);
	assert_string_equal(records(), "ab\n|cd|");
}

static void close_waits_and_may_be_interrupted(void **state)
{
	struct fuse_file_info fi = opened(LINES);

	(void)state;
	assert_int_equal(write_text(0, LINES, &fi, "open"), 4);
	assert_int_equal(flush(1, &fi, 1), NONE);
	interrupt(1);
	assert_int_equal(answer_of(1), ERROR(EINTR));
	assert_int_equal(flush(1, &fi, 1), NONE);
	queue.room = 1;
	assert_int_equal(chronfs_room_wait_step(&fs), -1);
	assert_int_equal(answer_of(1), 0);
	assert_string_equal(records(), "open|");
}

/* A file that has waited in vain for its line's end is asked again by the line's own time. */
static void line_is_due_after_a_wait_in_vain(void **state)
{
	struct fuse_file_info fi = opened(LINES);

	(void)state;
	fs.options.line_timeout_ms = 1;
	assert_int_equal(write_text(0, LINES, &fi, "open"), 4);
	assert_int_equal(flush(1, &fi, 1), NONE);
	usleep(2000);
	assert_int_equal(chronfs_line_timeout_step(&fs), -1); /* left to the flush */
	interrupt(1);
	queue.room = 1;
	while (chronfs_line_timeout_step(&fs) != -1)
		usleep(500);
	assert_string_equal(records(), "open|");
}

static void what_a_closed_file_left_comes_first(void **state)
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
	assert_int_equal(answer_of(0), 1);
	assert_int_equal(fs.counters.partials_lost, 0);
}

/* It holds nobody up: neither by the disk's errors, nor when only others have room. */
static void what_a_closed_file_left_is_in_nobodys_way(void **state)
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

	/* nothing will ever be appended again */
	b = opened(LINES);
	assert_int_equal(write_text(0, LINES, &b, "left"), 4);
	queue.error = -EIO;
	released(LINES, &b);
	assert_int_equal(chronfs_room_wait_step(&fs), -1);
	assert_int_equal(fs.counters.partials_lost, 1);
	assert_int_equal(fs.lines.bytes, 0);
}

static void the_end_of_the_mount(void **state)
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
	assert_int_equal(answer_of(0), 1);
	assert_int_equal(answer_of(1), 6);
	assert_int_equal(queue.count, 3);
	assert_string_equal(queue.records[0], "1");
	assert_string_equal(queue.records[1], "2\n");
	assert_int_equal(fs.counters.partials_lost, 2);
	assert_non_null(strstr(queue.said, " bytes that were written without a newline are lost"));
	sink_mount(); /* for the end of the test */
}

static void end_answers_those_who_still_wait(void **state)
{
	struct fuse_file_info a = opened(APPEND), b = opened(LINES);

	(void)state;
	assert_int_equal(write_text(0, APPEND, &a, "1"), NONE);
	queue.room = 1;
	assert_int_equal(write_text(1, LINES, &b, "2\n3\n"), NONE);
	queue.room = 0;
	chronfs_fini(&fs);
	assert_int_equal(answer_of(0), ERROR(EDQUOT));
	assert_int_equal(answer_of(1), ERROR(EDQUOT));
	sink_mount(); /* for the end of the test */
}

static void memory_of_those_who_wait_is_bounded(void **state)
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

static void who_polls_is_told_the_truth(void **state)
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
		queue.room = 1; /* for who waits already */
		assert_int_equal(poll_sink(0, nodes[n], &fi, POLLOUT), 0);
		assert_int_equal(chronfs_room_wait_step(&fs), -1);
		queue.room = 0;
		queue.error = -EIO; /* a write would say so at once */
		assert_int_equal(poll_sink(0, nodes[n], &fi, POLLOUT), POLLOUT | POLLERR);
		queue.error = -EDQUOT;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FULL_TEST(waits_until_there_is_room),
		FULL_TEST(nobody_overtakes),
		FULL_TEST(nonblocking_writes_do_not_wait),
		FULL_TEST(a_full_disk_is_not_waited_for),
		FULL_TEST(time_is_up),
		FULL_TEST(interruption_is_answered),
		FULL_TEST(interruption_during_an_attempt),
		FULL_TEST(lines_wait_in_part),
		FULL_TEST(durable_write_waits_twice),
		FULL_TEST(requests_on_one_file_keep_their_order),
		FULL_TEST(close_waits_and_may_be_interrupted),
		FULL_TEST(line_is_due_after_a_wait_in_vain),
		FULL_TEST(what_a_closed_file_left_comes_first),
		FULL_TEST(what_a_closed_file_left_is_in_nobodys_way),
		FULL_TEST(the_end_of_the_mount),
		FULL_TEST(end_answers_those_who_still_wait),
		FULL_TEST(memory_of_those_who_wait_is_bounded),
		FULL_TEST(who_polls_is_told_the_truth),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
