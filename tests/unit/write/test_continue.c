/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_continue.c - queues that chronicle-rs wrote ($GOLDEN), continued by our writer
 *
 * Each is copied, opened for writing, appended to over several segments, closed, and opened again. All old
 * records are unchanged; the new ones have numbers from the highest one + 1 on; and the files that
 * chronicle-rs's writer reads at its open are as it needs them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdlib.h>

#include "files/dir.h"
#include "format/format.h"
#include "queue_support.h"
#include "write/writer.h"

static void expect_same(const struct qs_record *a, const struct qs_record *b)
{
	assert_int_equal(a->segment, b->segment);
	assert_int_equal(a->offset, b->offset);
	assert_int_equal(a->seq, b->seq);
	assert_int_equal(a->time_ns, b->time_ns);
	assert_int_equal(a->ext, b->ext);
	assert_int_equal(a->length, b->length);
	assert_string_equal(a->text, b->text);
}

/* control.meta and index.meta agree with each other and with the tail; 64 zero bytes follow it. */
static void closed_for_chronicle(struct qs *q)
{
	uint32_t segment = qs_peek32(q->dir, "control.meta", 132);
	uint64_t offset = qs_peek64(q->dir, "control.meta", 256);
	uint64_t size = qs_peek64(q->dir, "control.meta", 24);
	char name[CQ_NAME_MAX];

	assert_int_equal(qs_peek64(q->dir, "index.meta", 0), segment);
	assert_int_equal(qs_peek64(q->dir, "index.meta", 8), offset);
	cq_segment_name(name, segment);
	assert_int_equal(qs_peek32(q->dir, name, 12), 0);
	if (offset < size)
		assert_true(qs_all_zero(q->dir, name, offset, offset + 64));
}

static void check_new(const struct qs_record *r, size_t count, uint64_t first_seq, unsigned number)
{
	uint64_t stream = r[0].stream_offset;
	char text[32];

	for (size_t i = 0; i < count; i++) {
		snprintf(text, sizeof text, "record %u", (unsigned)(number + i));
		assert_string_equal(r[i].text, text);
		assert_int_equal(r[i].seq, first_seq + i);
		assert_int_equal(r[i].ext, 1);
		assert_int_equal(r[i].stream_offset, stream);
		stream += r[i].length;
	}
}

static void continue_golden(struct qs *q, const char *name, uint64_t next_seq)
{
	struct qs_record *old, *now;
	size_t old_count, count;
	uint64_t bytes = 0;
	char golden[PATH_SIZE];

	print_message("# %s\n", name);
	support_golden(golden, name);
	support_copy(golden, q->dir);
	q->config.segment_size = 0;
	qs_open(q);
	old_count = qs_records(q->dir, &old); /* recovery has cut off what a kill left */
	for (size_t i = 0; i < old_count; i++)
		bytes += old[i].length;
	assert_int_equal(qs_stats(q->writer).next_seq, next_seq);
	assert_int_equal(qs_stats(q->writer).stream_end, bytes);
	qs_append(q->writer, 0, 100);
	qs_flush(q->writer);
	qs_close(q);
	closed_for_chronicle(q);
	qs_format_check(q->dir, "--closed");

	qs_open(q);
	assert_int_equal(qs_stats(q->writer).next_seq, next_seq + 100);
	qs_append(q->writer, 100, 5);
	qs_close(q);
	closed_for_chronicle(q);
	qs_format_check(q->dir, "--closed");

	count = qs_records(q->dir, &now);
	assert_int_equal(count, old_count + 105);
	for (size_t i = 0; i < old_count; i++)
		expect_same(&old[i], &now[i]);
	assert_int_equal(now[old_count].stream_offset, bytes);
	check_new(now + old_count, 105, next_seq, 0);
	free(old);
	free(now);
}

static void small(void **state)
{
	continue_golden(*state, "v2-small", 40);
}

/* Written in two runs of 25 and 15: its numbers go 0 to 24, then 0 to 14. */
static void reopened(void **state)
{
	continue_golden(*state, "v2-reopened", 25);
}

static void mixed_sizes(void **state)
{
	struct qs *q = *state;
	char path[PATH_SIZE];
	uint64_t lines = 0;
	size_t size;
	char *text;

	support_golden(path, "mixed.txt");
	text = support_slurp(path, &size);
	for (size_t i = 0; i < size; i++)
		lines += text[i] == '\n';
	free(text);
	continue_golden(q, "v2-mixed", lines);
}

