/* SPDX-License-Identifier: Apache-2.0 */
/* test_fetch_run.c - what chronq fetch says and does when servers, stream, messages or the replica's disk are not well */
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
#include <sys/stat.h>
#include <unistd.h>

#include "fetch_support.h"
#include "shared/cli.h"

/* ---- servers ---- */

static void servers_come_and_go(void **state)
{
	(void)state;
	world.open = (struct failing){ -EAGAIN, 0, 3 };
	ends(0, "S: no server answers: because");
	replica_is(120, 20);
	world.last = 25;
	world.open = (struct failing){ -EACCES, 0, 1 };
	world.info = (struct failing){ -EACCES, 0, 1 };
	world.consumer = (struct failing){ -EACCES, 0, 1 };
	ends(0, "S: the servers refuse this user: because");
	replica_is(125, 25);
	world.last = 26;
	world.info = (struct failing){ -EAGAIN, 0, 1 };
	ends(0, "S: waiting for the servers: because");
	world.last = 27;
	world.info = (struct failing){ -EACCES, 0, 1 };
	ends(0, "S: this user may not ask: because");
	world.last = 28;
	world.consumer = (struct failing){ -EAGAIN, 0, 8 };
	ends(0, "S: the stream cannot be followed: no leader");
	world.last = 29;
	world.consumer = (struct failing){ -EACCES, 0, 1 };
	ends(0, "fetch continues");
	replica_is(129, 29);
	world.open = (struct failing){ -EPROTO, 0, 1 };
	ends(CLI_IO, "S: because");
}

/* A server that hangs, and a connection that the servers have closed, are left for a new one. */
static void new_connections(void **state)
{
	(void)state;
	world.silent_at = 15;
	world.stale = 1;
	world.hangs = 1;
	world.message = (struct failing){ -EAGAIN, 0, 2 };
	ends(0, "S: waiting for the servers: because");
	assert_int_equal(world.opens, 2);
	world.last = 30;
	world.silent_at = 0;
	ends(0, NULL);
	replica_is(130, 30);
}

static void closes(unsigned n)
{
	if (n == 1) {
		world.closed = true;
		world.stale = 1;
	} else if (n == 2) {
		world.disconnected = true;
		world.stale = 1;
	}
	cli_stopped = n >= 4;
}

static void a_connection_that_is_closed(void **state)
{
	(void)state;
	options.ship.once = false;
	world.idle = closes;
	ends(0, NULL);
	assert_int_equal(world.opens, 2);
	replica_is(120, 20);
}

/* ---- streams ---- */

static void no_stream(void **state)
{
	(void)state;
	world.info = (struct failing){ -ENOENT, 0, EVER };
	ends(SHIP_NO_STREAM, "S: there is no such stream");
}

static void a_stream_that_is_deleted(void **state)
{
	(void)state;
	options.ship.once = false;
	world.stale = 1;
	world.info = (struct failing){ -ENOENT, 1, EVER };
	ends(SHIP_NO_STREAM, "S: the stream was deleted");
	replica_is(120, 20);
	/* servers that have just started may not know it yet */
	world.info = (struct failing){ -ENOENT, 0, 3 };
	world.last = 22;
	options.ship.once = true;
	ends(0, "S: waiting: the stream is not there");
	replica_is(122, 22);
	world.info = (struct failing){ -ENOENT, 0, EVER };
	ends(SHIP_NO_STREAM, "S: there is no such stream");
}

static void becomes_anothers(unsigned n)
{
	(void)n;
	world.identity = 8;
}

static void somebody_elses(void **state)
{
	(void)state;
	world.description = "orders of the shop";
	ends(SHIP_FOREIGN, "S: the stream was not made by chronq ship");
	world.description = "chronq/2 of a later version";
	ends(SHIP_FOREIGN, "not made by chronq ship, or by a later version");
	world.description = NULL;
	options.ship.once = false;
	world.idle = becomes_anothers;
	ends(SHIP_FOREIGN, "S: the stream was made again, for another queue");
	ends(SHIP_PROMOTED, "it is a replica of another queue than that of stream S");
}

