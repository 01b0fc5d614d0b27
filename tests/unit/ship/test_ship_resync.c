/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_ship_resync.c - ship asks where to continue, and gets answers that servers give for a moment only
 *
 * resync.c alone; servers, queue and clock are played here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "shared/cli.h"
#include "ship/ship.h"

static struct {
	/* the stream, as the servers show it */
	int connect;                         /* what ship_connect() gives */
	int info;                            /* error of jet_info() */
	int message;                         /* error of jet_message() */
	int create;                          /* error of jet_create() */
	int attach, describe, seek, compose; /* errors of other calls */
	int64_t max_payload;
	int replicas;
	unsigned version[3];
	struct stream_about about;
	bool last_is_gap;
	uint64_t messages, last_sequence;
	bool foreign_last;
	/* what ship did */
	unsigned creates, begins, connects, closes, said;
	uint64_t created_frame_size, frame_size;
	uint64_t expected_last, next, sought;
	char text[256];
	uint64_t now;
	struct resume_queue queue;
} world;

static struct ship_settings settings;
static struct ship ship;
static const uint8_t identity[CQ_IDENTITY_SIZE] = { 7 };

/* ---- played ---- */

int ship_connect(struct ship *this, const struct jet_options *options, char why[JET_WHY_MAX])
{
	(void)options;
	(void)snprintf(why, JET_WHY_MAX, "why not");
	world.connects++;
	if (world.connect == 0)
		this->jet = (struct jet *)&world;
	return world.connect;
}

void jet_close(struct jet *jet)
{
	world.closes += jet != NULL;
}

natsConnection *jet_connection(struct jet *jet)
{
	return (natsConnection *)jet;
}

const char *jet_why(struct jet *jet)
{
	(void)jet;
	return "why";
}

int64_t natsConnection_GetMaxPayload(natsConnection *nc)
{
	(void)nc;
	return world.max_payload;
}

int jet_info(struct jet *jet, struct jet_info *ret_info)
{
	(void)jet;
	if (world.info < 0)
		return world.info;
	*ret_info = (struct jet_info){
		.last_sequence = world.last_sequence,
		.messages = world.messages,
		.max_payload = world.max_payload,
		.replicas = world.replicas,
	};
	memcpy(ret_info->server_version, world.version, sizeof world.version);
	stream_about_put(ret_info->description, &world.about);
	return 0;
}

int jet_create(struct jet *jet, const struct jet_create *create)
{
	struct stream_about about;

	(void)jet;
	assert_int_equal(stream_about_get(create->description, &about), 0);
	world.created_frame_size = about.frame_size;
	world.creates++;
	return world.create;
}

static int put_header(void *arg, const char *name, const char *value)
{
	return natsMsgHeader_Set(arg, name, value) == NATS_OK ? 0 : -ENOMEM;
}

int jet_message(struct jet *jet, uint64_t sequence, natsMsg **ret_message)
{
	const struct wire_head gap = { .kind = WIRE_GAP, .first = 3, .next = 5 };
	const struct wire_head frame = {
		.kind = WIRE_FRAME,
		.first = 3,
		.next = 5,
		.last = { .epoch = 1, .crc = 2, .time_ns = 3 },
	};

	(void)jet;
	assert_int_equal(sequence, world.last_sequence);
	if (world.message < 0)
		return world.message;
	assert_int_equal(natsMsg_Create(ret_message, "chronq.S", NULL, "x", 1), NATS_OK);
	if (!world.foreign_last)
		assert_int_equal(
			wire_head_put(world.last_is_gap ? &gap : &frame, put_header, *ret_message),
			0);
	return 0;
}

int publish_attach(struct publish *publish, struct jet *jet)
{
	(void)publish;
	(void)jet;
	return world.attach;
}

void publish_detach(struct publish *publish)
{
	(void)publish;
}

void publish_wake(void *arg)
{
	(void)arg;
}

void publish_begin(struct publish *publish, uint64_t sequence, uint64_t next)
{
	(void)publish;
	world.begins++;
	world.expected_last = sequence;
	world.next = next;
}

int source_describe(struct source *source, bool have_last, uint64_t last,
                    struct resume_queue *ret_queue)
{
	(void)source;
	*ret_queue = world.queue;
	assert_true(!have_last || !world.last_is_gap);
	ret_queue->have_record = have_last && last == 4;
	ret_queue->record = (struct wire_fingerprint){ .epoch = 1, .crc = 2, .time_ns = 3 };
	return world.describe;
}

