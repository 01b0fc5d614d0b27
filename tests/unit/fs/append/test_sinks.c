/* SPDX-License-Identifier: Apache-2.0 */
/* test_sinks.c - append and append.lines without a mount: what becomes a record, and the replies */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "append/lines.h"
#include "held/open_files.h"
#include "kernel/dispatch.h"
#include "sink_support.h"

/* ---- nodes ---- */

static bool kept; /* by the kernel: the last name that was looked up */

/* The node that a thread gets by the name `append`. */
static uint64_t looked_up(pid_t thread)
{
	struct fuse_entry_param entry;

	chronfs_sink_lookup(&fs, CHRONFS_APPEND, thread, &entry);
	assert_int_equal(chronfs_node_kind(entry.ino), CHRONFS_APPEND);
	assert_int_equal(entry.attr.st_ino, chronfs_node(CHRONFS_APPEND, 0));
	kept = entry.entry_timeout > 0;
	return entry.ino;
}

/* Opens the node in request i: 0, or ERROR(errno). */
static long opens(int i, uint64_t node, pid_t thread, struct fuse_file_info *fi)
{
	requests[i] = (struct request){ .from.pid = thread };
	chronfs_ops.open(REQ(i), node, fi);
	return reply_to(i);
}

static void a_closed_sink_keeps_its_node(void **state)
{
	struct fuse_file_info fi = { .flags = O_WRONLY };
	const uint64_t node = looked_up(1);
	uint64_t next;

	(void)state;
	assert_int_equal(looked_up(2), node);
	assert_true(kept);
	assert_int_equal(opens(0, node, 1, &fi), 0);
	next = looked_up(2);
	assert_int_not_equal(next, node);
	assert_int_equal(looked_up(3), next);
	released(node, &fi);
	assert_int_equal(looked_up(2), next);
}

/* As the kernel does for two that both know the node. */
static void a_second_opener_gets_a_node_of_its_own(void **state)
{
	struct fuse_file_info first = { .flags = O_WRONLY }, second = first, third = first;
	const uint64_t shared = looked_up(1);
	uint64_t own;

	(void)state;
	assert_int_equal(opens(0, shared, 1, &first), 0);
	assert_int_equal(opens(0, shared, 2, &second), ERROR(ESTALE));
	own = looked_up(2);
	assert_int_not_equal(own, shared);
	assert_false(kept); /* it is about to be open */

	/* a third that is faster than the second does not get the second's node */
	assert_int_not_equal(looked_up(3), own);
	assert_int_equal(opens(0, own, 3, &third), ERROR(ESTALE));
	assert_int_equal(opens(0, own, 2, &second), 0);
	own = looked_up(3);
	assert_int_equal(opens(0, own, 3, &third), 0);
	assert_int_equal(write_text(0, own, &third, "third"), 5);
	released(shared, &first);
	released(own, &third);
}

static void a_second_attempt_succeeds(void **state)
{
	struct fuse_file_info first = { .flags = O_RDWR }, second = first;
	const uint64_t node = looked_up(1);

	(void)state;
	assert_int_equal(opens(0, node, 1, &first), 0);
	assert_int_equal(opens(0, node, 2, &second), ERROR(ESTALE));
	assert_int_equal(opens(0, node, 2, &second), 0); /* by /proc/PID/fd/N */
	released(node, &second);
	assert_int_equal(opens(0, node, 2, &second), ERROR(ESTALE));
	assert_int_equal(opens(0, LINES, 1, &first), 0);
	assert_int_equal(opens(0, LINES, 3, &second), ERROR(ESTALE));
	assert_int_equal(opens(0, LINES, 3, &second), 0);
}

static void who_will_not_try_again_is_let_in(void **state)
{
	struct fuse_file_info first = { .flags = O_WRONLY }, nameless = first;
	struct fuse_file_info reader = { .flags = O_RDONLY };
	uint64_t node = looked_up(0);

	(void)state;
	assert_false(kept); /* a thread without a number cannot be sent back */
	assert_int_equal(opens(0, node, 1, &first), 0);
	assert_int_equal(opens(0, node, 0, &nameless), 0);
	assert_int_equal(opens(0, node, 2, &reader), 0);
	released(node, &first);
	released(node, &nameless);
	/* the reader has the node open still */
	assert_int_equal(opens(0, node, 1, &first), ERROR(ESTALE));
	node = looked_up(1);
	assert_int_equal(opens(0, node, 1, &first), 0);
}

/* More threads than there are places for share a node.  A place is free again if its thread has not
 * come back for long. */