static void comes_back(unsigned n)
{
	if (n == 3)
		world.last = 25;
	cli_stopped = n > 6;
}

/* An older copy of the stream leads: it gets the rest again. */
static void a_stream_that_falls_back(void **state)
{
	(void)state;
	ends(0, NULL);
	world.last = 10;
	options.ship.once = false;
	world.idle = comes_back;
	ends(0, "S: the stream ends before record 110, and the replica has those up to 119");
	replica_is(125, 25);
}

static void falls_back(unsigned n)
{
	if (n == 3)
		world.last = 10;
	if (world.consumers > 1)
		world.last = 22;
	cli_stopped = world.consumers > 1 && n > 100;
}

static void falls_back_while_nothing_comes(void **state)
{
	(void)state;
	options.ship.once = false;
	world.idle = falls_back;
	ends(0, "the stream ends before record 110");
	replica_is(122, 22);
}

static void another_history(void **state)
{
	(void)state;
	ends(0, NULL);
	world.payload[20] = "other";
	world.last = 21;
	ends(SHIP_DIFFERS, "record 119 of the replica is another one in stream S");
	/* what cannot be read cannot be compared */
	world.lost[20] = true;
	ends(0, NULL);
	replica_is(121, 21);
	world.last = 22;
	world.message = (struct failing){ -EAGAIN, 1, 1 };
	ends(0, "waiting for the servers");
	world.last = 23;
	world.message = (struct failing){ -EAGAIN, 2, 1 };
	ends(0, "waiting for the servers");
	replica_is(123, 23);
}

static void another_record_in_a_frame(void **state)
{
	(void)state;
	world.last = 5;
	ends(0, NULL);
	world.heads[3] = (struct wire_head){ .kind = WIRE_FRAME, .first = 102, .next = 112 };
	world.last = 3;
	ends(0, NULL);
	replica_is(112, 12);
	world.payload[3] = "other";
	world.heads[3].next = 114;
	ends(SHIP_DIFFERS, "record 111 of the replica is another one in stream S");
}

/* ---- messages ---- */

static void a_damaged_copy_is_read_again(void **state)
{
	(void)state;
	world.strange[5] = 1;
	world.strange[20] = 2;
	ends(0, NULL);
	replica_is(120, 20);
}

static void a_message_that_all_servers_have_damaged(void **state)
{
	(void)state;
	world.strange[5] = EVER;
	ends(SHIP_DAMAGED, "S: message 5 of the stream is damaged");
	replica_is(104, 4);
	options.ship.accept_gap = true;
	ends(0, "S: records 104 to 104 are missing: accepted as a gap");
	replica_is(120, 19);
}

static void the_last_message_is_damaged(void **state)
{
	(void)state;
	world.strange[20] = EVER;
	options.ship.accept_gap = true;
	ends(0, "S: message 20 of the stream is damaged or lost: passed over");
	replica_is(119, 19);
}

static void passed_over_on_the_way(void **state)
{
	(void)state;
	world.passed[5] = world.passed[6] = 1;
	ends(0, NULL);
	replica_is(120, 20);
}

static void lost_by_all_servers(void **state)
{
	(void)state;
	world.lost[5] = world.lost[6] = true;
	ends(SHIP_DAMAGED, "S: the stream has no more records 104 to 105");
	options.ship.accept_gap = true;
	world.skip = (struct failing){ -EIO, 0, 1 };
	ends(CLI_IO, "Input/output error");
	/* the replica's own positions are further than the source's */
	world.heads[7] = (struct wire_head){ .first = 106, .next = 107, .have_stream = true };
	world.heads[7].stream = 1;
	world.skip = (struct failing){ -ERANGE, 0, 1 };
	ends(0, "records 104 to 105 are missing: accepted as a gap");
	replica_is(120, 18);
}

