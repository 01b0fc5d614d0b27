/* SPDX-License-Identifier: Apache-2.0 */
/* test_fetch_again.c - chronq fetch that goes on with a replica, and long frames */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "fetch_support.h"
#include "shared/cli.h"

static void the_last_record_cannot_be_compared(void **state)
{
	static const int errors[] = { -ENOENT, -EBADMSG, -EPROTONOSUPPORT };

	(void)state;
	ends(0, NULL);
	for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
		world.last++;
		world.message = (struct failing){ errors[i], 3, 1 };
		ends(0, NULL);
	}
	world.last++;
	world.message = (struct failing){ -EAGAIN, 3, 1 };
	ends(0, "waiting for the servers");
	replica_is(124, 24);
	world.heads[24] = (struct wire_head){ .kind = WIRE_GAP, .first = 123, .next = 124 };
	world.last++;
	ends(0, NULL);
	replica_is(125, 25);
}

static void long_frames(void **state)
{
	(void)state;
	for (uint64_t at = 20; at <= 30; at++)
		world.payload[at] = "";
	world.heads[20] = (struct wire_head){ .kind = WIRE_FRAME, .first = 119, .next = 719 };
	ends(0, NULL);
	replica_is(719, 619);
	world.heads[21] = (struct wire_head){ .kind = WIRE_FRAME, .first = 719, .next = 1231 };
	world.last = 21;
	ends(0, NULL);
	replica_is(1231, 1131);
	/* the disk is full in the middle of one */
	world.heads[22] = (struct wire_head){ .kind = WIRE_FRAME, .first = 1231, .next = 1900 };
	world.last = 22;
	world.append = (struct failing){ -ENOSPC, 1, 2 };
	ends(0, "waiting for room");
	replica_is(1900, 1800);
}

static void a_frame_without_a_place(void **state)
{
	(void)state;
	world.heads[1] = (struct wire_head){ .kind = WIRE_FRAME, .first = 90, .next = 101 };
	options.have_from = true;
	options.from = 95;
	ends(0, NULL);
	replica_is(120, 25);
}

static void falls_back_behind_damage(unsigned n)
{
	if (n == 2) {
		world.last = 10;
		world.stale = 1;
	}
	cli_stopped = n > 10;
}

static void damage_is_accepted_and_the_stream_falls_back(void **state)
{
	(void)state;
	world.strange[20] = EVER;
	options.ship.accept_gap = true;
	options.ship.once = false;
	world.idle = falls_back_behind_damage;
	ends(0, "the stream ends before record 110, and the replica has those up to 118");
	replica_is(119, 19);
}

static void stops(unsigned n)
{
	cli_stopped = n > 100;
}

static void an_empty_stream(void **state)
{
	(void)state;
	world.first = 21;
	options.ship.once = false;
	world.idle = stops;
	ends(0, NULL);
	assert_int_equal(world.consumers, 1);
}

/* Once a minute, not with each try. */
static void said_again(void **state)
{
	const char *first, *second;
	char text[sizeof world.text];

	(void)state;
	world.open = (struct failing){ -EAGAIN, 0, 25 };
	world.keep_text = true;
	ends(0, "S: no server answers");
	memcpy(text, world.text, sizeof text);
	first = strstr(text, "no server answers");
	second = strstr(first + 1, "no server answers");
	assert_non_null(second);
	assert_null(strstr(second + 1, "no server answers"));
}

static void a_signal_while_the_disk_is_full(void **state)
{
	(void)state;
	world.append = (struct failing){ -ENOSPC, 5, EVER };
	world.stops_after = 20;
	ends(0, "waiting for room");
	replica_is(105, 5);
}

static void a_signal_while_the_quota_is_used_up(void **state)
{
	(void)state;
	world.append = (struct failing){ -EDQUOT, 5, EVER };
	world.stops_after = 20;
	ends(0, "waiting for room");
	replica_is(105, 5);
}