static void many_second_openers(void **state)
{
	struct fuse_file_info fi[CHRONFS_SINK_RETRIES + 2] = { 0 };
	const uint64_t node = looked_up(1);
	pid_t thread = 1;

	(void)state;
	for (size_t i = 0; i < CHRONFS_SINK_RETRIES + 2; i++)
		fi[i].flags = O_WRONLY;
	assert_int_equal(opens(0, node, thread++, &fi[0]), 0);
	for (size_t i = 1; i <= CHRONFS_SINK_RETRIES; i++)
		assert_int_equal(opens(0, node, thread++, &fi[i]), ERROR(ESTALE));
	assert_int_equal(opens(0, node, thread, &fi[CHRONFS_SINK_RETRIES + 1]), 0);
	fs.sinks.retries[3].since_ms -= 60000;
	assert_int_equal(opens(0, node, thread + 1, &fi[1]), ERROR(ESTALE));
	assert_int_equal(fs.sinks.retrying, CHRONFS_SINK_RETRIES);
}

/* The kernel reports a close, which ends POSIX locks, but for what a shell opens for >>; and for that
 * too once there may be a lock. */
static void closes_of_what_a_shell_opens_are_not_reported(void **state)
{
	const int flags[] = { O_WRONLY | O_APPEND, O_WRONLY | O_CLOEXEC, O_RDWR, O_RDONLY };
	struct flock lock = { .l_type = F_WRLCK };

	(void)state;
	for (unsigned i = 0; i < 8; i++) {
		struct fuse_file_info fi = { .flags = flags[i % 4] };

		assert_int_equal(opens(0, looked_up(1), 1, &fi), 0);
		assert_int_equal(fi.noflush, i == 0);
		if (i == 3) {
			fs.user_limits.locks.most = 10;
			requests[1] = (struct request){ 0 };
			chronfs_ops.setlk(REQ(1), looked_up(1), &fi, &lock, 0);
			assert_int_equal(reply_to(1), 0);
		}
	}
}

/* ---- append ---- */

static void a_write_is_one_record(void **state)
{
	struct fuse_file_info fi = opened(APPEND);

	(void)state;
	assert_int_equal(write_text(0, APPEND, &fi, "one\ntwo\n"), 8);
	assert_string_equal(records(), "one\ntwo\n|");
	assert_null(queue.sync);
	assert_int_equal(write_flags(0, APPEND, &fi, "", 1, O_DSYNC), 0);
	assert_string_equal(records(), "");
	assert_null(queue.sync);
}

static void a_write_over_the_limit_appends_nothing(void **state)
{
	struct fuse_file_info fi = opened(APPEND);
	char text[LIMIT + 2];

	(void)state;
	memset(text, 'x', sizeof text);
	text[LIMIT + 1] = '\0';
	assert_int_equal(write_text(0, APPEND, &fi, text), ERROR(EMSGSIZE));
	assert_int_equal(queue.count, 0);
	assert_int_equal(fs.counters.too_long, 1);
	assert_int_equal(write_text(0, APPEND, &fi, text + 1), LIMIT);
}

static void errors_of_the_queue_pass_through(void **state)
{
	const int errors[] = { EMSGSIZE, ENOSPC, EDQUOT, EAGAIN, EIO, EOVERFLOW, EMFILE };
	const uint64_t nodes[] = { APPEND, LINES };

	(void)state;
	queue.room = 0;
	for (size_t n = 0; n < 2; n++) {
		struct fuse_file_info fi = opened(nodes[n]);

		for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
			queue.error = -errors[i];
			assert_int_equal(
				write_flags(0, nodes[n], &fi, "a line\n", 1, i % 2 ? O_DSYNC : 0),
				ERROR(errors[i]));
			assert_null(queue.sync); /* no sync without a record */
		}
	}
	assert_int_equal(fs.counters.too_long, 2);
	assert_int_equal(fs.counters.no_space, 2);
	assert_int_equal(fs.counters.full, 4);
	assert_int_equal(fs.counters.failed, 6);
}

static void a_durable_write_gets_its_reply_after_the_sync(void **state)
{
	const int flags[] = { O_DSYNC, O_SYNC, 0 };
	const uint64_t nodes[] = { APPEND, LINES };

	(void)state;
	for (size_t n = 0; n < 6; n++) {
		const uint64_t node = nodes[n % 2];
		struct fuse_file_info fi = opened(node);

		fs.options.sync = flags[n / 2] ? CHRONFS_SYNC_NONE : CHRONFS_SYNC_ALWAYS;
		assert_int_equal(write_flags(0, node, &fi, "bytes", 1, flags[n / 2]), NONE);
		assert_string_equal(records(), "bytes|"); /* an open line, too, must be durable */
		synced(n < 5 ? 0 : -EIO);
		assert_int_equal(reply_to(0), n < 5 ? 5 : ERROR(EIO));
	}
}