int source_seek(struct source *source, uint64_t seq)
{
	(void)source;
	world.sought = seq;
	return world.seek;
}

int compose_set(struct compose *compose, enum stream_format format, size_t frame_size, size_t most)
{
	(void)compose;
	(void)format;
	assert_true(frame_size > 0 && most > 0);
	world.frame_size = frame_size;
	return world.compose;
}

void compose_begin(struct compose *compose, uint64_t part_offset)
{
	(void)compose;
	assert_int_equal(part_offset, 0);
}

void ship_house_cut(struct ship *s, uint64_t next)
{
	(void)s;
	(void)next;
}

uint64_t ship_now_ms(void)
{
	return world.now;
}

__attribute__((format(printf, 1, 0))) static void note(const char *format, va_list arguments)
{
	world.said++;
	(void)vsnprintf(world.text, sizeof world.text, format, arguments);
}

void ship_say(struct ship *s, const char *format, ...)
{
	va_list arguments;

	(void)s;
	va_start(arguments, format);
	note(format, arguments);
	va_end(arguments);
}

void cli_note(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	note(format, arguments);
	va_end(arguments);
}

int cli_fail(const char *subject, int error)
{
	(void)subject;
	(void)error;
	return CLI_IO;
}

/* ---- tests ---- */

/* The queue has the records 2 to 9; the stream 7 messages, the last of which ends with record 4. */
static int setup(void **state)
{
	(void)state;
	memset(&world, 0, sizeof world);
	memset(&settings, 0, sizeof settings);
	memset(&ship, 0, sizeof ship);
	ship.settings = &settings;
	ship.stream = "S";
	ship.source.dir = "/q";
	world.now = 1000;
	world.max_payload = 1 << 20;
	world.about = (struct stream_about){
		.identity = { 7 }, .format = STREAM_FRAMES, .first = 2, .segment_size = 65536
	};
	world.messages = world.last_sequence = 7;
	world.queue.first_seq = 2;
	world.queue.next_seq = 10;
	world.queue.committed = 2;
	memcpy(world.queue.identity, identity, sizeof identity);
	memcpy(ship.source.identity, identity, sizeof identity);
	return 0;
}

static void expired_while_it_is_asked(void **state)
{
	(void)state;
	world.message = -ENOENT;
	assert_int_equal(ship_resync(&ship), -EAGAIN);
	assert_int_equal(world.begins, 0);
	/* then the servers say how it is: nothing is left */
	world.messages = 0;
	world.now += 100;
	assert_int_equal(ship_resync(&ship), 0);
	assert_int_equal(world.begins, 1);
	assert_int_equal(world.expected_last, 7);
	assert_int_equal(world.sought, 2);
}

static void a_last_message_that_stays_away(void **state)
{
	int r = -EAGAIN;

	(void)state;
	world.message = -ENOENT;
	for (; r == -EAGAIN && world.now < 60000; world.now += 500)
		r = ship_resync(&ship);
	assert_int_equal(r, SHIP_DIFFERS);
	assert_non_null(strstr(world.text, "last message was deleted"));
	assert_true(world.now > 5000);
	assert_int_equal(world.begins, 0);
}

/* Each time is another one: no doubt lasts from one to the next. */
static void doubts_are_separate(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		world.message = -ENOENT;
		assert_int_equal(ship_resync(&ship), -EAGAIN);
		world.now += 1000;
		world.message = 0;
		assert_int_equal(ship_resync(&ship), 0);
		world.now += 1000;
	}
}

static void a_last_message_of_somebody_else(void **state)
{
	(void)state;
	world.foreign_last = true;
	assert_int_equal(ship_resync(&ship), SHIP_FOREIGN);
	assert_int_equal(world.begins, 0);
}

/* Servers that have just started may not know the stream of a queue that was shipped before.  It is not made again at
 * their first word. */
static void not_known_yet(void **state)
{
	(void)state;
	settings.create = true;
	ship.source.committed = 4;
	world.info = -ENOENT;
	assert_int_equal(ship_resync(&ship), -EAGAIN);
	world.now += 500;
	assert_int_equal(ship_resync(&ship), -EAGAIN);
	assert_int_equal(world.creates, 0);
	world.info = 0;
	assert_int_equal(ship_resync(&ship), 0);
	assert_int_equal(world.next, 5);
	assert_int_equal(world.creates, 0);
}