static void expired(void **state)
{
	(void)state;
	world.last = 4;
	ends(0, NULL);
	world.first = 10;
	world.last = 20;
	ends(SHIP_MISSING, "S: the stream has no more records 104 to 108");
	options.ship.accept_gap = true;
	world.info = (struct failing){ -EAGAIN, 1, 1 };
	ends(0, "S: records 104 to 108 are missing: accepted as a gap");
	replica_is(120, 15);
}

static void where_a_new_replica_begins(void **state)
{
	(void)state;
	options.have_from = true;
	options.from = 90;
	ends(SHIP_MISSING, "S: the stream has no more records 90 to 99");
	options.from = 200;
	ends(0, NULL);
	options.ship.accept_gap = true;
	options.from = 90;
	ends(0, "records 90 to 99 are missing: accepted as a gap");
	replica_is(120, 20);
}

static void in_the_middle_of_a_frame(void **state)
{
	(void)state;
	world.heads[1] = (struct wire_head){
		.kind = WIRE_FRAME, .first = 90, .next = 100, .have_stream = true, .stream = 4096
	};
	world.heads[2] = (struct wire_head){ .kind = WIRE_GAP, .first = 100, .next = 102 };
	world.heads[20] = (struct wire_head){ .kind = WIRE_GAP, .first = 119, .next = 130 };
	options.have_from = true;
	options.from = 95;
	ends(0, NULL);
	replica_is(119, 22);
}

static void begins_behind_a_gap(void **state)
{
	(void)state;
	world.heads[1] = (struct wire_head){ .kind = WIRE_GAP, .first = 90, .next = 101 };
	options.have_from = true;
	options.from = 95;
	ends(0, NULL);
	replica_is(120, 19);
}

static void parts(uint64_t at)
{
	for (uint64_t i = 0; i < 2; i++)
		world.heads[at + i] = (struct wire_head){ .kind = WIRE_PART,
			                                  .first = at + 99,
			                                  .next = at + 99 + i,
			                                  .part_offset = 2 * i,
			                                  .part_length = 4 };
	for (uint64_t i = at + 2; i <= world.last; i++)
		world.heads[i] = (struct wire_head){ .first = i + 98, .next = i + 99 };
}

static void a_record_in_parts(void **state)
{
	(void)state;
	parts(5);
	world.append = (struct failing){ -ENOSPC, 4, 2 };
	ends(0, "No space left on device: waiting for room");
	replica_is(119, 19);
}

static void parts_whose_beginning_is_gone(void **state)
{
	(void)state;
	parts(5);
	world.first = 6;
	ends(0, NULL); /* it begins behind it */
	replica_is(119, 14);
}

static void a_replica_without_the_beginning(void **state)
{
	(void)state;
	parts(5);
	options.have_from = true;
	options.from = 104;
	world.first = 6;
	ends(SHIP_MISSING, "S: the stream has no more records 104 to 104");
	options.have_from = false;
	world.first = 1;
	world.last = 4;
	ends(0, NULL);
	world.first = 6;
	world.last = 20;
	ends(SHIP_MISSING, "S: the stream has no more records 104 to 104");
	options.ship.accept_gap = true;
	ends(0, "records 104 to 104 are missing: accepted as a gap");
	replica_is(119, 18);
}

/* ---- a consumer that gives nothing ---- */

static void speaks(unsigned n)
{
	cli_stopped = n > 400;
}

static void silent(void **state)
{
	(void)state;
	world.silent_at = 15;
	ends(0, NULL); /* each message is read */
	replica_is(120, 20);
	options.ship.once = false;
	world.silent_at = 0;
	world.idle = speaks;
	ends(0, NULL); /* nothing is due, which is no trouble */
}

static void expires_while_silent(unsigned n)
{
	if (n == 25)
		world.first = 18;
}

static void silent_until_it_expired(void **state)
{
	(void)state;
	world.silent_at = 15;
	world.one_silent = true;
	world.idle = expires_while_silent;
	options.ship.accept_gap = true;
	ends(0, "records 114 to 116 are missing: accepted as a gap");
	replica_is(120, 17);
}