/* Only EIO says that the record may be there.  A sync that could not start must not look like a
 * refused record, which its writer would write again. */
static void a_failed_sync_is_eio_to_a_write(void **state)
{
	const int errors[] = { EIO, EMFILE, ENFILE, ENOMEM, EDQUOT };
	const uint64_t nodes[] = { APPEND, LINES };

	(void)state;
	for (size_t n = 0; n < 2 * (sizeof errors / sizeof errors[0]); n++) {
		const uint64_t node = nodes[n % 2];
		struct fuse_file_info fi = opened(node);

		assert_int_equal(write_flags(0, node, &fi, "bytes", 1, O_DSYNC), NONE);
		assert_string_equal(records(), "bytes|");
		synced(-errors[n / 2]);
		assert_int_equal(reply_to(0), ERROR(EIO));
	}
}

static void a_durable_write_without_memory_appends_nothing(void **state)
{
	const uint64_t nodes[] = { APPEND, LINES };

	(void)state;
	queue.no_memory = true;
	for (size_t n = 0; n < 2; n++) {
		struct fuse_file_info fi = opened(nodes[n]);

		assert_int_equal(write_flags(0, nodes[n], &fi, "line\n", 1, O_DSYNC),
		                 ERROR(ENOMEM));
		assert_int_equal(queue.count, 0);
	}
}

static void an_interrupted_open_leaves_nothing(void **state)
{
	struct fuse_file_info fi = { .flags = O_WRONLY };

	(void)state;
	requests[0].interrupted = true;
	chronfs_ops.open(REQ(0), APPEND, &fi);
	assert_null(chronfs_open_files_find(&fs, APPEND));
	chronfs_ops.open(REQ(0), LINES, &fi);
	assert_null(chronfs_open_files_find(&fs, LINES));
}

/* ---- append.lines ---- */

static void lines_are_joined_over_writes(void **state)
{
	struct fuse_file_info a = opened(LINES), b = opened(LINES);
	uint64_t files, bytes;

	(void)state;
	assert_int_equal(write_text(0, LINES, &a, "one\ntw"), 6);
	assert_string_equal(records(), "one\n|");
	assert_int_equal(write_text(0, LINES, &b, "other "), 6);
	assert_int_equal(write_text(0, LINES, &a, "o\nthree\nfo"), 10);
	assert_string_equal(records(), "two\n|three\n|");
	chronfs_lines_count(&fs, &files, &bytes);
	assert_int_equal(files, 2);
	assert_int_equal(bytes, 8);
	assert_int_equal(write_text(0, LINES, &b, "file\n"), 5);
	assert_string_equal(records(), "other file\n|");
	assert_int_equal(fs.counters.partials, 0);
	released(LINES, &a);
	assert_string_equal(records(), "fo|");
	assert_int_equal(fs.counters.partials, 1);
}

static void a_close_by_the_last_writer_appends_the_line(void **state)
{
	struct fuse_file_info fi = opened(LINES);

	(void)state;
	assert_int_equal(flush(0, &fi, 1), 0);
	assert_int_equal(write_flags(0, LINES, &fi, "of one", 1, 0), 6);
	assert_int_equal(flush(0, &fi, 2), 0); /* a child ends, for example */
	assert_string_equal(records(), "");
	assert_int_equal(write_flags(0, LINES, &fi, " and two", 2, 0), 8);
	assert_int_equal(flush(0, &fi, 1), 0);
	assert_string_equal(records(), "");
	assert_int_equal(flush(0, &fi, 2), 0);
	assert_string_equal(records(), "of one and two|");
	assert_int_equal(flush(0, &fi, 2), 0);
	assert_string_equal(records(), "");
}

static void fsync_appends_the_line_first(void **state)
{
	struct fuse_file_info fi = opened(LINES);

	(void)state;
	assert_int_equal(write_text(0, LINES, &fi, "open"), 4);
	assert_int_equal(fsync_lines(1, &fi), NONE);
	assert_string_equal(records(), "open|");
	synced(0);
	assert_int_equal(reply_to(1), 0);

	assert_int_equal(write_text(0, LINES, &fi, "open"), 4);
	queue.room = 0;
	assert_int_equal(fsync_lines(1, &fi), ERROR(EDQUOT));
	assert_null(queue.sync);
	queue.room = 8;
	assert_int_equal(write_text(0, LINES, &fi, "ed\n"), 3);
	assert_string_equal(records(), "opened\n|");
}