static void made_once(void **state)
{
	int r = -EAGAIN;

	(void)state;
	settings.create = true;
	world.info = -ENOENT;
	assert_int_equal(ship_resync(&ship),
	                 -EINPROGRESS); /* at once: this queue was never shipped */
	assert_int_equal(world.creates, 1);
	assert_int_equal(ship_resync(&ship), -EAGAIN); /* the servers have to tell each other */
	world.info = 0;
	world.messages = world.last_sequence = 0;
	world.now += 100;
	assert_int_equal(ship_resync(&ship), 0);
	assert_int_equal(world.expected_last, 0);
	/* deleted later: it is not made again */
	world.info = -ENOENT;
	for (; r == -EAGAIN && world.now < 60000; world.now += 500)
		r = ship_resync(&ship);
	assert_int_equal(r, SHIP_NO_STREAM);
	assert_int_equal(world.creates, 1);
}

/* Whatever a server answers, there is a pause before it is asked again. */
static void cannot_be_made(void **state)
{
	static const int errors[] = { -EEXIST, -EAGAIN, -EACCES };

	(void)state;
	settings.create = true;
	world.info = -ENOENT;
	for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
		world.create = errors[i];
		world.said = 0;
		assert_int_equal(ship_resync(&ship), errors[i]);
		assert_int_equal(world.said, 1);
	}
	world.create = -EPROTO;
	assert_int_equal(ship_resync(&ship), CLI_IO);
}

static void no_stream_and_no_create(void **state)
{
	int r = -EAGAIN;

	(void)state;
	world.info = -ENOENT;
	assert_int_equal(ship_resync(&ship), SHIP_NO_STREAM); /* never shipped: at once */
	ship.source.committed = 4;
	ship.gone_since = 0;
	for (; r == -EAGAIN && world.now < 60000; world.now += 500)
		r = ship_resync(&ship);
	assert_int_equal(r, SHIP_NO_STREAM);
	assert_int_equal(world.creates, 0);
}

/* A signal, or a commit that fails meanwhile: nothing is said about the servers. */
static void ended_while_it_connects(void **state)
{
	(void)state;
	world.connect = -EINTR;
	assert_int_equal(ship_resync(&ship), -EINTR);
	world.connect = CLI_IO;
	assert_int_equal(ship_resync(&ship), CLI_IO);
	assert_int_equal(world.said, 0);
	world.connect = -EAGAIN;
	assert_int_equal(ship_resync(&ship), -EAGAIN);
	assert_int_equal(world.said, 1);
}

static void a_closed_connection(void **state)
{
	(void)state;
	assert_int_equal(ship_resync(&ship), 0);
	world.info = -ENOTCONN;
	assert_int_equal(ship_resync(&ship), -ENOTCONN);
	world.info = 0;
	assert_int_equal(ship_resync(&ship), 0);
	assert_int_equal(world.connects, 2);
}

static void connections_that_fail(void **state)
{
	static const int pass[] = { -EAGAIN, -EACCES, -EPROTO };

	(void)state;
	for (size_t i = 0; i < sizeof pass / sizeof pass[0]; i++) {
		world.connect = pass[i];
		assert_int_equal(ship_resync(&ship), pass[i]);
		assert_string_equal(world.text, pass[i] == -EACCES
		                                        ? "the servers refuse this user: why not"
		                                        : "why not");
	}
	world.connect = -ENOENT; /* a file of the options: no later try is better */
	assert_int_equal(ship_resync(&ship), CLI_IO);
	assert_string_equal(world.text, "S: why not");
	world.connect = 0;
	world.attach = -EAGAIN; /* it was lost at once */
	assert_int_equal(ship_resync(&ship), -EAGAIN);
	assert_int_equal(world.closes, 1);
	world.attach = 0;
	world.message = -EAGAIN; /* no leader, between two questions */
	assert_int_equal(ship_resync(&ship), -EAGAIN);
	assert_int_equal(world.begins, 0);
	world.message = 0;
	assert_int_equal(ship_resync(&ship), 0);
	assert_int_equal(world.begins, 1);
}

/* A gap has no record that both sides could compare. */
static void the_last_message_is_a_gap(void **state)
{
	(void)state;
	world.last_is_gap = true;
	assert_int_equal(ship_resync(&ship), 0);
	assert_int_equal(world.next, 5);
}

