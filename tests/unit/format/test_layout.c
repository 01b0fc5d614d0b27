/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_layout.c - a queue compared byte for byte with docs/format.md
 *
 * The expected bytes are put together here from the document's offsets, with a checksum of our own;
 * neither format.h's structures nor the library's code are used.  Only times are taken over from
 * what was written.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "queue_support.h"

static void put(uint8_t *at, uint64_t value, int bytes)
{
	for (int i = 0; i < bytes; i++)
		at[i] = (uint8_t)(value >> 8 * i);
}

static uint64_t get(const uint8_t *at, int bytes)
{
	uint64_t value = 0;

	for (int i = bytes; i-- > 0;)
		value = value << 8 | at[i];
	return value;
}

/* What the test appends. */
static const struct message {
	unsigned segment;
	unsigned type;
	char fill;
	size_t length;
} messages[] = {
	{ 0, 1, 'a', 5 },    { 0, 0, 0, 0 },     { 0, 0xFFFE, 'b', 64 }, { 0, 7, 'c', 65 },
	{ 0, 1, 'd', 3000 }, { 1, 1, 'e', 400 }, { 1, 1, 'f', 5 },
};
#define COUNT (sizeof messages / sizeof messages[0])

struct expected {
	uint8_t bytes[QS_SIZE];
	size_t used;
	uint64_t records, payload_bytes, first_seq, stream_base;
	uint64_t first_time, last_time;
};

static void expect_header(struct expected *e, unsigned id, bool taken, bool sealed)
{
	uint8_t *b = e->bytes;

	put(b, 0x53454730, 4);
	put(b + 4, 2, 4);
	put(b + 8, id, 4);
	put(b + 12, sealed, 4);
	if (!taken)
		return;
	put(b + 16, 1, 4);
	put(b + 24, e->stream_base, 8);
	put(b + 32, e->first_seq, 8);
	if (sealed) {
		put(b + 40, e->records, 8);
		put(b + 48, e->used, 8);
		put(b + 56, e->payload_bytes, 8);
	}
	put(b + 20, qs_crc32(b + 24, 40), 4);
}

/* Record `i`; its time is the one in `actual`. */
static void expect_record(struct expected *e, size_t i, uint64_t stream, const uint8_t *actual)
{
	const struct message *m = &messages[i];
	uint8_t *b = e->bytes + e->used;
	uint64_t time = get(actual + e->used + 16, 8);

	memset(b + 64, m->fill, m->length);
	put(b, m->length + 1, 4);
	put(b + 4, 1, 1);
	put(b + 8, i, 8);
	put(b + 16, time, 8);
	put(b + 24, m->type, 2);
	put(b + 28, qs_crc32(b + 64, m->length), 4);
	put(b + 32, 1, 4);
	put(b + 40, stream, 8);
	put(b + 48, 1, 4);
	put(b + 36, qs_crc32(b, 64), 4); /* while the field is zero */
	if (e->records == 0)
		e->first_time = time;
	e->last_time = time;
	e->records++;
	e->payload_bytes += m->length;
	e->used += (64 + m->length + 63) / 64 * 64;
}

static void compare(struct qs *q, const char *name, const uint8_t *expected, size_t length)
{
	char path[PATH_SIZE];
	size_t size;
	char *bytes;

	support_path(path, q->dir, name);
	bytes = support_slurp(path, &size);
	assert_int_equal(size, length);
	for (size_t i = 0; i < length; i++)
		if ((uint8_t)bytes[i] != expected[i])
			fprintf(stderr, "%s: byte %zu is %02x, not %02x\n", name, i,
			        (unsigned)(uint8_t)bytes[i], (unsigned)expected[i]);
	assert_memory_equal(bytes, expected, length);
	free(bytes);
}

static void write_queue(struct qs *q)
{
	static char payload[QS_SIZE];

	qs_open(q);
	for (size_t i = 0; i < COUNT; i++) {
		memset(payload, messages[i].fill, sizeof payload);
		assert_int_equal(cq_writer_append(q->writer, (uint16_t)messages[i].type, payload,
		                                  messages[i].length, NULL),
		                 0);
	}
	qs_prepare(q->writer);
	qs_close(q);
}

