/* SPDX-License-Identifier: Apache-2.0 */
/* fetch_support.c - see fetch_support.h */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fetch_support.h"
#include "shared/cli.h"

struct world world;
struct fetch_options options;

static pthread_t tester;
static char dir[PATH_SIZE], queue[PATH_SIZE];

/* ---- played ---- */

int __real_clock_gettime(clockid_t clock, struct timespec *ret);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret);
int __wrap_nanosleep(const struct timespec *time, struct timespec *rest);
void __wrap_cli_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
int __wrap_cli_fail(const char *subject, int error);
ssize_t __real_cq_writer_append_batch_at(cq_writer *writer, const struct cq_message *messages,
                                         const uint64_t *times_ns, size_t count,
                                         struct cq_appended *ret);
ssize_t __wrap_cq_writer_append_batch_at(cq_writer *writer, const struct cq_message *messages,
                                         const uint64_t *times_ns, size_t count,
                                         struct cq_appended *ret);
int __real_cq_writer_open(const char *path, const struct cq_config *config, cq_writer **ret);
int __wrap_cq_writer_open(const char *path, const struct cq_config *config, cq_writer **ret);
int __real_cq_writer_skip(cq_writer *writer, uint64_t next, uint64_t stream);
int __wrap_cq_writer_skip(cq_writer *writer, uint64_t next, uint64_t stream);

int __real_cq_writer_close(cq_writer *writer);
int __wrap_cq_writer_close(cq_writer *writer);
int __real_cq_queue_info(cq_queue *opened, struct cq_queue_info *ret);
int __wrap_cq_queue_info(cq_queue *opened, struct cq_queue_info *ret);
int __real_cq_reader_seek_seq(cq_reader *reader, uint64_t seq);
int __wrap_cq_reader_seek_seq(cq_reader *reader, uint64_t seq);

/* The queue's own threads have the real time. */
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret)
{
	const int r = __real_clock_gettime(clock, ret);

	if (pthread_equal(pthread_self(), tester)) {
		ret->tv_sec += (time_t)(world.now_ms / 1000);
		ret->tv_nsec += (long)(world.now_ms % 1000) * 1000000;
		if (ret->tv_nsec >= 1000000000) {
			ret->tv_nsec -= 1000000000;
			ret->tv_sec++;
		}
	}
	return r;
}

int __wrap_nanosleep(const struct timespec *time, struct timespec *rest)
{
	(void)rest;
	world.now_ms += (uint64_t)time->tv_sec * 1000 + (uint64_t)time->tv_nsec / 1000000;
	assert_in_range(++world.waits, 1, 100000); /* it does not end */
	if (world.stops_after > 0 && world.waits >= world.stops_after)
		cli_stopped = 1;
	return 0;
}

void __wrap_cli_note(const char *format, ...)
{
	const size_t length = strlen(world.text);
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(world.text + length, sizeof world.text - length, format, arguments);
	va_end(arguments);
}