/* A record in parts, and segments of another size than the source's. */
static void begins_with_parts(void **state)
{
	(void)state;
	world.last = 2;
	world.heads[1] = (struct wire_head){
		.kind = WIRE_PART, .first = 100, .next = 100, .part_length = 4
	};
	world.heads[2] = (struct wire_head){
		.kind = WIRE_PART, .first = 100, .next = 101, .part_offset = 2, .part_length = 4
	};
	options.have_from = true;
	options.from = 100;
	options.config.segment_size = 131072;
	ends(0, NULL);
	replica_is(101, 1);
	options.config.segment_size = 65536;
	ends(CLI_USAGE, "--segment-size must be that of the queue");
}

static void the_last_message_is_read_again(void **state)
{
	(void)state;
	world.strange[5] = world.strange[20] = 1;
	ends(0, NULL);
	replica_is(120, 20);
	assert_int_equal(world.consumers, 1);
}

/* The consumer gives nothing from there on, or not that message: each is read by its number. */
static void no_room_is_no_damage(void **state)
{
	(void)state;
	world.silent_at = 10;
	world.append = (struct failing){ -ENOSPC, 9, 20 };
	ends(0, "waiting for room");
	replica_is(120, 20);
	world.silent_at = 0;
	world.last = 23;
	world.passed[22] = EVER;
	world.append = (struct failing){ -EDQUOT, 1, 20 };
	ends(0, "waiting for room");
	replica_is(123, 23);
}

/* Records expire, and no consumer says so. */
static void what_expired_in_silence_is_missing(void **state)
{
	(void)state;
	ends(0, NULL);
	world.first = 25;
	world.last = 30;
	world.silent_at = 1;
	ends(SHIP_MISSING, "the stream has no more records 120 to 123");
	options.ship.accept_gap = true;
	ends(0, "records 120 to 123 are missing");
	replica_is(130, 26);
}

static void the_replica_cannot_be_closed(void **state)
{
	(void)state;
	world.close = (struct failing){ -EIO, 0, 1 };
	ends(CLI_IO, "Input/output error");
	world.queue = (struct failing){ -EIO, 0, 1 };
	ends(CLI_IO, "Input/output error");
}

/* Where the replica's last record cannot be read, nothing is said to differ. */
static void the_replica_cannot_be_read(void **state)
{
	(void)state;
	ends(0, NULL);
	world.payload[20] = "other";
	world.last = 21;
	world.reader = (struct failing){ -EIO, 0, EVER };
	ends(0, NULL);
	world.reader.times = 0;
	replica_is(121, 21);
}

static void an_empty_directory(void **state)
{
	(void)state;
	assert_int_equal(mkdir(options.dir, 0755), 0);
	ends(0, NULL);
	replica_is(120, 20);
}

static void metrics_without_a_server(void **state)
{
	char path[PATH_SIZE + 16], text[8192];
	size_t size;
	FILE *file;

	(void)state;
	(void)snprintf(path, sizeof path, "%s.prom", options.dir);
	options.ship.status = path;
	world.open = (struct failing){ -EAGAIN, 0, EVER };
	world.stops_after = 50;
	ends(0, "no server answers");
	file = fopen(path, "r");
	assert_non_null(file);
	size = fread(text, 1, sizeof text - 1, file);
	text[size] = '\0';
	assert_int_equal(fclose(file), 0);
	assert_non_null(strstr(text, "chronq_fetch_connected{"));
	assert_non_null(strstr(text, ",text=\"no server answers: because\"} 1\n"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin_test, end_test)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(the_last_record_cannot_be_compared),
		TEST(long_frames),
		TEST(a_frame_without_a_place),
		TEST(damage_is_accepted_and_the_stream_falls_back),
		TEST(an_empty_stream),
		TEST(said_again),
		TEST(a_signal_while_the_disk_is_full),
		TEST(a_signal_while_the_quota_is_used_up),
		TEST(begins_with_parts),
		TEST(the_last_message_is_read_again),
		TEST(no_room_is_no_damage),
		TEST(what_expired_in_silence_is_missing),
		TEST(the_replica_cannot_be_closed),
		TEST(the_replica_cannot_be_read),
		TEST(an_empty_directory),
		TEST(metrics_without_a_server),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
