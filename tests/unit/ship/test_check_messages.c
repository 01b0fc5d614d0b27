/* SPDX-License-Identifier: Apache-2.0 */
/* test_check_messages.c - chronq ship --check and messages that expire, are lost, or of others; see check_stream_support.h */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "check_stream_support.h"
#include "shared/cli.h"

static void messages_that_the_consumer_passes_over(void **state)
{
	(void)state;
	opens();
	world.silent_at = 7;
	world.passes = 3;
	world.lost[7] = world.lost[8] = world.lost[9] = true;
	gives(100, 120, 0);
	assert_int_equal(world.unreadable_count, 1);
	assert_int_equal(world.unreadable[0][0], 7);
	assert_int_equal(world.unreadable[0][1], 10);
}

static void the_stream_is_deleted_meanwhile(void **state)
{
	(void)state;
	opens();
	world.silent_at = 7;
	world.passes = 3;
	world.info = (struct failing){ .error = -ENOENT, .times = 1 };
	gives(100, 106, -EIO);
	assert_string_equal(world.text, "S: there is no such stream");
}

static void messages_expire_meanwhile(void **state)
{
	(void)state;
	opens();
	world.expires_at = 7;
	world.expires_to = 12;
	for (unsigned sequence = 7; sequence < 12; sequence++)
		world.lost[sequence] = true;
	gives(100, 120, 0);
	assert_int_equal(side.side.begins, 111);
	assert_int_equal(world.unreadable_count, 0);
}

/* Up to the ninth they have expired; the server has lost the next two. */
static void messages_expire_and_others_are_lost(void **state)
{
	(void)state;
	opens();
	world.silent_at = 9;
	world.passes = 3;
	world.expires_at = 7;
	world.expires_to = 9;
	for (unsigned sequence = 7; sequence < 12; sequence++)
		world.lost[sequence] = true;
	gives(100, 120, 0);
	assert_int_equal(world.unreadable_count, 1);
	assert_int_equal(world.unreadable[0][0], 9);
	assert_int_equal(world.unreadable[0][1], 12);
}

/* The first part of the record with which the stream begins now has expired. */
static void half_a_record_is_left(void **state)
{
	(void)state;
	world.parts[12] = true;
	opens();
	world.expires_at = 7;
	world.expires_to = 12;
	for (unsigned sequence = 7; sequence < 13; sequence++)
		world.lost[sequence] = true;
	gives(100, 120, 0);
	assert_int_equal(side.side.begins, 112);
}

static void the_stream_begins_later(void **state)
{
	(void)state;
	world.first = 5;
	opens();
	assert_int_equal(side.side.begins, 104);
	gives(104, 120, 0);
}

static void messages_of_others(void **state)
{
	uint64_t next;

	(void)state;
	world.strange[1] = world.strange[8] = world.strange[20] = true;
	assert_int_equal(stream_side_open(&side, &ship), CLI_OK);
	assert_int_equal(stream_side_begin(&side, UINT64_MAX, &next), CLI_OK);
	assert_int_equal(next, 0); /* the last one does not say */
	assert_int_equal(side.side.begins, 100);
	gives(100, 120, 0);
	assert_int_equal(side.side.begins, 101); /* what was before the second one is not known */
	assert_int_equal(world.unreadable_count, 3);
	assert_int_equal(world.unreadable[1][0], 8);
}

static void the_last_message_expires_first(void **state)
{
	uint64_t next;

	(void)state;
	world.lost[20] = true;
	assert_int_equal(stream_side_open(&side, &ship), CLI_OK);
	assert_int_equal(stream_side_begin(&side, UINT64_MAX, &next), CLI_OK);
	assert_int_equal(next, 0);
}

static void later_messages_are_not_compared(void **state)
{
	(void)state;
	world.grows_to = 30;
	assert_int_equal(stream_side_open(&side, &ship), CLI_OK);
	world.silent_at =
		19; /* both of the last two are lost, and the next one that comes is a later one */
	world.passes = 2;
	assert_int_equal(stream_side_begin(&side, UINT64_MAX, &(uint64_t){ 0 }), CLI_OK);
	gives(100, 118, 0);
	assert_int_equal(world.unreadable[0][0], 19);
	assert_int_equal(world.unreadable[0][1], 21);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, begin_test, end_test)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(messages_that_the_consumer_passes_over),
		TEST(the_stream_is_deleted_meanwhile),
		TEST(messages_expire_meanwhile),
		TEST(messages_expire_and_others_are_lost),
		TEST(half_a_record_is_left),
		TEST(the_stream_begins_later),
		TEST(messages_of_others),
		TEST(the_last_message_expires_first),
		TEST(later_messages_are_not_compared),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