static void silent_and_lost(void **state)
{
	(void)state;
	world.silent_at = 15;
	world.strange[15] = EVER;
	ends(SHIP_DAMAGED, "S: message 15 of the stream is damaged");
	replica_is(114, 14);
}

/* ---- the replica ---- */

static void errors_of_appends(void **state)
{
	(void)state;
	world.append = (struct failing){ -EIO, 2, 1 };
	ends(CLI_IO, "Input/output error");
	world.append = (struct failing){ -EMSGSIZE, 2, 1 };
	ends(CLI_IO, "record 104 is larger than a segment of the replica holds");
	world.append = (struct failing){ -EDQUOT, 2, 4 };
	ends(0, "waiting for room");
	replica_is(120, 20);
}

static void errors_of_opens(void **state)
{
	static const struct {
		int error, code;
		const char *text;
	} cases[] = {
		{ -EINVAL, CLI_USAGE, "--segment-size must be that of the queue" },
		{ -EBUSY, CLI_IO, "another writer has the queue" },
		{ -ENOLINK, SHIP_PROMOTED, "the queue is a replica of another queue than" },
		{ -EIO, CLI_IO, "Input/output error" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		world.writer = (struct failing){ cases[i].error, 0, 1 };
		ends(cases[i].code, cases[i].text);
	}
}

static void no_replica(void **state)
{
	struct cq_config config;
	cq_writer *writer;
	int fd;

	(void)state;
	fd = open(options.dir, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
	ends(CLI_IO, "Not a directory");
	assert_int_equal(unlink(options.dir), 0);
	cq_config_init(&config);
	config.segment_size = 65536;
	assert_int_equal(cq_writer_open(options.dir, &config, &writer), 0);
	assert_int_equal(cq_writer_close(writer), 0);
	ends(SHIP_PROMOTED, "the queue is no replica, or was promoted");
}

/* ---- metrics ---- */

static void metrics(void **state)
{
	char path[PATH_SIZE + 16], text[8192];
	FILE *file;
	size_t size;

	(void)state;
	options.ship.status = "";
	ends(CLI_IO, "Invalid argument");
	(void)snprintf(path, sizeof path, "%s.prom", options.dir);
	options.ship.status = path;
	world.stale = 1;
	world.silent_at = 20;
	world.consumer = (struct failing){ -EAGAIN, 1, 3 };
	world.info = (struct failing){ -EAGAIN, 0, 3 };
	ends(0, "the stream cannot be followed");
	file = fopen(path, "r");
	assert_non_null(file);
	size = fread(text, 1, sizeof text - 1, file);
	text[size] = '\0';
	assert_int_equal(fclose(file), 0);
	assert_non_null(strstr(text, "chronq_fetch_records_total{"));
	assert_non_null(strstr(text, "stream=\"S\"} 20\n"));
	(void)snprintf(path, sizeof path, "%s.none/x", options.dir);
	world.last = 21;
	ends(0, "metrics are not written");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin_test, end_test)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(servers_come_and_go),
		TEST(new_connections),
		TEST(a_connection_that_is_closed),
		TEST(no_stream),
		TEST(a_stream_that_is_deleted),
		TEST(somebody_elses),
		TEST(a_stream_that_falls_back),
		TEST(falls_back_while_nothing_comes),
		TEST(another_history),
		TEST(another_record_in_a_frame),
		TEST(a_damaged_copy_is_read_again),
		TEST(a_message_that_all_servers_have_damaged),
		TEST(the_last_message_is_damaged),
		TEST(passed_over_on_the_way),
		TEST(lost_by_all_servers),
		TEST(expired),
		TEST(where_a_new_replica_begins),
		TEST(in_the_middle_of_a_frame),
		TEST(begins_behind_a_gap),
		TEST(a_record_in_parts),
		TEST(parts_whose_beginning_is_gone),
		TEST(a_replica_without_the_beginning),
		TEST(silent),
		TEST(silent_until_it_expired),
		TEST(silent_and_lost),
		TEST(errors_of_appends),
		TEST(errors_of_opens),
		TEST(no_replica),
		TEST(metrics),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
