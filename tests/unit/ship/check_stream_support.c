/* SPDX-License-Identifier: Apache-2.0 */
/* check_stream_support.c - see check_stream_support.h */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "check_stream_support.h"
#include "shared/cli.h"

struct world world;
struct stream_side side;
struct ship_options ship;

/* ---- played ---- */

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret);
int __wrap_nanosleep(const struct timespec *time, struct timespec *rest);

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret)
{
	(void)clock;
	ret->tv_sec = (time_t)(world.now_ms / 1000);
	ret->tv_nsec = (long)(world.now_ms % 1000) * 1000000;
	return 0;
}

int __wrap_nanosleep(const struct timespec *time, struct timespec *rest)
{
	(void)rest;
	world.now_ms += (uint64_t)time->tv_sec * 1000 + (uint64_t)time->tv_nsec / 1000000;
	return 0;
}

static int play(struct failing *failing)
{
	if (failing->after > 0) {
		failing->after--;
		return 0;
	}
	if (failing->times == 0)
		return 0;
	failing->times--;
	return failing->error;
}

int jet_open(const struct jet_options *options, struct jet **ret_jet, char why[JET_WHY_MAX])
{
	const int r = play(&world.open);

	assert_ptr_equal(options->url, &ship.url);
	(void)snprintf(why, JET_WHY_MAX, "no server");
	if (r == 0)
		*ret_jet = (struct jet *)&world;
	return r;
}

void jet_close(struct jet *jet)
{
	assert_true(!jet || jet == (struct jet *)&world);
}

const char *jet_why(struct jet *jet)
{
	assert_ptr_equal(jet, &world);
	return "because";
}

int jet_info(struct jet *jet, struct jet_info *ret_info)
{
	const struct stream_about about = { .identity = { 7 },
		                            .first = 100,
		                            .segment_size = 65536 };
	const int r = play(&world.info);

	assert_ptr_equal(jet, &world);
	if (r < 0)
		return r;
	*ret_info = (struct jet_info){
		.first_sequence = world.first,
		.last_sequence = world.last,
		.messages = world.last + 1 - world.first,
	};
	if (world.description)
		(void)snprintf(ret_info->description, STREAM_ABOUT_MAX, "%s", world.description);
	else
		stream_about_put(ret_info->description, &about);
	if (world.grows_to > 0)
		world.last = world.grows_to;
	return 0;
}

static int put_header(void *arg, const char *name, const char *value)
{
	return natsMsgHeader_Set(arg, name, value) == NATS_OK ? 0 : -ENOMEM;
}

static natsMsg *make(uint64_t sequence)
{
	const struct wire_record record = {
		.seq = sequence + 99, .time_ns = 5, .payload = "text", .length = 4
	};
	struct wire_head head = {
		.kind = world.parts[sequence] ? WIRE_PART : WIRE_RECORD,
		.first = record.seq,
		.next = record.seq + 1,
		.last = { .crc = wire_crc(&record), .time_ns = 5 },
	};
	natsMsg *message;

	if (head.kind ==
	    WIRE_PART) { /* the last two bytes; the first ones are in the message before */
		head.part_offset = 2;
		head.part_length = 4;
	}
	assert_int_equal(
		natsMsg_Create(&message, "chronq.S", NULL, "text", head.kind == WIRE_PART ? 2 : 4),
		NATS_OK);
	if (!world.strange[sequence])
		assert_int_equal(wire_head_put(&head, put_header, message), 0);
	return message;
}

int jet_message(struct jet *jet, uint64_t sequence, natsMsg **ret_message)
{
	const int r = play(&world.message);

	assert_ptr_equal(jet, &world);
	if (r < 0)
		return r;
	if (sequence < world.first || sequence > world.last || world.lost[sequence])
		return -ENOENT;
	*ret_message = make(sequence);
	return 0;
}

int consume_open(struct jet *jet, const char *stream, uint64_t from, struct consumer **ret_consumer,
                 char why[JET_WHY_MAX])
{
	const int r = play(&world.consumer);

	assert_ptr_equal(jet, &world);
	assert_string_equal(stream, "S");
	(void)snprintf(why, JET_WHY_MAX, "no leader");
	if (r < 0)
		return r;
	world.consumers++;
	world.due = from;
	*ret_consumer = (struct consumer *)&world;
	return 0;
}

void consume_close(struct consumer *consumer)
{
	assert_true(!consumer || consumer == (struct consumer *)&world);
}

int consume_next(struct consumer *consumer, int timeout_ms, struct consumed *ret_consumed)
{
	assert_ptr_equal(consumer, &world);
	if (world.expires_to > 0 && world.due == world.expires_at) {
		world.first = world.expires_to;
		world.expires_to = 0;
	}
	if (world.due < world.first)
		world.due = world.first;
	if (world.stale > 0 && world.due == world.stale_at) {
		world.stale--;
		world.now_ms += (uint64_t)timeout_ms;
		return -ESTALE;
	}
	if (world.silent_at > 0 && world.due == world.silent_at && world.passes > 0)
		world.due += world.passes;
	else if (world.silent_at > 0 && world.due == world.silent_at) {
		world.now_ms += (uint64_t)timeout_ms;
		return 0;
	}
	if (world.due > world.last) {
		world.now_ms += (uint64_t)timeout_ms;
		return 0;
	}
	*ret_consumed = (struct consumed){ .message = make(world.due), .sequence = world.due };
	world.due++;
	return 1;
}

void cli_note(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(world.text, sizeof world.text, format, arguments);
	va_end(arguments);
}

static void unreadable(void *arg, uint64_t first, uint64_t next)
{
	assert_ptr_equal(arg, &world);
	world.unreadable[world.unreadable_count][0] = first;
	world.unreadable[world.unreadable_count++][1] = next;
}

int begin_test(void **state)
{
	(void)state;
	assert_int_equal(nats_Open(-1), NATS_OK); /* as jet_open() does */
	memset(&world, 0, sizeof world);
	world.first = 1;
	world.last = 20;
	world.now_ms = 1000000;
	memset(&side, 0, sizeof side);
	side.unreadable = unreadable;
	side.unreadable_arg = &world;
	(void)snprintf(ship.url.name, sizeof ship.url.name, "S");
	return 0;
}

int end_test(void **state)
{
	(void)state;
	stream_side_close(&side);
	return 0;
}

void gives(uint64_t first, uint64_t next, int r)
{
	struct compare_item item;

	for (uint64_t seq = first; seq < next; seq++) {
		if (world.lost[seq - 99] || world.strange[seq - 99])
			continue;
		assert_int_equal(side.side.next(side.side.arg, &item), 1);
		assert_int_equal(item.state, COMPARE_RECORD);
		assert_int_equal(item.first, seq);
	}
	assert_int_equal(side.side.next(side.side.arg, &item), r);
}

void opens(void)
{
	uint64_t next;

	assert_int_equal(stream_side_open(&side, &ship), CLI_OK);
	assert_int_equal(stream_side_begin(&side, UINT64_MAX, &next), CLI_OK);
	assert_int_equal(next, world.last + 100);
}

void fails_to_open(int code, const char *text)
{
	assert_int_equal(stream_side_open(&side, &ship), code);
	assert_string_equal(world.text, text);
	stream_side_close(&side);
	memset(&side, 0, sizeof side);
	side.unreadable = unreadable;
	side.unreadable_arg = &world;
}