static void errors_of_the_queue(void **state)
{
	(void)state;
	world.describe = -EIO;
	assert_int_equal(ship_resync(&ship), CLI_IO);
	world.describe = 0;
	world.seek = -EIO;
	assert_int_equal(ship_resync(&ship), CLI_IO);
	world.seek = 0;
	world.compose = -ENOMEM;
	assert_int_equal(ship_resync(&ship), -ENOMEM); /* tried again after a pause */
	assert_int_equal(world.begins, 0);
}

static void too_small(int64_t max_payload, const char *text)
{
	world.max_payload = max_payload;
	assert_int_equal(ship_resync(&ship), CLI_IO);
	assert_string_equal(world.text, text);
	assert_int_equal(world.begins + world.creates, 0);
}

/* Servers that take small messages only: the headers need their place, too. */
static void messages_that_are_too_small(void **state)
{
	(void)state;
	too_small(1000, "S: takes messages of 1000 bytes only");
	too_small(2047, "S: takes messages of 2047 bytes only");
	world.about.message_size = 4096; /* the servers take less than the stream was made for */
	too_small(5119, "S: takes messages of 5119 bytes only");
	settings.create = true;
	world.info = -ENOENT;
	too_small(2047, "S: takes messages of 2047 bytes only");
}

static void sizes_of_frames(void **state)
{
	(void)state;
	assert_int_equal(ship_resync(&ship), 0);
	assert_int_equal(world.frame_size, SHIP_FRAME_SIZE);
	settings.frame_size = 4096; /* the stream does not say */
	settings.have_format = true;
	assert_int_equal(ship_resync(&ship), 0);
	assert_int_equal(world.frame_size, 4096);
	world.about.frame_size = world.about.message_size = 8192;
	settings.frame_size = 1 << 20; /* no frame is larger than a message */
	assert_int_equal(ship_resync(&ship), 0);
	assert_int_equal(world.frame_size, 8192);
	setup(NULL);
	settings.create = true;
	world.info = -ENOENT;
	world.max_payload = 10000;
	assert_int_equal(ship_resync(&ship), -EINPROGRESS);
	assert_int_equal(world.created_frame_size, 10000 - 1024);
}

static void version_is(unsigned major, unsigned minor, unsigned patch, int replicas, unsigned said)
{
	setup(NULL);
	world.replicas = replicas;
	world.version[0] = major;
	world.version[1] = minor;
	world.version[2] = patch;
	assert_int_equal(ship_resync(&ship), 0);
	assert_int_equal(ship_resync(&ship), 0);
	assert_int_equal(world.said, said); /* once */
}

static void servers_that_lose_streams(void **state)
{
	(void)state;
	version_is(2, 9, 10, 3, 1);
	assert_string_equal(
		world.text,
		"S: nats-server 2.9.10 may lose a stream when most servers of a cluster are killed: use 2.10.23 or later");
	version_is(2, 10, 22, 3, 1);
	version_is(2, 10, 23, 3, 0);
	version_is(2, 11, 0, 3, 0);
	version_is(2, 9, 10, 1, 0);
	version_is(0, 0, 0, 3, 0); /* not known */
}

/* libnats makes the messages that are played. */
static int begin(void **state)
{
	(void)state;
	return nats_Open(-1) == NATS_OK ? 0 : -1;
}

static int end(void **state)
{
	(void)state;
	nats_Close();
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(expired_while_it_is_asked, setup),
		cmocka_unit_test_setup(a_last_message_that_stays_away, setup),
		cmocka_unit_test_setup(doubts_are_separate, setup),
		cmocka_unit_test_setup(a_last_message_of_somebody_else, setup),
		cmocka_unit_test_setup(not_known_yet, setup),
		cmocka_unit_test_setup(made_once, setup),
		cmocka_unit_test_setup(cannot_be_made, setup),
		cmocka_unit_test_setup(no_stream_and_no_create, setup),
		cmocka_unit_test_setup(ended_while_it_connects, setup),
		cmocka_unit_test_setup(a_closed_connection, setup),
		cmocka_unit_test_setup(connections_that_fail, setup),
		cmocka_unit_test_setup(the_last_message_is_a_gap, setup),
		cmocka_unit_test_setup(errors_of_the_queue, setup),
		cmocka_unit_test_setup(messages_that_are_too_small, setup),
		cmocka_unit_test_setup(sizes_of_frames, setup),
		cmocka_unit_test_setup(servers_that_lose_streams, setup),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, begin, end);
}