static void segments_and_index(struct qs *q, struct expected *s)
{
	static const char *const names[] = { "000000000.q", "000000001.q", "000000002.q" };
	uint8_t index[80 + 24] = "CHRIDX1";
	uint64_t stream = 0;
	char path[PATH_SIZE];
	char *actual[2];
	size_t size;

	for (int i = 0; i < 2; i++) {
		support_path(path, q->dir, names[i]);
		actual[i] = support_slurp(path, &size);
		assert_int_equal(size, QS_SIZE);
		s[i].used = 64;
	}
	for (size_t i = 0; i < COUNT; i++) {
		struct expected *e = &s[messages[i].segment];

		if (e->records == 0) {
			e->first_seq = i;
			e->stream_base = stream;
		}
		expect_record(e, i, stream, (const uint8_t *)actual[messages[i].segment]);
		stream += messages[i].length;
	}
	expect_header(&s[0], 0, true, true);
	expect_header(&s[1], 1, true, false);
	expect_header(&s[2], 2, false, false);
	for (int i = 0; i < 3; i++)
		compare(q, names[i], s[i].bytes, QS_SIZE);
	free(actual[0]);
	free(actual[1]);

	put(index + 8, 1, 2);
	put(index + 10, 80, 2);
	put(index + 24, QS_SIZE, 8);
	put(index + 32, 64, 4);
	put(index + 36, 4096, 4);
	put(index + 48, 4, 8);
	put(index + 56, s[0].first_time, 8);
	put(index + 64, s[0].last_time, 8);
	put(index + 72, 1, 8);
	put(index + 80 + 8, s[0].first_time, 8);
	put(index + 80 + 16, 64, 8);
	compare(q, "000000000.idx", index, sizeof index);
}

static void put_mark(uint8_t *at, uint64_t segment, uint64_t offset, uint64_t seq,
                     unsigned generation)
{
	put(at, segment, 8);
	put(at + 8, offset, 8);
	put(at + 16, seq, 8);
	put(at + 24, 1, 4);
	put(at + 28, generation, 4);
	put(at + 32, qs_crc32(at, 32), 4);
}

/* The kernel's text: 32 digits, with hyphens between some of them. */
static void put_boot_id(uint8_t *at)
{
	FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
	unsigned byte;

	assert_non_null(file);
	for (unsigned i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			assert_int_equal(fgetc(file), '-');
		assert_int_equal(fscanf(file, "%2x", &byte), 1);
		at[i] = (uint8_t)byte;
	}
	fclose(file);
}

static void closed_queue(void **state)
{
	static struct expected s[3];
	struct qs *q = *state;
	uint8_t control[512] = { 0 }, position[16] = { 0 }, durable[80] = { 0 };
	char path[PATH_SIZE];

	write_queue(q);
	segments_and_index(q, s);

	put(control, 0x4348524E, 4);
	put(control + 4, 3, 4);
	put(control + 8, 2, 4);
	put(control + 16, 1, 8);
	put(control + 24, QS_SIZE, 8);
	put_boot_id(control + 32);
	put(control + 128, 4, 4); /* opened, rolled once */
	put(control + 132, 1, 4);
	put(control + 256, s[1].used, 8);
	put(control + 264, qs_peek64(q->dir, "control.meta", 264), 8);
	put(control + 272, 1 + 1, 4); /* of segment 1, which has too few records for one */
	put(control + 384, COUNT + 2, 4); /* each record, the roll, the open */
	put(control + 400, 1, 4); /* the close has flushed */
	assert_true(get(control + 264, 8) >= s[1].last_time);
	compare(q, "control.meta", control, sizeof control);

	put(position, 1, 8);
	put(position + 8, s[1].used, 8);
	compare(q, "index.meta", position, sizeof position);

	qs_format_check(q->dir, "--closed");
	/* the list of segments is there if the directory had not just changed */
	support_path(path, q->dir, "durable.meta");
	assert_int_equal(truncate(path, sizeof durable), 0);
	put_mark(durable + 40, 0, 64, 0, 1);
	put_mark(durable, 1, s[1].used, COUNT, 2);
	compare(q, "durable.meta", durable, sizeof durable);
}

/* "pid starttime epoch\n", starttime being field 22 of /proc/PID/stat. */
static void lock_text(void **state)
{
	struct qs *q = *state;
	char path[PATH_SIZE], expected[128], stat_text[1024] = "";
	unsigned long long start = 0;
	FILE *stat_file = fopen("/proc/self/stat", "re");
	size_t size;
	char *text;

	assert_non_null(stat_file);
	assert_non_null(fgets(stat_text, sizeof stat_text, stat_file));
	fclose(stat_file);
	assert_int_equal(sscanf(strrchr(stat_text, ')') + 1,
	                        " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d "
	                        "%*d %*d %*d %llu",
	                        &start),
	                 1);
	qs_open(q);
	qs_close(q);
	qs_open(q);
	support_path(path, q->dir, "writer.lock");
	text = support_slurp(path, &size);
	snprintf(expected, sizeof expected, "%d %llu 2\n", (int)getpid(), start);
	assert_string_equal(text, expected);
	free(text);
}

static const struct CMUnitTest tests[] = {
	QS_TEST(closed_queue),
	QS_TEST(lock_text),
};

QS_MAIN(tests)