int __wrap_cli_fail(const char *subject, int error)
{
	__wrap_cli_note("%s: %s\n", subject, cq_strerror(error));
	return CLI_IO;
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

ssize_t __wrap_cq_writer_append_batch_at(cq_writer *writer, const struct cq_message *messages,
                                         const uint64_t *times_ns, size_t count,
                                         struct cq_appended *ret)
{
	const int r = play(&world.append);

	return r < 0 ? r : __real_cq_writer_append_batch_at(writer, messages, times_ns, count, ret);
}

int __wrap_cq_writer_open(const char *path, const struct cq_config *config, cq_writer **ret)
{
	const int r = play(&world.writer);

	return r < 0 ? r : __real_cq_writer_open(path, config, ret);
}

int __wrap_cq_writer_skip(cq_writer *writer, uint64_t next, uint64_t stream)
{
	const int r = play(&world.skip);

	return r < 0 ? r : __real_cq_writer_skip(writer, next, stream);
}

int __wrap_cq_writer_close(cq_writer *writer)
{
	const int r = __real_cq_writer_close(writer), played = play(&world.close);

	return played < 0 ? played : r;
}

int __wrap_cq_queue_info(cq_queue *opened, struct cq_queue_info *ret)
{
	const int r = __real_cq_queue_info(opened, ret), played = play(&world.queue);

	return played < 0 ? played : r;
}

int __wrap_cq_reader_seek_seq(cq_reader *reader, uint64_t seq)
{
	const int r = __real_cq_reader_seek_seq(reader, seq), played = play(&world.reader);

	return played < 0 ? played : r;
}

int jet_open(const struct jet_options *jet, struct jet **ret_jet, char why[JET_WHY_MAX])
{
	const int r = play(&world.open);

	assert_ptr_equal(jet->url, &options.ship.url);
	(void)snprintf(why, JET_WHY_MAX, "because");
	if (r < 0)
		return r;
	world.opens++;
	world.closed = false;
	*ret_jet = (struct jet *)&world;
	return 0;
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

void jet_state(struct jet *jet, struct jet_state *ret_state)
{
	assert_ptr_equal(jet, &world);
	*ret_state = (struct jet_state){ .connected = !world.closed && !world.disconnected,
		                         .closed = world.closed };
}

natsConnection *jet_connection(struct jet *jet)
{
	return (natsConnection *)jet;
}

natsStatus natsConnection_FlushTimeout(natsConnection *nc, int64_t timeout)
{
	assert_ptr_equal(nc, &world);
	assert_true(timeout > 0);
	if (world.hangs == 0)
		return NATS_OK;
	world.hangs--;
	return NATS_TIMEOUT;
}

int jet_info(struct jet *jet, struct jet_info *ret_info)
{
	const struct stream_about about = { .identity = { world.identity },
		                            .first = 100,
		                            .segment_size = 65536 };
	const int r = play(&world.info);

	assert_ptr_equal(jet, &world);
	if (r < 0)
		return r;
	*ret_info = (struct jet_info){ .first_sequence = world.first,
		                       .last_sequence = world.last,
		                       .messages = world.last + 1 - world.first };
	if (world.description)
		(void)snprintf(ret_info->description, STREAM_ABOUT_MAX, "%s", world.description);
	else
		stream_about_put(ret_info->description, &about);
	return 0;
}

static int put_header(void *arg, const char *name, const char *value)
{
	return natsMsgHeader_Set(arg, name, value) == NATS_OK ? 0 : -ENOMEM;
}

static natsMsg *make(uint64_t sequence)
{
	const char *payload = world.payload[sequence] ? world.payload[sequence] : "text";
	struct wire_head head = world.heads[sequence];
	char body[16384];
	struct wire_record record = {
		.seq = sequence + 99, .time_ns = 5, .payload = payload, .length = strlen(payload)
	};
	size_t size = strlen(payload);
	natsMsg *message;

	if (head.next == 0)
		head = (struct wire_head){ .kind = WIRE_RECORD,
			                   .first = record.seq,
			                   .next = record.seq + 1 };
	head.last = (struct wire_fingerprint){ .time_ns = 5 };
	record.seq = head.first;
	head.last.crc = wire_crc(&record);
	(void)snprintf(body, sizeof body, "%s", payload);
	if (head.kind == WIRE_PART) { /* the payload is the whole record's */
		memmove(body, body + head.part_offset, sizeof body - head.part_offset);
		size = head.next == head.first ? 2 : (size_t)(head.part_length - head.part_offset);
	} else if (head.kind == WIRE_GAP) {
		size = 0;
		head.last = (struct wire_fingerprint){ .time_ns = 0 };
	} else if (head.kind == WIRE_FRAME) {
		for (size = 0; record.seq < head.next; record.seq++)
			size += wire_entry_put(body + size, &record, &head.last.crc);
	}
	assert_int_equal(natsMsg_Create(&message, "chronq.S", NULL, body, (int)size), NATS_OK);
	if (world.strange[sequence] > 0)
		world.strange[sequence]--;
	else
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
	if (world.due < world.first)
		world.due = world.first;
	while (world.due <= world.last && (world.lost[world.due] || world.passed[world.due] > 0)) {
		if (!world.lost[world.due])
			world.passed[world.due]--;
		world.due++;
	}
	if (world.due > world.last || (world.silent_at > 0 && world.due >= world.silent_at &&
	                               !(world.one_silent && world.consumers > 1))) {
		world.now_ms += (uint64_t)timeout_ms;
		assert_in_range(++world.idles, 1, 100000); /* it does not end */
		if (world.stale > 0) {
			world.stale--;
			return -ESTALE;
		}
		if (world.idle)
			world.idle(world.idles);
		return 0;
	}
	*ret_consumed = (struct consumed){ .message = make(world.due),
		                           .sequence = world.due,
		                           .pending = world.last - world.due };
	world.due++;
	return 1;
}

/* ---- what the tests do ---- */

int begin_test(void **state)
{
	(void)state;
	assert_int_equal(nats_Open(-1), NATS_OK); /* as jet_open() does */
	tester = pthread_self();
	memset(&world, 0, sizeof world);
	world.identity = 7;
	world.first = 1;
	world.last = 20;
	cli_stopped = 0;
	support_temp_dir(dir);
	support_path(queue, dir, "queue");
	memset(&options, 0, sizeof options);
	cq_config_init(&options.config);
	options.dir = queue;
	options.ship.once = true;
	(void)snprintf(options.ship.url.name, sizeof options.ship.url.name, "S");
	return 0;
}

int end_test(void **state)
{
	(void)state;
	support_remove(dir);
	return 0;
}

void ends(int code, const char *text)
{
	const int status = fetch_run(&options);

	if (status != code)
		fail_msg("exit code %d: %s", status, world.text);
	if (text && !strstr(world.text, text))
		fail_msg("not \"%s\": %s", text, world.text);
	if (!text)
		assert_string_equal(world.text, "");
	if (!world.keep_text)
		world.text[0] = '\0';
}

void replica_is(uint64_t next, uint64_t records)
{
	struct cq_record record;
	uint64_t last = 0, count = 0;
	cq_reader *reader;
	unsigned steps = 0;
	int r;

	assert_int_equal(cq_reader_open(queue, NULL, CQ_START_OLDEST, CQ_READER_PASSIVE, &reader),
	                 0);
	while ((r = cq_reader_next(reader, &record)) != 0) {
		assert_in_range(++steps, 1, 100000);
		if (r == 1) { /* else a gap, and the next call gives what is behind it */
			last = record.seq;
			count++;
		}
	}
	cq_reader_close(reader);
	assert_int_equal(last + 1, next);
	assert_int_equal(count, records);
}