static void a_failure_within_a_write_makes_it_short(void **state)
{
	struct fuse_file_info fi = opened(LINES);

	(void)state;
	assert_int_equal(write_text(0, LINES, &fi, "be"), 2);
	queue.room = 0;
	assert_int_equal(write_text(0, LINES, &fi, "gin\nnext\n"), ERROR(EDQUOT));
	assert_int_equal(write_text(0, LINES, &fi, "g"), 1); /* needs no room */
	queue.room = 2;
	assert_int_equal(write_text(0, LINES, &fi, "in\nnext\nlast\nrest"), 8);
	assert_string_equal(records(), "begin\n|next\n|");
	queue.error = -EIO;
	assert_int_equal(write_text(0, LINES, &fi, "last\nrest"), ERROR(EIO));
	queue.room = 8;
	assert_int_equal(write_text(0, LINES, &fi, "last\nrest"), 9);
	assert_int_equal(flush(1, &fi, 1), 0);
	assert_string_equal(records(), "last\n|rest|");
}

/* Bytes that must be durable do not stay in an open line: the last ones are refused with the
 * rest. */
static void a_durable_write_can_be_short(void **state)
{
	struct fuse_file_info fi = opened(LINES);

	(void)state;
	queue.room = 1;
	assert_int_equal(write_flags(0, LINES, &fi, "one\ntwo", 1, O_DSYNC), NONE);
	assert_string_equal(records(), "one\n|");
	synced(0);
	assert_int_equal(reply_to(0), 4);
	assert_int_equal(fs.lines.bytes, 0);
}

static void memory_for_open_lines_is_bounded(void **state)
{
	struct fuse_file_info fi[5];
	char text[LIMIT];

	(void)state;
	memset(text, 'x', sizeof text);
	text[LIMIT - 1] = '\0';
	for (int i = 0; i < 5; i++) {
		fi[i] = opened(LINES);
		assert_int_equal(write_text(0, LINES, &fi[i], text),
		                 i < 4 ? LIMIT - 1 : ERROR(ENOBUFS));
	}
	assert_int_equal(write_text(0, LINES, &fi[4], "line\nrest"), 9); /* little is left */
	assert_int_equal(write_text(0, LINES, &fi[4], text), ERROR(ENOBUFS));
	assert_string_equal(records(), "line\n|");
	assert_int_equal(write_text(0, LINES, &fi[0], "x"), 1); /* the limit: a record */
	assert_int_equal(queue.count, 1);
}

static void an_open_line_times_out(void **state)
{
	struct fuse_file_info a = opened(LINES), b = opened(LINES);
	int ms;

	(void)state;
	assert_int_equal(chronfs_line_timeout_step(&fs), -1);
	fs.options.line_timeout_ms = 3600000;
	assert_int_equal(write_text(0, LINES, &a, "later"), 5);
	ms = chronfs_line_timeout_step(&fs);
	assert_in_range(ms, 3570000, 3600000);
	assert_string_equal(records(), "");

	fs.options.line_timeout_ms = 1;
	assert_int_equal(write_text(0, LINES, &a, "!"), 1); /* its time starts again */
	assert_int_equal(write_text(0, LINES, &b, "done\n"), 5);
	assert_string_equal(records(), "done\n|");
	queue.room = 0;
	while ((ms = chronfs_line_timeout_step(&fs)) < 100)
		assert_in_range(ms, 0, 1);
	assert_int_equal(ms, 100); /* full: tries again later */
	queue.room = 1;
	assert_int_equal(chronfs_line_timeout_step(&fs), -1);
	assert_string_equal(records(), "later!|");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_closed_sink_keeps_its_node),
		TEST(a_second_opener_gets_a_node_of_its_own),
		TEST(a_second_attempt_succeeds),
		TEST(who_will_not_try_again_is_let_in),
		TEST(many_second_openers),
		TEST(closes_of_what_a_shell_opens_are_not_reported),
		TEST(a_write_is_one_record),
		TEST(a_write_over_the_limit_appends_nothing),
		TEST(errors_of_the_queue_pass_through),
		TEST(a_durable_write_gets_its_reply_after_the_sync),
		TEST(a_failed_sync_is_eio_to_a_write),
		TEST(a_durable_write_without_memory_appends_nothing),
		TEST(an_interrupted_open_leaves_nothing),
		TEST(lines_are_joined_over_writes),
		TEST(a_close_by_the_last_writer_appends_the_line),
		TEST(fsync_appends_the_line_first),
		TEST(a_failure_within_a_write_makes_it_short),
		TEST(a_durable_write_can_be_short),
		TEST(memory_for_open_lines_is_bounded),
		TEST(an_open_line_times_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
