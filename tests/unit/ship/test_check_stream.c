/* SPDX-License-Identifier: Apache-2.0 */
/* test_check_stream.c - chronq ship --check and servers that fail, refuse and are silent; see check_stream_support.h */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "check_stream_support.h"
#include "shared/cli.h"
#include "wire/resume.h"

static void all_is_well(void **state)
{
	(void)state;
	opens();
	assert_int_equal(side.side.begins, 100);
	gives(100, 120, 0);
	assert_int_equal(world.consumers, 1);
	assert_int_equal(world.unreadable_count, 0);
}

static void answers_that_come_later(void **state)
{
	const struct failing some = { .error = -EAGAIN, .times = 5 };

	(void)state;
	world.open = world.info = world.message = world.consumer = some;
	opens();
	gives(100, 120, 0);
	assert_string_equal(world.text,
	                    "S: waiting: because"); /* it has taken more than two seconds */
}

static void answers_that_come_soon(void **state)
{
	const struct failing some = { .error = -EAGAIN, .times = 1 };

	(void)state;
	world.open = world.info = world.message = world.consumer = some;
	opens();
	gives(100, 120, 0);
	assert_string_equal(world.text, "");
}

static void answers_that_do_not_come(void **state)
{
	const struct failing all = { .error = -EAGAIN, .times = EVER };
	uint64_t next;

	(void)state;
	world.open = all;
	fails_to_open(CLI_IO, "S: no server");
	world.open.times = 0;
	world.info = all;
	fails_to_open(CLI_IO, "S: because");
	world.info.times = 0;
	world.message = all;
	assert_int_equal(stream_side_open(&side, &ship), CLI_OK);
	assert_int_equal(stream_side_begin(&side, UINT64_MAX, &next), CLI_IO);
	assert_string_equal(world.text, "S: because");
	world.message.times = 0;
	world.consumer = all;
	assert_int_equal(stream_side_begin(&side, UINT64_MAX, &next), CLI_IO);
	assert_string_equal(world.text, "S: no leader");
}

static void what_is_refused(void **state)
{
	const struct failing refused = { .error = -EACCES, .times = 1 };
	uint64_t next;

	(void)state;
	world.open = refused;
	fails_to_open(CLI_IO, "S: no server");
	world.info = refused;
	fails_to_open(CLI_IO, "S: because");
	world.info = (struct failing){ .error = -ENOENT, .times = 1 };
	fails_to_open(SHIP_NO_STREAM, "S: there is no such stream");
	world.description = "orders";
	fails_to_open(SHIP_FOREIGN, "S: the stream was not made by chronq ship");
	world.description = "chronq/2 identity=00000000000000000000000000000000";
	fails_to_open(SHIP_FOREIGN,
	              "S: the stream was not made by chronq ship, or by a later version");
	world.description = NULL;
	assert_int_equal(stream_side_open(&side, &ship), CLI_OK);
	world.message = refused;
	assert_int_equal(stream_side_begin(&side, UINT64_MAX, &next), CLI_IO);
	world.consumer = refused;
	assert_int_equal(stream_side_begin(&side, UINT64_MAX, &next), CLI_IO);
	assert_string_equal(world.text, "S: no leader");
}

static void consumers_that_lose_messages(void **state)
{
	(void)state;
	opens();
	world.stale_at = 7;
	world.stale = 3;
	gives(100, 120, 0);
	assert_int_equal(world.consumers, 4);
}

static void consumers_that_always_lose_messages(void **state)
{
	(void)state;
	opens();
	world.stale_at = 7;
	world.stale = EVER;
	gives(100, 106, -EIO);
	assert_string_equal(world.text, "S: no message comes");
}

/* A server's copy of a message is damaged; the leader has it. */
static void a_message_that_is_read_by_itself(void **state)
{
	struct compare_item item;

	(void)state;
	opens();
	world.silent_at = 7;
	for (unsigned n = 0; n < 7; n++) {
		assert_int_equal(side.side.next(side.side.arg, &item), 1);
		assert_int_equal(item.first, 100 + n);
	}
	world.silent_at = 0;
	gives(107, 120, 0);
	assert_int_equal(world.consumers, 2);
	assert_int_equal(world.unreadable_count, 0);
}

static void a_message_that_no_server_has(void **state)
{
	(void)state;
	opens();
	world.silent_at = 7;
	world.lost[7] = true;
	gives(100, 106, 1); /* the one behind it */
	assert_int_equal(world.unreadable_count, 1);
	assert_int_equal(world.unreadable[0][0], 7);
	assert_int_equal(world.unreadable[0][1], 8);
	gives(108, 120, 0);
}

static void a_message_that_may_not_be_read(void **state)
{
	(void)state;
	opens();
	world.silent_at = 7;
	world.message = (struct failing){ .error = -EACCES, .times = 1 };
	gives(100, 106, -EIO);
	assert_string_equal(world.text, "S: because");
}

static void streams_without_a_message(void **state)
{
	uint64_t next;

	(void)state;
	world.last = 0;
	assert_int_equal(stream_side_open(&side, &ship), CLI_OK);
	assert_int_equal(stream_side_begin(&side, 150, &next), CLI_OK);
	assert_int_equal(side.side.begins, 100); /* it never had one */
	gives(100, 100, 0);
	side.info.first_sequence = 21; /* all have expired: what was acknowledged was there */
	side.info.last_sequence = 20;
	assert_int_equal(stream_side_begin(&side, 150, &next), CLI_OK);
	assert_int_equal(side.side.begins, 150);
	assert_int_equal(stream_side_begin(&side, 50, &next), CLI_OK);
	assert_int_equal(side.side.begins, 100);
	assert_int_equal(stream_side_begin(&side, UINT64_MAX, &next), CLI_OK);
	assert_int_equal(side.side.begins, 100);
	gives(100, 100, 0);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, begin_test, end_test)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(all_is_well),
		TEST(answers_that_come_later),
		TEST(answers_that_come_soon),
		TEST(answers_that_do_not_come),
		TEST(what_is_refused),
		TEST(consumers_that_lose_messages),
		TEST(consumers_that_always_lose_messages),
		TEST(a_message_that_is_read_by_itself),
		TEST(a_message_that_no_server_has),
		TEST(a_message_that_may_not_be_read),
		TEST(streams_without_a_message),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