static void with_a_reader(void **state)
{
	struct qs *q = *state;
	uint8_t before[80], after[80];
	char golden[PATH_SIZE];

	support_golden(golden, "v2-reader");
	support_peek(golden, "readers/alpha.meta", 0, before, sizeof before);
	continue_golden(q, "v2-reader", 40);
	support_peek(q->dir, "readers/alpha.meta", 0, after, sizeof after);
	assert_memory_equal(before, after, sizeof before);
}

static void killed(void **state)
{
	struct qs *q = *state;
	char path[PATH_SIZE], *text;
	uint64_t lines = 0;
	size_t size;

	support_golden(path, "v2-killed.txt");
	text = support_slurp(path, &size);
	for (size_t i = 0; i < size; i++)
		lines += text[i] == '\n';
	free(text);
	continue_golden(q, "v2-killed", lines);
}

/* In segments of version 1 new records have version 0; new segments have version 2. */
static void version_1(void **state)
{
	struct qs *q = *state;
	struct qs_record *records;
	size_t count;

	continue_golden(q, "v1-small", 40);
	count = qs_records(q->dir, &records);
	for (size_t i = 0; i < count; i++) {
		char name[CQ_NAME_MAX];

		cq_segment_name(name, records[i].segment);
		assert_int_equal(records[i].version, qs_peek32(q->dir, name, 4) == 1 ? 0 : 1);
	}
	assert_int_equal(qs_peek32(q->dir, "000000002.q", 4), 1); /* its published successor */
	assert_int_equal(records[count - 1].version, 1);
	free(records);
}

/* ---- chronicle-rs has begun a segment and ours has gone on in it ---- */

#define AT(record) (64 + (uint64_t)(record)*128)

struct in_turn {
	unsigned ours;   /* records in segment 0 */
	unsigned theirs; /* behind those, at the beginning of segment 1, with numbers from 0 on */
};

static void append_and_die(struct qs *q)
{
	CHILD(qs_try_open(q) == 0);
	qs_append(q->writer, 100, 4);
	raise(SIGKILL);
}

static void write_in_turn(struct qs *q, const struct in_turn *turn)
{
	const struct cq_segment_header sealed = { .magic = CQ_SEGMENT_MAGIC,
		                                  .version = CQ_SEGMENT_VERSION,
		                                  .flags = CQ_SEALED };
	struct {
		struct cq_record_header header;
		char text[64];
	} record = { .text = "theirs" };

	qs_write(q, 0, turn->ours);
	support_poke(q->dir, "000000000.q", 0, &sealed, sizeof sealed);
	if (!support_exists(q->dir, "000000001.q"))
		qs_make_segment(q->dir, 1, QS_SIZE);
	for (unsigned i = 0; i < turn->theirs; i++) {
		record.header = (struct cq_record_header){ .commit = 7,
			                                   .version = 1,
			                                   .seq = i,
			                                   .time_ns = 1795372341687122503 + i,
			                                   .type = 1,
			                                   .payload_crc = qs_crc32("theirs", 6) };
		support_poke(q->dir, "000000001.q", AT(i), &record, sizeof record);
	}
	qs_run_killed(append_and_die, q);
}

/* The number of the segment's first record is chronicle-rs's: it does not say that records are missing
 * before it, wherever the watermark is. */
static void begun_by_the_other(void **state)
{
	static const struct in_turn turns[] = { { 31, 5 }, { 5, 10 }, { 5, 5 }, { 10, 2 } };
	struct qs *q = *state;
	struct qs_record *records;

	for (size_t i = 0; i < sizeof turns / sizeof turns[0]; i++) {
		const unsigned ours = turns[i].ours, theirs = turns[i].theirs;
		const uint64_t next = ours > theirs ? ours : theirs;

		for (unsigned durable = 0; durable <= ours; durable += ours) {
			qs_anew(q);
			write_in_turn(q, &turns[i]);
			qs_mark(q->dir, 0, AT(durable), durable);
			qs_open(q);
			assert_int_equal(qs_stats(q->writer).next_seq, next + 4);
			qs_append(q->writer, 104, 40);
			qs_close(q);
			assert_int_equal(qs_records(q->dir, &records), ours + theirs + 44);
			check_new(records + ours + theirs, 44, next, 100);
			free(records);
			assert_int_equal(qs_count_names(q->dir, ".corrupt"), 0);
			qs_format_check(q->dir, "--closed");
		}
	}
}

static const struct CMUnitTest tests[] = {
	QS_TEST(small),  QS_TEST(reopened),  QS_TEST(mixed_sizes),        QS_TEST(with_a_reader),
	QS_TEST(killed), QS_TEST(version_1), QS_TEST(begun_by_the_other),
};

QS_MAIN(tests)
