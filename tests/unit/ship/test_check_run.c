/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_check_run.c - the exit code of chronq ship --check where there is nothing to compare
 *
 * check.c alone; both sides are played here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check/check.h"
#include "check/queue_side.h"
#include "check/stream_side.h"
#include "shared/cli.h"
#include "wire/resume.h"

static struct {
	int queue_open, stream_open, stream_begin, queue_begin; /* what they return */
	int queue_next, stream_next;
	bool other_queue;
	bool replica, other_source, unreadable;
	unsigned queue_closed, stream_closed;
	char text[256];
} world;

static int next_of_queue(void *arg, struct compare_item *ret_item)
{
	struct queue_side *side = arg;

	(void)ret_item;
	return side->error = world.queue_next;
}

static int next_of_stream(void *arg, struct compare_item *ret_item)
{
	struct stream_side *side = arg;

	(void)ret_item;
	if (world.unreadable)
		side->unreadable(side->unreadable_arg, 4, 6);
	world.unreadable = false;
	return world.stream_next;
}

int queue_side_open(struct queue_side *side, const char *dir, bool visible)
{
	assert_string_equal(dir, "q");
	assert_true(visible);
	side->expected = 5;
	side->committed = 3;
	side->identity[0] = world.other_queue;
	side->replica = world.replica;
	side->source[0] = world.other_source;
	return world.queue_open;
}

void queue_side_close(struct queue_side *side)
{
	(void)side;
	world.queue_closed++;
}

int queue_side_begin(struct queue_side *side, uint64_t stream_begins, uint64_t limit)
{
	assert_int_equal(stream_begins, 2);
	assert_int_equal(limit, 7); /* the stream's end, as it is behind the queue's */
	side->side.next = next_of_queue;
	side->side.arg = side;
	return world.queue_begin;
}

int stream_side_open(struct stream_side *side, const struct ship_options *ship)
{
	assert_string_equal(ship->url.name, "S");
	assert_non_null(side->unreadable);
	return world.stream_open;
}

void stream_side_close(struct stream_side *side)
{
	(void)side;
	world.stream_closed++;
}

int stream_side_begin(struct stream_side *side, uint64_t committed, uint64_t *ret_next)
{
	assert_int_equal(committed, 3);
	side->side.next = next_of_stream;
	side->side.arg = side;
	side->side.begins = 2;
	*ret_next = 7;
	return world.stream_begin;
}

void cli_note(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(world.text, sizeof world.text, format, arguments);
	va_end(arguments);
}

int cli_fail(const char *subject, int error)
{
	cli_note("%s: error %d", subject, -error);
	return CLI_IO;
}

void cli_meter_clear(void)
{
}

/* ---- the tests ---- */

static int begin_test(void **state)
{
	(void)state;
	memset(&world, 0, sizeof world);
	return 0;
}

/* What was opened is closed. */
static void gives(int code, const char *text)
{
	static const struct ship_options ship = { .url.name = "S" };
	const struct check_options options = { .dir = "q", .ship = &ship, .visible = true };

	assert_int_equal(check_run(&options), code);
	assert_string_equal(world.text, text);
	assert_int_equal(world.queue_closed, 1);
	assert_int_equal(world.stream_closed, world.queue_open == CLI_OK);
}

static void no_queue(void **state)
{
	(void)state;
	world.queue_open = CLI_IO;
	gives(CLI_IO, "");
}

static void no_stream(void **state)
{
	(void)state;
	world.stream_open = SHIP_NO_STREAM;
	gives(SHIP_NO_STREAM, "");
}

static void another_queue(void **state)
{
	(void)state;
	world.other_queue = true;
	gives(SHIP_FOREIGN, "S: the stream is of another queue than q");
}

static void the_first_message_cannot_be_read(void **state)
{
	(void)state;
	world.stream_begin = CLI_IO;
	gives(CLI_IO, "");
}

static void the_place_in_the_queue_cannot_be_read(void **state)
{
	(void)state;
	world.queue_begin = -EIO;
	gives(CLI_IO, "q: error 5");
}

static void the_queue_fails_meanwhile(void **state)
{
	(void)state;
	world.queue_next = -ENOMEM;
	gives(CLI_IO, "q: error 12");
}

static void the_stream_fails_meanwhile(void **state)
{
	(void)state;
	world.stream_next = -EIO;
	gives(CLI_IO, "");
}

/* The same, and prints these lines. */
static void prints(int code, const char *lines)
{
	FILE *const output = stdout;
	char *printed = NULL;
	size_t size;

	stdout = open_memstream(&printed, &size);
	assert_non_null(stdout);
	gives(code, "");
	(void)fclose(stdout);
	stdout = output;
	assert_string_equal(printed, lines);
	free(printed);
}

/* All is compared with what the replica's source has shipped, or with what it has shipped itself. */
static void replicas(void **state)
{
	(void)state;
	world.replica = true;
	prints(CLI_OK, "sound: 0 the same\n");
	begin_test(NULL);
	world.replica = world.other_queue = true;
	prints(CLI_OK, "sound: 0 the same\n");
	begin_test(NULL);
	world.replica = world.other_queue = world.other_source = true;
	gives(SHIP_FOREIGN, "S: the stream is of another queue than q");
}

static void nothing_but_what_cannot_be_read(void **state)
{
	(void)state;
	world.unreadable = true;
	prints(CLI_PROBLEM,
	       "messages 4 to 5 of the stream: lost, or not of chronq ship\n"
	       "not as it should be: 0 the same; 2 messages of the stream cannot be read\n");
}

#define TEST(test) cmocka_unit_test_setup(test, begin_test)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(no_queue),
		TEST(no_stream),
		TEST(another_queue),
		TEST(the_first_message_cannot_be_read),
		TEST(the_place_in_the_queue_cannot_be_read),
		TEST(the_queue_fails_meanwhile),
		TEST(the_stream_fails_meanwhile),
		TEST(replicas),
		TEST(nothing_but_what_cannot_be_read),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
